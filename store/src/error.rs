//! The one error of this room: kind × path and offset × what to do about it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// What went wrong, in terms a caller can act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The queue's own bound (`bytes_max`) is reached; the caller's policy decides what happens now.
    Full,
    /// The file system has no room left. Nothing was confirmed; what was confirmed before is whole.
    DiskFull,
    /// Bytes on disk are not what was written. Nothing at or behind that place is served.
    Corrupt,
    /// The file is of a format version this program does not know.
    Version,
    /// A write to the disk could not be completed or confirmed; the log takes nothing more until it is reopened.
    Poisoned,
    /// Somebody else holds the data folder.
    Locked,
    /// The file or folder is not there.
    NotFound,
    /// The caller passed something the limits do not allow (a record too long, an offset trimmed away).
    Invalid,
    /// The log, queue or store has been closed.
    Closed,
    /// Any other failure of the file system.
    Io,
}

impl ErrorKind {
    /// The word used in logs, metrics and dead letters.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::DiskFull => "disk_full",
            Self::Corrupt => "corrupt",
            Self::Version => "version",
            Self::Poisoned => "poisoned",
            Self::Locked => "locked",
            Self::NotFound => "not_found",
            Self::Invalid => "invalid",
            Self::Closed => "closed",
            Self::Io => "io",
        }
    }

    /// Whether the same call can succeed later without anybody's repair: space may be freed.
    pub fn is_temporary(self) -> bool {
        matches!(self, Self::Full | Self::DiskFull)
    }
}

/// An error of the store. It is `Clone` because one failed group fails every append that was in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What went wrong.
    pub kind: ErrorKind,
    /// The file or folder it happened to.
    pub path: PathBuf,
    /// The byte in that file, where there is one.
    pub offset: Option<u64>,
    /// What was being done and what the system answered.
    pub context: String,
    /// What the operator or caller can do.
    pub remedy: &'static str,
}

impl Error {
    /// An error about `path`, without offset or remedy yet.
    pub fn new(kind: ErrorKind, path: impl Into<PathBuf>, context: impl Into<String>) -> Self {
        Self { kind, path: path.into(), offset: None, context: context.into(), remedy: "" }
    }

    /// Adds the byte in the file.
    #[must_use]
    pub fn at(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }

    /// Adds what can be done.
    #[must_use]
    pub fn remedy(mut self, remedy: &'static str) -> Self {
        self.remedy = remedy;
        self
    }

    /// The system refused `doing` on `path`.
    pub(crate) fn io(path: &Path, doing: &str, error: &io::Error) -> Self {
        let (kind, remedy) = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                (ErrorKind::DiskFull, "free space on this file system; what was confirmed before is kept")
            }
            io::ErrorKind::NotFound => (ErrorKind::NotFound, "check the path"),
            io::ErrorKind::PermissionDenied => (ErrorKind::Io, "check the owner and mode of this path"),
            _ => (ErrorKind::Io, "check the disk and the kernel's log"),
        };
        Self::new(kind, path, format!("{doing}: {error}")).remedy(remedy)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.kind.name(), self.path.display(), self.context)?;
        if let Some(offset) = self.offset {
            write!(f, " (at byte {offset})")?;
        }
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_names_kind_path_place_and_remedy() {
        let error = Error::new(ErrorKind::Corrupt, "/data/q/0.seg", "3 records are not what was written")
            .at(52)
            .remedy("restore the file");
        let text = "corrupt: /data/q/0.seg: 3 records are not what was written (at byte 52); restore the file";
        assert_eq!(error.to_string(), text);
    }

    #[test]
    fn a_disk_without_room_is_told_from_other_failures() {
        let table = [
            (io::ErrorKind::StorageFull, ErrorKind::DiskFull),
            (io::ErrorKind::QuotaExceeded, ErrorKind::DiskFull),
            (io::ErrorKind::FileTooLarge, ErrorKind::DiskFull),
            (io::ErrorKind::NotFound, ErrorKind::NotFound),
            (io::ErrorKind::PermissionDenied, ErrorKind::Io),
        ];
        for (system, kind) in table {
            assert_eq!(Error::io(Path::new("x"), "writing", &system.into()).kind, kind, "{system}");
        }
    }
}
