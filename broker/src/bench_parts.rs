//! Parts that benches and examples measure on their own, and what tests of single parts begin with; not for other rooms.

use std::sync::Arc;

use model::{ClientInfo, ProtocolVersion, Qos, Str};

use crate::codec::SubscribeOptions;
use crate::registry::{Entry, Link};
use crate::router::Subscribers;
pub use crate::router::{Alias, Envelope, Outgoing};
use crate::settings::{Settings, SharedStrategy};

/// Subscriptions of many connected sessions, without their connections.
pub struct Fleet {
    subscribers: Subscribers,
    sessions: Vec<Arc<Entry>>,
}

impl Fleet {
    /// `count` sessions without subscriptions.
    pub fn new(count: u64, strategy: SharedStrategy) -> Self {
        let settings = Settings { shared_strategy: strategy, ..Settings::default() };
        Self { subscribers: Subscribers::new(&settings), sessions: (0..count).map(connected).collect() }
    }

    /// Subscribes session `n`, counted around the sessions.
    pub fn subscribe(&self, n: u64, filter: &str) {
        let at = usize::try_from(n).unwrap_or(usize::MAX) % self.sessions.len().max(1);
        if let Some(session) = self.sessions.get(at) {
            self.subscribers.add(filter, session, SubscribeOptions::of_qos(Qos::AtLeastOnce), None);
        }
    }

    /// Takes a subscription of session `n` away.
    pub fn unsubscribe(&self, n: u64, filter: &str) {
        let at = usize::try_from(n).unwrap_or(usize::MAX) % self.sessions.len().max(1);
        if let Some(session) = self.sessions.get(at) {
            self.subscribers.remove(filter, session);
        }
    }

    /// Finds out who gets a message on `topic`: how many sessions, members of groups included.
    pub fn route(&self, topic: &str) -> usize {
        let routes = self.subscribers.resolve(topic, Some("publisher"), usize::MAX);
        let members = routes.groups.iter().filter(|group| group.pick_one(topic, "publisher").is_some());
        members.count() + routes.receivers.len()
    }
}

fn connected(key: u64) -> Arc<Entry> {
    let entry = session(key);
    connect(&entry);
    entry
}

/// A client as the room's own tests need one.
pub(crate) fn client(client_id: &str, username: Option<&str>) -> ClientInfo {
    ClientInfo {
        client_id: client_id.into(),
        username: username.map(Str::new),
        peer: None,
        local: None,
        version: ProtocolVersion::V5,
        keepalive_secs: 0,
        clean_start: true,
        session_expiry_secs: 0,
        is_bridge: false,
        mountpoint: "".into(),
        connected_at_ms: 0,
        is_superuser: false,
    }
}

/// A session without connection.
pub(crate) fn session(key: u64) -> Arc<Entry> {
    Arc::new(Entry::new(key, Arc::new(client(&key.to_string(), None)), 0, None))
}

/// Makes a session believe that it has a connection.
pub(crate) fn connect(entry: &Entry) {
    let mut inner = entry.inner.lock();
    let link = Arc::new(Link::new(inner.info.clone(), 0, 0));
    entry.attach(&mut inner, link);
}
