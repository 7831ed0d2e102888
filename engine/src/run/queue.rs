//! The bounded queue of one worker.
//!
//! Shared between the tap (any number of broker tasks) and one worker: a mutex around the ring, held for a push or for
//! taking a batch, and a notification for the worker.
//!
//! Invariant: it never holds more than twice its bound. The second half is only for events whose publisher waits.

use std::collections::VecDeque;
use std::sync::Arc;

use model::ports::Refused;
use model::{Body, Event};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::set::RuleSet;

/// The answer a waiting publisher gets.
pub(crate) type Answer = oneshot::Sender<Result<(), Refused>>;

/// One event on its way to its rules.
pub(crate) struct Job {
    pub(crate) event: Event,
    pub(crate) set: Arc<RuleSet>,
    /// Given when somebody waits.
    pub(crate) answer: Option<Answer>,
}

/// How full the queue is, as the tap has to know it before it decides whether the publisher waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// There is room.
    Free,
    /// At its bound: only events whose publisher waits are taken.
    Full,
    /// At twice its bound: nothing is taken.
    Over,
    /// The engine is stopping.
    Closed,
}

/// See the module.
pub(crate) struct Queue {
    state: Mutex<State>,
    ready: Notify,
    events_max: usize,
    bytes_max: usize,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    bytes: usize,
    closed: bool,
}

impl Queue {
    /// An empty queue with these bounds.
    pub(crate) fn new(events_max: usize, bytes_max: usize) -> Self {
        Self {
            state: Mutex::new(State::default()),
            ready: Notify::new(),
            events_max: events_max.max(1),
            bytes_max: bytes_max.max(1),
        }
    }

    /// Queues what `make` gives for the room there is; `None` from `make` queues nothing.
    pub(crate) fn push(&self, make: impl FnOnce(Room) -> Option<Job>) {
        let mut state = self.state.lock();
        let Some(job) = make(self.room(&state)) else { return };
        state.bytes += payload_bytes(&job.event);
        state.jobs.push_back(job);
        let was_empty = state.jobs.len() == 1;
        drop(state);
        // The worker takes everything that is there, so only the first event has to wake it.
        if was_empty {
            self.ready.notify_one();
        }
    }

    fn room(&self, state: &State) -> Room {
        let (events, bytes) = (state.jobs.len(), state.bytes);
        if state.closed {
            Room::Closed
        } else if events >= self.events_max.saturating_mul(2) || bytes >= self.bytes_max.saturating_mul(2) {
            Room::Over
        } else if events >= self.events_max || bytes >= self.bytes_max {
            Room::Full
        } else {
            Room::Free
        }
    }

    /// Waits for events and takes what is there, at most `max`, into `out`. False when the queue is closed and empty.
    pub(crate) async fn take(&self, max: usize, out: &mut Vec<Job>) -> bool {
        loop {
            {
                let mut state = self.state.lock();
                if !state.jobs.is_empty() {
                    let count = state.jobs.len().min(max.max(1));
                    out.extend(state.jobs.drain(..count));
                    let bytes: usize = out.iter().map(|job| payload_bytes(&job.event)).sum();
                    state.bytes = state.bytes.saturating_sub(bytes);
                    return true;
                }
                if state.closed {
                    return false;
                }
            }
            self.ready.notified().await;
        }
    }

    /// Takes no more events; the worker ends when it has taken what is there.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.ready.notify_one();
    }

    /// Events that wait.
    pub(crate) fn len(&self) -> usize {
        self.state.lock().jobs.len()
    }
}

/// What an event counts against the bytes of the queue. Other events are small.
pub(crate) fn payload_bytes(event: &Event) -> usize {
    match &event.body {
        Body::Publish(message) => message.payload.len(),
        Body::Fields(_) => 0,
    }
}
