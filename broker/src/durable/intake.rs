//! The way into the log: records wait here, in order, for the one task that appends them.
//!
//! Invariants:
//! - Records leave in the order they came, except that acknowledgements of one session are gathered in the record that
//!   waits first: an acknowledgement is about a message that has left, so nothing that still waits here can be before it.
//! - What waits is bounded in bytes for publishers ([`Intake::room`]); what ends something is bounded by what there is to end.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::record::{Publish, Record};
use crate::registry::Entry;

/// Acknowledgements after which their record does not wait any longer.
const ACKNOWLEDGEMENTS_MAX: usize = 256;

/// What became of a record.
pub(crate) type Stored = Result<(), Unstored>;

/// Why a record is not in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unstored {
    /// There is no room; nothing has happened.
    Full,
    /// It may or may not be there.
    Unknown,
}

/// One record on its way.
pub(crate) struct Submission {
    /// The record.
    pub record: Record,
    /// The session it begins.
    pub begins: Option<Arc<Entry>>,
    /// Who waits for it.
    pub done: Option<oneshot::Sender<Stored>>,
    bytes: usize,
}

impl Submission {
    /// Tells whoever waits.
    pub(crate) fn tell(&mut self, stored: Stored) {
        if let Some(done) = self.done.take() {
            // A connection that is gone has lost interest, not the record.
            done.send(stored).ok();
        }
    }
}

/// How urgent what waits is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Nothing waits.
    Idle,
    /// Only what can wait a little for company.
    Lazy,
    /// Somebody waits for the answer.
    Urgent,
}

/// The waiting line.
pub(crate) struct Intake {
    waiting: Mutex<Waiting>,
    /// Rings when there is something to append, or to do at once.
    pub(crate) ring: Notify,
    bytes: AtomicUsize,
    bytes_max: usize,
    /// Rings when there is room again.
    relief: Notify,
    /// What the writer reports.
    pub(crate) report: Report,
}

#[derive(Default)]
struct Waiting {
    records: Vec<Submission>,
    urgent: bool,
    /// The place of the record that gathers acknowledgements, by session.
    gathering: HashMap<u64, usize, foldhash::fast::RandomState>,
    acknowledgement_count: usize,
    closing: bool,
}

/// Numbers about the log, for people and graphs.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Batches appended.
    pub appends: AtomicU64,
    /// Records in them.
    pub records: AtomicU64,
    /// Bytes of the log that no snapshot covers.
    pub log_bytes: AtomicU64,
    /// Records of the log that no snapshot covers.
    pub log_records: AtomicU64,
    /// When the last snapshot was written, milliseconds of the broker's monotonic clock.
    pub snapshot_at_ms: AtomicU64,
    /// Snapshots written.
    pub snapshots: AtomicU64,
    /// Records refused because the log was full.
    pub refused_full: AtomicU64,
    /// Appends that failed.
    pub failures: AtomicU64,
}

impl Intake {
    /// An empty line.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            waiting: Mutex::default(),
            ring: Notify::new(),
            bytes: AtomicUsize::new(0),
            bytes_max,
            relief: Notify::new(),
            report: Report::default(),
        }
    }

    /// Hands in a record that somebody waits for.
    pub(crate) fn submit(&self, record: Record, begins: Option<Arc<Entry>>) -> oneshot::Receiver<Stored> {
        let (done, stored) = oneshot::channel();
        self.push(record, begins, Some(done));
        stored
    }

    /// Hands in a record that nobody waits for and that should not wait either.
    pub(crate) fn tell(&self, record: Record) {
        self.push(record, None, None);
    }

    /// Takes note that exchanges are over. It can wait: a lost note costs a repeated message with the same identifier.
    pub(crate) fn acknowledge(&self, session: u64, packet_id: u16) {
        let mut waiting = self.waiting.lock();
        waiting.acknowledgement_count += 1;
        let wake = waiting.records.is_empty();
        let gathering = waiting.gathering.get(&session).copied();
        match gathering.and_then(|at| waiting.records.get_mut(at)).map(|submission| &mut submission.record) {
            Some(Record::Acknowledged { packet_ids, .. }) => packet_ids.push(packet_id),
            _ => {
                let at = waiting.records.len();
                waiting.gathering.insert(session, at);
                let record = Record::Acknowledged { session, packet_ids: vec![packet_id] };
                waiting.records.push(Submission { record, begins: None, done: None, bytes: 0 });
            }
        }
        let enough = waiting.acknowledgement_count >= ACKNOWLEDGEMENTS_MAX && !waiting.urgent;
        waiting.urgent |= enough;
        drop(waiting);
        if wake || enough {
            self.ring.notify_one();
        }
    }

    fn push(&self, record: Record, begins: Option<Arc<Entry>>, done: Option<oneshot::Sender<Stored>>) {
        let bytes = cost_bytes(&record);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let mut waiting = self.waiting.lock();
        let wake = !std::mem::replace(&mut waiting.urgent, true);
        waiting.records.push(Submission { record, begins, done, bytes });
        drop(waiting);
        if wake {
            self.ring.notify_one();
        }
    }

    /// Waits until what waits is below its bound.
    pub(crate) async fn room(&self) {
        while self.bytes.load(Ordering::Relaxed) >= self.bytes_max {
            let relief = self.relief.notified();
            tokio::pin!(relief);
            relief.as_mut().enable();
            if self.bytes.load(Ordering::Relaxed) < self.bytes_max {
                return;
            }
            relief.await;
        }
    }

    /// How urgent what waits is.
    pub(crate) fn mode(&self) -> Mode {
        let waiting = self.waiting.lock();
        match (waiting.records.is_empty(), waiting.urgent) {
            (true, _) => Mode::Idle,
            (false, false) => Mode::Lazy,
            (false, true) => Mode::Urgent,
        }
    }

    /// Takes what waits: at most `bytes_max` bytes, but one record at least.
    pub(crate) fn take(&self, bytes_max: usize) -> Vec<Submission> {
        let mut waiting = self.waiting.lock();
        let mut bytes = 0;
        let mut count = 0;
        for submission in &waiting.records {
            bytes += submission.bytes;
            if count > 0 && bytes > bytes_max {
                break;
            }
            count += 1;
        }
        let rest = waiting.records.split_off(count);
        let taken = std::mem::replace(&mut waiting.records, rest);
        waiting.gathering.clear();
        waiting.acknowledgement_count = 0;
        waiting.urgent = !waiting.records.is_empty();
        drop(waiting);
        let bytes = taken.iter().map(|submission| submission.bytes).sum();
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.relief.notify_waiters();
        taken
    }

    /// The broker is going down: what waits is the last.
    pub(crate) fn close(&self) {
        self.waiting.lock().closing = true;
        self.ring.notify_one();
    }

    /// Whether it has been closed.
    pub(crate) fn is_closing(&self) -> bool {
        self.waiting.lock().closing
    }
}

/// Roughly what a record takes in memory and in the log.
fn cost_bytes(record: &Record) -> usize {
    match record {
        Record::Publish(publish) => {
            let Publish { message, receivers, .. } = &**publish;
            128 + message.topic.len() + message.payload.len() + receivers.len() * 16
        }
        Record::Subscribe { subscriptions, .. } => {
            128 + subscriptions.iter().map(|(filter, _)| filter.len() + 8).sum::<usize>()
        }
        _ => 128,
    }
}
