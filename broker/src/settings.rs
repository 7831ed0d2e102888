//! Every limit of the broker. Plain values: the settings room maps `weir.toml` onto them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use model::ports::Flapping;

use model::Qos;

use crate::router::RetainedLimits;

/// Settings of the broker; [`Settings::default`] has the documented defaults and no listener.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Where to listen.
    pub listeners: Vec<Listener>,
    /// Name of this node in events, such as `weir@127.0.0.1`.
    pub node: String,
    /// Largest packet a client may send, bytes with its fixed header. Default 1 MiB. Announced to MQTT 5 clients.
    pub packet_bytes_max: usize,
    /// Largest packet before the client is known, bytes. Default 64 KiB; never above `packet_bytes_max`.
    pub connect_packet_bytes_max: usize,
    /// A connection must have been accepted by CONNACK within this time, milliseconds. Default 15,000.
    pub connect_timeout_ms: u64,
    /// Connections at the same time, over all listeners. Default 100,000.
    pub connections_max: usize,
    /// Sessions at the same time, connected or not. Default 200,000.
    pub sessions_max: usize,
    /// Messages of QoS 1 and 2 sent to one client and not yet acknowledged. Default 32 (manual §5.11 `max_inflight`).
    pub inflight_max: u16,
    /// Receive Maximum: unacknowledged PUBLISH of QoS 1 and 2 a client may send. Default 64. An older client is simply
    /// not read from while so many wait.
    pub receive_maximum: u16,
    /// QoS 2 messages of one client that wait for PUBREL. Default 100 (manual §5.11 `max_awaiting_rel`).
    pub awaiting_rel_max: usize,
    /// Messages that wait for one session, connected or not. Default 1,000.
    pub queue_messages_max: usize,
    /// Bytes of topic and payload that wait for one session. Default 16 MiB.
    pub queue_bytes_max: usize,
    /// What to drop when the queue is full. Default [`QueueFull::DropOldest`].
    pub queue_full: QueueFull,
    /// Keep QoS 0 messages for disconnected sessions too. Default false.
    pub queue_qos0_offline: bool,
    /// Levels of a topic name or filter. Default 128.
    pub topic_levels_max: usize,
    /// Bytes of a client identifier. Default 1,024.
    pub client_id_bytes_max: usize,
    /// User properties in one packet. Default 64.
    pub user_properties_max: usize,
    /// Retained messages. Default 1,000,000; 0 turns retained messages off.
    pub retained_messages_max: usize,
    /// Bytes of topic and payload of all retained messages. Default 256 MiB.
    pub retained_bytes_max: usize,
    /// Bytes of payload of one retained message; a larger one goes to the subscribers and is not kept. Default 1 MiB
    /// (manual §15.6 `max_payload_size`).
    pub retained_payload_bytes_max: usize,
    /// How long a retained message is kept, seconds; 0 = until it is replaced. Default 0 (manual §15.6 `expiry_interval`).
    pub retained_expiry_secs: u32,
    /// Retained messages waiting to be sent to one client. Default 100,000; more are dropped and counted.
    pub retained_backlog_max: usize,
    /// Session expiry of MQTT 3 clients without clean session, seconds. Default 7,200 (manual §5.11).
    pub session_expiry_v3_secs: u32,
    /// Cap of the session expiry a client may ask for, seconds. Default 604,800 (a week).
    pub session_expiry_max_secs: u32,
    /// Cap of the keep alive, seconds. Default 65,535, the largest there is. A lower cap also replaces 0, "no keep alive";
    /// MQTT 5 clients are told by Server Keep Alive, on older ones it is enforced with the same grace of one half.
    pub keepalive_max_secs: u16,
    /// Topic Alias Maximum for what clients send. Default 10.
    pub topic_alias_max: u16,
    /// Topic aliases the server assigns towards one client, which takes the lower of this and its own Topic Alias Maximum.
    /// Default 10; 0 turns them off.
    pub topic_alias_to_client_max: u16,
    /// Response Information for clients that ask for it, such as `reply/%c`; `%c` is the client identifier. Default empty:
    /// there is none.
    pub response_information: String,
    /// Another server, such as `mqtt2.example.com:1883`. MQTT 5 clients are sent there (0x9C Use another server) when this
    /// one stops or has all the sessions it may have. Default empty: they are not.
    pub server_reference: String,
    /// This server has moved to `server_reference` for good: every CONNECT is refused with 0x9D. Default false.
    pub server_moved: bool,
    /// Say in words what was wrong with a packet in the DISCONNECT that it caused (MQTT 5 Reason String). Default false.
    pub reason_strings: bool,
    /// Subscriptions of one session. Default 10,000.
    pub subscriptions_max: usize,
    /// Filters in one SUBSCRIBE or UNSUBSCRIBE. Default 1,000.
    pub filters_per_packet_max: usize,
    /// Bytes encoded for one client and not yet taken by its socket, before the rest waits in the queue. Default 64 KiB.
    pub write_buffer_bytes: usize,
    /// A client whose socket takes nothing for this long is disconnected, milliseconds. Default 30,000.
    pub write_stall_ms: u64,
    /// How long a publisher waits for a connected subscriber whose queue is more than half full, milliseconds. Default 50;
    /// a subscriber that does not catch up meanwhile is not waited for again until it has.
    pub publish_wait_ms: u64,
    /// After an error close, how long the broker waits for the client to read the DISCONNECT, milliseconds. Default 1,000.
    pub linger_ms: u64,
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
    /// With a log: sessions that outlive their connection survive a restart. Default true.
    pub durable_sessions: bool,
    /// With a log: where retained messages live. Default [`RetainedStorage::Disc`].
    pub retained_storage: RetainedStorage,
    /// Bytes of the log no snapshot covers, at which messages for durable sessions are refused (0x97). Default 1 GiB.
    pub log_bytes_max: u64,
    /// Bytes of the log after which the next snapshot is taken. Default 64 MiB.
    pub snapshot_bytes: u64,
    /// Bytes of messages waiting to be written to the log; at the bound publishers wait. Default 64 MiB.
    pub log_pending_bytes_max: usize,
    /// How often the broker publishes what it says about itself to `$SYS`, milliseconds; 0 = never. Default 60,000 (manual
    /// §5.20 `broker.sys_interval`).
    pub sys_interval_ms: u64,
    /// How often it publishes its time and uptime there, milliseconds; 0 = not between the former. Default 30,000.
    pub sys_heartbeat_ms: u64,
    /// A timer that is late by more than this is told on `$SYS/…/sysmon/long_schedule`, milliseconds; 0 = never. Default 240
    /// (manual §5.21 `sysmon.long_schedule`).
    pub sysmon_long_schedule_ms: u64,
    /// Alarms that are over and kept for showing. Default 1,000.
    pub alarm_history_max: usize,
    /// Share of a bound at which an alarm says so, percent. Default 90.
    pub alarm_high_percent: u8,
    /// Share of a bound below which that alarm is over, percent. Default 80.
    pub alarm_low_percent: u8,
    /// Folder of the traces' files; `None` = no traces. Default none.
    pub trace_folder: Option<PathBuf>,
    /// Traces, those included that have ended and still have their file. Default 30.
    pub trace_count_max: usize,
    /// Bytes of one trace's file; a trace that reaches them ends. Default 64 MiB.
    pub trace_bytes_max: u64,
    /// Longest time a trace runs, seconds; also what it runs when nobody says. Default 3,600.
    pub trace_duration_max_secs: u32,
    /// Topics whose messages overtake others in the queue of a session, with their priority (manual §5.11
    /// `mqueue_priorities`). Default none: every queue is first in, first out. Those of durable sessions are so in any case.
    pub queue_priorities: BTreeMap<String, u8>,
    /// Priority of all other topics. Default 0, the lowest.
    pub queue_priority_default: u8,
    /// Do not deliver what a client published to itself, whatever its version: no-local for everybody. Shared subscriptions
    /// are not touched. Default false (manual §5.10 `ignore_loop_deliver`).
    pub ignore_loop_deliver: bool,
    /// SUBACK code of a refused subscription for MQTT 5. Default 0x87 (Not authorized).
    pub subscribe_refused_code: u8,
    /// Ask the authorizer about what clients do. Default true (manual `enable_acl`). Topics that begin with `$` stay closed
    /// to publishers either way.
    pub acl: bool,
    /// Refuse banned clients. Default true (manual `enable_ban`).
    pub ban: bool,
    /// Report clients that connect and disconnect too often. Default none (manual `enable_flapping_detect`).
    pub flapping: Option<Flapping>,
    /// A publish or a subscription that is denied ends the connection (0x87). Default false: it is refused (manual
    /// `acl_deny_action`).
    pub deny_disconnects: bool,
    /// Answers of the authorizer that each connection remembers where asking is costly. Default 32; 0 remembers none
    /// (manual `acl_cache_max_size`).
    pub rights_remembered_max: usize,
    /// How long they are remembered, milliseconds. Default 60,000 (manual `acl_cache_ttl`).
    pub rights_remembered_ms: u64,
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
    /// Length of the accept queue. Default 1,024.
    pub backlog: u32,
}

