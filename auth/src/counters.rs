//! What the room counts. Relaxed atomics: the numbers are for people and graphs.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// All counters of the room.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Accesses denied.
    pub(crate) denied: Count,
    /// Accesses denied because a name would have become part of a pattern.
    pub(crate) unsafe_names: Count,
    /// Reloads of the rules that took place.
    pub(crate) reloads: Count,
    /// Reloads that failed and changed nothing.
    pub(crate) reloads_failed: Count,
    /// Logins refused.
    pub(crate) logins_refused: Count,
    /// CONNECTs of banned clients.
    pub(crate) banned: Count,
    /// Bans for flapping.
    pub(crate) flapping_bans: Count,
    /// Changes of clients that could not be watched, and bans for which the list had no room.
    pub(crate) flapping_full: Count,
}
