//! Messages from the session's queue to the client.

use std::sync::atomic::Ordering;

use model::EventKind;
use model::ports::Access;

use super::Connection;
use super::end::End;
use crate::codec::{Packet, Pubrel, Reason};
use crate::events::Fields;
use crate::numbers::{Dropped, Metric};
use crate::router::Envelope;
use crate::session::{Delivery, ToSend};

/// Messages taken from the session under one lock.
const BATCH: usize = 64;

impl Connection {
    /// Encodes what waits, until the write buffer is full or nothing may be sent. `true`: there is more.
    pub(super) async fn deliver(&mut self) -> Result<bool, End> {
        let mut batch = Vec::new();
        while self.outbox.len() - self.outbox_sent < self.zone.write_buffer_bytes {
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
        let limits = self.zone.queue_limits();
        let mut inner = self.entry.inner.lock();
        let inner = &mut *inner;
        // Retained messages only fill a quarter of the queue: live ones must not be dropped for them.
        while inner.queue.len() < (limits.messages_max / 4).max(1) && inner.queue.bytes() < limits.bytes_max / 4 {
            let Some(delivery) = self.retained_backlog.pop_front() else { break };
            let dropped = inner.queue.push(delivery, limits);
            self.core.counters.dropped(Dropped::QueueFull, dropped.len() as u64);
        }
        let mut bytes = self.outbox.len() - self.outbox_sent;
        while batch.len() < BATCH && bytes < self.zone.write_buffer_bytes {
            let Some(next) = inner.outbound.next(&mut inner.queue, self.window) else { break };
            if let ToSend::Publish { delivery, .. } = &next {
                bytes += delivery.cost_bytes();
            }
            batch.push(next);
        }
        if !inner.is_half_full() {
            self.link.is_slow.store(false, Ordering::Relaxed);
            self.link.relief.notify_waiters();
        }
    }

    async fn send_publish(&mut self, delivery: &Delivery, packet_id: u16, dup: bool) -> Result<(), End> {
        let message = &delivery.outgoing.message;
        let now_ms = self.core.now_ms();
        // A message in flight is repeated even when it has expired meanwhile: the client may know its identifier.
        if !dup && delivery.is_expired(now_ms) {
            return self.give_up(delivery, packet_id, Dropped::Expired);
        }
        if !self.core.allows(&self.info, Access::Receive, &message.topic).await {
            return self.give_up(delivery, packet_id, Dropped::NotAuthorized);
        }
        let envelope = Envelope {
            version: self.version,
            qos: delivery.qos,
            dup,
            retain: delivery.retain,
            packet_id,
            identifiers: delivery.identifiers.as_deref().unwrap_or_default(),
        };
        if !delivery.outgoing.encode(&mut self.outbox, envelope, now_ms, self.client_packet_bytes_max) {
            return self.give_up(delivery, packet_id, Dropped::TooLarge);
        }
        self.core.counters.add(Metric::of_sent_message(delivery.qos), 1);
        self.core.counters.add(Metric::MessagesBytesSent, message.payload.len() as u64);
        self.link.sent_count.fetch_add(1, Ordering::Relaxed);
        self.core.emit(EventKind::MessageDelivered, || Fields::of_delivery(message, &self.info));
        Ok(())
    }

    fn give_up(&self, delivery: &Delivery, packet_id: u16, reason: Dropped) -> Result<(), End> {
        if packet_id != 0 {
            self.entry.inner.lock().outbound.cancel(packet_id);
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
