//! Durable steps on the file system: data files, folders and the one step that makes a commit visible.
//!
//! Invariants:
//! - A log entry is linked into place only when it is complete and on disk, and only when no entry of that version is
//!   there: a reader sees the whole entry or none, also after a power cut.
//! - Data files and the folders that name them are on disk before the entry that lists them.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use connector::{Error, ErrorKind};
use deltalake_core::kernel::Action;
use uuid::Uuid;

use crate::fault::io_error;

/// Folder of the log within a table.
pub(crate) const LOG_FOLDER: &str = "_delta_log";

/// How an attempt to commit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The entry is visible and on disk.
    Committed,
    /// Somebody else wrote this version first.
    Conflict,
}

/// Makes `actions`, JSON lines, the log entry of `version`.
pub(crate) fn commit(table: &Path, version: u64, actions: &str) -> Result<Outcome, Error> {
    let log = table.join(LOG_FOLDER);
    fs::create_dir_all(&log).map_err(|error| io_error("making the folder", &log, error))?;
    let temporary = log.join(format!(".{}.json.tmp", Uuid::new_v4().simple()));
    let entry = entry_path(table, version);
    let result = write_synced(&temporary, actions.as_bytes())
        .map_err(|error| io_error("writing", &temporary, error))
        .and_then(|()| match fs::hard_link(&temporary, &entry) {
            Ok(()) => Ok(Outcome::Committed),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Outcome::Conflict),
            Err(error) => Err(io_error("writing", &entry, error)),
        });
    remove_quietly(&temporary);
    let outcome = result?;
    if outcome == Outcome::Committed {
        sync_folders(&log, table.parent().unwrap_or(table))?;
    }
    Ok(outcome)
}

/// The actions as JSON lines.
pub(crate) fn lines(actions: &[Action]) -> Result<Vec<String>, Error> {
    let failed = |error| {
        Error::permanent(ErrorKind::Internal, "writing a log entry")
            .with_source(Box::<dyn std::error::Error + Send + Sync>::from(error))
    };
    actions.iter().map(serde_json::to_string).collect::<Result<_, serde_json::Error>>().map_err(failed)
}

/// Path of the log entry of `version`.
pub(crate) fn entry_path(table: &Path, version: u64) -> PathBuf {
    table.join(LOG_FOLDER).join(format!("{version:020}.json"))
}

/// Writes a new file and returns when its content is on disk.
fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Puts the names within `from` and every folder above it, up to and including `up_to`, on disk.
pub(crate) fn sync_folders(from: &Path, up_to: &Path) -> Result<(), Error> {
    for folder in from.ancestors().take_while(|folder| folder.starts_with(up_to)) {
        File::open(folder)
            .and_then(|file| file.sync_all())
            .map_err(|error| io_error("syncing the folder", folder, error))?;
    }
    Ok(())
}

/// Removes a file that nothing refers to; what stays behind is invisible to readers and only costs space.
pub(crate) fn remove_quietly(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "an unused file could not be removed");
    }
}

const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

/// FNV-1a over texts: stable across versions of weir and of the compiler, because it is stored in the log.
#[derive(Clone, Copy)]
pub(crate) struct Digest(u64);

impl Digest {
    pub(crate) fn new() -> Self {
        Self(FNV_BASIS)
    }

    pub(crate) fn add(&mut self, text: &str) {
        for byte in text.bytes().chain([0xff]) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
        }
    }

    /// As a Delta transaction version, which is a signed number and never negative.
    pub(crate) fn version(self) -> i64 {
        (self.0 >> 1) as i64
    }
}

/// One number for several texts.
pub(crate) fn fingerprint<'a>(texts: impl IntoIterator<Item = &'a str>) -> u64 {
    let mut digest = Digest::new();
    for text in texts {
        digest.add(text);
    }
    digest.0
}
