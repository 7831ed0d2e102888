//! A zone: everything that is decided per client and not per broker (manual §5.11). A listener names the zone of its
//! clients; a session keeps the zone of its last connection while it has none.
//!
//! Plain values, complete: that a zone inherits what it does not set itself is the business of the settings room
//! (zone > global > default).
//!
//! Carried, and read by nobody yet: `acl`, `ban`, `flapping`, `stats`, `ignore_loop_deliver`, `queue_priorities`,
//! `upgrade_qos`, the publish rates, `awaiting_rel_timeout_ms`, `retry_interval_ms`. No configuration key leads to them
//! until something does.

use model::{ProtocolVersion, Qos};

use crate::codec::Reason;
use crate::session::QueueLimits;
use crate::settings::QueueFull;

/// The settings of the clients of one or more listeners; [`Zone::default`] has the documented defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct Zone {
    /// Name, by which listeners refer to it. Default `default`.
    pub name: String,

    /// A connection must have been accepted by CONNACK within this time, milliseconds. Default 15,000 (manual
    /// `idle_timeout`).
    pub connect_timeout_ms: u64,
    /// Largest packet before the client is known, bytes. Default 64 KiB; never above `packet_bytes_max`.
    pub connect_packet_bytes_max: usize,
    /// Largest packet a client may send, bytes with its fixed header. Default 1 MiB. Announced to MQTT 5 clients.
    pub packet_bytes_max: usize,
    /// Bytes of a client identifier. Default 1,024 (manual `max_clientid_len`).
    pub client_id_bytes_max: usize,
    /// User properties in one packet. Default 64.
    pub user_properties_max: usize,

    /// Levels of a topic name or filter. Default 128.
    pub topic_levels_max: usize,
    /// Highest QoS clients may publish with; subscriptions are granted no more. Default 2 (manual `max_qos_allowed`).
    pub qos_max: Qos,
    /// Topic Alias Maximum for what clients send. Default 10.
    pub topic_alias_max: u16,
    /// Whether clients may publish retained messages. Default true.
    pub retain_available: bool,
    /// Whether clients may subscribe to filters with `+` or `#`. Default true.
    pub wildcard_subscriptions: bool,
    /// Whether clients may subscribe to `$share/…`. Default true.
    pub shared_subscriptions: bool,
    /// Subscriptions of one session. Default 10,000.
    pub subscriptions_max: usize,
    /// Filters in one SUBSCRIBE or UNSUBSCRIBE. Default 1,000.
    pub filters_per_packet_max: usize,
    /// SUBACK code of a refused subscription for MQTT 5. Default 0x87 (Not authorized).
    pub subscribe_refused_code: u8,
    /// Deliver with the QoS of the subscription even when the message came with a lower one. Default false.
    pub upgrade_qos: bool,

    /// Keep alive of MQTT 5 clients, seconds, instead of what they ask for. Default none. Older clients cannot be told and
    /// keep theirs, up to the cap.
    pub server_keepalive_secs: Option<u16>,
    /// Cap of the keep alive, seconds. Default 65,535, the largest there is. A lower cap also replaces 0, "no keep
    /// alive"; MQTT 5 clients are told by Server Keep Alive, on older ones it is enforced with the same grace.
    pub keepalive_max_secs: u16,
    /// A silent client is disconnected after keep alive × backoff × 2. Default 0.75, the one and a half of
    /// [MQTT-3.1.2-22].
    pub keepalive_backoff: f64,

    /// PUBLISH packets one client may send. Default no limit (manual `publish_limit`).
    pub publish_messages_rate: Option<Rate>,
    /// Bytes of PUBLISH packets one client may send. Default no limit.
    pub publish_bytes_rate: Option<Rate>,
    /// Receive Maximum: unacknowledged PUBLISH of QoS 1 and 2 a client may send. Default 64. An older client is simply
    /// not read from while so many wait.
    pub receive_maximum: u16,
    /// QoS 2 messages of one client that wait for PUBREL. Default 100 (manual `max_awaiting_rel`).
    pub awaiting_rel_max: usize,
    /// A QoS 2 message whose PUBREL has not come for this long gives its place to a new one, milliseconds; 0 = never.
    /// Default 300,000 (manual `await_rel_timeout`).
    pub awaiting_rel_timeout_ms: u64,

    /// Messages of QoS 1 and 2 sent to one client and not yet acknowledged. Default 32 (manual `max_inflight`).
    pub inflight_max: u16,
    /// What a client before MQTT 5 has not acknowledged for this long is sent again, milliseconds; 0 = only when it
    /// connects again. Default 0 (manual `retry_interval`). MQTT 5 forbids it on the same connection [MQTT-4.4.0-1].
    pub retry_interval_ms: u64,

    /// Session expiry of MQTT 3 clients without clean session, seconds. Default 7,200 (manual
    /// `session_expiry_interval`).
    pub session_expiry_v3_secs: u32,
    /// Cap of the session expiry a client may ask for, seconds. Default 604,800 (a week).
    pub session_expiry_max_secs: u32,
    /// Messages that wait for one session, connected or not. Default 1,000 (manual `max_mqueue_len`).
    pub queue_messages_max: usize,
    /// Bytes of topic and payload that wait for one session. Default 16 MiB.
    pub queue_bytes_max: usize,
    /// What to drop when the queue is full. Default [`QueueFull::DropOldest`].
    pub queue_full: QueueFull,
    /// Keep QoS 0 messages for disconnected sessions too. Default false (manual `mqueue_store_qos0`).
    pub queue_qos0_offline: bool,
    /// Retained messages waiting to be sent to one client. Default 100,000; more are dropped and counted.
    pub retained_backlog_max: usize,

    /// Bytes encoded for one client and not yet taken by its socket, before the rest waits in the queue. Default 64 KiB.
    pub write_buffer_bytes: usize,
    /// A client whose socket takes nothing for this long is disconnected, milliseconds. Default 30,000.
    pub write_stall_ms: u64,
    /// After an error close, how long the broker waits for the client to read the DISCONNECT, milliseconds. Default
    /// 1,000.
    pub linger_ms: u64,

    /// Ask the authorizer about what the clients do. Default true (manual `enable_acl`).
    pub acl: bool,
    /// Refuse banned clients. Default true (manual `enable_ban`).
    pub ban: bool,
    /// Ban clients that connect and disconnect too often. Default none (manual `enable_flapping_detect`).
    pub flapping: Option<Flapping>,
    /// Keep statistics of every connection. Default true (manual `enable_stats`).
    pub stats: bool,
    /// Do not deliver what a client published to itself, whatever its version. Default false.
    pub ignore_loop_deliver: bool,
    /// Topics whose messages overtake others in the queue, with their priority. Default none (manual
    /// `mqueue_priorities`).
    pub queue_priorities: Vec<(String, u8)>,
}

