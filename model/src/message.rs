//! An MQTT application message on its way through the broker and the rules.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use crate::{ClientInfo, Str};

/// MQTT quality of service (MQTT 5.0 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Qos {
    /// At most once.
    AtMostOnce = 0,
    /// At least once.
    AtLeastOnce = 1,
    /// Exactly once.
    ExactlyOnce = 2,
}

impl Qos {
    /// The QoS of its number; `None` for 3 and above, which are malformed on the wire.
    pub fn from_u8(n: u8) -> Option<Self> {
        match n {
            0 => Some(Self::AtMostOnce),
            1 => Some(Self::AtLeastOnce),
            2 => Some(Self::ExactlyOnce),
            _ => None,
        }
    }
}

/// A message id, unique on this node and increasing in time: milliseconds since the epoch, then a counter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub u128);

impl MessageId {
    /// The next id at `now_ms` milliseconds since the epoch.
    pub fn next(now_ms: i64) -> Self {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        Self((u128::from(now_ms.unsigned_abs()) << 64) | u128::from(count))
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:028X}", self.0)
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where a message came from; republished messages remember the rules they went through.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Origin {
    /// A client's PUBLISH.
    #[default]
    Client,
    /// A will.
    Will,
    /// The management API or the CLI.
    Api,
    /// A rule's republish action: the ids of the rules it passed, oldest first. Loop protection reads this.
    Rules(Arc<Vec<Str>>),
    /// The broker itself (`$SYS`).
    System,
}

/// MQTT 5 properties of a PUBLISH that travel with the message (MQTT 5.0 §3.3.2.3); empty for older clients.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PublishProperties {
    /// 0x01 Payload Format Indicator: true when the payload is UTF-8 text.
    pub payload_is_text: Option<bool>,
    /// 0x02 Message Expiry Interval, seconds.
    pub message_expiry_secs: Option<u32>,
    /// 0x03 Content Type.
    pub content_type: Option<Str>,
    /// 0x08 Response Topic.
    pub response_topic: Option<Str>,
    /// 0x09 Correlation Data.
    pub correlation_data: Option<Bytes>,
    /// 0x26 User Property pairs, in order.
    pub user_properties: Vec<(Str, Str)>,
}

/// One application message. Shared by every receiver behind an `Arc`; the payload is never copied.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Unique on this node.
    pub id: MessageId,
    /// Topic name, valid by [`crate::validate_topic`].
    pub topic: Str,
    /// Payload as it came.
    pub payload: Bytes,
    /// QoS the publisher used.
    pub qos: Qos,
    /// RETAIN flag of the PUBLISH.
    pub retain: bool,
    /// DUP flag of the PUBLISH as received.
    pub dup: bool,
    /// The publisher; `None` when no client published it.
    pub publisher: Option<Arc<ClientInfo>>,
    /// MQTT 5 properties, `None` when there are none.
    pub properties: Option<Box<PublishProperties>>,
    /// When the broker received it, milliseconds since the epoch.
    pub received_at_ms: i64,
    /// Where it came from.
    pub origin: Origin,
}
