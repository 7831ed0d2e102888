//! The one writer of the log: gathers records into batches, appends them one batch at a time, applies what is durable,
//! and lets whoever waited go on.
//!
//! The steps do no I/O themselves ([`Writer::begin`], [`Writer::end`]), so that the simulation can put crashes and faults
//! between them; [`run`] is the loop around them.
//!
//! Invariants:
//! - One batch is under way at a time, so records are applied in the order of the log, and a batch grows while the disk
//!   is busy with the one before it.
//! - Nothing is applied, and nobody told, before the append has answered. After an append whose outcome stays unknown,
//!   nothing is appended any more until a restart has read what is really there.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use store::{Batch, Entry as LogEntry, ErrorKind, LogId, Offset, ShardId, WriterId};
use tokio::sync::oneshot;

use super::codec::{VERSION, encode};
use super::intake::{Mode, Report, Submission, Unstored};
use super::record::Record;
use super::snapshot::Changes;
use super::state::{Effect, State, TICK_MS};
use super::{Durable, Tables};
use crate::node::Core;

/// The log of sessions. Log 0 is for metadata.
pub(crate) const LOG: LogId = LogId(1);
/// The one shard there is as long as there is one node.
const SHARD: ShardId = ShardId(0);
/// A batch is closed at this size, bytes.
const BATCH_BYTES_MAX: usize = 1 << 20;
/// How long acknowledgements wait for company, milliseconds.
const LAZY_MS: u64 = 50;
/// How often an append without an answer is tried again before the writer gives up.
const ATTEMPTS_MAX: u32 = 3;
/// Pause after the disk was full or an append failed, milliseconds.
const PAUSE_MS: u64 = 200;

/// The writer's state.
pub(crate) struct Writer {
    pub(super) state: State,
    writer: WriterId,
    wseq: u64,
    /// Appended and not answered yet.
    under_way: Option<(Vec<Submission>, Batch)>,
    /// Records that no full disk can refuse, and that wait for room there.
    held: Vec<Submission>,
    attempts: u32,
    /// The outcome of an append is unknown for good.
    given_up: bool,
    log_bytes_max: u64,
    snapshot_bytes: u64,
    effects: Vec<Effect>,
}

/// What to do after an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// Go on.
    GoOn,
    /// Append the same batch again, a little later.
    Retry,
    /// The disk is full: go on a little later.
    Pause,
}

impl Writer {
    /// A writer that goes on from `state`. `writer` is a name under which nothing was written but its batch 0.
    pub(crate) fn new(state: State, writer: WriterId, log_bytes_max: u64, snapshot_bytes: u64) -> Self {
        Self {
            state,
            writer,
            wseq: 1,
            under_way: None,
            held: Vec::new(),
            attempts: 0,
            given_up: false,
            log_bytes_max,
            snapshot_bytes,
            effects: Vec::new(),
        }
    }

    /// The next batch to append: what waits, or the one that has no answer yet.
    pub(crate) fn begin(&mut self, durable: &Durable) -> Option<Batch> {
        if let Some((_, batch)) = &self.under_way {
            return Some(batch.clone());
        }
        let mut taken = std::mem::take(&mut self.held);
        taken.append(&mut durable.intake.take(BATCH_BYTES_MAX));
        let report = &durable.intake.report;
        let full = report.log_bytes.load(Ordering::Relaxed) >= self.log_bytes_max;
        let refusal = match (self.given_up, full) {
            (true, _) => Some(Unstored::Unknown),
            (false, true) => Some(Unstored::Full),
            (false, false) => None,
        };
        if let Some(refusal) = refusal {
            taken = self.refuse(taken, refusal, report);
        }
        if taken.is_empty() {
            return None;
        }
        for entry in taken.iter().filter_map(|submission| submission.begins.clone()) {
            self.state.expect(entry);
        }
        let entry =
            |submission: &Submission| LogEntry { shard: SHARD, version: VERSION, body: encode(&submission.record) };
        let batch = Batch { writer: self.writer, wseq: self.wseq, entries: taken.iter().map(entry).collect() };
        self.wseq += 1;
        self.under_way = Some((taken, batch.clone()));
        Some(batch)
    }

