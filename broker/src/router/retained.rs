//! Retained messages by topic (MQTT 5.0 §3.3.1.3). Bounded in messages and bytes; in memory.

use std::collections::HashMap;
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
    message: Option<Arc<Message>>,
    children: Children,
}

/// What [`Retained::store`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    /// Kept, or cleared.
    Yes,
    /// A bound is reached; the message goes to the subscribers and is not kept.
    Full,
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

    /// Keeps the message, replacing that of its topic; an empty payload only removes [MQTT-3.3.1-6].
    pub(crate) fn store(&mut self, message: &Arc<Message>, messages_max: usize, bytes_max: usize) -> Stored {
        if message.payload.is_empty() {
            self.remove(&message.topic);
            return Stored::Yes;
        }
        let cost = cost_bytes(message);
        let old = self.get(&message.topic).map(|old| cost_bytes(old));
        if old.is_none() && self.count >= messages_max || self.bytes - old.unwrap_or(0) + cost > bytes_max {
            return Stored::Full;
        }
        let mut children = &mut self.roots;
        let mut levels = message.topic.split('/').peekable();
        while let Some(level) = levels.next() {
            let node = children.entry(level.into()).or_default();
            if levels.peek().is_none() {
                node.message = Some(keep(message));
                break;
            }
            children = &mut node.children;
        }
        self.bytes = self.bytes - old.unwrap_or(0) + cost;
        self.count += usize::from(old.is_none());
        Stored::Yes
    }

    /// The message of one topic.
    pub(crate) fn get(&self, topic: &str) -> Option<&Arc<Message>> {
        let mut children = &self.roots;
        let mut levels = topic.split('/').peekable();
        while let Some(level) = levels.next() {
            let node = children.get(level)?;
            if levels.peek().is_none() {
                return node.message.as_ref();
            }
            children = &node.children;
        }
        None
    }

    /// Removes the message of one topic.
    pub(crate) fn remove(&mut self, topic: &str) {
        let levels: Vec<&str> = topic.split('/').collect();
        if let Some(old) = take(&mut self.roots, &levels) {
            self.count -= 1;
            self.bytes -= cost_bytes(&old);
        }
    }

    /// At most `limit` messages whose topic matches `filter`.
    pub(crate) fn matching(&self, filter: &str, limit: usize) -> Vec<Arc<Message>> {
        let mut found = Vec::new();
        let levels: Vec<&str> = filter.split('/').collect();
        collect(&self.roots, &levels, true, limit, &mut found);
        found
    }

    /// Removes what has expired at `now_ms`.
    pub(crate) fn expire(&mut self, now_ms: i64) {
        let mut expired = Vec::new();
        walk(&self.roots, &mut |message| {
            let expiry = message.properties.as_ref().and_then(|properties| properties.message_expiry_secs);
            if expiry.is_some_and(|secs| now_ms >= message.received_at_ms.saturating_add(i64::from(secs) * 1000)) {
                expired.push(message.topic.clone());
            }
        });
        for topic in expired {
            self.remove(&topic);
        }
    }
}

/// A retained message lives long: its payload must not keep a larger buffer alive.
fn keep(message: &Arc<Message>) -> Arc<Message> {
    let mut kept = Message::clone(message);
    kept.payload = Bytes::copy_from_slice(&message.payload);
    Arc::new(kept)
}

fn cost_bytes(message: &Message) -> usize {
    message.topic.len() + message.payload.len()
}

/// Depth is bounded by the levels of a topic (`topic_levels_max`).
fn take(children: &mut Children, levels: &[&str]) -> Option<Arc<Message>> {
    let (level, rest) = levels.split_first()?;
    let node = children.get_mut(*level)?;
    let taken = if rest.is_empty() { node.message.take() } else { take(&mut node.children, rest) };
    if node.message.is_none() && node.children.is_empty() {
        children.remove(*level);
    }
    taken
}

fn collect(children: &Children, filter: &[&str], top: bool, limit: usize, found: &mut Vec<Arc<Message>>) {
    let Some((level, rest)) = filter.split_first() else { return };
    let visible = |name: &str| !(top && name.starts_with('$'));
    match *level {
        "#" => {
            for (_, node) in children.iter().filter(|(name, _)| visible(name)) {
                walk_node(node, &mut |message| {
                    if found.len() < limit {
                        found.push(message.clone());
                    }
                });
            }
        }
        "+" => {
            for (_, node) in children.iter().filter(|(name, _)| visible(name)) {
                visit(node, rest, limit, found);
            }
        }
        name => {
            if let Some(node) = children.get(name) {
                visit(node, rest, limit, found);
            }
        }
    }
}

fn visit(node: &Node, rest: &[&str], limit: usize, found: &mut Vec<Arc<Message>>) {
    // `a/#` matches `a` itself.
    if (rest.is_empty() || rest == ["#"]) && found.len() < limit {
        found.extend(node.message.clone());
    }
    collect(&node.children, rest, false, limit, found);
}

fn walk(children: &Children, each: &mut impl FnMut(&Arc<Message>)) {
    for node in children.values() {
        walk_node(node, each);
    }
}

fn walk_node(node: &Node, each: &mut impl FnMut(&Arc<Message>)) {
    if let Some(message) = &node.message {
        each(message);
    }
    walk(&node.children, each);
}
