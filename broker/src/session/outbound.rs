//! Messages of QoS 1 and 2 that have a packet identifier and are not acknowledged (MQTT 5.0 §4.3, §4.4).
//!
//! A session in memory takes a message from its queue when it sends it. A durable session does so when the log says it
//! ([`Outbound::admit`]), sends later, and keeps an acknowledged message until the acknowledgement is in the log: what
//! [`Outbound::settle`] and [`Outbound::receive`] note is about this connection only and no part of the durable state.

use std::collections::{HashMap, VecDeque};

use model::Qos;

use super::{Delivery, Queue};
use crate::codec::Error;

/// Messages in flight, in the order of their first sending [MQTT-4.6.0-1].
#[derive(Debug, Default)]
pub(crate) struct Outbound {
    inflight: VecDeque<Inflight>,
    last_packet_id: u16,
    /// The last so many entries have not been sent on this connection.
    unsent_count: usize,
    /// Entries that were sent and are only waiting for the log.
    settled_count: usize,
}

/// One message in flight.
#[derive(Debug)]
pub(crate) struct Inflight {
    /// Its packet identifier.
    pub packet_id: u16,
    /// How far the exchange is.
    pub phase: Phase,
    /// The message may have been sent before, on this connection or another.
    sent_before: bool,
    mark: Mark,
}

/// How far an exchange is.
#[derive(Debug)]
pub(crate) enum Phase {
    /// PUBLISH is sent, or is to be sent.
    Published(Delivery),
    /// PUBREC came. The message itself is no longer needed.
    Released,
    /// While a snapshot is read: the message of this number is still to come.
    Awaited(u64),
}

/// What the client has said and the log does not know yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    None,
    /// The exchange is over.
    Settled,
    /// PUBREC came.
    Received,
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
    /// A PUBREL.
    Pubrel(u16),
}

/// What a PUBREC means to a durable session.
#[derive(Debug)]
pub(crate) enum Receipt {
    /// Has to be recorded before PUBREL leaves; the message for the event.
    Record(Delivery),
    /// PUBREL may leave at once.
    Known,
    /// A record is on its way.
    Underway,
}

impl Outbound {
    /// Number of messages in flight.
    pub(crate) fn len(&self) -> usize {
        self.inflight.len()
    }

