//! The broker's settings: where it listens, and the limits of the broker as a whole; what is decided per client is in
//! [`Zone`]. Plain values: the settings room maps `weir.toml` onto them.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use model::Qos;

use crate::zone::Zone;

/// Settings of the broker; [`Settings::default`] has the documented defaults and no listener.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Where to listen.
    pub listeners: Vec<Listener>,
    /// The zone of listeners that name none.
    pub zone: Zone,
    /// Zones that listeners name.
    pub zones: Vec<Zone>,
    /// Name of this node in events, such as `weir@127.0.0.1`.
    pub node: String,
    /// Connections at the same time, over all listeners. Default 100,000.
    pub connections_max: usize,
    /// Sessions at the same time, connected or not. Default 200,000.
    pub sessions_max: usize,
    /// Retained messages. Default 1,000,000; 0 turns retained messages off.
    pub retained_messages_max: usize,
    /// Bytes of topic and payload of all retained messages. Default 256 MiB.
    pub retained_bytes_max: usize,
    /// How long a publisher waits for a connected subscriber whose queue is more than half full, milliseconds. Default 50;
    /// a subscriber that does not catch up meanwhile is not waited for again until it has.
    pub publish_wait_ms: u64,
    /// Nodes one PUBLISH may visit in the subscription trie. Default 100,000.
    pub match_visits_max: usize,
    /// Which member of a shared subscription gets a message. Default [`SharedStrategy::Random`] (manual §4.10, §5.20).
    pub shared_strategy: SharedStrategy,
    /// The same for single groups, by the name in `$share/<name>/`; the group of `$queue/` is called `$queue`.
    pub shared_strategy_by_group: BTreeMap<String, SharedStrategy>,
    /// Members of shared subscriptions have to acknowledge: what a member has not when its connection is lost goes to
    /// another connected member at once, instead of waiting for the session. Default false (manual §5.20
    /// `shared_dispatch_ack_enabled`).
    pub shared_dispatch_ack: bool,
    /// Messages that wait to be published later (`$delayed/<seconds>/<topic>`, manual §15.8). Default 100,000; 0 turns
    /// delayed publishing off.
    pub delayed_messages_max: usize,
    /// Bytes of topic and payload of all delayed messages. Default 64 MiB.
    pub delayed_bytes_max: usize,
    /// Longest delay, seconds. Default 4,294,967.
    pub delay_secs_max: u32,
    /// How topics that clients publish to are rewritten, before anything else looks at them (manual §5.18.3).
    pub rewrite_publish: Vec<RewriteRule>,
    /// How filters that clients subscribe to are rewritten.
    pub rewrite_subscribe: Vec<RewriteRule>,
    /// What every client subscribes to by connecting, if it may (manual §5.18.2). Default nothing.
    pub proxy_subscriptions: Vec<ProxySubscription>,
}

/// One place to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Name in logs and metrics, such as `tcp-default`.
    pub name: String,
    /// Address; port 0 takes a free one.
    pub address: SocketAddr,
    /// Name of the setting that holds the address, for the message when it cannot be used.
    pub setting: String,
    /// Name of its clients' zone; `None` is [`Settings::zone`].
    pub zone: Option<String>,
    /// Length of the accept queue. Default 1,024.
    pub backlog: u32,
}

impl Listener {
    /// A listener with default socket options.
    pub fn new(name: &str, address: SocketAddr) -> Self {
        let setting = format!("listeners.{name}.address");
        Self { name: name.to_owned(), address, setting, zone: None, backlog: 1024 }
    }
}

/// What to do with a message for a full queue. QoS 0 messages in the queue go first either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueFull {
    /// Drop the message that has waited longest.
    DropOldest,
    /// Drop the message that has just come.
    DropNewest,
}

/// How a member of a shared subscription is chosen among those that are connected (manual §4.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SharedStrategy {
    /// Any.
    Random,
    /// One after the other.
    RoundRobin,
    /// The one that got the last message, as long as it is there.
    Sticky,
    /// By the publisher's client identifier: its messages stay together while the members stay the same.
    HashClientId,
    /// By the topic: its messages stay together while the members stay the same.
    HashTopic,
}

/// A rule of topic rewriting. The first whose filter matches is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RewriteRule {
    /// Which topics it is for.
    pub filter: String,
    /// Regular expression; a topic it does not match stays as it is.
    pub expression: String,
    /// What the topic becomes: `$1` is what the first group of the expression matched, `%c` the client identifier, `%u`
    /// the user name.
    pub target: String,
}

/// A subscription that the server makes for every client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxySubscription {
    /// Topic filter with `%c` for the client identifier and `%u` for the user name.
    pub filter: String,
    /// Maximum QoS.
    pub qos: Qos,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listeners: Vec::new(),
            zone: Zone::default(),
            zones: Vec::new(),
            node: "weir@127.0.0.1".to_owned(),
            connections_max: 100_000,
            sessions_max: 200_000,
            retained_messages_max: 1_000_000,
            retained_bytes_max: 256 << 20,
            publish_wait_ms: 50,
            match_visits_max: 100_000,
            shared_strategy: SharedStrategy::Random,
            shared_strategy_by_group: BTreeMap::new(),
            shared_dispatch_ack: false,
            delayed_messages_max: 100_000,
            delayed_bytes_max: 64 << 20,
            delay_secs_max: 4_294_967,
            rewrite_publish: Vec::new(),
            rewrite_subscribe: Vec::new(),
            proxy_subscriptions: Vec::new(),
        }
    }
}
