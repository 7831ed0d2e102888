//! Delivery of one action of one rule: a bounded queue in memory or on disk, and a worker that writes batches to the
//! sink with timeout, backoff, bisection and dead letters. Connectors have none of this themselves.
//!
//! ```text
//! submit ─▶ memory queue ──────────────▶ worker ─▶ sink ─▶ outside
//!        └▶ intake ─▶ appender ─▶ disk ─┘   └▶ fallback, else dead letters
//! ```
//!
//! Invariants:
//! - At every instant `matched = success + failed + inflight + queued + Σ dropped`. Rows found on disk at the start
//!   count as matched (and recovered).
//! - An at_least_once row is on disk before its submission answers `Ok`, and leaves the disk only when the sink confirmed
//!   it, or it is a dead letter, or a fallback took it, or the policy dropped it and counted that.
//! - With `concurrency_max` 1 rows reach the sink in the order of their submission.
//! - Every queue has a bound; a row that finds it reached is counted by reason.
//! - Neither errors of the sink nor the state of its resource ever switch the action off; a panic of the sink is a
//!   permanent error of its batch.
//!
//! The delivery names say what happens to rows when the server dies. A write whose answer was lost is repeated under
//! both; `retry.attempts_max: 1` makes each row one attempt.

mod codec;
mod counters;
mod deliver;
mod group;
mod intake;
mod settings;
mod shared;
mod undelivered;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use model::ports::{Admission, Metrics, Sample};
use model::{Clock, Str};
use parking_lot::Mutex;
use store::{DataDir, Queue, QueueSettings};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use counters::{Counters, DropReason};
pub use settings::{ActionSettings, Batching, Delivery, QueueLimits, Retries, SETTING_GROUPS, WhenFull};

pub(crate) use codec::{decode_record, encode_record};
pub(crate) use shared::Shared;
pub(crate) use undelivered::Undelivered;

use crate::{DeadLetters, Error, ErrorKind, Record, Sink};
use shared::{Phase, State};

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
    owner: Arc<Owner>,
}

/// The tasks of an action; they end with it.
struct Owner {
    shared: Arc<Shared>,
    /// Taken by the first stop.
    tasks: Mutex<Vec<JoinHandle<()>>>,
    /// The folder of the disk queue.
    folder: Option<std::path::PathBuf>,
    /// Becomes true when the worker has ended.
    worked: watch::Receiver<bool>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.tasks.get_mut().iter().for_each(JoinHandle::abort);
    }
}

/// What was left when an action was stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stopped {
    /// Rows that stay in the disk queue for the next start.
    pub kept: u64,
    /// Rows of a memory queue that were dropped (reason `stopped`).
    pub dropped: u64,
}

/// A task that was told to end gets this long before it is aborted.
const END_TIMEOUT: Duration = Duration::from_secs(2);

impl ActionHandle {
    /// Starts the worker, and opens the disk queue of an at_least_once action: rows found there are delivered first.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for at_least_once without a data folder; otherwise what the store said.
    pub async fn start(parts: ActionParts) -> Result<Self, Error> {
        let folder = parts.data_dir.as_ref().map(|data_dir| data_dir.queue_dir(&parts.name.id));
        let (queue, folder) = match (parts.settings.delivery, folder) {
            (Delivery::AtLeastOnce, Some(folder)) => (Some(open_queue(&folder, &parts.settings).await?), Some(folder)),
            (Delivery::AtLeastOnce, None) => {
                let why = "delivery at_least_once needs a data folder, and this server runs without one";
                return Err(Error::permanent(ErrorKind::Config, why));
            }
            (Delivery::AtMostOnce, folder) => {
                if folder.as_ref().is_some_and(|folder| folder.exists()) {
                    tracing::warn!(action = %parts.name.id, "an earlier disk queue of this action stays unread; delivery at_least_once reads it");
                }
                (None, None)
            }
        };
        let mut state = State::default();
        let recovered = queue.as_ref().map_or(0, Queue::len_records);
        state.counters.matched = recovered;
        state.counters.recovered = recovered;
        state.counters.queued = recovered;
        let shared = Arc::new(Shared {
            name: parts.name,
            settings: parts.settings,
            clock: parts.clock,
            dead_letters: parts.dead_letters,
            fallback: parts.fallback,
            queue,
            state: Mutex::new(state),
            sink: Mutex::new(parts.sink.into()),
            phase: watch::Sender::new(Phase::Running),
            arrivals: tokio::sync::Notify::new(),
            intake: tokio::sync::Notify::new(),
            room: tokio::sync::Notify::new(),
            divert: tokio::sync::Notify::new(),
            nudge: tokio::sync::Notify::new(),
        });
        if let Some(dead_letters) = &shared.dead_letters {
            dead_letters.register(&shared);
        }
        let (done, worked) = watch::channel(false);
        let mut tasks = vec![spawn_worker(&shared, done)];
        tasks.push(model::task::spawn("action diverter", undelivered::divert_loop(Arc::clone(&shared))));
        if let Some(queue) = &shared.queue {
            tasks.push(model::task::spawn("action appender", intake::append_loop(Arc::clone(&shared), queue.clone())));
        }
        Ok(Self { owner: Arc::new(Owner { shared, tasks: Mutex::new(tasks), folder, worked }) })
    }

    /// Gives rows to the action. Never blocks and never fails: what cannot be taken is counted by reason.
    ///
    /// Memory: `Done`, or `Pending` while a full queue with `when_full: block` has no room. Disk: `Pending` until the
    /// rows are durable. Rows of one caller keep their order. Dropping a pending answer does not take the rows back.
    pub fn submit(&self, records: Vec<Record>) -> Submitted {
        self.owner.shared.submit(records, false)
    }

