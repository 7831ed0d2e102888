//! Messages that are to be published later (`$delayed/<seconds>/<topic>`, manual §15.8). In memory: a restart forgets
//! them, and says how many.
//!
//! Invariants:
//! - Bounded in messages and bytes; what does not fit is refused before it is acknowledged.
//! - The publisher is asked for its right to the effective topic twice: when the message comes, and when it is due.
//! - Messages leave in the order they are due, those of the same millisecond in the order they came.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use model::ports::Access;
use model::{Message, MessageId};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::node::{Core, Phase};
use crate::numbers::{Dropped, Metric};

/// Grain of the delays.
const TICK: Duration = Duration::from_millis(200);

/// Where a delayed message stands in the line: when it is due, milliseconds since the epoch, and its id.
pub type DelayedCursor = (i64, MessageId);

/// All delayed messages.
#[derive(Default)]
pub(crate) struct Delayed {
    waiting: Mutex<Waiting>,
    /// Rings when the first message comes.
    first: Notify,
}

#[derive(Default)]
struct Waiting {
    line: BTreeMap<DelayedCursor, Message>,
    due_at_ms: HashMap<MessageId, i64, foldhash::fast::RandomState>,
    bytes: usize,
}

/// A bound is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Delayed {
    /// Number of messages, and bytes of their topics and payloads.
    pub(crate) fn size(&self) -> (usize, usize) {
        let waiting = self.waiting.lock();
        (waiting.line.len(), waiting.bytes)
    }

    /// Keeps `message` until `due_at_ms`.
    pub(crate) fn push(
        &self,
        message: Message,
        due_at_ms: i64,
        count_max: usize,
        bytes_max: usize,
    ) -> Result<(), Full> {
        let mut waiting = self.waiting.lock();
        let cost = cost_bytes(&message);
        if waiting.line.len() >= count_max || waiting.bytes.saturating_add(cost) > bytes_max {
            return Err(Full);
        }
        waiting.bytes += cost;
        waiting.due_at_ms.insert(message.id, due_at_ms);
        waiting.line.insert((due_at_ms, message.id), message);
        drop(waiting);
        self.first.notify_one();
        Ok(())
    }

    /// Takes one message away. Whether it was there.
    pub(crate) fn remove(&self, id: MessageId) -> bool {
        let mut waiting = self.waiting.lock();
        let at = waiting.due_at_ms.get(&id).map(|due_at_ms| (*due_at_ms, id));
        at.is_some_and(|at| waiting.take(at).is_some())
    }

    /// At most `limit` messages after `after`, in the order they are due.
    pub(crate) fn page<T>(
        &self,
        after: Option<DelayedCursor>,
        limit: usize,
        show: impl Fn(i64, &Message) -> T,
    ) -> Vec<T> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let waiting = self.waiting.lock();
        waiting
            .line
            .range((from, Bound::Unbounded))
            .take(limit)
            .map(|((due, _), message)| show(*due, message))
            .collect()
    }

    fn take_due(&self, now_ms: i64) -> Option<Message> {
        let mut waiting = self.waiting.lock();
        let (at, _) = waiting.line.first_key_value().filter(|((due_at_ms, _), _)| *due_at_ms <= now_ms)?;
        let at = *at;
        waiting.take(at)
    }
}

impl Waiting {
    fn take(&mut self, at: DelayedCursor) -> Option<Message> {
        let message = self.line.remove(&at)?;
        self.due_at_ms.remove(&at.1);
        self.bytes -= cost_bytes(&message);
        Some(message)
    }
}

fn cost_bytes(message: &Message) -> usize {
    message.topic.len() + message.payload.len()
}

impl Core {
    /// Keeps an authorized message for `secs`. `false`: there is no room, which is counted.
    pub(crate) fn delay(&self, message: Message, secs: u32) -> bool {
        let due_at_ms = self.now_ms().saturating_add(i64::from(secs) * 1000);
        let (count_max, bytes_max) = (self.settings.delayed_messages_max, self.settings.delayed_bytes_max);
        let kept = self.delayed.push(message, due_at_ms, count_max, bytes_max).is_ok();
        if kept {
            self.counters.add(Metric::MessagesDelayed, 1);
        } else {
            self.counters.dropped(Dropped::DelayedFull, 1);
        }
        kept
    }
}

/// Publishes what is due until the broker stops. A task of its own, because it asks the authorizer and keeps the order.
pub(crate) async fn run(core: Arc<Core>) {
    let mut phase = core.phase.subscribe();
    let serving = async {
        loop {
            publish_due(&core).await;
            if core.delayed.size().0 == 0 {
                core.delayed.first.notified().await;
            } else {
                tokio::time::sleep(TICK).await;
            }
        }
    };
    tokio::select! {
        () = serving => {}
        stopping = phase.wait_for(|phase| *phase != Phase::Running) => drop(stopping),
    }
    let lost = core.delayed.size().0;
    if lost > 0 {
        tracing::warn!(messages = lost, "delayed messages are kept in memory and are lost with this stop");
    }
}

async fn publish_due(core: &Core) {
    while let Some(mut message) = core.delayed.take_due(core.now_ms()) {
        let may = match &message.publisher {
            Some(info) => core.allows(info, Access::Publish, &message.topic).await,
            None => true,
        };
        if !may {
            core.drop_message(&message, Dropped::PublishDenied);
            continue;
        }
        // For everybody else the message comes into being now; its expiry counts from here too.
        message.received_at_ms = core.now_ms();
        // The publisher was acknowledged when the message was taken in: the admission has nobody to tell.
        drop(core.ingest(Arc::new(message)));
        tokio::task::yield_now().await;
    }
}