    /// The append of the batch under way has answered.
    pub(crate) fn end(&mut self, core: &Arc<Core>, durable: &Durable, answer: Result<Offset, ErrorKind>) -> After {
        let Some((submissions, batch)) = self.under_way.take() else { return After::GoOn };
        let report = &durable.intake.report;
        match answer {
            Ok(offset) => {
                self.attempts = 0;
                self.commit(core, report, submissions, &batch, offset);
                After::GoOn
            }
            Err(ErrorKind::Full | ErrorKind::DiskFull) => {
                report.failures.fetch_add(1, Ordering::Relaxed);
                self.held = self.refuse(submissions, Unstored::Full, report);
                After::Pause
            }
            Err(kind) => {
                report.failures.fetch_add(1, Ordering::Relaxed);
                self.attempts += 1;
                if self.attempts < ATTEMPTS_MAX {
                    self.under_way = Some((submissions, batch));
                    return After::Retry;
                }
                tracing::error!(
                    error = kind.name(),
                    "the session log cannot be appended to: durable sessions take nothing more until the server is restarted"
                );
                self.given_up = true;
                self.held = self.refuse(submissions, Unstored::Unknown, report);
                self.held.clear();
                After::GoOn
            }
        }
    }

    fn commit(&mut self, core: &Arc<Core>, report: &Report, mut done: Vec<Submission>, batch: &Batch, offset: Offset) {
        let bytes: usize = batch.entries.iter().map(|entry| entry.body.len() + 8).sum();
        report.appends.fetch_add(1, Ordering::Relaxed);
        report.records.fetch_add(done.len() as u64, Ordering::Relaxed);
        report.log_bytes.fetch_add(bytes as u64 + 64, Ordering::Relaxed);
        report.log_records.fetch_add(done.len() as u64, Ordering::Relaxed);
        for submission in &done {
            self.state.apply(offset, &submission.record, &mut self.effects);
            if self.effects.len() >= 1024 {
                core.carry_out(&mut self.effects);
            }
        }
        self.state.applied(offset);
        core.carry_out(&mut self.effects);
        done.iter_mut().for_each(|submission| submission.tell(Ok(())));
    }

    /// Refuses what makes the state larger; gives back the rest. When the outcome is unknown, all of it is refused.
    fn refuse(&mut self, submissions: Vec<Submission>, why: Unstored, report: &Report) -> Vec<Submission> {
        let mut kept = Vec::new();
        for mut submission in submissions {
            if why == Unstored::Full && !submission.record.grows() {
                kept.push(submission);
                continue;
            }
            if let Some(entry) = &submission.begins {
                self.state.forget(entry.key);
            }
            report.refused_full.fetch_add(u64::from(why == Unstored::Full), Ordering::Relaxed);
            submission.tell(Err(why));
        }
        kept
    }

    /// Whether enough is in the log for a snapshot.
    fn wants_snapshot(&self, report: &Report) -> bool {
        report.log_bytes.load(Ordering::Relaxed) >= self.snapshot_bytes
    }

    /// What the next snapshot writes.
    pub(crate) fn capture(&mut self) -> Changes {
        self.state.capture()
    }
}

/// A snapshot being written.
struct Saving {
    done: oneshot::Receiver<()>,
    covers: Option<Offset>,
    bytes: u64,
    records: u64,
}

