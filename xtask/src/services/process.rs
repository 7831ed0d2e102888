//! A background process that outlives this tool, known by its id and start time.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::project::{last_lines, output};

/// The process of one service folder; the folder holds `process` (id and start time) and `log`.
pub(super) struct Process {
    folder: PathBuf,
}

impl Process {
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_path_buf() }
    }

    /// Where the service may keep its files.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts `command` in a session of its own, so that Ctrl-C in a terminal does not reach it.
    pub(super) fn spawn(&self, command: &Command) -> Result<(), String> {
        let log = self.folder.join("log");
        let open = || {
            File::options()
                .create(true)
                .append(true)
                .open(&log)
                .map_err(|error| format!("cannot open {}: {error}", log.display()))
        };
        let mut session = Command::new("setsid");
        session
            .arg(command.get_program())
            .args(command.get_args())
            .stdin(Stdio::null())
            .stdout(open()?)
            .stderr(open()?);
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                session.env(name, value);
            }
        }
        // Not a group leader, so setsid replaces itself and the id stays the same.
        let child = session.spawn().map_err(|error| format!("cannot start setsid: {error}"))?;
        let id = child.id();
        let begun = start_time(id).ok_or_else(|| format!("it ended at once:\n{}", self.log_tail()))?;
        std::fs::write(self.folder.join("process"), format!("{id} {begun}\n"))
            .map_err(|error| format!("cannot write the process file: {error}"))
    }

    /// Whether the process of the file is still the one that was started.
    pub(super) fn alive(&self) -> bool {
        self.id().is_some()
    }

    /// Signals it and waits for its end; after `patience` it is killed. Whether there was something to stop.
    pub(super) fn stop(&self, signal: &str, patience: Duration) -> Result<bool, String> {
        let Some(id) = self.id() else { return Ok(false) };
        send(signal, id)?;
        let deadline = Instant::now() + patience;
        while self.alive() {
            if Instant::now() > deadline {
                send("KILL", id)?;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        std::fs::remove_file(self.folder.join("process"))
            .map_err(|error| format!("cannot remove the process file: {error}"))?;
        Ok(true)
    }

    /// The last lines it printed.
    pub(super) fn log_tail(&self) -> String {
        last_lines(&std::fs::read_to_string(self.folder.join("log")).unwrap_or_default(), 15)
    }

    fn id(&self) -> Option<u32> {
        let text = std::fs::read_to_string(self.folder.join("process")).ok()?;
        let (id, begun) = text.trim().split_once(' ')?;
        let id: u32 = id.parse().ok()?;
        (start_time(id)? == begun).then_some(id)
    }
}

/// The kernel's start time of a live process (field 22 of its stat line); a zombie counts as ended.
fn start_time(id: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name in parentheses may hold blanks, so fields are counted after it.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    let state = fields.next()?;
    (!matches!(state, "Z" | "X")).then(|| fields.nth(18).map(str::to_owned)).flatten()
}

fn send(signal: &str, id: u32) -> Result<(), String> {
    output(Command::new("sh").args(["-c", &format!("kill -{signal} {id}")])).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_process_that_was_started_counts() {
        let folder = std::env::temp_dir().join(format!("weir-xtask-process-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let process = Process::new(&folder);
        process.spawn(Command::new("sleep").arg("60")).unwrap();
        assert!(process.alive());
        let file = folder.join("process");
        let kept = std::fs::read_to_string(&file).unwrap();
        let (id, begun) = kept.trim().split_once(' ').unwrap();
        // The same id with another start time is somebody else's process: it is neither alive for us nor signalled.
        std::fs::write(&file, format!("{id} {begun}9\n")).unwrap();
        assert!(!process.alive());
        assert_eq!(process.stop("TERM", Duration::from_secs(5)), Ok(false));
        std::fs::write(&file, &kept).unwrap();
        assert_eq!(process.stop("TERM", Duration::from_secs(5)), Ok(true));
        assert!(!process.alive());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
