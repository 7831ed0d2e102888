//! Events whose payload cannot be decoded, as dead letters of their rule (`on_decode_error: dead_letter`), and the way
//! back: a letter is given to the rule as it is then.
//!
//! Invariants:
//! - A publisher to whom the rule promises something is answered only after the letter is stored.
//! - What waits for the store is bounded in events and bytes; what finds no room is counted as lost, or refused where
//!   something was promised.
//! - A replayed letter goes away only when every action has taken its rows.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use connector::{DeadLetters, Error, ErrorKind, Record, ReplayEvent};
use futures::future::join_all;
use model::ports::{Admission, Refused};
use model::{Body, Event, EventKind, Row, Str, Value};
use sql::{EventView, Outcome};
use tokio::sync::oneshot;

use crate::actions::{of_event, records_of};
use crate::rule::{Rule, add};
use crate::run::{Events, Submission, payload_bytes};

/// Most events of one rule on their way to the dead letters.
const PENDING_EVENTS_MAX: u64 = 4096;
/// Most payload bytes of them.
const PENDING_BYTES_MAX: u64 = 64 << 20;
/// How often storing is tried before the letters are lost, or the publisher is refused.
const TRIES_MAX: u32 = 3;
/// Pause before the next try.
const PAUSE: Duration = Duration::from_millis(100);

/// The way of one rule's events to the dead letters.
pub(crate) struct Letters {
    dead_letters: DeadLetters,
    pending: Arc<Pending>,
}

/// What waits for the store.
#[derive(Default)]
struct Pending {
    events: AtomicU64,
    bytes: AtomicU64,
}

