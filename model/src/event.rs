//! What happened in the broker, as rules and hooks see it.

use std::sync::Arc;

use crate::{Message, Row, Str};

/// The kinds of events a rule can select from (manual §7.2.3 and the later engine's names).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each variant is its wire name, see EventKind::name")]
pub enum EventKind {
    MessagePublish,
    MessageDelivered,
    MessageAcked,
    MessageDropped,
    MessageDeliveryDropped,
    ClientConnected,
    ClientDisconnected,
    ClientConnack,
    ClientPing,
    ClientSubscribe,
    ClientUnsubscribe,
    ClientCheckAuthzComplete,
    ClientCheckAuthnComplete,
    SessionCreated,
    SessionResumed,
    SessionTerminated,
    SessionSubscribed,
    SessionUnsubscribed,
    SchemaValidationFailed,
    MessageTransformationFailed,
    AlarmActivated,
    AlarmDeactivated,
}

impl EventKind {
    /// Every kind, in the order of the documentation.
    pub const ALL: [Self; 22] = [
        Self::MessagePublish,
        Self::MessageDelivered,
        Self::MessageAcked,
        Self::MessageDropped,
        Self::MessageDeliveryDropped,
        Self::ClientConnected,
        Self::ClientDisconnected,
        Self::ClientConnack,
        Self::ClientPing,
        Self::ClientSubscribe,
        Self::ClientUnsubscribe,
        Self::ClientCheckAuthzComplete,
        Self::ClientCheckAuthnComplete,
        Self::SessionCreated,
        Self::SessionResumed,
        Self::SessionTerminated,
        Self::SessionSubscribed,
        Self::SessionUnsubscribed,
        Self::SchemaValidationFailed,
        Self::MessageTransformationFailed,
        Self::AlarmActivated,
        Self::AlarmDeactivated,
    ];

    /// The event's own name, as in its `event` field.
    pub fn name(self) -> &'static str {
        match self {
            Self::MessagePublish => "message.publish",
            Self::MessageDelivered => "message.delivered",
            Self::MessageAcked => "message.acked",
            Self::MessageDropped => "message.dropped",
            Self::MessageDeliveryDropped => "delivery.dropped",
            Self::ClientConnected => "client.connected",
            Self::ClientDisconnected => "client.disconnected",
            Self::ClientConnack => "client.connack",
            Self::ClientPing => "client.ping",
            Self::ClientSubscribe => "client.subscribe",
            Self::ClientUnsubscribe => "client.unsubscribe",
            Self::ClientCheckAuthzComplete => "client.check_authz_complete",
            Self::ClientCheckAuthnComplete => "client.check_authn_complete",
            Self::SessionCreated => "session.created",
            Self::SessionResumed => "session.resumed",
            Self::SessionTerminated => "session.terminated",
            Self::SessionSubscribed => "session.subscribed",
            Self::SessionUnsubscribed => "session.unsubscribed",
            Self::SchemaValidationFailed => "schema.validation_failed",
            Self::MessageTransformationFailed => "message.transformation_failed",
            Self::AlarmActivated => "alarm.activated",
            Self::AlarmDeactivated => "alarm.deactivated",
        }
    }
}

/// One event on its way to the rules. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// When, milliseconds since the epoch.
    pub at_ms: i64,
    /// Name of the node it happened on, such as `weir@127.0.0.1`.
    pub node: Str,
    /// The facts.
    pub body: Body,
}

/// The facts of an event.
#[derive(Clone, Debug)]
pub enum Body {
    /// A published message; its fields are read from the message itself.
    Publish(Arc<Message>),
    /// Named fields, in the vocabulary of the event catalogue (`sql::catalogue`). Also used by the SQL tester,
    /// for messages too.
    Fields(Arc<Row>),
}
