//! Shared subscriptions: giving a message to one member of a group, and handing it on when that member cannot have it.
//!
//! Invariants:
//! - Every message for a group ends with one member, or is counted as dropped with the reason of the last that failed.
//! - A message goes to nobody who had it before, and is never handed on once it was sent with QoS 2 [MQTT-4.8.2-5].

use std::sync::Arc;

use model::ports::{Access, Decision};
use model::{ClientInfo, Message, Qos};

use super::Outgoing;
use super::group::{Asked, Group, Ticket};
use crate::durable::Receiver;
use crate::node::{Core, Phase, Source};
use crate::numbers::{Dropped, Metric};
use crate::registry::{Entry, Inner};
use crate::session::Delivery;

/// Members with a full queue that one message is offered to before one of them has to make room for it.
const FULL_TRIES_MAX: usize = 8;

/// Members that one message may be handed on by. What so many may not have is not worth another walk.
const HANDS_MAX: usize = 1_000;

impl Core {
    /// Gives the message to a member of the group; a durable one is put on the list of those the log has to know. The session whose publishers should wait a moment, if it is that full;
    /// `Err`: nobody is left who could have it.
    pub(crate) fn dispatch(
        &self,
        group: &Arc<Group>,
        outgoing: &Arc<Outgoing>,
        tried: Vec<u64>,
        durable: &mut Vec<Receiver>,
    ) -> Result<Option<Arc<Entry>>, ()> {
        let message = &outgoing.message;
        let publisher = message.publisher.as_ref().map_or("", |info| &info.client_id);
        // Asking for rights here as well costs every message; it is done once somebody has turned out to have none.
        let asks = !tried.is_empty();
        let mut skip = tried.clone();
        let mut full = Vec::new();
        loop {
            let asked = Asked { topic: &message.topic, publisher, skip: &skip };
            let online = group.pick_online(asked);
            let Some(member) = online.or_else(|| if full.is_empty() { group.pick_any(asked) } else { None }) else {
                break;
            };
            let receiver = member.receiver();
            skip.push(receiver.session.key);
            if asks && self.denies(&receiver.session, message) {
                continue;
            }
            let ticket = Arc::new(Ticket { group: group.clone(), tried: tried.clone() });
            let delivery = receiver.delivery(outgoing, Some(ticket));
            match self.offer(&receiver.session, delivery, durable) {
                Ok(pressed) => return Ok(pressed.then_some(receiver.session)),
                Err(delivery) => full.push((receiver.session, delivery)),
            }
            if full.len() >= FULL_TRIES_MAX {
                break;
            }
        }
        let Some((session, delivery)) = full.into_iter().next() else { return Err(()) };
        self.place(&session, delivery, durable);
        Ok(None)
    }

    /// `from` cannot have the message: another member of its group gets it. `Err` gives the message back when it is no
    /// shared one, or when no member is left.
    pub(crate) fn hand_on(&self, delivery: Delivery, from: &Entry) -> Result<(), Delivery> {
        let Some(ticket) = delivery.ticket.as_ref().filter(|ticket| ticket.tried.len() < HANDS_MAX) else {
            return Err(delivery);
        };
        let mut tried = ticket.tried.clone();
        tried.push(from.key);
        let mut durable = Vec::new();
        match self.dispatch(&ticket.group, &delivery.outgoing, tried, &mut durable) {
            Ok(_) => {
                if !durable.is_empty() {
                    // The publisher was answered long ago: nobody waits for this record.
                    drop(self.record(&delivery.outgoing.message, durable, Source::default()));
                }
                self.counters.add(Metric::DeliverySharedHandedOn, 1);
                Ok(())
            }
            Err(()) => Err(delivery),
        }
    }

    /// Hands on what a session leaves behind when it ends or leaves a group; what nobody takes is dropped.
    pub(crate) fn hand_on_all(&self, deliveries: Vec<Delivery>, from: &Entry, info: &ClientInfo, otherwise: Dropped) {
        // While the server stops every session ends: passing messages from one to the next would save none.
        let stopping = *self.phase.borrow() != Phase::Running;
        for delivery in deliveries {
            let left = if stopping { Err(delivery) } else { self.hand_on(delivery, from) };
            if let Err(delivery) = left {
                self.drop_delivery(&delivery, info, otherwise);
            }
        }
    }

    /// Takes out of a session that has lost its connection what connected members of its groups are to have. With
    /// `shared_dispatch_ack` that is everything not acknowledged; without, only what would be dropped for want of a
    /// connection.
    pub(crate) fn take_for_others(&self, entry: &Entry, inner: &mut Inner) -> Vec<Delivery> {
        let ack = self.settings.shared_dispatch_ack;
        let wanted = |delivery: &Delivery| {
            let ticket = delivery.ticket.as_ref().filter(|_| ack || delivery.qos == Qos::AtMostOnce);
            ticket.is_some_and(|ticket| ticket.group.has_other_online(entry.key))
        };
        let mut left = inner.outbound.take_unacknowledged(wanted);
        left.extend(inner.queue.take_if(wanted));
        left
    }

    /// Hands on what [`Core::take_for_others`] took. Where the others have gone meanwhile too, the message goes back.
    pub(crate) fn hand_on_or_keep(&self, left: Vec<Delivery>, entry: &Entry) {
        for delivery in left {
            if let Err(delivery) = self.hand_on(delivery, entry) {
                self.deliver(entry, delivery);
            }
        }
    }

    fn denies(&self, entry: &Entry, message: &Message) -> bool {
        let info = entry.inner.lock().info.clone();
        // Who has to ask first is asked when the message is sent, and hands it on if need be.
        !info.is_superuser
            && matches!(self.ports.authorize.authorize(&info, Access::Receive, &message.topic), Decision::Deny)
    }
}
