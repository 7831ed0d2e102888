//! Lists of clients, subscriptions and routes: what to look for, which part of it, and what is shown.

use std::net::IpAddr;

use serde::Serialize;

use crate::{Qos, Str};

/// Which part of a list.
#[derive(Clone, Copy, Debug)]
pub struct Slice<'a> {
    /// What follows this cursor of an earlier answer.
    pub after: Option<&'a str>,
    /// Without the first so many; for clients that count pages. A cursor is cheaper.
    pub skip: usize,
    /// At most so many.
    pub limit: usize,
    /// Whether to find out how many there are in all, which walks to the end.
    pub counts: bool,
}

impl<'a> Slice<'a> {
    /// What follows a cursor.
    pub fn after(after: Option<&'a str>, limit: usize) -> Self {
        Self { after, skip: 0, limit, counts: false }
    }

    /// A page by its number, with the number of all.
    pub fn skipping(skip: usize, limit: usize) -> Self {
        Self { after: None, skip, limit, counts: true }
    }
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found<T> {
    /// What was found, in order.
    pub items: Vec<T>,
    /// The cursor of what follows, when something does.
    pub next: Option<Str>,
    /// How many there are in all, when it was asked for.
    pub total: Option<usize>,
}

/// Which sessions; every condition that is given must hold.
#[derive(Clone, Debug, Default)]
pub struct ClientFilter {
    /// This client identifier.
    pub client_id: Option<String>,
    /// A part of the client identifier.
    pub client_id_like: Option<String>,
    /// This user name.
    pub username: Option<String>,
    /// A part of the user name.
    pub username_like: Option<String>,
    /// This remote address.
    pub address: Option<IpAddr>,
    /// This protocol level: 3, 4 or 5.
    pub version: Option<u8>,
    /// Whether it is connected.
    pub is_connected: Option<bool>,
    /// Whether it connected with clean session or clean start.
    pub clean_start: Option<bool>,
    /// Whether the session outlives its connection.
    pub is_persistent: Option<bool>,
}

/// One session as lists show it.
#[derive(Clone, Debug, Serialize)]
pub struct ClientView {
    /// Client identifier.
    pub client_id: Str,
    /// User name, if any.
    pub username: Option<Str>,
    /// Whether it is connected now; the facts of the connection are those of the last one otherwise.
    pub is_connected: bool,
    /// Remote address.
    pub address: Option<IpAddr>,
    /// Remote port.
    pub port: Option<u16>,
    /// Name of the protocol.
    pub protocol: &'static str,
    /// Protocol level: 3, 4 or 5.
    pub version: u8,
    /// Keep alive in force, seconds; 0 = none.
    pub keepalive_secs: u16,
    /// Clean session or clean start.
    pub clean_start: bool,
    /// Bridge bit of the protocol level.
    pub is_bridge: bool,
    /// Prefix put before the client's topics.
    pub mountpoint: Str,
    /// When it connected, milliseconds since the epoch.
    pub connected_at_ms: i64,
    /// When the session was created, milliseconds since the epoch.
    pub created_at_ms: i64,
    /// Seconds the session outlives its connection.
    pub session_expiry_secs: u32,
    /// Subscriptions.
    pub subscription_count: usize,
    /// Messages waiting.
    pub queue_message_count: usize,
    /// Bytes of topic and payload waiting.
    pub queue_bytes: usize,
    /// Messages sent and not acknowledged.
    pub inflight_count: usize,
    /// How many may be.
    pub inflight_max: usize,
    /// QoS 2 messages received and not released.
    pub awaiting_rel_count: usize,
    /// PUBLISH packets from the client on this connection.
    pub received_count: u64,
    /// PUBLISH packets to the client on this connection.
    pub sent_count: u64,
    /// Messages routed to the session since it was created.
    pub enqueued_count: u64,
    /// Messages its full queue dropped since it was created.
    pub dropped_count: u64,
}

/// Which subscriptions; every condition that is given must hold.
#[derive(Clone, Debug, Default)]
pub struct SubscriptionFilter {
    /// Of this client.
    pub client_id: Option<String>,
    /// To exactly this filter, `$share/…` included.
    pub filter: Option<String>,
    /// That get the messages of this topic.
    pub matches: Option<String>,
    /// With this maximum QoS.
    pub qos: Option<u8>,
    /// Shared, or not.
    pub is_shared: Option<bool>,
}

/// One subscription as lists show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SubscriptionView {
    /// The subscriber.
    pub client_id: Str,
    /// Topic filter, with `$share/<group>/` where it has one.
    pub filter: Str,
    /// Maximum QoS.
    #[serde(serialize_with = "qos_number")]
    pub qos: Qos,
    /// The options byte of MQTT 5.0 §3.8.3.1.
    pub options: u8,
    /// Subscription identifier.
    pub identifier: Option<u32>,
}

fn qos_number<S: serde::Serializer>(qos: &Qos, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u8(*qos as u8)
}

/// Which routes; every condition that is given must hold.
#[derive(Clone, Debug, Default)]
pub struct RouteFilter {
    /// Exactly this filter.
    pub filter: Option<String>,
    /// A part of the filter.
    pub filter_like: Option<String>,
    /// That get the messages of this topic.
    pub matches: Option<String>,
}

/// A filter that somebody subscribes to, without `$share/<group>/`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RouteView {
    /// The filter.
    pub filter: Str,
    /// Subscriptions to it.
    pub subscription_count: usize,
}