/// Appends what the broker hands in until it is closed, then takes a last snapshot.
pub(crate) async fn run(core: Arc<Core>, durable: Arc<Durable>, mut writer: Writer) {
    let mut saving: Option<Saving> = None;
    let mut ticked_ms = core.monotonic_ms();
    loop {
        finish(&core, &durable, &mut saving).await;
        let now_ms = core.monotonic_ms();
        if now_ms - ticked_ms >= TICK_MS {
            ticked_ms = now_ms;
            if writer.state.any_attached() {
                durable.intake.tell(Record::Tick { at_ms: core.now_ms() });
            }
        }
        match durable.intake.mode() {
            Mode::Urgent => {}
            _ if !writer.held.is_empty() => {}
            Mode::Idle if durable.intake.is_closing() => break,
            Mode::Idle => {
                let ring = durable.intake.ring.notified();
                // Either there is something to append, or it is time for a tick.
                drop(tokio::time::timeout(Duration::from_millis(TICK_MS.unsigned_abs()), ring).await);
                continue;
            }
            Mode::Lazy if durable.intake.is_closing() => {}
            Mode::Lazy => {
                let ring = durable.intake.ring.notified();
                // Either is the moment to append: time is up, or somebody waits.
                drop(tokio::time::timeout(Duration::from_millis(LAZY_MS), ring).await);
            }
        }
        append(&core, &durable, &mut writer).await;
        if saving.is_none() && writer.wants_snapshot(&durable.intake.report) {
            saving = Some(save(&durable, &mut writer));
        }
    }
    if let Some(saving) = saving.take() {
        conclude(&core, &durable, saving).await;
    }
    if durable.intake.report.log_records.load(Ordering::Relaxed) > 0 {
        let last = save(&durable, &mut writer);
        conclude(&core, &durable, last).await;
    }
}

async fn append(core: &Arc<Core>, durable: &Durable, writer: &mut Writer) {
    let Some(batch) = writer.begin(durable) else { return };
    let answer = durable.log.append(LOG, batch).await.map_err(|error| {
        tracing::warn!(%error, "an append to the session log failed");
        error.kind
    });
    match writer.end(core, durable, answer) {
        After::GoOn => {}
        // What could not be kept costs repeated messages after the restart, no lost ones.
        After::Pause if durable.intake.is_closing() => writer.held.clear(),
        After::Retry | After::Pause => tokio::time::sleep(Duration::from_millis(PAUSE_MS)).await,
    }
}

/// Starts a snapshot of everything that has been applied.
fn save(durable: &Arc<Durable>, writer: &mut Writer) -> Saving {
    let changes = writer.capture();
    let report = &durable.intake.report;
    let (bytes, records) = (report.log_bytes.load(Ordering::Relaxed), report.log_records.load(Ordering::Relaxed));
    let (done, saved) = oneshot::channel();
    let covers = changes.covers;
    let tables = durable.tables.clone();
    let durable = durable.clone();
    drop(model::task::spawn("broker-snapshot", async move {
        if write(&tables, changes, &durable).await {
            // The writer waits for it or is gone.
            done.send(()).ok();
        }
        durable.intake.ring.notify_one();
    }));
    Saving { done: saved, covers, bytes, records }
}

/// Writes the changes, however often it takes: they count as written already. `false`: the broker went down first.
async fn write(tables: &Arc<dyn Tables>, changes: Changes, durable: &Durable) -> bool {
    while let Err(error) = tables.write(changes.clone()).await {
        tracing::error!(%error, "the snapshot of the sessions cannot be written; it is tried again");
        durable.intake.report.failures.fetch_add(1, Ordering::Relaxed);
        if durable.intake.is_closing() {
            return false;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    true
}

/// Trims the log behind a snapshot that has been written meanwhile.
async fn finish(core: &Core, durable: &Durable, saving: &mut Option<Saving>) {
    let done = saving
        .as_mut()
        .is_some_and(|saving| !matches!(saving.done.try_recv(), Err(oneshot::error::TryRecvError::Empty)));
    if done && let Some(saving) = saving.take() {
        trim(core, durable, &saving).await;
    }
}

async fn conclude(core: &Core, durable: &Durable, mut saving: Saving) {
    if (&mut saving.done).await.is_ok() {
        trim(core, durable, &saving).await;
    }
}

async fn trim(core: &Core, durable: &Durable, saving: &Saving) {
    let report = &durable.intake.report;
    report.log_bytes.fetch_sub(saving.bytes, Ordering::Relaxed);
    report.log_records.fetch_sub(saving.records, Ordering::Relaxed);
    report.snapshots.fetch_add(1, Ordering::Relaxed);
    report.snapshot_at_ms.store(core.monotonic_ms().unsigned_abs(), Ordering::Relaxed);
    let Some(covered) = saving.covers else { return };
    if let Err(error) = durable.log.trim(LOG, covered.next()).await {
        tracing::warn!(%error, "the session log could not be trimmed; it is tried again after the next snapshot");
    }
}
