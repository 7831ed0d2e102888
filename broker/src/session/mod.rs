//! The state of a session, as a machine without I/O: what waits, what is in flight, which QoS 2 exchanges are open.
//!
//! Invariants:
//! - No sockets, no clock, no tasks; the same calls give the same state.
//! - Every collection is bounded by the limits it is given.
//! - A packet identifier is in use until its exchange is over; a message keeps its identifier over reconnects.

mod inbound;
mod kept;
mod outbound;
mod queue;
mod urgent;

pub(crate) use inbound::{Inbound, Received};
pub(crate) use kept::Kept;
pub(crate) use outbound::{Outbound, Phase, Receipt, ToSend};
pub(crate) use queue::{Queue, QueueLimits};

use std::sync::Arc;

use model::Qos;

use crate::router::{Outgoing, Ticket};

/// A message on its way to one session.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    /// The message with its shared encodings.
    pub outgoing: Arc<Outgoing>,
    /// The lower of the publisher's and the subscription's QoS.
    pub qos: Qos,
    /// RETAIN flag towards this subscriber.
    pub retain: bool,
    /// Subscription identifiers of the matching subscriptions; `None` when there are none.
    pub identifiers: Option<Box<[u32]>>,
    /// Set when the session has the message for a shared subscription.
    pub ticket: Option<Arc<Ticket>>,
    /// Its place in the order of all durable deliveries; 0 for one that lives in memory only.
    pub number: u64,
}

impl Delivery {
    /// What the message costs the queue, bytes.
    pub(crate) fn cost_bytes(&self) -> usize {
        self.outgoing.message.topic.len() + self.outgoing.message.payload.len()
    }

    /// Whether the message expiry interval is over at `now_ms` (MQTT 5.0 §3.3.2.3.3).
    pub(crate) fn is_expired(&self, now_ms: i64) -> bool {
        self.outgoing.expires_at_ms().is_some_and(|at| now_ms >= at)
    }
}
