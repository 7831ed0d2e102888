//! The file of a trace and the thread that writes it.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::UNIX_EPOCH;

use model::Str;
use parking_lot::Mutex;

/// Lines that wait for the disk; more are lost and counted.
const QUEUE_LINES: usize = 4096;

/// A file that lines are pushed to.
pub(super) struct TraceFile {
    path: PathBuf,
    shared: Arc<Shared>,
    /// Gone once the file is closed.
    writer: Mutex<Option<Writer>>,
}

struct Writer {
    lines: SyncSender<String>,
    thread: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    bytes: AtomicU64,
    bytes_max: u64,
    lines: AtomicU64,
    lost: AtomicU64,
    is_full: AtomicBool,
    has_failed: AtomicBool,
}

/// What a file has.
pub(super) struct Written {
    pub(super) bytes: u64,
    pub(super) lines: u64,
    pub(super) lost: u64,
}

impl TraceFile {
    /// Makes a new file; one that is there already is not touched.
    pub(super) fn create(folder: &Path, path: &Path, bytes_max: u64) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let mut options = File::options();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path)?;
        let shared = Arc::new(Shared { bytes_max, ..Shared::default() });
        let (lines, queue) = sync_channel(QUEUE_LINES);
        let in_thread = shared.clone();
        let thread = std::thread::Builder::new()
            .name("broker-trace".to_owned())
            .spawn(move || write(file, &queue, &in_thread))?;
        Ok(Self { path: path.to_path_buf(), shared, writer: Mutex::new(Some(Writer { lines, thread })) })
    }

    /// Hands a line to the thread. Never waits.
    pub(super) fn push(&self, line: String) {
        let cost = line.len() as u64;
        if self.shared.bytes.load(Ordering::Relaxed).saturating_add(cost) > self.shared.bytes_max {
            self.shared.is_full.store(true, Ordering::Relaxed);
            return;
        }
        let writer = self.writer.lock();
        let Some(writer) = writer.as_ref() else { return };
        if writer.lines.try_send(line).is_ok() {
            self.shared.bytes.fetch_add(cost, Ordering::Relaxed);
            self.shared.lines.fetch_add(1, Ordering::Relaxed);
        } else {
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes no more lines and waits until the file has what came.
    pub(super) fn close(&self) {
        let Some(Writer { lines, thread }) = self.writer.lock().take() else { return };
        drop(lines);
        // A thread that panicked has been reported by the panic hook; there is nothing more to write either way.
        drop(thread.join());
    }

    /// Why the file takes no more, if it does not.
    pub(super) fn ended_by(&self) -> Option<&'static str> {
        if self.shared.has_failed.load(Ordering::Relaxed) {
            return Some("failed");
        }
        self.shared.is_full.load(Ordering::Relaxed).then_some("bytes")
    }

    pub(super) fn written(&self) -> Written {
        Written {
            bytes: self.shared.bytes.load(Ordering::Relaxed),
            lines: self.shared.lines.load(Ordering::Relaxed),
            lost: self.shared.lost.load(Ordering::Relaxed),
        }
    }

    pub(super) fn read(&self, offset: u64, bytes_max: usize) -> io::Result<Vec<u8>> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        file.take(bytes_max as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Removes the file. One that is gone already is as good.
    pub(super) fn remove(&self) -> io::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

fn write(file: File, queue: &Receiver<String>, shared: &Shared) {
    let mut out = BufWriter::new(file);
    while let Ok(line) = queue.recv() {
        let mut next = Some(line);
        while let Some(line) = next {
            if let Err(error) = out.write_all(line.as_bytes()) {
                return fail(shared, &error);
            }
            next = queue.try_recv().ok();
        }
        // Nothing waits: whoever reads the file now sees what has happened.
        if let Err(error) = out.flush() {
            return fail(shared, &error);
        }
    }
}

fn fail(shared: &Shared, error: &io::Error) {
    tracing::error!(%error, "a trace cannot be written and ends");
    shared.has_failed.store(true, Ordering::Relaxed);
}

/// The files of a folder that were traces: name, file, time of the last change. At most `count_max`.
pub(super) fn stored(folder: &Path, count_max: usize) -> Vec<(Str, TraceFile, i64)> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let one = |entry: fs::DirEntry| {
        let path = entry.path();
        let name = path.file_name()?.to_str()?.strip_suffix(".log")?.to_owned();
        let facts = entry.metadata().ok().filter(fs::Metadata::is_file)?;
        let modified = facts.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        let shared = Arc::new(Shared { bytes: AtomicU64::new(facts.len()), ..Shared::default() });
        let file = TraceFile { path, shared, writer: Mutex::new(None) };
        Some((Str::from(name), file, i64::try_from(modified.as_millis()).unwrap_or(0)))
    };
    entries.filter_map(Result::ok).filter_map(one).take(count_max).collect()
}
