//! Rows that will not be delivered: to the fallback actions first, and to the dead letters if none of these took them.

use std::sync::Arc;
use std::time::Duration;

use model::ports::Admission;

use super::shared::{Phase, Shared};
use super::{Delivery, DropReason};
use crate::Record;

/// A row, and why it was not delivered.
pub(crate) struct Undelivered {
    pub(crate) record: Record,
    pub(crate) class: &'static str,
    pub(crate) message: String,
    pub(crate) attempts: u32,
    pub(crate) first_at_ms: i64,
    pub(crate) last_at_ms: i64,
}

impl Undelivered {
    /// A row that never got into the queue.
    pub(crate) fn refused(record: Record, reason: DropReason, now_ms: i64) -> Self {
        let message = match reason {
            DropReason::TooLarge => "the row is larger than queue.bytes_max",
            _ => "the action's queue was full",
        };
        let message = message.to_owned();
        Self { record, class: reason.name(), message, attempts: 0, first_at_ms: now_ms, last_at_ms: now_ms }
    }
}

/// How often a memory action tries to keep dead letters; an at_least_once action does not give up.
const TRIES_MAX: u32 = 3;

/// Gives the rows to the fallbacks, else keeps them as dead letters; resolves when they are safe there, or counted as
/// lost. The rows themselves are counted by the caller.
pub(crate) async fn hand_over(shared: &Shared, rows: Vec<Undelivered>) {
    if rows.is_empty() {
        return;
    }
    let count = rows.len() as u64;
    if fallback(shared, &rows).await {
        shared.state.lock().counters.fallback += count;
        return;
    }
    let Some(dead_letters) = &shared.dead_letters else { return };
    let mut pause = Duration::from_millis(100);
    for attempt in 1_u32.. {
        match dead_letters.add(&shared.name, &rows).await {
            Ok(()) => {
                shared.state.lock().counters.dead_letters += count;
                return;
            }
            Err(error) if shared.settings.delivery == Delivery::AtMostOnce && attempt >= TRIES_MAX => {
                tracing::error!(action = %shared.name.id, rows = count, %error, "dead letters could not be kept");
                shared.state.lock().counters.dead_letters_lost += count;
                return;
            }
            Err(error) => {
                tracing::warn!(action = %shared.name.id, rows = count, %error, "dead letters could not be kept yet");
                shared.state.lock().trouble = Some(format!("dead letters cannot be kept: {error}"));
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(5));
            }
        }
    }
}

/// Whether at least one fallback took the rows.
async fn fallback(shared: &Shared, rows: &[Undelivered]) -> bool {
    let mut taken = false;
    for action in &shared.fallback {
        let records = rows.iter().map(|row| row.record.clone()).collect();
        taken |= match action.submit(records) {
            Admission::Done => true,
            Admission::Pending(answer) => matches!(answer.await, Ok(Ok(()))),
        };
    }
    taken
}

/// The task that takes rows from a full memory queue, or too large ones, to the dead letters.
pub(crate) async fn divert_loop(shared: Arc<Shared>) {
    loop {
        let rows = std::mem::take(&mut shared.state.lock().diverted);
        if rows.is_empty() {
            if shared.phase() == Phase::Halted {
                return;
            }
            shared.divert.notified().await;
        } else {
            hand_over(&shared, rows).await;
        }
    }
}