/// Room taken in [`Pending`] while it lives.
struct Taken {
    pending: Arc<Pending>,
    events: u64,
    bytes: u64,
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.pending.events.fetch_sub(self.events, Ordering::Relaxed);
        self.pending.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Letters {
    pub(crate) fn new(dead_letters: DeadLetters) -> Self {
        Self { dead_letters, pending: Arc::default() }
    }

    /// Sends events on their way, each with what was wrong; `None` when there are none.
    pub(crate) fn keep(&self, rule: &Rule, events: &Events, failed: Vec<(usize, String)>) -> Option<Submission> {
        if failed.is_empty() {
            return None;
        }
        let (reply, pending) = oneshot::channel();
        let indices: Vec<usize> = failed.iter().map(|(index, _)| *index).collect();
        let submission = Submission { pending, events: indices, durable: rule.durable, congestion: None };
        let failed = failed.into_iter().filter_map(|(index, message)| Some((&events.get(index)?.0, message)));
        let failed: Vec<(&Event, String)> = failed.collect();
        let bytes = failed.iter().map(|(event, _)| payload_bytes(event) as u64).sum();
        let count = failed.len() as u64;
        let Some(taken) = self.take(count, bytes) else {
            add(&rule.metrics.letters_lost, count);
            tracing::warn!(rule = %rule.id, events = count, "too many events wait for the dead letters");
            // The receiver is in the submission, so the send cannot fail.
            drop(reply.send(Err(Refused::QueueFull)));
            return Some(submission);
        };
        let rows: Vec<_> = failed.into_iter().map(|(event, message)| (letter(rule, event), message)).collect();
        let (dead_letters, id, metrics) = (self.dead_letters.clone(), rule.id.clone(), Arc::clone(&rule.metrics));
        model::task::spawn("engine-letters", async move {
            let stored = store(&dead_letters, &id, &rows).await;
            if let Err(error) = &stored {
                add(&metrics.letters_lost, count);
                tracing::error!(rule = %id, events = count, %error, "undecodable events could not be kept");
            }
            drop(taken);
            // Without a receiver nobody waits.
            drop(reply.send(stored.map_err(|_| Refused::Unavailable)));
        });
        Some(submission)
    }

    fn take(&self, events: u64, bytes: u64) -> Option<Taken> {
        let taken = Taken { pending: Arc::clone(&self.pending), events, bytes };
        let events_then = self.pending.events.fetch_add(events, Ordering::Relaxed);
        let bytes_then = self.pending.bytes.fetch_add(bytes, Ordering::Relaxed);
        // One batch is always taken, so that a message larger than the bound has its letter too.
        let fits =
            events_then == 0 || events_then + events <= PENDING_EVENTS_MAX && bytes_then + bytes <= PENDING_BYTES_MAX;
        fits.then_some(taken)
    }
}

async fn store(dead_letters: &DeadLetters, rule: &Str, rows: &[(Record, String)]) -> Result<(), Error> {
    let mut tries = 1;
    loop {
        match dead_letters.add_undecodable(rule, rows).await {
            Err(error) if tries < TRIES_MAX => {
                tracing::warn!(rule = %rule, %error, "undecodable events could not be kept yet");
                tries += 1;
                tokio::time::sleep(PAUSE).await;
            }
            result => return result,
        }
    }
}

/// The event as a record without a row.
fn letter(rule: &Rule, event: &Event) -> Record {
    let (event_id, passed_rules) = of_event(event);
    Record {
        row: Row::from_pairs(std::iter::empty::<(Str, Value)>()),
        rule: rule.id.clone(),
        id: format!("{event_id}/{}", rule.id).into(),
        at_ms: event.at_ms,
        event: Some(Arc::new(crate::actions::whole(event))),
        passed_rules,
    }
}

#[async_trait]
impl ReplayEvent for Rule {
    async fn replay(&self, letter: Record) -> Result<(), Error> {
        let event = event_of(&letter)
            .ok_or_else(|| Error::permanent(ErrorKind::Internal, "the letter does not hold its event"))?;
        let rows = match sql::evaluate(&self.plan, &EventView::new(&event)) {
            Outcome::Rows(rows) if !rows.is_empty() => rows,
            Outcome::Rows(_) | Outcome::NoMatch(_) => {
                let why = format!("{} gives no row for the event as it is now; the letter stays", self.id);
                return Err(Error::permanent(ErrorKind::Rejected, why));
            }
            Outcome::Error(error) => {
                let why = format!("{} cannot evaluate the event as it is now, the letter stays: {error}", self.id);
                return Err(Error::permanent(ErrorKind::Rejected, why));
            }
        };
        add(&self.metrics.matched, 1);
        add(&self.metrics.passed, 1);
        add(&self.metrics.rows, rows.len() as u64);
        let event_id = letter.id.split('/').next().unwrap_or_default();
        let mut all = Vec::new();
        records_of(self, &event, (event_id, &letter.passed_rules), rows, &mut all);
        let waits: Vec<_> = self.actions.iter().map(|action| action.submit(all.clone())).collect();
        let answers = join_all(waits.into_iter().map(|admission| async move {
            match admission {
                Admission::Done => Ok(()),
                Admission::Pending(answer) => answer.await.unwrap_or(Err(Refused::Unavailable)),
            }
        }));
        match answers.await.into_iter().find_map(Result::err) {
            None => Ok(()),
            Some(refused) => {
                let why = format!("an action of {} did not take the rows ({refused:?}); the letter stays", self.id);
                Err(Error::temporary(ErrorKind::Exhausted, why))
            }
        }
    }
}

/// The event that a letter holds.
fn event_of(letter: &Record) -> Option<Event> {
    let Some(Value::Map(fields)) = letter.event.as_deref() else { return None };
    let kind = match fields.get("event").and_then(Value::as_text) {
        Some(name) => EventKind::ALL.into_iter().find(|kind| kind.name() == name)?,
        None => EventKind::MessagePublish,
    };
    let node = fields.get("node").and_then(Value::as_text).unwrap_or_default();
    let row = Row::from_pairs(fields.iter().map(|(name, value)| (name.clone(), value.clone())));
    Some(Event { kind, at_ms: letter.at_ms, node: node.into(), body: Body::Fields(Arc::new(row)) })
}
