//! Messages from the session's queue to the client.

use std::sync::atomic::Ordering;

use model::ports::Access;
use model::{EventKind, Qos};
use tokio::sync::oneshot::error::TryRecvError;

use super::Connection;
use super::end::End;
use crate::codec::{Packet, Pubrel, Reason};
use crate::durable::{Publish, Receiver, Record};
use crate::events::Fields;
use crate::numbers::{Dropped, Metric};
use crate::router::Envelope;
use crate::session::{Delivery, ToSend};
use crate::trace::Line;

/// Messages taken from the session under one lock.
const BATCH: usize = 64;

impl Connection {
    /// Encodes what waits, until the write buffer is full or nothing may be sent. `true`: there is more.
    pub(super) async fn deliver(&mut self) -> Result<bool, End> {
        let mut batch = Vec::new();
        while self.outbox.len() - self.outbox_sent < self.core.settings.write_buffer_bytes {
            self.feed_retained();
            self.take_batch(&mut batch);
            if batch.is_empty() {
                return Ok(false);
            }
            // A batch that has been taken is sent whole: its QoS 1 and 2 messages are in flight already. Its size was counted
            // when it was taken, so that it overruns the write buffer by one message at most.
            for next in batch.drain(..) {
                match next {
                    ToSend::Pubrel(packet_id) => self.send(&Packet::Pubrel(Pubrel::new(packet_id, Reason::SUCCESS)))?,
                    ToSend::Publish { delivery, packet_id, dup } => {
                        self.send_publish(&delivery, packet_id, dup).await?
                    }
                }
            }
        }
        Ok(true)
    }

    fn take_batch(&mut self, batch: &mut Vec<ToSend>) {
        let limits = self.core.queue_limits();
        let mut inner = self.entry.inner.lock();
        let inner = &mut *inner;
        // Retained messages only fill a quarter of the queue: live ones must not be dropped for them.
        while !self.entry.durable
            && inner.queue.len() < (limits.messages_max / 4).max(1)
            && inner.queue.bytes() < limits.bytes_max / 4
        {
            let Some(delivery) = self.retained_backlog.pop_front() else { break };
            let dropped = inner.queue.push(delivery, limits);
            inner.dropped_count += dropped.len() as u64;
            dropped.iter().for_each(|delivery| self.core.drop_delivery(delivery, &self.info, Dropped::QueueFull));
        }
        let mut bytes = self.outbox.len() - self.outbox_sent;
        while batch.len() < BATCH && bytes < self.core.settings.write_buffer_bytes {
            let Some(next) = inner.next(self.window) else { break };
            if let ToSend::Publish { delivery, .. } = &next {
                bytes += delivery.cost_bytes();
            }
            batch.push(next);
        }
        if !self.core.is_half_full(&inner.queue) {
            self.link.is_slow.store(false, Ordering::Relaxed);
            self.link.relief.notify_waiters();
        }
    }

    /// Puts the next retained messages into the queue of a durable session: those of QoS 1 and 2 by way of the log, one
    /// lot at a time.
    fn feed_retained(&mut self) {
        if !self.entry.durable || self.retained_backlog.is_empty() {
            return;
        }
        let limits = self.core.queue_limits();
        let room = {
            let mut inner = self.entry.inner.lock();
            let waiting = inner.queue.len() + inner.outbound.len();
            let bytes = inner.queue.bytes();
            let Some(kept) = &mut inner.kept else { return };
            let lot_is_open = kept.retained_lot.as_mut().is_some_and(|lot| lot.try_recv() == Err(TryRecvError::Empty));
            if lot_is_open || kept.transient.len() >= BATCH || bytes >= limits.bytes_max / 4 {
                return;
            }
            (limits.messages_max / 4).max(1).saturating_sub(waiting).min(BATCH)
        };
        let mut lot = None;
        for delivery in self.retained_backlog.drain(..room.min(self.retained_backlog.len())) {
            let Delivery { outgoing, qos, retain, identifiers, .. } = delivery;
            if qos == Qos::AtMostOnce {
                let delivery = Delivery { outgoing, qos, retain, identifiers, ticket: None, number: 0 };
                if let Some(kept) = &mut self.entry.inner.lock().kept {
                    let dropped = kept.transient.push(delivery, limits);
                    self.core.counters.dropped(Dropped::QueueFull, dropped.len() as u64);
                }
                continue;
            }
            let receivers = vec![Receiver { session: self.entry.key, qos, retain, identifiers }];
            let message = outgoing.message.clone();
            let publish = Publish { message, receivers, from: None, will_of: None, retained: false };
            lot = self.core.submit(Record::Publish(Box::new(publish)));
        }
        if let Some(kept) = &mut self.entry.inner.lock().kept {
            kept.retained_lot = lot;
        }
    }

    async fn send_publish(&mut self, delivery: &Delivery, packet_id: u16, dup: bool) -> Result<(), End> {
        let message = &delivery.outgoing.message;
        let now_ms = self.core.now_ms();
        // A message in flight is repeated even when it has expired meanwhile: the client may know its identifier.
        if !dup && delivery.is_expired(now_ms) {
            return self.give_up(delivery, packet_id, Dropped::Expired);
        }
        if !self.allows(Access::Receive, &message.topic).await {
            return self.give_up(delivery, packet_id, Dropped::NotAuthorized);
        }
        let envelope = Envelope {
            version: self.version,
            qos: delivery.qos,
            dup,
            retain: delivery.retain,
            packet_id,
            identifiers: delivery.identifiers.as_deref().unwrap_or_default(),
            alias: None,
        };
        if !self.write_publish(delivery, envelope, now_ms) {
            return self.give_up(delivery, packet_id, Dropped::TooLarge);
        }
        self.core.counters.add(Metric::of_sent_message(delivery.qos), 1);
        self.core.counters.add(Metric::MessagesBytesSent, message.payload.len() as u64);
        self.link.sent_count.fetch_add(1, Ordering::Relaxed);
        self.core.trace(Some(&self.info), Line::Delivered(message, delivery.qos, packet_id));
        self.core.emit(EventKind::MessageDelivered, || Fields::of_delivery(message, &self.info));
        Ok(())
    }

    /// Encodes the message, with a topic alias where the client takes them. `false`: it is too large for the client.
    fn write_publish(&mut self, delivery: &Delivery, mut envelope: Envelope<'_>, now_ms: i64) -> bool {
        let (outgoing, bytes_max) = (&delivery.outgoing, self.client_packet_bytes_max);
        if let Some(aliases) = &mut self.outgoing_aliases
            && let Some(alias) = aliases.of(&outgoing.message.topic)
        {
            envelope.alias = Some(alias);
            if outgoing.encode(&mut self.outbox, envelope, now_ms, bytes_max) {
                aliases.remember(&outgoing.message.topic, alias);
                return true;
            }
            // Telling the client of a new alias takes three bytes more than the message itself.
            envelope.alias = None;
        }
        outgoing.encode(&mut self.outbox, envelope, now_ms, bytes_max)
    }

    fn give_up(&self, delivery: &Delivery, packet_id: u16, reason: Dropped) -> Result<(), End> {
        if packet_id != 0 {
            self.core.cancel(&self.entry, packet_id);
        }
        // Another member of a shared subscription may have the right, or take larger packets (MQTT 5.0 §3.1.2.11.4).
        let handed_on = matches!(reason, Dropped::NotAuthorized | Dropped::TooLarge)
            && self.core.hand_on(delivery.clone(), &self.entry).is_ok();
        if !handed_on {
            self.core.drop_delivery(delivery, &self.info, reason);
        }
        Ok(())
    }
}