impl Listener {
    /// A listener with default socket options.
    pub fn new(name: &str, address: SocketAddr) -> Self {
        Self { name: name.to_owned(), address, setting: format!("listeners.{name}.address"), backlog: 1024 }
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

/// Where retained messages live (manual §15.6 `retainer.storage_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetainedStorage {
    /// In memory; gone after a restart.
    Ram,
    /// In memory, and written to the log.
    Disc,
}

impl Settings {
    /// What a message on `topic` overtakes in a queue: everything of a lower priority. Queues of durable sessions stay first
    /// in, first out, so that a replay finds the same packet identifiers.
    pub(crate) fn priority_of(&self, topic: &str) -> u8 {
        if self.queue_priorities.is_empty() {
            return 0;
        }
        self.queue_priorities.get(topic).copied().unwrap_or(self.queue_priority_default)
    }

    /// The bounds of the retained messages.
    pub(crate) fn retained_limits(&self) -> RetainedLimits {
        RetainedLimits {
            messages_max: self.retained_messages_max,
            bytes_max: self.retained_bytes_max,
            payload_bytes_max: self.retained_payload_bytes_max,
            expiry_secs: self.retained_expiry_secs,
        }
    }
}

impl Default for Settings {
    #[expect(clippy::too_many_lines, reason = "a line for each setting")]
    fn default() -> Self {
        Self {
            listeners: Vec::new(),
            node: "weir@127.0.0.1".to_owned(),
            packet_bytes_max: 1 << 20,
            connect_packet_bytes_max: 64 << 10,
            connect_timeout_ms: 15_000,
            connections_max: 100_000,
            sessions_max: 200_000,
            inflight_max: 32,
            receive_maximum: 64,
            awaiting_rel_max: 100,
            queue_messages_max: 1_000,
            queue_bytes_max: 16 << 20,
            queue_full: QueueFull::DropOldest,
            queue_qos0_offline: false,
            topic_levels_max: 128,
            client_id_bytes_max: 1_024,
            user_properties_max: 64,
            retained_messages_max: 1_000_000,
            retained_bytes_max: 256 << 20,
            retained_payload_bytes_max: 1 << 20,
            retained_expiry_secs: 0,
            retained_backlog_max: 100_000,
            session_expiry_v3_secs: 7_200,
            session_expiry_max_secs: 604_800,
            keepalive_max_secs: u16::MAX,
            topic_alias_max: 10,
            topic_alias_to_client_max: 10,
            response_information: String::new(),
            server_reference: String::new(),
            server_moved: false,
            reason_strings: false,
            subscriptions_max: 10_000,
            filters_per_packet_max: 1_000,
            write_buffer_bytes: 64 << 10,
            write_stall_ms: 30_000,
            publish_wait_ms: 50,
            linger_ms: 1_000,
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
            durable_sessions: true,
            retained_storage: RetainedStorage::Disc,
            log_bytes_max: 1 << 30,
            snapshot_bytes: 64 << 20,
            log_pending_bytes_max: 64 << 20,
            sys_interval_ms: 60_000,
            sys_heartbeat_ms: 30_000,
            sysmon_long_schedule_ms: 240,
            alarm_history_max: 1_000,
            alarm_high_percent: 90,
            alarm_low_percent: 80,
            trace_folder: None,
            trace_count_max: 30,
            trace_bytes_max: 64 << 20,
            trace_duration_max_secs: 3_600,
            queue_priorities: BTreeMap::new(),
            queue_priority_default: 0,
            ignore_loop_deliver: false,
            subscribe_refused_code: 0x87,
            acl: true,
            ban: true,
            flapping: None,
            deny_disconnects: false,
            rights_remembered_max: 32,
            rights_remembered_ms: 60_000,
        }
    }
}
