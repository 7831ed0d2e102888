//! The worker of one action: takes batches from the queue and delivers them, a bounded number at once.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use model::Row;
use store::Queue;
use tokio::time::{Sleep, sleep};

use super::codec::decode_record;
use super::deliver::deliver;
use super::group::Group;
use super::shared::{Phase, Shared};
use super::{DropReason, counters::Counters};

/// After the disk queue failed to read, the worker waits this long.
const READ_PAUSE: Duration = Duration::from_secs(1);

/// Runs until the action has drained or is halted. What is in flight then is given back by its group.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut writes = FuturesUnordered::new();
    let mut age = None;
    // The disk queue gives no more until something in flight is acknowledged.
    let mut starved = false;
    loop {
        let may_take = writes.len() < shared.settings.concurrency_max && (!starved || writes.is_empty());
        tokio::select! {
            biased;
            () = shared.halted() => return,
            Some(()) = writes.next(), if !writes.is_empty() => starved = false,
            drained = ready(&shared, &mut age), if may_take => {
                if drained {
                    return;
                }
                age = None;
                match take(&shared).await {
                    Some(group) => writes.push(deliver(group)),
                    None => starved = true,
                }
            }
        }
    }
}

/// Waits until there is a batch to take; `true` when the action is stopping and everything is done. Takes nothing, so
/// that it can be dropped at any await.
async fn ready(shared: &Shared, age: &mut Option<Pin<Box<Sleep>>>) -> bool {
    loop {
        let batch = &shared.settings.batch;
        let draining = shared.phase() >= Phase::Draining;
        let (rows, bytes, idle) = waiting(shared);
        if rows == 0 {
            *age = None;
            if draining && idle {
                return true;
            }
            arrival(shared).await;
            continue;
        }
        if draining || batch.age_max.is_zero() || rows >= batch.records_max as u64 || bytes >= batch.bytes_max as u64 {
            return false;
        }
        let age = age.get_or_insert_with(|| Box::pin(sleep(batch.age_max)));
        tokio::select! {
            () = age => return false,
            () = shared.arrivals.notified() => {}
        }
    }
}

/// Rows and bytes that can be taken, and whether nothing else is on its way.
fn waiting(shared: &Shared) -> (u64, u64, bool) {
    let state = shared.state.lock();
    let idle =
        state.counters.inflight == 0 && state.waiting.is_empty() && state.intake.is_empty() && !state.intake_busy;
    match &shared.queue {
        Some(queue) => {
            // Bytes in flight are not known apart; with them a batch is only taken sooner.
            (queue.len_records().saturating_sub(queue.in_flight_records()), queue.len_bytes(), idle)
        }
        None => (state.queue.len() as u64, state.counters.queued_bytes, idle),
    }
}

async fn arrival(shared: &Shared) {
    match &shared.queue {
        Some(queue) => tokio::select! {
            () = queue.wait_nonempty() => {}
            () = shared.arrivals.notified() => {}
        },
        None => shared.arrivals.notified().await,
    }
}

async fn take(shared: &Arc<Shared>) -> Option<Group> {
    match &shared.queue {
        Some(queue) => take_from_disk(shared, queue).await,
        None => take_from_memory(shared),
    }
}

fn take_from_memory(shared: &Arc<Shared>) -> Option<Group> {
    let batch = &shared.settings.batch;
    let mut state = shared.state.lock();
    let mut rows = Vec::new();
    let mut bytes = 0;
    while let Some(item) = state.queue.pop_front_if(|item| {
        rows.is_empty() || (rows.len() < batch.records_max && bytes + item.bytes <= batch.bytes_max as u64)
    }) {
        bytes += item.bytes;
        rows.push((item.record, None));
    }
    let count = rows.len() as u64;
    state.counters.queued_bytes -= bytes;
    move_to_flight(&mut state.counters, count);
    shared.admit(&mut state);
    drop(state);
    (count > 0).then(|| Group::new(Arc::clone(shared), rows))
}

fn move_to_flight(counters: &mut Counters, rows: u64) {
    counters.queued = counters.queued.saturating_sub(rows);
    counters.inflight += rows;
}

async fn take_from_disk(shared: &Arc<Shared>, queue: &Queue) -> Option<Group> {
    let batch = &shared.settings.batch;
    let read = match queue.read(batch.records_max, batch.bytes_max).await {
        Ok(read) => read,
        Err(error) => {
            tracing::error!(action = %shared.name.id, %error, "the disk queue cannot be read");
            shared.state.lock().trouble = Some(format!("the disk queue cannot be read: {error}"));
            tokio::select! {
                () = sleep(READ_PAUSE) => {}
                () = shared.halted() => {}
            }
            return None;
        }
    };
    let mut rows = Vec::with_capacity(read.len());
    let mut broken = Vec::new();
    let mut names: Option<Row> = None;
    for (position, bytes) in read {
        match decode_record(&mut bytes.as_ref()) {
            Ok(mut record) => {
                share_names(&mut record.row, &mut names);
                rows.push((record, Some(position)));
            }
            Err(error) => {
                tracing::error!(action = %shared.name.id, position = position.0, %error, "a queued row cannot be read");
                broken.push(position);
            }
        }
    }
    {
        let mut state = shared.state.lock();
        state.counters.drop_queued(broken.len() as u64, DropReason::Undecodable);
        move_to_flight(&mut state.counters, rows.len() as u64);
    }
    queue.ack(&broken);
    (!rows.is_empty()).then(|| Group::new(Arc::clone(shared), rows))
}

/// Rows of one rule had one list of names before they were written; give them one again, as sinks compare it.
fn share_names(row: &mut Row, last: &mut Option<Row>) {
    match last {
        Some(known) if known.names == row.names => row.names = Arc::clone(&known.names),
        _ => *last = Some(Row { names: Arc::clone(&row.names), values: Vec::new() }),
    }
}
