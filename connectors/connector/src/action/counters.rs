//! The numbers of one action. They are changed in whole transitions under one lock, so at every instant, for every
//! reader: `matched = success + failed + inflight + queued + Σ dropped`.

use std::collections::BTreeMap;

use model::Str;
use model::ports::{Sample, SampleKind};

/// Why a row was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DropReason {
    /// The queue was at its bound.
    QueueFull,
    /// The row's event was older than the queue's ttl.
    Expired,
    /// The action was stopped before the row could be written (memory queue), or removed with its queue.
    Stopped,
    /// The row alone is larger than the queue may be.
    TooLarge,
    /// The disk could not take it; the publisher was told so.
    Unavailable,
    /// What the disk gave back is not a row.
    Undecodable,
}

impl DropReason {
    /// Every reason, in the order in which they are counted.
    pub const ALL: [Self; 6] =
        [Self::QueueFull, Self::Expired, Self::Stopped, Self::TooLarge, Self::Unavailable, Self::Undecodable];

    /// The label in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::Expired => "expired",
            Self::Stopped => "stopped",
            Self::TooLarge => "too_large",
            Self::Unavailable => "unavailable",
            Self::Undecodable => "undecodable",
        }
    }
}

/// The numbers of one action at one instant, since the action was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Rows given to the action, and rows found on disk when it was started (also in `recovered`).
    pub matched: u64,
    /// Of these, rows found on disk at the start.
    pub recovered: u64,
    /// Rows the outside confirmed.
    pub success: u64,
    /// Rows finally refused.
    pub failed: u64,
    /// Rows waiting, those whose source waits for admission included.
    pub queued: u64,
    /// Rows being written, or waiting for their next attempt.
    pub inflight: u64,
    /// Rows dropped, by [`DropReason`].
    dropped: [u64; DropReason::ALL.len()],
    /// Rows in attempts beyond the first.
    pub retried: u64,
    /// Rows kept as dead letters.
    pub dead_letters: u64,
    /// Rows that should have become dead letters and could not be kept.
    pub dead_letters_lost: u64,
    /// Rows handed to a fallback action.
    pub fallback: u64,
    /// Bytes of the queued rows.
    pub queued_bytes: u64,
}

impl Counters {
    /// Rows dropped for this reason.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped.get(reason as usize).copied().unwrap_or_default()
    }

    /// Rows dropped for any reason.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.iter().sum()
    }

    /// The reasons that occurred.
    pub fn dropped_by_reason(&self) -> BTreeMap<&'static str, u64> {
        DropReason::ALL
            .iter()
            .map(|reason| (reason.name(), self.dropped(*reason)))
            .filter(|(_, count)| *count > 0)
            .collect()
    }

    /// Whether every row is accounted for.
    pub fn balances(&self) -> bool {
        self.matched == self.success + self.failed + self.inflight + self.queued + self.dropped_total()
    }

    /// Adds rows dropped before they were queued.
    pub(crate) fn refuse(&mut self, rows: u64, reason: DropReason) {
        self.matched += rows;
        self.add_dropped(rows, reason);
    }

    /// Moves rows from the queue to the dropped.
    pub(crate) fn drop_queued(&mut self, rows: u64, reason: DropReason) {
        self.queued = self.queued.saturating_sub(rows);
        self.add_dropped(rows, reason);
    }

    /// Moves rows from the written to the dropped.
    pub(crate) fn drop_inflight(&mut self, rows: u64, reason: DropReason) {
        self.inflight = self.inflight.saturating_sub(rows);
        self.add_dropped(rows, reason);
    }

    fn add_dropped(&mut self, rows: u64, reason: DropReason) {
        if let Some(count) = self.dropped.get_mut(reason as usize) {
            *count += rows;
        }
    }

    /// The numbers for `/metrics`, with these labels.
    pub fn samples(&self, labels: &[(&'static str, Str)], out: &mut Vec<Sample>) {
        let mut push = |name, help, kind, value: u64, reason: Option<&'static str>| {
            let mut labels = labels.to_vec();
            labels.extend(reason.map(|reason| ("reason", Str::new(reason))));
            // Counts beyond 2^53 lose their last digits in Prometheus' own format as well.
            out.push(Sample { name, help, kind, labels, value: value as f64 });
        };
        use SampleKind::{Counter, Gauge};
        push(
            "action_matched_total",
            "Rows given to the action or found on disk at the start.",
            Counter,
            self.matched,
            None,
        );
        push("action_recovered_total", "Rows found on disk at the start.", Counter, self.recovered, None);
        push("action_success_total", "Rows the outside confirmed.", Counter, self.success, None);
        push("action_failed_total", "Rows finally refused.", Counter, self.failed, None);
        push("action_retried_total", "Rows in attempts beyond the first.", Counter, self.retried, None);
        push("action_dead_letters_total", "Rows kept as dead letters.", Counter, self.dead_letters, None);
        push(
            "action_dead_letters_lost_total",
            "Rows that could not be kept as dead letters.",
            Counter,
            self.dead_letters_lost,
            None,
        );
        push("action_fallback_total", "Rows handed to a fallback action.", Counter, self.fallback, None);
        push("action_queued", "Rows waiting.", Gauge, self.queued, None);
        push("action_inflight", "Rows being written or waiting for their next attempt.", Gauge, self.inflight, None);
        push("action_queued_bytes", "Bytes of the rows waiting.", Gauge, self.queued_bytes, None);
        for reason in DropReason::ALL {
            push(
                "action_dropped_total",
                "Rows dropped, by reason.",
                Counter,
                self.dropped(reason),
                Some(reason.name()),
            );
        }
    }
}
