//! Counters of one log, queue or store. They only grow; rates are the reader's business.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The counters behind [`Metrics`]. Shared between an open log and whoever exposes `/metrics`.
#[derive(Debug, Default)]
struct Counters {
    appends: AtomicU64,
    append_records: AtomicU64,
    append_bytes: AtomicU64,
    append_duplicates: AtomicU64,
    fsyncs: AtomicU64,
    full: AtomicU64,
    torn_tails: AtomicU64,
    torn_bytes: AtomicU64,
    corrupt_records: AtomicU64,
    bad_cursors: AtomicU64,
    cursor_writes_failed: AtomicU64,
    write_failures: AtomicU64,
    segments_deleted: AtomicU64,
}

/// A handle on the counters; clones count together.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Arc<Counters>);

/// The counters at one instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MetricsSnapshot {
    /// Append calls that reached the disk layer. Traffic that promises nothing leaves this at zero.
    pub appends: u64,
    /// Records in those appends.
    pub append_records: u64,
    /// Bytes written for them, framing included.
    pub append_bytes: u64,
    /// Retried appends recognised by (writer, wseq) and not written again.
    pub append_duplicates: u64,
    /// Flushes of data to the device.
    pub fsyncs: u64,
    /// Appends refused because `bytes_max` was reached.
    pub full: u64,
    /// Torn ends found and cut when opening.
    pub torn_tails: u64,
    /// Bytes cut with them.
    pub torn_bytes: u64,
    /// Records found damaged (with quarantine: records skipped).
    pub corrupt_records: u64,
    /// Cursor files that could not be used; the consequence is redelivery.
    pub bad_cursors: u64,
    /// Cursor writes the system refused; the consequence is redelivery after a crash.
    pub cursor_writes_failed: u64,
    /// Groups that could not be written or flushed.
    pub write_failures: u64,
    /// Segment files deleted because everything in them was acknowledged or trimmed.
    pub segments_deleted: u64,
}

macro_rules! counters {
    ($($name:ident),*) => {
        impl Metrics {
            /// Reads every counter.
            pub fn snapshot(&self) -> MetricsSnapshot {
                MetricsSnapshot { $($name: self.0.$name.load(Ordering::Relaxed)),* }
            }
            $(pub(crate) fn $name(&self, n: u64) {
                self.0.$name.fetch_add(n, Ordering::Relaxed);
            })*
        }
    };
}

counters!(
    appends,
    append_records,
    append_bytes,
    append_duplicates,
    fsyncs,
    full,
    torn_tails,
    torn_bytes,
    corrupt_records,
    bad_cursors,
    cursor_writes_failed,
    write_failures,
    segments_deleted
);
