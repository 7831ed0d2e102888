//! Delivery of one action of one rule: a bounded queue in memory or on disk, and a worker that writes batches to the
//! sink with timeout, backoff, bisection and dead letters. (Signatures; the bodies are in the next commit.)

mod counters;
mod settings;

use std::sync::Arc;
use std::time::Duration;

use model::ports::{Admission, Metrics, Sample};
use model::{Clock, Str};
use store::DataDir;

pub use counters::{Counters, DropReason};
pub use settings::{ActionSettings, Batching, Delivery, QueueLimits, Retries, SETTING_GROUPS, WhenFull};

use crate::{DeadLetters, Error, ErrorKind, Record, Sink};

/// The answer of [`ActionHandle::submit`].
pub type Submitted = Admission;

/// Who an action is, in counters, metrics and dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionName {
    /// Unique in the server and stable across restarts, such as `rule:9a6a725d/0`; names the queue's folder.
    pub id: Str,
    /// Rule id.
    pub rule: Str,
    /// Action name such as `data_to_pgsql`.
    pub action: Str,
    /// Resource id.
    pub resource: Option<Str>,
}

/// What an action is made of.
pub struct ActionParts {
    /// Who it is.
    pub name: ActionName,
    /// How it delivers.
    pub settings: ActionSettings,
    /// Where rows go. An error means "not now": rows wait until [`ActionHandle::set_sink`] gives a sink.
    pub sink: Result<Arc<dyn Sink>, Error>,
    /// Where disk queues live; needed for [`Delivery::AtLeastOnce`].
    pub data_dir: Option<DataDir>,
    /// Where rows go that finally failed; `None` = they are only counted.
    pub dead_letters: Option<DeadLetters>,
    /// Actions that get such rows first; a row one of them took does not become a dead letter.
    pub fallback: Vec<ActionHandle>,
    /// The clock TTLs are measured with.
    pub clock: Arc<dyn Clock>,
}

/// A running action. Clones share it; when the last one is dropped the worker is aborted (stop it first).
#[derive(Clone)]
pub struct ActionHandle {
    name: Arc<ActionName>,
}

/// What was left when an action was stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stopped {
    /// Rows that stay in the disk queue for the next start.
    pub kept: u64,
    /// Rows of a memory queue that were dropped (reason `stopped`).
    pub dropped: u64,
}

impl ActionHandle {
    /// Starts the worker, and opens the disk queue of an at_least_once action: rows found there are delivered first.
    pub async fn start(parts: ActionParts) -> Result<Self, Error> {
        let _ = parts;
        Err(Error::permanent(ErrorKind::Unsupported, "the action runner is in the next commit"))
    }

    /// Gives rows to the action. Never blocks and never fails: what cannot be taken is counted by reason.
    ///
    /// Memory: `Done`, or `Pending` while a full queue with `when_full: block` has no room. Disk: `Pending` until the
    /// rows are durable. Rows of one caller keep their order. Dropping a pending answer does not take the rows back.
    pub fn submit(&self, records: Vec<Record>) -> Submitted {
        let _ = records;
        Admission::Done
    }

    /// Replaces the sink, for the next attempt on; wakes a worker that waits for one.
    pub fn set_sink(&self, sink: Result<Arc<dyn Sink>, Error>) {
        let _ = sink;
    }

    /// Who it is.
    pub fn name(&self) -> &ActionName {
        &self.name
    }

    /// Its settings.
    pub fn settings(&self) -> &ActionSettings {
        unimplemented!("the action runner is in the next commit")
    }

    /// Its numbers.
    pub fn counters(&self) -> Counters {
        Counters::default()
    }

    /// Why rows wait at the moment: the last error while it is being tried again. `None` when writes go through.
    pub fn trouble(&self) -> Option<String> {
        None
    }

    /// Takes no more rows, delivers what is queued until `deadline`, then stops. A disk queue keeps the rest for the
    /// next start; the rest of a memory queue is dropped and counted.
    pub async fn stop(&self, deadline: Duration) -> Stopped {
        let _ = deadline;
        Stopped::default()
    }

    /// Stops at once and deletes the queue with its rows (counted as dropped, reason `stopped`): for a deleted rule.
    pub async fn remove(&self) -> Stopped {
        Stopped::default()
    }
}

impl Metrics for ActionHandle {
    fn collect(&self, out: &mut Vec<Sample>) {
        let _ = out;
    }
}