    /// Replaces the sink, for the next attempt on; wakes a worker that waits for one.
    pub fn set_sink(&self, sink: Result<Arc<dyn Sink>, Error>) {
        *self.owner.shared.sink.lock() = sink.into();
        self.owner.shared.nudge.notify_waiters();
    }

    /// Who it is.
    pub fn name(&self) -> &ActionName {
        &self.owner.shared.name
    }

    /// Its settings.
    pub fn settings(&self) -> &ActionSettings {
        &self.owner.shared.settings
    }

    /// Its numbers at one instant.
    pub fn counters(&self) -> Counters {
        let disk_bytes = self.owner.shared.queue.as_ref().map(Queue::len_bytes);
        let mut counters = self.owner.shared.state.lock().counters;
        counters.queued_bytes = disk_bytes.unwrap_or(counters.queued_bytes);
        counters
    }

    /// Why rows wait at the moment: the last error while it is being tried again. `None` when writes go through.
    pub fn trouble(&self) -> Option<String> {
        self.owner.shared.state.lock().trouble.clone()
    }

    /// Takes no more rows, delivers what is queued until `deadline`, then stops. A disk queue keeps the rest for the
    /// next start; the rest of a memory queue is dropped and counted. A second stop answers what is left then.
    pub async fn stop(&self, deadline: Duration) -> Stopped {
        let shared = &self.owner.shared;
        shared.state.lock().closed = true;
        shared.advance(Phase::Draining);
        let mut worked = self.owner.worked.clone();
        // Either the queue is drained or the time is over; both are fine.
        drop(tokio::time::timeout(deadline, worked.wait_for(|worked| *worked)).await);
        let dropped_before = shared.state.lock().counters.dropped(DropReason::Stopped);
        shared.advance(Phase::Halted);
        let tasks = std::mem::take(&mut *self.owner.tasks.lock());
        for mut task in tasks {
            if tokio::time::timeout(END_TIMEOUT, &mut task).await.is_err() {
                tracing::warn!(action = %shared.name.id, "a task of the action did not end in time and was aborted");
                task.abort();
                // The groups of an aborted task give their rows back when it is really gone.
                drop(task.await);
            }
        }
        self.settle(dropped_before).await
    }

    /// Stops at once and deletes the queue with its rows (counted as dropped, reason `stopped`): for a deleted rule.
    pub async fn remove(&self) -> Stopped {
        let kept = self.stop(Duration::ZERO).await;
        if let Some(folder) = self.owner.folder.clone() {
            let removed = tokio::task::spawn_blocking(move || std::fs::remove_dir_all(folder)).await;
            if !matches!(removed, Ok(Ok(()))) {
                tracing::warn!(action = %self.name().id, ?removed, "the disk queue of a removed action could not be deleted");
            }
            self.owner.shared.state.lock().counters.drop_queued(kept.kept, DropReason::Stopped);
        }
        Stopped { kept: 0, dropped: kept.kept + kept.dropped }
    }

    /// After the tasks have ended: accounts for every row that is left.
    async fn settle(&self, dropped_before: u64) -> Stopped {
        let shared = &self.owner.shared;
        // Rows that never reached the disk are their source's again: it is told by the dropped reply.
        let unwritten: u64 = shared.state.lock().intake.drain(..).map(|next| next.rows.len() as u64).sum();
        let mut kept = 0;
        if let Some(queue) = &shared.queue {
            if let Err(error) = queue.close().await {
                tracing::error!(action = %shared.name.id, %error, "the disk queue could not be closed properly");
            }
            shared.state.lock().counters.drop_queued(unwritten, DropReason::Unavailable);
            kept = shared.state.lock().counters.queued;
        } else {
            let mut state = shared.state.lock();
            let rest = state.counters.queued;
            state.counters.drop_queued(rest, DropReason::Stopped);
            state.counters.queued_bytes = 0;
            state.queue.clear();
            state.waiting.clear();
        }
        Stopped { kept, dropped: shared.state.lock().counters.dropped(DropReason::Stopped) - dropped_before }
    }
}

impl Metrics for ActionHandle {
    fn collect(&self, out: &mut Vec<Sample>) {
        let name = self.name();
        let mut labels = vec![("rule", name.rule.clone()), ("action", name.id.clone())];
        labels.extend(name.resource.clone().map(|resource| ("resource", resource)));
        self.counters().samples(&labels, out);
    }
}

async fn open_queue(folder: &std::path::Path, settings: &ActionSettings) -> Result<Queue, Error> {
    let in_flight = settings.concurrency_max.saturating_mul(settings.batch.records_max).saturating_mul(2);
    let limits = QueueSettings {
        bytes_max: settings.queue.bytes_max,
        record_bytes_max: intake::RECORD_BYTES_MAX,
        in_flight_records_max: in_flight.max(QueueSettings::default().in_flight_records_max),
        ..QueueSettings::default()
    };
    Queue::open(folder, limits).await.map_err(|error| {
        let kind = if error.kind == store::ErrorKind::DiskFull { ErrorKind::Exhausted } else { ErrorKind::Internal };
        Error::permanent(kind, format!("the disk queue cannot be opened: {error}"))
    })
}

fn spawn_worker(shared: &Arc<Shared>, done: watch::Sender<bool>) -> JoinHandle<()> {
    let shared = Arc::clone(shared);
    model::task::spawn("action worker", async move {
        worker::run(shared).await;
        done.send_replace(true);
    })
}

#[cfg(test)]
mod tests;
