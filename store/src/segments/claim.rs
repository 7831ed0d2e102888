//! A folder of segments is open once in a process. (Other processes are kept out by the lock of the data folder.)

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use crate::error::{Error, ErrorKind};

static CLAIMED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// The right to a folder; given back when dropped.
#[derive(Debug)]
pub(super) struct Claim(PathBuf);

impl Claim {
    /// Takes `dir`, which exists.
    pub(super) fn take(dir: &Path) -> Result<Self, Error> {
        let real = std::fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
        if CLAIMED.lock().insert(real.clone()) {
            Ok(Self(real))
        } else {
            Err(Error::new(ErrorKind::Locked, dir, "this log or queue is open already in this process")
                .remedy("close it before opening it again"))
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        CLAIMED.lock().remove(&self.0);
    }
}