    /// Everything in flight, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Inflight> {
        self.inflight.iter()
    }

    /// Everything that was in flight.
    pub(crate) fn into_phases(self) -> impl Iterator<Item = Phase> {
        self.inflight.into_iter().map(|entry| entry.phase)
    }

    /// The identifier that was given last.
    pub(crate) fn last_packet_id(&self) -> u16 {
        self.last_packet_id
    }

    /// A new connection has taken the session up: everything in flight is to be sent again [MQTT-4.4.0-1].
    pub(crate) fn resume(&mut self) {
        self.inflight.iter_mut().for_each(|entry| entry.mark = Mark::None);
        self.unsent_count = self.inflight.len();
        self.settled_count = 0;
    }

    /// The next packet to send, repeated ones first; `window` bounds what may be unacknowledged.
    pub(crate) fn next(&mut self, queue: &mut Queue, window: u16) -> Option<ToSend> {
        if self.unsent_count > 0 {
            return self.next_unsent(window);
        }
        if queue.front()?.qos == Qos::AtMostOnce {
            return Some(ToSend::Publish { delivery: queue.pop_front()?, packet_id: 0, dup: false });
        }
        if self.open_count() >= usize::from(window) {
            return None;
        }
        self.admit(queue)?;
        self.next_unsent(window)
    }

    /// The next packet among those in flight that this connection has not sent.
    pub(crate) fn next_unsent(&mut self, window: u16) -> Option<ToSend> {
        while self.unsent_count > 0 && self.open_count() < usize::from(window) {
            let at = self.inflight.len() - self.unsent_count;
            let entry = self.inflight.get_mut(at)?;
            self.unsent_count -= 1;
            if entry.mark == Mark::Settled {
                self.settled_count += 1;
                continue;
            }
            let dup = std::mem::replace(&mut entry.sent_before, true);
            return Some(match &entry.phase {
                Phase::Published(delivery) => {
                    ToSend::Publish { delivery: delivery.clone(), packet_id: entry.packet_id, dup }
                }
                Phase::Released | Phase::Awaited(_) => ToSend::Pubrel(entry.packet_id),
            });
        }
        None
    }

    /// Entries the client has to answer.
    fn open_count(&self) -> usize {
        self.inflight.len() - self.unsent_count - self.settled_count
    }

    /// Takes the first message of the queue into flight, unsent, with the next free packet identifier. The bytes of its
    /// topic and payload.
    pub(crate) fn admit(&mut self, queue: &mut Queue) -> Option<usize> {
        queue.front()?;
        let packet_id = self.free_packet_id()?;
        let delivery = queue.pop_front()?;
        let bytes = delivery.cost_bytes();
        self.inflight.push_back(Inflight::new(packet_id, Phase::Published(delivery)));
        self.unsent_count += 1;
        Some(bytes)
    }

    /// The exchanges as a snapshot has them: identifier and number of the message, 0 where PUBREC came. The messages
    /// follow by [`Outbound::fulfil`].
    pub(crate) fn expect(&mut self, exchanges: Vec<(u16, u64)>, last_packet_id: u16) {
        let phase = |number| if number == 0 { Phase::Released } else { Phase::Awaited(number) };
        let entry = |(packet_id, number)| Inflight::new(packet_id, phase(number));
        self.inflight = exchanges.into_iter().map(entry).collect();
        self.last_packet_id = last_packet_id;
    }

    /// The numbers of the messages that are in flight and have not come yet.
    pub(crate) fn awaited(&self) -> impl Iterator<Item = u64> {
        self.inflight.iter().filter_map(|entry| match entry.phase {
            Phase::Awaited(number) => Some(number),
            Phase::Published(_) | Phase::Released => None,
        })
    }

    /// Puts the messages in their places.
    pub(crate) fn fulfil(&mut self, messages: &mut HashMap<u64, Option<Delivery>>) {
        for entry in &mut self.inflight {
            if let Phase::Awaited(number) = entry.phase
                && let Some(delivery) = messages.remove(&number).flatten()
            {
                entry.phase = Phase::Published(delivery);
            }
        }
    }

    /// After a crash nobody knows what was sent: everything in flight may have been.
    pub(crate) fn recovered(&mut self) {
        self.unsent_count = 0;
        self.inflight.iter_mut().for_each(|entry| entry.sent_before = true);
    }

    /// PUBACK. The acknowledged message; `None` when nothing of that identifier is in flight. With `keep`, the entry stays
    /// until [`Outbound::acknowledged`].
    pub(crate) fn puback(&mut self, packet_id: u16, keep: bool) -> Result<Option<Delivery>, Error> {
        let Some(at) = self.position(packet_id) else { return Ok(None) };
        match self.inflight.get(at).map(|entry| (&entry.phase, entry.mark)) {
            Some((_, Mark::Settled)) => Ok(None),
            Some((Phase::Published(delivery), _)) if delivery.qos == Qos::AtLeastOnce => {
                let delivery = delivery.clone();
                self.end(at, keep);
                Ok(Some(delivery))
            }
            _ => Err(Error::protocol("PUBACK for a message of QoS 2")),
        }
    }

    /// PUBREC. The message; `None` when it was acknowledged before, or nothing of that identifier is in flight.
    pub(crate) fn pubrec(&mut self, packet_id: u16, refused: bool) -> Result<Option<Delivery>, Error> {
        let Some(at) = self.checked_pubrec(packet_id)? else { return Ok(None) };
        if refused { Ok(self.take(at).and_then(Phase::into_delivery)) } else { Ok(self.release(at)) }
    }

    /// PUBREC of a durable session, without `refused`: nothing changes but a mark.
    pub(crate) fn receive(&mut self, packet_id: u16) -> Result<Receipt, Error> {
        let Some(at) = self.checked_pubrec(packet_id)? else { return Ok(Receipt::Known) };
        let Some(entry) = self.inflight.get_mut(at) else { return Ok(Receipt::Known) };
        match (&entry.phase, entry.mark) {
            (Phase::Published(delivery), Mark::None) => {
                let delivery = delivery.clone();
                entry.mark = Mark::Received;
                Ok(Receipt::Record(delivery))
            }
            (Phase::Published(_), Mark::Received) => Ok(Receipt::Underway),
            _ => Ok(Receipt::Known),
        }
    }

    /// PUBREC with a failure of a durable session: the exchange is over. The message.
    pub(crate) fn refuse(&mut self, packet_id: u16) -> Result<Option<Delivery>, Error> {
        let Some(at) = self.checked_pubrec(packet_id)? else { return Ok(None) };
        let delivery = self.inflight.get(at).filter(|entry| entry.mark != Mark::Settled).and_then(Inflight::delivery);
        self.settle_at(at);
        Ok(delivery)
    }

    fn checked_pubrec(&self, packet_id: u16) -> Result<Option<usize>, Error> {
        let Some(at) = self.position(packet_id) else { return Ok(None) };
        match self.inflight.get(at).map(|entry| &entry.phase) {
            Some(Phase::Published(delivery)) if delivery.qos != Qos::ExactlyOnce => {
                Err(Error::protocol("PUBREC for a message of QoS 1"))
            }
            _ => Ok(Some(at)),
        }
    }

    /// PUBCOMP. Whether an exchange was open. With `keep`, the entry stays until [`Outbound::acknowledged`].
    pub(crate) fn pubcomp(&mut self, packet_id: u16, keep: bool) -> Result<bool, Error> {
        let Some(at) = self.position(packet_id) else { return Ok(false) };
        match self.inflight.get(at).map(|entry| (&entry.phase, entry.mark)) {
            Some((_, Mark::Settled)) => Ok(false),
            Some((Phase::Released, _)) => {
                self.end(at, keep);
                Ok(true)
            }
            _ => Err(Error::protocol("PUBCOMP before PUBREC")),
        }
    }

    /// Takes back a message that must not be sent after all: expired, too large, or no longer allowed. Whether it was there.
    pub(crate) fn cancel(&mut self, packet_id: u16, keep: bool) -> bool {
        let at = self.position(packet_id);
        if let Some(at) = at {
            self.end(at, keep);
        }
        at.is_some()
    }

    /// The log has it that the exchange is over.
    pub(crate) fn acknowledged(&mut self, packet_id: u16) -> Option<Phase> {
        let at = self.position(packet_id)?;
        self.take(at)
    }

    /// The log has it that PUBREC came. The message, which is no longer needed.
    pub(crate) fn received(&mut self, packet_id: u16) -> Option<Delivery> {
        let at = self.position(packet_id)?;
        let delivery = self.release(at);
        if let Some(entry) = self.inflight.get_mut(at)
            && entry.mark == Mark::Received
        {
            entry.mark = Mark::None;
        }
        delivery
    }

    fn end(&mut self, at: usize, keep: bool) {
        if keep {
            self.settle_at(at);
        } else {
            self.take(at);
        }
    }

    /// Takes the messages of QoS 1 out that were sent and not acknowledged and that `wanted` names. One of QoS 2 stays: once
    /// it was sent, nobody else may have it [MQTT-4.8.2-5].
    pub(crate) fn take_unacknowledged(&mut self, wanted: impl Fn(&Delivery) -> bool) -> Vec<Delivery> {
        let is_wanted = |entry: &Inflight| match &entry.phase {
            Phase::Published(delivery) => delivery.qos == Qos::AtLeastOnce && wanted(delivery),
            Phase::Released | Phase::Awaited(_) => false,
        };
        let mut taken = Vec::new();
        let mut at = 0;
        while at < self.inflight.len() {
            if self.inflight.get(at).is_some_and(is_wanted) {
                taken.extend(self.take(at).and_then(Phase::into_delivery));
            } else {
                at += 1;
            }
        }
        taken
    }

    fn settle_at(&mut self, at: usize) {
        let sent = at < self.inflight.len() - self.unsent_count;
        if let Some(entry) = self.inflight.get_mut(at).filter(|entry| entry.mark != Mark::Settled) {
            entry.mark = Mark::Settled;
            // What is not sent is counted when its turn would have been.
            self.settled_count += usize::from(sent);
        }
    }

    fn release(&mut self, at: usize) -> Option<Delivery> {
        let entry = self.inflight.get_mut(at)?;
        std::mem::replace(&mut entry.phase, Phase::Released).into_delivery()
    }

    fn position(&self, packet_id: u16) -> Option<usize> {
        self.inflight.iter().position(|entry| entry.packet_id == packet_id)
    }

    fn take(&mut self, at: usize) -> Option<Phase> {
        let sent = at < self.inflight.len() - self.unsent_count;
        let entry = self.inflight.remove(at)?;
        if !sent {
            self.unsent_count -= 1;
        } else if entry.mark == Mark::Settled {
            self.settled_count -= 1;
        }
        if self.inflight.is_empty() && self.inflight.capacity() > 64 {
            self.inflight = VecDeque::new();
        }
        Some(entry.phase)
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

impl Inflight {
    fn new(packet_id: u16, phase: Phase) -> Self {
        Self { packet_id, phase, sent_before: false, mark: Mark::None }
    }

    fn delivery(&self) -> Option<Delivery> {
        match &self.phase {
            Phase::Published(delivery) => Some(delivery.clone()),
            Phase::Released | Phase::Awaited(_) => None,
        }
    }
}

impl Phase {
    /// The number of the message; 0 when it is no longer needed.
    pub(crate) fn number(&self) -> u64 {
        match self {
            Self::Published(delivery) => delivery.number,
            Self::Awaited(number) => *number,
            Self::Released => 0,
        }
    }

    /// The message, if it is still there.
    pub(crate) fn into_delivery(self) -> Option<Delivery> {
        match self {
            Self::Published(delivery) => Some(delivery),
            Self::Released | Self::Awaited(_) => None,
        }
    }
}
