//! DISCONNECT: ends a connection and says why (MQTT 5.0 §3.14).

use super::read::Reader;
use super::write::with_length;
use super::{Carrier, Error, Properties, Property, Reason, Version};

/// The last packet of a connection. Before MQTT 5 only clients send it, and it has no content.
#[derive(Clone, Debug, PartialEq)]
pub struct Disconnect {
    /// Why.
    pub reason: Reason,
    /// MQTT 5 properties.
    pub properties: Properties,
}

impl Disconnect {
    /// The packet without properties.
    pub fn new(reason: Reason) -> Self {
        Self { reason, properties: Properties::default() }
    }

    /// Reads the body of a frame.
    pub fn decode(flags: u8, body: &[u8], version: Version) -> Result<Self, Error> {
        if flags != 0 {
            return Err(Error::malformed("reserved flags are not zero [MQTT-3.14.1-1]"));
        }
        let mut reader = Reader::new(body);
        let mut packet = Self::new(Reason::SUCCESS);
        if version == Version::V5 && !reader.is_empty() {
            packet.reason = Reason(reader.u8()?);
            if !reader.is_empty() {
                packet.properties = Properties::decode(&mut reader, Carrier::Disconnect)?;
            }
        }
        if !reader.is_empty() {
            return Err(Error::protocol("bytes follow the last field of DISCONNECT"));
        }
        if !REASONS.contains(&packet.reason) {
            // The client has said its last word; there is no use in answering it.
            return Err(Error::protocol("a reason code that DISCONNECT must not carry [MQTT-3.14.2-1]").silently());
        }
        Ok(packet)
    }

    /// Appends the packet.
    pub fn encode(&self, out: &mut Vec<u8>, version: Version) {
        if version != Version::V5 || (self.reason == Reason::SUCCESS && self.properties.0.is_empty()) {
            out.extend([0xe0, 0]);
            return;
        }
        with_length(out, 0xe0, |out| {
            out.push(self.reason.0);
            if !self.properties.0.is_empty() {
                self.properties.encode(out);
            }
        });
    }

    /// The session expiry interval, if the packet sets one, seconds.
    pub fn session_expiry_secs(&self) -> Option<u32> {
        self.properties.find(|property| match property {
            Property::SessionExpiryInterval(secs) => Some(*secs),
            _ => None,
        })
    }
}

/// MQTT 5.0 table 3-13.
const REASONS: [Reason; 29] = [
    Reason::SUCCESS,
    Reason::DISCONNECT_WITH_WILL,
    Reason::UNSPECIFIED_ERROR,
    Reason::MALFORMED_PACKET,
    Reason::PROTOCOL_ERROR,
    Reason::IMPLEMENTATION_SPECIFIC_ERROR,
    Reason::NOT_AUTHORIZED,
    Reason::SERVER_BUSY,
    Reason::SERVER_SHUTTING_DOWN,
    Reason::KEEP_ALIVE_TIMEOUT,
    Reason::SESSION_TAKEN_OVER,
    Reason::TOPIC_FILTER_INVALID,
    Reason::TOPIC_NAME_INVALID,
    Reason::RECEIVE_MAXIMUM_EXCEEDED,
    Reason::TOPIC_ALIAS_INVALID,
    Reason::PACKET_TOO_LARGE,
    Reason::MESSAGE_RATE_TOO_HIGH,
    Reason::QUOTA_EXCEEDED,
    Reason::ADMINISTRATIVE_ACTION,
    Reason::PAYLOAD_FORMAT_INVALID,
    Reason::RETAIN_NOT_SUPPORTED,
    Reason::QOS_NOT_SUPPORTED,
    Reason::USE_ANOTHER_SERVER,
    Reason::SERVER_MOVED,
    Reason::SHARED_SUBSCRIPTIONS_NOT_SUPPORTED,
    Reason::CONNECTION_RATE_EXCEEDED,
    Reason::MAXIMUM_CONNECT_TIME,
    Reason::SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED,
    Reason::WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED,
];