/// When a client counts as flapping, and for how long it is banned (manual §5.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flapping {
    /// Connects and disconnects ...
    pub changes_max: u32,
    /// ... within this time, seconds.
    pub window_secs: u32,
    /// How long the ban lasts, seconds.
    pub ban_secs: u32,
}

/// So much a second on average, and so much at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Units a second.
    pub per_second: u64,
    /// Units that may come at once after a pause; 0 stands for one second's worth.
    pub burst: u64,
}

impl Zone {
    /// The bounds of a session's queue.
    pub(crate) fn queue_limits(&self) -> QueueLimits {
        QueueLimits {
            messages_max: self.queue_messages_max,
            bytes_max: self.queue_bytes_max,
            when_full: self.queue_full,
        }
    }

    /// The keep alive in force for a client that asked for `asked_secs`; 0 = none.
    pub(crate) fn keepalive_secs(&self, version: ProtocolVersion, asked_secs: u16) -> u16 {
        let decided = self.server_keepalive_secs.filter(|_| version == ProtocolVersion::V5);
        match decided.unwrap_or(asked_secs) {
            0 if self.keepalive_max_secs < u16::MAX => self.keepalive_max_secs,
            secs => secs.min(self.keepalive_max_secs),
        }
    }

    /// Silence after which a client with this keep alive is disconnected, milliseconds; 0 = never.
    pub(crate) fn silence_max_ms(&self, keepalive_secs: u16) -> i64 {
        (f64::from(keepalive_secs) * self.keepalive_backoff * 2000.0) as i64
    }

