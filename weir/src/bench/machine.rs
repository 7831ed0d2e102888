//! What the figures were measured on: processor, kernel, load, and how long the disk takes to make a write durable.
//!
//! Reads `/proc`; what is not there is shown as unknown, never guessed.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use model::{Clock as _, SystemClock};
use serde_json::{Value as Json, json};

use super::stats;

/// Writes of the disk probe.
const FSYNC_COUNT: usize = 200;
/// The probe ends here on a disk that is slow.
const FSYNC_TIME_MAX: Duration = Duration::from_secs(2);
/// Bytes of one write of the probe.
const FSYNC_BYTES: usize = 4096;

/// The machine, as it is shown with every result.
pub(super) struct Machine {
    pub(super) cores: usize,
    pub(super) cpu: String,
    pub(super) kernel: String,
    pub(super) memory_mb: Option<u64>,
    /// Load average over one minute when the bench began: what else ran disturbs the figures.
    pub(super) load_1m: Option<f64>,
    /// File system of the data folder.
    pub(super) file_system: String,
    pub(super) fsync_p50_us: Option<f64>,
    pub(super) fsync_p99_us: Option<f64>,
}

impl Machine {
    /// Looks, and writes to a file in `folder` for at most two seconds.
    pub(super) fn probe(folder: &Path) -> io::Result<Self> {
        let mut fsync = fsync_times_us(&folder.join("fsync-probe"))?;
        fsync.sort_unstable_by(f64::total_cmp);
        Ok(Self {
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            cpu: field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned()),
            kernel: line("/proc/sys/kernel/osrelease").unwrap_or_else(|| "unknown".to_owned()),
            memory_mb: field("/proc/meminfo", "MemTotal")
                .and_then(|text| Some(text.split(' ').next()?.parse::<u64>().ok()? / 1024)),
            load_1m: line("/proc/loadavg").and_then(|text| text.split(' ').next()?.parse().ok()),
            file_system: file_system(folder).unwrap_or_else(|| "unknown".to_owned()),
            fsync_p50_us: stats::percentile(&fsync, 50.0),
            fsync_p99_us: stats::percentile(&fsync, 99.0),
        })
    }

    pub(super) fn json(&self) -> Json {
        json!({
            "cores": self.cores,
            "cpu": self.cpu,
            "kernel": self.kernel,
            "memory_mb": self.memory_mb,
            "load_1m": self.load_1m,
            "file_system": self.file_system,
            "fsync_p50_us": self.fsync_p50_us,
            "fsync_p99_us": self.fsync_p99_us,
        })
    }
}

/// How long each write of a block at the end of a file takes until it is on disk, microseconds.
fn fsync_times_us(path: &Path) -> io::Result<Vec<f64>> {
    let clock = SystemClock;
    let mut file = File::create(path)?;
    let block = [0x5a_u8; FSYNC_BYTES];
    let began = clock.instant();
    let mut times = Vec::with_capacity(FSYNC_COUNT);
    while times.len() < FSYNC_COUNT && began.elapsed() < FSYNC_TIME_MAX {
        let write_began = clock.instant();
        file.write_all(&block)?;
        file.sync_data()?;
        times.push(write_began.elapsed().as_secs_f64() * 1e6);
    }
    drop(file);
    fs::remove_file(path)?;
    Ok(times)
}

fn line(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.lines().next()?.trim().to_owned())
}

/// The value of the first line `name : value`.
fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    })
}

/// The type of the mount that holds `folder`: on a tmpfs, durable writes cost nothing and the figures mean little.
fn file_system(folder: &Path) -> Option<String> {
    let folder = fs::canonicalize(folder).ok()?;
    longest_mount(&fs::read_to_string("/proc/mounts").ok()?, &folder)
}

fn longest_mount(mounts: &str, folder: &Path) -> Option<String> {
    let mut found: Option<(usize, &str)> = None;
    for line in mounts.lines() {
        let mut words = line.split(' ').skip(1);
        let (Some(point), Some(kind)) = (words.next(), words.next()) else { continue };
        // Of two mounts on one point the later one is seen.
        if folder.starts_with(point) && found.is_none_or(|(len, _)| point.len() >= len) {
            found = Some((point.len(), kind));
        }
    }
    found.map(|(_, kind)| kind.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_system_is_that_of_the_deepest_and_latest_mount() {
        let mounts =
            "/dev/vda / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/b /tmp/x xfs rw 0 0\nnone /tmp/x btrfs rw 0 0\n";
        let check = |folder: &str, expected: &str| {
            assert_eq!(longest_mount(mounts, Path::new(folder)).as_deref(), Some(expected), "{folder}");
        };
        check("/home/a", "ext4");
        check("/tmp/a", "tmpfs");
        check("/tmpfiles", "ext4");
        check("/tmp/x/deep", "btrfs");
    }

    #[test]
    fn the_disk_probe_measures_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let machine = Machine::probe(folder.path()).unwrap();
        assert!(machine.fsync_p50_us.is_some_and(|time| time > 0.0));
        assert!(machine.fsync_p99_us >= machine.fsync_p50_us);
        assert!(machine.cores > 0);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
