//! Retained messages by topic (MQTT 5.0 §3.3.1.3). Bounded in messages and bytes; in memory.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use model::Message;

type Children = HashMap<Box<str>, Node, foldhash::fast::RandomState>;

/// The last retained message of every topic.
#[derive(Debug, Default)]
pub(crate) struct Retained {
    roots: Children,
    count: usize,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Node {
    message: Option<Kept>,
    children: Children,
}

#[derive(Debug)]
struct Kept {
    message: Arc<Message>,
    /// By its own expiry or that of the setting, whichever is first; milliseconds since the epoch.
    expires_at_ms: Option<i64>,
}

/// The bounds of the store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RetainedLimits {
    /// Messages; those of `$` topics, which only the server has, do not count.
    pub messages_max: usize,
    /// Bytes of topic and payload.
    pub bytes_max: usize,
    /// Bytes of one payload.
    pub payload_bytes_max: usize,
    /// How long a message is kept, seconds; 0 = until it is replaced.
    pub expiry_secs: u32,
}

/// What [`Retained::store`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    /// Kept, or cleared.
    Yes,
    /// A bound is reached; the message goes to the subscribers and is not kept.
    Full,
    /// The payload is larger than one may be; likewise.
    TooLarge,
}

impl Retained {
    /// Number of messages.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Bytes of topic and payload.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps the message in place of that of its topic, which goes in any case: a message that has been superseded must
    /// not be shown to anybody [MQTT-3.3.1-5]. An empty payload only removes [MQTT-3.3.1-6].
    pub(crate) fn store(&mut self, message: &Arc<Message>, limits: RetainedLimits) -> Stored {
        self.remove(&message.topic);
        let cost = cost_bytes(message);
        if message.payload.is_empty() {
            return Stored::Yes;
        }
        if message.payload.len() > limits.payload_bytes_max {
            return Stored::TooLarge;
        }
        // What clients keep must not leave the server without room for its own few topics.
        let is_own = message.topic.starts_with('$');
        if !is_own && (self.count >= limits.messages_max || self.bytes + cost > limits.bytes_max) {
            return Stored::Full;
        }
        let mut children = &mut self.roots;
        let mut levels = message.topic.split('/').peekable();
        while let Some(level) = levels.next() {
            let node = children.entry(level.into()).or_default();
            if levels.peek().is_none() {
                node.message = Some(keep(message, limits.expiry_secs));
                break;
            }
            children = &mut node.children;
        }
        self.bytes += cost;
        self.count += 1;
        Stored::Yes
    }

    /// Removes the message of one topic.
    pub(crate) fn remove(&mut self, topic: &str) {
        let levels: Vec<&str> = topic.split('/').collect();
        if let Some(old) = take(&mut self.roots, &levels) {
            self.count -= 1;
            self.bytes -= cost_bytes(&old.message);
        }
    }

    /// At most `limit` messages whose topic matches `filter` and that have not expired at `now_ms`.
    pub(crate) fn matching(&self, filter: &str, limit: usize, now_ms: i64) -> Vec<Arc<Message>> {
        let mut found = Vec::new();
        let levels: Vec<&str> = filter.split('/').collect();
        let mut take = |kept: &Kept| {
            if !kept.is_expired(now_ms) {
                if found.len() >= limit {
                    return ControlFlow::Break(());
                }
                found.push(kept.message.clone());
            }
            ControlFlow::Continue(())
        };
        // Whether the walk was cut short is seen by the number of what was found.
        _ = collect(&self.roots, &levels, true, &mut take);
        found
    }

    /// Removes what has expired at `now_ms`.
    pub(crate) fn expire(&mut self, now_ms: i64) {
        let mut expired = Vec::new();
        _ = walk(&self.roots, &mut |kept| {
            if kept.is_expired(now_ms) {
                expired.push(kept.message.topic.clone());
            }
            ControlFlow::Continue(())
        });
        for topic in expired {
            self.remove(&topic);
        }
    }
}

impl Kept {
    fn is_expired(&self, now_ms: i64) -> bool {
        self.expires_at_ms.is_some_and(|at_ms| now_ms >= at_ms)
    }
}

/// A retained message lives long: its payload must not keep a larger buffer alive.
fn keep(message: &Arc<Message>, expiry_secs: u32) -> Kept {
    let mut kept = Message::clone(message);
    kept.payload = Bytes::copy_from_slice(&message.payload);
    let own = message.properties.as_ref().and_then(|properties| properties.message_expiry_secs);
    let general = Some(expiry_secs).filter(|secs| *secs > 0);
    let secs = own.into_iter().chain(general).min();
    let expires_at_ms = secs.map(|secs| message.received_at_ms.saturating_add(i64::from(secs) * 1000));
    Kept { message: Arc::new(kept), expires_at_ms }
}

fn cost_bytes(message: &Message) -> usize {
    message.topic.len() + message.payload.len()
}

/// Depth is bounded by the levels of a topic (`topic_levels_max`).
fn take(children: &mut Children, levels: &[&str]) -> Option<Kept> {
    let (level, rest) = levels.split_first()?;
    let node = children.get_mut(*level)?;
    let taken = if rest.is_empty() { node.message.take() } else { take(&mut node.children, rest) };
    if node.message.is_none() && node.children.is_empty() {
        children.remove(*level);
    }
    taken
}