    /// Why a subscription to `filter` (without its `$share/<group>/`) is not possible in this zone, if it is not.
    pub(crate) fn refuses(&self, is_shared: bool, filter: &str) -> Option<Reason> {
        if filter.split('/').count() > self.topic_levels_max {
            return Some(Reason::TOPIC_FILTER_INVALID);
        }
        if is_shared && !self.shared_subscriptions {
            return Some(Reason::SHARED_SUBSCRIPTIONS_NOT_SUPPORTED);
        }
        if !self.wildcard_subscriptions && filter.contains(['+', '#']) {
            return Some(Reason::WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED);
        }
        None
    }

    /// What makes no sense: the name of the setting, and why.
    pub(crate) fn check(&self) -> Result<(), (&'static str, &'static str)> {
        if self.receive_maximum == 0 {
            return Err(("receive_maximum", "must be at least 1: MQTT 5 has no 0 here"));
        }
        if self.inflight_max == 0 {
            return Err(("inflight_max", "must be at least 1, or no message of QoS 1 or 2 could be delivered"));
        }
        if self.packet_bytes_max < 128 {
            return Err(("packet_bytes_max", "must be at least 128 bytes"));
        }
        if self.keepalive_max_secs == 0 {
            return Err(("keepalive_max_secs", "must be at least 1; 65535 means no cap"));
        }
        if !(0.5..=100.0).contains(&self.keepalive_backoff) {
            return Err(("keepalive_backoff", "must be from 0.5 (no grace) to 100"));
        }
        if self.subscribe_refused_code < 0x80 {
            return Err(("subscribe_refused_code", "must be a failure code, 0x80 or above"));
        }
        let rates = [self.publish_messages_rate, self.publish_bytes_rate];
        if rates.into_iter().flatten().any(|rate| rate.per_second == 0) {
            return Err(("publish rates", "must be at least 1 a second; leave them out for no limit"));
        }
        Ok(())
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self {
            name: "default".to_owned(),
            connect_timeout_ms: 15_000,
            connect_packet_bytes_max: 64 << 10,
            packet_bytes_max: 1 << 20,
            client_id_bytes_max: 1_024,
            user_properties_max: 64,
            topic_levels_max: 128,
            qos_max: Qos::ExactlyOnce,
            topic_alias_max: 10,
            retain_available: true,
            wildcard_subscriptions: true,
            shared_subscriptions: true,
            subscriptions_max: 10_000,
            filters_per_packet_max: 1_000,
            subscribe_refused_code: 0x87,
            upgrade_qos: false,
            server_keepalive_secs: None,
            keepalive_max_secs: u16::MAX,
            keepalive_backoff: 0.75,
            publish_messages_rate: None,
            publish_bytes_rate: None,
            receive_maximum: 64,
            awaiting_rel_max: 100,
            awaiting_rel_timeout_ms: 300_000,
            inflight_max: 32,
            retry_interval_ms: 0,
            session_expiry_v3_secs: 7_200,
            session_expiry_max_secs: 604_800,
            queue_messages_max: 1_000,
            queue_bytes_max: 16 << 20,
            queue_full: QueueFull::DropOldest,
            queue_qos0_offline: false,
            retained_backlog_max: 100_000,
            write_buffer_bytes: 64 << 10,
            write_stall_ms: 30_000,
            linger_ms: 1_000,
            acl: true,
            ban: true,
            flapping: None,
            stats: true,
            ignore_loop_deliver: false,
            queue_priorities: Vec::new(),
        }
    }
}
