//! The data folder of one server, and the lock that keeps a second server out of it.
//!
//! The lock is the operating system's, on an open file: it vanishes with the process however that ends, so a crash
//! never leaves the folder locked. The pid in the file is there for the error message only.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, ErrorKind};

/// The lock file's name inside the folder.
const LOCK_FILE: &str = "weir.lock";

/// An open data folder. Clones share the lock; the last one dropped releases it.
#[derive(Clone, Debug)]
pub struct DataDir {
    path: Arc<Path>,
    /// `None` when opened read-only. Held for its lock, never read again.
    _lock: Option<Arc<File>>,
}

impl DataDir {
    /// Creates the folder if needed and takes it for this process.
    ///
    /// # Errors
    /// [`ErrorKind::Locked`] with the folder and the holder's pid when another server has it.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        // A folder made here is the server's alone, because it holds secrets; one that is there keeps the mode its owner chose.
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
        made.map_err(|e| Error::io(&path, "creating the data folder", &e))?;
        let lock_path = path.join(LOCK_FILE);
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&lock_path)
            .map_err(|e| Error::io(&lock_path, "opening the lock file", &e))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(held(&path, &mut lock)),
            Err(TryLockError::Error(e)) => return Err(Error::io(&lock_path, "locking the data folder", &e)),
        }
        write_pid(&mut lock).map_err(|e| Error::io(&lock_path, "writing the pid into the lock file", &e))?;
        Ok(Self { path: path.into(), _lock: Some(Arc::new(lock)) })
    }

    /// Opens an existing folder for reading beside a running server: takes no lock and writes nothing.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is no such folder.
    pub fn open_read_only(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        match std::fs::metadata(&path) {
            Ok(meta) if meta.is_dir() => Ok(Self { path: path.into(), _lock: None }),
            Ok(_) => Err(Error::new(ErrorKind::Invalid, path, "the data folder is a file")),
            Err(e) => Err(Error::io(&path, "opening the data folder", &e)),
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file of the key-value store.
    pub fn kv_path(&self) -> PathBuf {
        self.path.join("store.kv")
    }

    /// The file of the snapshots of sessions and retained messages: apart from rules and resources, which must not wait
    /// while a large snapshot is written.
    pub fn sessions_path(&self) -> PathBuf {
        self.path.join("sessions.kv")
    }

    /// The folder of the ordered logs.
    pub fn log_dir(&self) -> PathBuf {
        self.path.join("log")
    }

    /// The folder of the queue called `name`. Every name gets its own folder, whatever characters it has: letters,
    /// digits, `-` and `_` stay, every other byte becomes `%XX`.
    pub fn queue_dir(&self, name: &str) -> PathBuf {
        use std::fmt::Write as _;
        let mut folder = String::with_capacity(name.len());
        for byte in name.bytes() {
            if byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' {
                folder.push(char::from(byte));
            } else {
                // Writing to a String cannot fail.
                write!(folder, "%{byte:02X}").ok();
            }
        }
        self.path.join("queues").join(folder)
    }
}

/// The error for a folder somebody else has, with the pid that is in the lock file.
fn held(path: &Path, lock: &mut File) -> Error {
    let mut text = String::new();
    let pid = match lock.take(64).read_to_string(&mut text) {
        Ok(_) => text.trim().parse::<u32>().ok(),
        Err(_) => None,
    };
    let holder = pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
    Error::new(ErrorKind::Locked, path, format!("the data folder is in use by {holder}"))
        .remedy("stop that server, or give this one a data folder of its own")
}

/// Replaces the content of the lock file with this process's id.
fn write_pid(lock: &mut File) -> std::io::Result<()> {
    lock.set_len(0)?;
    lock.seek(SeekFrom::Start(0))?;
    writeln!(lock, "{}", std::process::id())?;
    lock.flush()
}
