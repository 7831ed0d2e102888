//! The start: the last snapshot, then the log behind it, then what became due while the broker was down.

use std::sync::Arc;

use futures::StreamExt;
use model::Message;
use store::{Batch, Entry as LogEntry, ErrorKind, Offset, OrderedLog, ShardId, WriterId};

use super::Tables;
use super::codec::{VERSION, decode, encode};
use super::record::Record;
use super::snapshot::{Damage, Loading};
use super::state::State;
use super::writer::LOG;
use crate::node::Core;
use crate::timers::Timer;

/// What a start finds.
pub(crate) struct Recovered {
    /// The state.
    pub state: State,
    /// The retained messages.
    pub retained: Vec<Arc<Message>>,
    /// Records that were replayed.
    pub replayed_records: u64,
    /// Their bytes.
    pub replayed_bytes: u64,
}

/// Reads snapshot and log. `writer` is the name under which the broker will write; `now_ms` the time of the start.
pub(crate) async fn recover(
    log: &dyn OrderedLog,
    tables: &dyn Tables,
    writer: WriterId,
    now_ms: i64,
) -> Result<Recovered, store::Error> {
    let mut recovered = read(log, tables).await?;
    if recovered.state.any_attached() {
        let restart = Record::Restart { at_ms: now_ms };
        let entry = LogEntry { shard: ShardId(0), version: VERSION, body: encode(&restart) };
        let offset = log.append(LOG, Batch { writer, wseq: 0, entries: vec![entry] }).await?;
        recovered.state.apply(offset, &restart, &mut Vec::new());
        recovered.state.applied(offset);
    }
    for entry in recovered.state.sessions() {
        let mut inner = entry.inner.lock();
        let inner = &mut *inner;
        inner.outbound.recovered();
        if let Some(kept) = &mut inner.kept {
            kept.pubrels.clear();
            kept.reopen(&mut inner.inbound);
        }
    }
    Ok(recovered)
}

/// The state as snapshot and log have it.
pub(super) async fn read(log: &dyn OrderedLog, tables: &dyn Tables) -> Result<Recovered, store::Error> {
    let mut loading = Loading::new();
    for table in Loading::TABLES {
        loading.take(table, tables.read(table).await?).map_err(damaged)?;
    }
    let (state, retained) = loading.finish().map_err(damaged)?;
    let mut recovered = Recovered { state, retained, replayed_records: 0, replayed_bytes: 0 };
    let (first, end) = log.bounds(LOG).await?;
    let from = recovered.state.next_offset();
    if from < first {
        let context = format!("the snapshot ends at offset {from} and the log begins at {first}");
        let error = store::Error::new(ErrorKind::Corrupt, "log", context);
        return Err(error.remedy("restore the folder of the log and the snapshot file from the same copy"));
    }
    if from > end {
        // The machine lost power with a log that was not flushed, and the snapshot was. New batches must not get offsets
        // that count as applied.
        tracing::warn!(
            snapshot = from.0,
            log = end.0,
            "the session log is shorter than its snapshot; the snapshot holds"
        );
        recovered.state.shorten(end);
        tables.write(recovered.state.capture()).await?;
    }
    replay(log, &mut recovered, end).await?;
    Ok(recovered)
}

async fn replay(log: &dyn OrderedLog, recovered: &mut Recovered, end: Offset) -> Result<(), store::Error> {
    let from = recovered.state.next_offset();
    if from >= end {
        return Ok(());
    }
    let mut effects = Vec::new();
    let mut batches = log.read(LOG, from);
    while let Some(next) = batches.next().await {
        let (offset, batch) = next?;
        for entry in &batch.entries {
            let record = decode(entry.version, &entry.body).map_err(|why| {
                store::Error::new(ErrorKind::Corrupt, "log", format!("a record of the batch at offset {offset}: {why}"))
                    .remedy("use the version of the program that wrote this folder, or restore it from a copy")
            })?;
            recovered.state.apply(offset, &record, &mut effects);
            effects.clear();
            recovered.replayed_records += 1;
            recovered.replayed_bytes += entry.body.len() as u64 + 8;
        }
        recovered.state.applied(offset);
        if offset.next() >= end {
            break;
        }
    }
    Ok(())
}

fn damaged(damage: Damage) -> store::Error {
    let context = format!("the row {:02x?} of table {}: {}", &damage.key[..], damage.table.name(), damage.why);
    store::Error::new(ErrorKind::Corrupt, "snapshot", context)
        .remedy("restore the file from a copy, or use the version of the program that wrote it")
}

impl Core {
    /// Takes the recovered sessions in, and sets the timers for what is due: the time the broker was down counts.
    pub(crate) fn adopt(&self, recovered: &Recovered) {
        let now_ms = self.now_ms();
        self.skip_session_keys(recovered.state.next_session);
        for entry in recovered.state.sessions() {
            self.registry.insert(entry);
            let (subscriptions, let_go_ms, expiry_secs, will_delay_secs, epoch) = {
                let mut inner = entry.inner.lock();
                let (let_go_ms, expiry_secs) =
                    inner.kept.as_ref().map_or((now_ms, 0), |kept| (kept.detached_at_ms, kept.expiry_secs));
                inner.set_expiry(expiry_secs, &self.counters.persistent_sessions);
                let delay = inner.will.as_ref().map(|will| will.delay_secs.min(inner.expiry_secs));
                (inner.subscriptions.clone(), let_go_ms, inner.expiry_secs, delay, inner.epoch)
            };
            for (filter, subscribed) in &subscriptions {
                self.subscribers.add(filter, entry, subscribed.options, subscribed.identifier);
                self.count_subscription(filter);
            }
            // A clock that was set back must not make anything due later than its full time.
            let passed_ms = now_ms.saturating_sub(let_go_ms).max(0);
            let due = |secs: u32| self.monotonic_ms() + (i64::from(secs) * 1000 - passed_ms).max(0);
            if let Some(secs) = will_delay_secs {
                self.timers.set(due(secs), Timer::WillDelay(entry.clone(), epoch));
            }
            self.timers.set(due(expiry_secs), Timer::SessionExpiry(entry.clone(), epoch));
        }
        self.adopt_retained(recovered);
    }
}
