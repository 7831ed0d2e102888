//! What the handle, the worker and the appender of one action share.
//!
//! Lock order: `state` is never held across an await or while the queue, a sink or a reply is waited for. Counters
//! change only under `state`, in whole transitions.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use model::Clock;
use model::ports::Refused;
use parking_lot::Mutex;
use store::Queue;
use tokio::sync::{Notify, oneshot, watch};

use super::undelivered::Undelivered;
use super::{ActionHandle, ActionName, ActionSettings, Counters, DropReason};
use crate::{DeadLetters, Error, ErrorKind, Record, Retry, Sink};

/// Where an action is in its life; it only moves forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Takes rows and writes them.
    Running,
    /// Takes no more rows and writes what it has.
    Draining,
    /// Ends now.
    Halted,
}

/// A row in a memory queue.
pub(crate) struct Item {
    pub(crate) record: Record,
    pub(crate) bytes: u64,
}

/// Rows of one submission that wait for room in a memory queue.
pub(crate) struct Waiting {
    pub(crate) items: VecDeque<Item>,
    pub(crate) reply: oneshot::Sender<Result<(), Refused>>,
}

/// Rows of one submission on their way to a disk queue.
pub(crate) struct Intake {
    pub(crate) rows: Vec<Bytes>,
    pub(crate) bytes: u64,
    /// Replayed rows are refused where the policy would drop them: their dead letter is still there.
    pub(crate) or_refuse: bool,
    pub(crate) reply: oneshot::Sender<Result<(), Refused>>,
}

/// The part under the lock.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) counters: Counters,
    /// Set when the action stops: no row is taken any more.
    pub(crate) closed: bool,
    /// The memory queue; `counters.queued_bytes` has its bytes.
    pub(crate) queue: VecDeque<Item>,
    pub(crate) waiting: VecDeque<Waiting>,
    /// The way to the disk queue.
    pub(crate) intake: VecDeque<Intake>,
    /// The appender has rows in hand.
    pub(crate) intake_busy: bool,
    /// Rows and bytes in `waiting` or `intake`.
    pub(crate) pending_records: u64,
    pub(crate) pending_bytes: u64,
    /// Rows on their way from a full queue to the dead letters.
    pub(crate) diverted: Vec<Undelivered>,
    /// Groups that wait for their next attempt.
    pub(crate) backing_off: usize,
    /// The appender asks a waiting group to make room.
    pub(crate) shed: bool,
    /// The last error while it is being tried again.
    pub(crate) trouble: Option<String>,
}

pub(crate) enum SinkSlot {
    Ready(Arc<dyn Sink>),
    NotNow { kind: ErrorKind, context: String },
}

impl From<Result<Arc<dyn Sink>, Error>> for SinkSlot {
    fn from(sink: Result<Arc<dyn Sink>, Error>) -> Self {
        match sink {
            Ok(sink) => Self::Ready(sink),
            Err(error) => Self::NotNow { kind: error.kind, context: error.context },
        }
    }
}

pub(crate) struct Shared {
    pub(crate) name: ActionName,
    pub(crate) settings: ActionSettings,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) dead_letters: Option<DeadLetters>,
    pub(crate) fallback: Vec<ActionHandle>,
    /// The disk queue of an at_least_once action.
    pub(crate) queue: Option<Queue>,
    pub(crate) state: Mutex<State>,
    pub(crate) sink: Mutex<SinkSlot>,
    pub(crate) phase: watch::Sender<Phase>,
    /// For the worker: rows in memory, or the appender became idle.
    pub(crate) arrivals: Notify,
    /// For the appender: rows to append.
    pub(crate) intake: Notify,
    /// For the appender: the disk queue may have room.
    pub(crate) room: Notify,
    /// For the diverter: rows to divert.
    pub(crate) divert: Notify,
    /// For groups that wait: a new sink, or room is needed.
    pub(crate) nudge: Notify,
}

/// Most rows on their way from a full queue to the dead letters.
pub(crate) const DIVERTED_RECORDS_MAX: usize = 4096;

impl Shared {
    /// The sink as it is now.
    pub(crate) fn sink(&self) -> Result<Arc<dyn Sink>, Error> {
        match &*self.sink.lock() {
            SinkSlot::Ready(sink) => Ok(Arc::clone(sink)),
            SinkSlot::NotNow { kind, context } => {
                Err(Error { kind: *kind, retry: Retry::Temporary, context: context.clone(), source: None })
            }
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Moves on to `phase`, never back, and wakes everyone who waits for anything.
    pub(crate) fn advance(&self, phase: Phase) {
        self.phase.send_if_modified(|now| {
            let forward = *now < phase;
            if forward {
                *now = phase;
            }
            forward
        });
        self.arrivals.notify_one();
        self.intake.notify_one();
        self.room.notify_one();
        self.divert.notify_one();
        self.nudge.notify_waiters();
    }

    /// Resolves when the action is to end now.
    pub(crate) async fn halted(&self) {
        // The sender lives in `self`, so this cannot fail while somebody waits.
        drop(self.phase.subscribe().wait_for(|phase| *phase == Phase::Halted).await);
    }

    /// Counts rows that are not queued and sends them on their way to the dead letters, as far as there is room.
    pub(crate) fn divert(&self, state: &mut State, rows: impl IntoIterator<Item = Record>, reason: DropReason) {
        let now_ms = self.clock.now_ms();
        for record in rows {
            if state.diverted.len() < DIVERTED_RECORDS_MAX && (self.dead_letters.is_some() || !self.fallback.is_empty())
            {
                state.diverted.push(Undelivered::refused(record, reason, now_ms));
            } else {
                state.counters.dead_letters_lost += 1;
            }
        }
        self.divert.notify_one();
    }
}