/// Gives messages to `each` until it has had enough.
type Each<'a> = &'a mut dyn FnMut(&Kept) -> ControlFlow<()>;

fn collect(children: &Children, filter: &[&str], top: bool, each: Each<'_>) -> ControlFlow<()> {
    let Some((level, rest)) = filter.split_first() else { return ControlFlow::Continue(()) };
    let visible = |name: &str| !(top && name.starts_with('$'));
    match *level {
        "#" => children.iter().filter(|(name, _)| visible(name)).try_for_each(|(_, node)| walk_node(node, each)),
        "+" => children.iter().filter(|(name, _)| visible(name)).try_for_each(|(_, node)| visit(node, rest, each)),
        name => children.get(name).map_or(ControlFlow::Continue(()), |node| visit(node, rest, each)),
    }
}

fn visit(node: &Node, rest: &[&str], each: Each<'_>) -> ControlFlow<()> {
    // `a/#` matches `a` itself.
    if (rest.is_empty() || rest == ["#"])
        && let Some(kept) = &node.message
    {
        each(kept)?;
    }
    collect(&node.children, rest, false, each)
}

fn walk(children: &Children, each: Each<'_>) -> ControlFlow<()> {
    children.values().try_for_each(|node| walk_node(node, each))
}

fn walk_node(node: &Node, each: Each<'_>) -> ControlFlow<()> {
    if let Some(kept) = &node.message {
        each(kept)?;
    }
    walk(&node.children, each)
}

#[cfg(test)]
mod tests {
    use model::{MessageId, Origin, PublishProperties, Qos};

    use super::*;

    const LIMITS: RetainedLimits =
        RetainedLimits { messages_max: 3, bytes_max: 100, payload_bytes_max: 50, expiry_secs: 0 };

    fn message(topic: &str, payload_len: usize, expiry_secs: Option<u32>) -> Arc<Message> {
        Arc::new(Message {
            id: MessageId(0),
            topic: topic.into(),
            payload: vec![b'x'; payload_len].into(),
            qos: Qos::AtMostOnce,
            retain: true,
            dup: false,
            publisher: None,
            properties: expiry_secs
                .map(|secs| Box::new(PublishProperties { message_expiry_secs: Some(secs), ..Default::default() })),
            received_at_ms: 0,
            origin: Origin::Client,
        })
    }

    fn found(store: &Retained, filter: &str, now_ms: i64) -> usize {
        store.matching(filter, usize::MAX, now_ms).len()
    }

    #[test]
    fn manual_15_6_bounds_hold_and_what_was_superseded_is_gone() {
        let mut store = Retained::default();
        for topic in ["a", "b", "c"] {
            assert_eq!(store.store(&message(topic, 10, None), LIMITS), Stored::Yes);
        }
        assert_eq!(store.store(&message("d", 1, None), LIMITS), Stored::Full, "max_retained_messages");
        assert_eq!(store.store(&message("$SYS/d", 60, None), LIMITS), Stored::TooLarge);
        assert_eq!(
            store.store(&message("$SYS/d", 50, None), LIMITS),
            Stored::Yes,
            "the server's own are not counted out"
        );
        store.remove("$SYS/d");
        assert_eq!(store.store(&message("a", 51, None), LIMITS), Stored::TooLarge, "max_payload_size");
        assert_eq!((found(&store, "a", 0), store.len(), store.bytes()), (0, 2, 22), "no stale message");
        assert_eq!(store.store(&message("a", 50, None), LIMITS), Stored::Yes);
        assert_eq!(store.store(&message("b", 49, None), LIMITS), Stored::Full, "bytes");
        assert_eq!((found(&store, "#", 0), store.bytes()), (2, 62));
        store.store(&message("a", 0, None), LIMITS);
        store.store(&message("c", 0, None), LIMITS);
        assert_eq!((store.len(), store.bytes(), store.roots.len()), (0, 0, 0), "[MQTT-3.3.1-6]");
    }

    #[test]
    fn manual_15_6_the_first_of_two_expiries_counts_and_nothing_is_shown_after_it() {
        for (general, own, at_ms) in
            [(10, None, 10_000), (10, Some(5), 5_000), (10, Some(20), 10_000), (0, Some(7), 7_000)]
        {
            let mut store = Retained::default();
            store.store(&message("t", 1, own), RetainedLimits { expiry_secs: general, ..LIMITS });
            assert_eq!(found(&store, "t", at_ms - 1), 1, "{general} {own:?}");
            assert_eq!(found(&store, "t", at_ms), 0, "{general} {own:?}: before it is swept");
            store.expire(at_ms - 1);
            assert_eq!(store.len(), 1);
            store.expire(at_ms);
            assert_eq!((store.len(), store.bytes()), (0, 0));
        }
    }

    #[test]
    fn a_walk_ends_at_its_limit() {
        let mut store = Retained::default();
        for n in 0..1_000 {
            store.store(
                &message(&format!("a/{n}/b"), 1, None),
                RetainedLimits { messages_max: 9_999, bytes_max: 1 << 20, ..LIMITS },
            );
        }
        for filter in ["#", "a/+/b", "a/+/#"] {
            assert_eq!(store.matching(filter, 7, 0).len(), 7, "{filter}");
        }
    }
}
