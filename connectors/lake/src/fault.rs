//! What the file system and the Delta log say, in the contract's terms.
//!
//! A full disk, a missing right and every other fault of the folder are temporary: the rows are not to blame, and they
//! wait in the queue until someone makes room.

use std::io;
use std::path::Path;

use connector::{Error, ErrorKind};
use deltalake_core::{DeltaTableError, ObjectStoreError};

/// An input/output error at `path` while doing `what`.
pub(crate) fn io_error(what: &str, path: &Path, error: io::Error) -> Error {
    let (kind, remedy) = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            (ErrorKind::Exhausted, "; the disk is full: make room")
        }
        io::ErrorKind::PermissionDenied => {
            (ErrorKind::Unauthorized, "; give the server's user the right to write there")
        }
        io::ErrorKind::ReadOnlyFilesystem => (ErrorKind::Unauthorized, "; the file system is mounted read-only"),
        io::ErrorKind::NotFound => (ErrorKind::NotFound, ""),
        io::ErrorKind::NotADirectory => (ErrorKind::Unreachable, "; a file stands where a folder is needed"),
        _ => (ErrorKind::Internal, ""),
    };
    Error::temporary(kind, format!("{what} {}{remedy}", path.display())).with_source(error)
}

/// An error of the Delta library about the table in `folder`.
pub(crate) fn delta_error(what: &str, folder: &Path, error: DeltaTableError) -> Error {
    let context = format!("{what} {}", folder.display());
    match &error {
        DeltaTableError::ObjectStore { source: ObjectStoreError::PermissionDenied { .. } } => {
            Error::temporary(ErrorKind::Unauthorized, context).with_source(error)
        }
        DeltaTableError::ObjectStore { .. } | DeltaTableError::Io { .. } => {
            Error::temporary(ErrorKind::Internal, context).with_source(error)
        }
        // A log that does not parse does not heal by itself, but the rows are not to blame either.
        _ => Error::temporary(ErrorKind::Protocol, context).with_source(error),
    }
}
