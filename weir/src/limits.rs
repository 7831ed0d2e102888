//! Asks the system for open files: every connection is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Fewer than this are worth a warning.
const OPEN_FILES_FEW: u64 = 10_000;

/// Raises the soft limit of open files to `wanted`, or as far as the hard limit allows, and says so. Returns what is in
/// force; `None` means unlimited.
pub(crate) fn raise_open_files(wanted: u64) -> Option<u64> {
    let limits = getrlimit(Resource::Nofile);
    let current = limits.current?;
    if current >= wanted {
        return Some(current);
    }
    let reachable = limits.maximum.map_or(wanted, |maximum| wanted.min(maximum));
    if reachable <= current {
        if current < OPEN_FILES_FEW {
            tracing::warn!(
                open_files = current,
                wanted,
                "the system allows few open files, and every connection is one; raise the hard limit (ulimit -Hn, LimitNOFILE)"
            );
        }
        return Some(current);
    }
    match setrlimit(Resource::Nofile, Rlimit { current: Some(reachable), maximum: limits.maximum }) {
        Ok(()) => Some(reachable),
        Err(error) => {
            tracing::warn!(%error, open_files = current, wanted, "could not raise the limit of open files");
            Some(current)
        }
    }
}
