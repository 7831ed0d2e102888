//! Who is connected.

use std::net::SocketAddr;

use crate::Str;

/// MQTT protocol version of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProtocolVersion {
    /// MQTT 3.1 (protocol name `MQIsdp`, level 3).
    V3_1 = 3,
    /// MQTT 3.1.1 (level 4).
    V3_1_1 = 4,
    /// MQTT 5.0 (level 5).
    V5 = 5,
}

/// The identity and connection facts of a client; what rules, hooks and access control may read.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientInfo {
    /// Client identifier, assigned by the server when the client sent none.
    pub client_id: Str,
    /// User name, if given.
    pub username: Option<Str>,
    /// Remote address.
    pub peer: Option<SocketAddr>,
    /// Local address of the listener.
    pub local: Option<SocketAddr>,
    /// Protocol version.
    pub version: ProtocolVersion,
    /// Keep alive in force, seconds; 0 = none.
    pub keepalive_secs: u16,
    /// Clean session / clean start flag.
    pub clean_start: bool,
    /// Session expiry interval in force, seconds.
    pub session_expiry_secs: u32,
    /// Bridge bit of the protocol level.
    pub is_bridge: bool,
    /// Prefix put before the client's topics; empty when none.
    pub mountpoint: Str,
    /// When the connection was accepted, milliseconds since the epoch.
    pub connected_at_ms: i64,
    /// Whether access control is skipped for this client.
    pub is_superuser: bool,
}
