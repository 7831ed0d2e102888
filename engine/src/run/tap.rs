//! The broker's side: takes events, finds their rules, and decides whether the publisher waits.
//!
//! Nothing here evaluates SQL. An event that no rule wants returns after one look into the trie.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::FixedState;
use model::ports::{Admission, EventTap, Refused};
use model::{Body, Event, EventKind, Value};
use parking_lot::RwLock;
use tokio::sync::oneshot;

use super::queue::{Job, Queue, Room};
use super::{Index, set::RuleSet};
use crate::rule::add;

/// Implements the port; shared with every broker task.
pub(crate) struct Tap {
    index: Arc<RwLock<Index>>,
    queues: Vec<Arc<Queue>>,
}

impl Tap {
    /// A tap over these workers; at least one.
    pub(crate) fn new(index: Arc<RwLock<Index>>, queues: Vec<Arc<Queue>>) -> Self {
        Self { index, queues }
    }

    fn queue_of(&self, event: &Event) -> Option<&Arc<Queue>> {
        if self.queues.len() <= 1 {
            return self.queues.first();
        }
        let hash = FixedState::with_seed(0).hash_one(source_of(event));
        let place = usize::try_from(hash % self.queues.len() as u64).unwrap_or(0);
        self.queues.get(place)
    }
}

/// Whose events stay in order: the publishing client's, else those of one topic.
fn source_of(event: &Event) -> &str {
    match &event.body {
        Body::Publish(message) => {
            message.publisher.as_ref().map_or(message.topic.as_str(), |client| client.client_id.as_str())
        }
        Body::Fields(row) => ["from_clientid", "clientid", "client_id", "topic"]
            .into_iter()
            .find_map(|name| row.get(name).and_then(Value::as_text))
            .unwrap_or_default(),
    }
}

fn topic_of(event: &Event) -> Option<&str> {
    match &event.body {
        Body::Publish(message) => Some(message.topic.as_str()),
        Body::Fields(row) => row.get("topic").and_then(Value::as_text),
    }
}

impl EventTap for Tap {
    fn wants(&self, kind: EventKind) -> bool {
        self.index.read().wants(kind)
    }

    fn emit(&self, event: Event) -> Admission {
        let Some(set) = self.index.read().find(event.kind, topic_of(&event)) else { return Admission::Done };
        let Some(queue) = self.queue_of(&event) else { return Admission::Done };
        for (rule, _) in &set.rules {
            add(&rule.metrics.matched, 1);
        }
        let mut admission = Admission::Done;
        queue.push(|room| {
            let (job, answer) = decide(room, event, set);
            admission = answer;
            job
        });
        admission
    }
}

/// What becomes of an event, by the room there is and the promises of its rules.
fn decide(room: Room, event: Event, set: Arc<RuleSet>) -> (Option<Job>, Admission) {
    let waits = match room {
        Room::Free => set.durable || set.is_congested(),
        Room::Full if set.durable => true,
        // Rules that ask for back-pressure get it; the others lose this event, by name.
        Room::Full => {
            let (blocking, dropping): (Vec<_>, Vec<_>) = set.rules.iter().partition(|(rule, _)| rule.blocks);
            for (rule, _) in &dropping {
                add(&rule.metrics.dropped, 1);
            }
            if blocking.is_empty() {
                return (None, Admission::Done);
            }
            let set = Arc::new(RuleSet::new(blocking.into_iter().map(|(rule, _)| Arc::clone(rule))));
            let (sender, receiver) = oneshot::channel();
            return (Some(Job { event, set, answer: Some(sender) }), Admission::Pending(receiver));
        }
        Room::Over | Room::Closed => {
            for (rule, _) in &set.rules {
                add(&rule.metrics.dropped, 1);
            }
            let refused = if room == Room::Closed { Refused::Unavailable } else { Refused::QueueFull };
            return (None, if set.durable { refuse(refused) } else { Admission::Done });
        }
    };
    if !waits {
        return (Some(Job { event, set, answer: None }), Admission::Done);
    }
    let (sender, receiver) = oneshot::channel();
    (Some(Job { event, set, answer: Some(sender) }), Admission::Pending(receiver))
}

fn refuse(refused: Refused) -> Admission {
    let (sender, receiver) = oneshot::channel();
    // The receiver is right here, so the send cannot fail.
    drop(sender.send(Err(refused)));
    Admission::Pending(receiver)
}
