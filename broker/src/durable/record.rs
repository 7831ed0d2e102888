//! What can happen to the durable state: the entries of the ordered log, as values.

use std::sync::Arc;

use model::{ClientInfo, Message, Qos, Str};

use crate::registry::{Subscribed, Will};
use crate::session::QueueLimits;

/// One change.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Record {
    /// A message for durable sessions, or one that is retained.
    Publish(Box<Publish>),
    /// A connection takes a session up, a new one or one that is there.
    Attach(Box<Attach>),
    /// The connection has let go of the session.
    Detach {
        /// The session.
        session: u64,
        /// When, milliseconds since the epoch.
        at_ms: i64,
        /// Seconds the session lives on.
        expiry_secs: u32,
        /// The client took its leave properly: no will.
        will_void: bool,
    },
    /// The session is over.
    End {
        /// The session.
        session: u64,
    },
    /// New or replaced subscriptions.
    Subscribe {
        /// The session.
        session: u64,
        /// By filter, `$share/…` included.
        subscriptions: Vec<(Str, Subscribed)>,
    },
    /// Subscriptions that end.
    Unsubscribe {
        /// The session.
        session: u64,
        /// The filters.
        filters: Vec<Str>,
    },
    /// Exchanges with the client that are over: PUBACK, PUBCOMP, a refusal, or a message that is not to be sent.
    Acknowledged {
        /// The session.
        session: u64,
        /// Packet identifiers.
        packet_ids: Vec<u16>,
    },
    /// PUBREC from the client.
    Received {
        /// The session.
        session: u64,
        /// Packet identifier.
        packet_id: u16,
    },
    /// PUBREL from the client, or the end of an exchange that was refused.
    Released {
        /// The session.
        session: u64,
        /// Packet identifier.
        packet_id: u16,
    },
    /// The will is published or will never be.
    WillDone {
        /// The session.
        session: u64,
    },
    /// Retained messages that are no more.
    Unretain {
        /// Their topics.
        topics: Vec<Str>,
    },
    /// The broker is alive: what is attached was attached at this time, milliseconds since the epoch.
    Tick {
        /// The time.
        at_ms: i64,
    },
    /// The broker has started again: whatever was attached was let go at this time.
    Restart {
        /// The time.
        at_ms: i64,
    },
}

/// A message and who gets it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Publish {
    /// The message, written once however many receivers it has.
    pub message: Arc<Message>,
    /// The sessions that get it, in the order of their deliveries' numbers.
    pub receivers: Vec<Receiver>,
    /// The durable session and packet identifier of a QoS 2 publisher.
    pub from: Option<(u64, u16)>,
    /// The session whose will this is.
    pub will_of: Option<u64>,
    /// Whether the message, or the absence of one, is retained.
    pub retained: bool,
}

/// One durable delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Receiver {
    /// The session.
    pub session: u64,
    /// QoS of the delivery, 1 or 2.
    pub qos: Qos,
    /// RETAIN flag.
    pub retain: bool,
    /// Subscription identifiers.
    pub identifiers: Option<Box<[u32]>>,
}

/// A connection that takes a session up.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Attach {
    /// The session.
    pub session: u64,
    /// The session begins with this connection.
    pub is_new: bool,
    /// The client. What is about its socket or its rights is not written.
    pub info: Arc<ClientInfo>,
    /// When, milliseconds since the epoch.
    pub at_ms: i64,
    /// Unacknowledged messages the client takes.
    pub window: u16,
    /// Bounds of the session's queue.
    pub limits: QueueLimits,
    /// The will.
    pub will: Option<Box<Will>>,
}

impl Record {
    /// Whether it makes the state larger, so that it is refused when there is no room. What ends something never is.
    pub(crate) fn grows(&self) -> bool {
        match self {
            Self::Publish(publish) => publish.will_of.is_none(),
            Self::Attach(attach) => attach.is_new,
            Self::Subscribe { .. } => true,
            _ => false,
        }
    }
}
