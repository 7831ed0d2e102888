//! Messages of QoS 1 and 2 that were sent to the client and are not acknowledged (MQTT 5.0 §4.3, §4.4).

use std::collections::VecDeque;

use model::Qos;

use super::{Delivery, Queue};
use crate::codec::Error;

/// Messages in flight, in the order of their first sending [MQTT-4.6.0-1].
#[derive(Debug, Default)]
pub(crate) struct Outbound {
    inflight: VecDeque<Inflight>,
    last_packet_id: u16,
    /// Entries that have to be sent again on this connection.
    resend_count: usize,
}

#[derive(Debug)]
struct Inflight {
    packet_id: u16,
    resend: bool,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// PUBLISH sent.
    Published(Delivery),
    /// PUBREC came, PUBREL sent. The message itself is no longer needed.
    Released,
}

/// The next packet for the client.
#[derive(Debug)]
pub(crate) enum ToSend {
    /// A PUBLISH. The packet identifier is 0 for QoS 0.
    Publish {
        /// The message.
        delivery: Delivery,
        /// Its packet identifier.
        packet_id: u16,
        /// A repeated one.
        dup: bool,
    },
    /// A repeated PUBREL.
    Pubrel(u16),
}

impl Outbound {
    /// Number of messages in flight.
    pub(crate) fn len(&self) -> usize {
        self.inflight.len()
    }

    /// A new connection has taken the session up: everything in flight is to be sent again [MQTT-4.4.0-1].
    pub(crate) fn resume(&mut self) {
        for entry in &mut self.inflight {
            entry.resend = true;
        }
        self.resend_count = self.inflight.len();
    }

    /// The next packet to send, repeated ones first; `window` bounds what may be unacknowledged.
    pub(crate) fn next(&mut self, queue: &mut Queue, window: u16) -> Option<ToSend> {
        if self.resend_count > 0 {
            if self.inflight.len() - self.resend_count >= usize::from(window) {
                return None;
            }
            let entry = self.inflight.iter_mut().find(|entry| entry.resend)?;
            entry.resend = false;
            self.resend_count -= 1;
            return Some(match &entry.phase {
                Phase::Published(delivery) => {
                    ToSend::Publish { delivery: delivery.clone(), packet_id: entry.packet_id, dup: true }
                }
                Phase::Released => ToSend::Pubrel(entry.packet_id),
            });
        }
        if queue.front()?.qos == Qos::AtMostOnce {
            return Some(ToSend::Publish { delivery: queue.pop_front()?, packet_id: 0, dup: false });
        }
        if self.inflight.len() >= usize::from(window) {
            return None;
        }
        let packet_id = self.free_packet_id()?;
        let delivery = queue.pop_front()?;
        self.inflight.push_back(Inflight { packet_id, resend: false, phase: Phase::Published(delivery.clone()) });
        Some(ToSend::Publish { delivery, packet_id, dup: false })
    }

    /// PUBACK. The acknowledged message; `None` when nothing of that identifier is in flight.
    pub(crate) fn puback(&mut self, packet_id: u16) -> Result<Option<Delivery>, Error> {
        let Some(at) = self.position(packet_id) else { return Ok(None) };
        match self.inflight.get(at).map(|entry| &entry.phase) {
            Some(Phase::Published(delivery)) if delivery.qos == Qos::AtLeastOnce => Ok(self.take(at)),
            _ => Err(Error::protocol("PUBACK for a message of QoS 2")),
        }
    }

    /// PUBREC. The message; `None` when it was acknowledged before, or nothing of that identifier is in flight.
    pub(crate) fn pubrec(&mut self, packet_id: u16, refused: bool) -> Result<Option<Delivery>, Error> {
        let Some(at) = self.position(packet_id) else { return Ok(None) };
        let Some(entry) = self.inflight.get_mut(at) else { return Ok(None) };
        match &entry.phase {
            Phase::Published(delivery) if delivery.qos != Qos::ExactlyOnce => {
                Err(Error::protocol("PUBREC for a message of QoS 1"))
            }
            _ if refused => Ok(self.take(at)),
            Phase::Released => Ok(None),
            Phase::Published(_) => match std::mem::replace(&mut entry.phase, Phase::Released) {
                Phase::Published(delivery) => Ok(Some(delivery)),
                Phase::Released => Ok(None),
            },
        }
    }

    /// PUBCOMP. Whether an exchange was open.
    pub(crate) fn pubcomp(&mut self, packet_id: u16) -> Result<bool, Error> {
        let Some(at) = self.position(packet_id) else { return Ok(false) };
        match self.inflight.get(at).map(|entry| &entry.phase) {
            Some(Phase::Released) => {
                self.take(at);
                Ok(true)
            }
            _ => Err(Error::protocol("PUBCOMP before PUBREC")),
        }
    }

    /// Takes back a message that must not be sent after all: expired, too large, or no longer allowed.
    pub(crate) fn cancel(&mut self, packet_id: u16) {
        if let Some(at) = self.position(packet_id) {
            self.take(at);
        }
    }

    /// Takes the messages of QoS 1 out that were sent and not acknowledged and that `wanted` names. One of QoS 2 stays: once
    /// it was sent, nobody else may have it [MQTT-4.8.2-5].
    pub(crate) fn take_unacknowledged(&mut self, wanted: impl Fn(&Delivery) -> bool) -> Vec<Delivery> {
        let is_wanted = |entry: &Inflight| match &entry.phase {
            Phase::Published(delivery) => delivery.qos == Qos::AtLeastOnce && wanted(delivery),
            Phase::Released => false,
        };
        let mut taken = Vec::new();
        let mut at = 0;
        while at < self.inflight.len() {
            if self.inflight.get(at).is_some_and(is_wanted) {
                taken.extend(self.take(at));
            } else {
                at += 1;
            }
        }
        taken
    }

    fn position(&self, packet_id: u16) -> Option<usize> {
        self.inflight.iter().position(|entry| entry.packet_id == packet_id)
    }

    fn take(&mut self, at: usize) -> Option<Delivery> {
        let entry = self.inflight.remove(at)?;
        self.resend_count -= usize::from(entry.resend);
        if self.inflight.is_empty() && self.inflight.capacity() > 64 {
            self.inflight = VecDeque::new();
        }
        match entry.phase {
            Phase::Published(delivery) => Some(delivery),
            Phase::Released => None,
        }
    }

    fn free_packet_id(&mut self) -> Option<u16> {
        for _ in 0..=self.inflight.len() {
            self.last_packet_id = self.last_packet_id.checked_add(1).unwrap_or(1);
            if self.position(self.last_packet_id).is_none() {
                return Some(self.last_packet_id);
            }
        }
        None
    }
}
