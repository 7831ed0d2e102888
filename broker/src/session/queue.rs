//! Messages that wait for one session, in the order they came; those with a priority first. Bounded in messages and bytes.

use std::collections::VecDeque;

use model::Qos;

use super::Delivery;
use super::urgent::Urgent;
use crate::settings::QueueFull;

/// The bounds of a [`Queue`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueueLimits {
    /// Messages.
    pub messages_max: usize,
    /// Bytes of topic and payload.
    pub bytes_max: usize,
    /// What gives way.
    pub when_full: QueueFull,
}

/// A queue that knows its weight.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    items: VecDeque<Delivery>,
    /// What goes before `items`; sessions without such messages have none.
    urgent: Option<Box<Urgent>>,
    bytes: usize,
    qos0_count: usize,
}

/// What [`Queue::push`] gave up to keep its bounds; empty when there was room.
pub(super) type Pushed = Vec<Delivery>;

impl Queue {
    /// Number of messages.
    pub(crate) fn len(&self) -> usize {
        self.items.len() + self.urgent.as_ref().map_or(0, |urgent| urgent.len())
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty() && self.urgent.is_none()
    }

    /// Bytes of topic and payload that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Appends `delivery`, dropping by policy what is too much; what was dropped is returned.
    pub(crate) fn push(&mut self, delivery: Delivery, limits: QueueLimits) -> Pushed {
        let cost = delivery.cost_bytes();
        let mut dropped = Vec::new();
        while !self.has_room(cost, limits) {
            let victim = self.take_oldest_qos0().or_else(|| match limits.when_full {
                QueueFull::DropOldest if delivery.qos != Qos::AtMostOnce => self.pop_ordinary(),
                _ => None,
            });
            match victim {
                Some(victim) => dropped.push(victim),
                None => {
                    dropped.push(delivery);
                    return dropped;
                }
            }
        }
        self.push_within(delivery);
        dropped
    }

    /// Appends a message that was in the queue before a restart.
    pub(crate) fn push_within(&mut self, delivery: Delivery) {
        self.bytes += delivery.cost_bytes();
        self.qos0_count += usize::from(delivery.qos == Qos::AtMostOnce);
        self.items.push_back(delivery);
    }

    /// Everything that waits, first to last.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Delivery> {
        self.items.iter()
    }

    /// Puts `delivery` before everything of a lower priority. It makes nothing of a higher one give way.
    pub(crate) fn push_urgent(&mut self, delivery: Delivery, priority: u8, limits: QueueLimits) -> Pushed {
        let cost = delivery.cost_bytes();
        let mut dropped = Vec::new();
        while !self.has_room(cost, limits) {
            let drops_oldest = limits.when_full == QueueFull::DropOldest && delivery.qos != Qos::AtMostOnce;
            let victim = self
                .take_oldest_qos0()
                .or_else(|| self.take_urgent(|urgent| urgent.give_way(priority, true)))
                .or_else(|| if drops_oldest { self.pop_ordinary() } else { None })
                .or_else(
                    || if drops_oldest { self.take_urgent(|urgent| urgent.give_way(priority, false)) } else { None },
                );
            match victim {
                Some(victim) => dropped.push(victim),
                None => {
                    dropped.push(delivery);
                    return dropped;
                }
            }
        }
        self.bytes += cost;
        self.qos0_count += usize::from(delivery.qos == Qos::AtMostOnce);
        self.urgent.get_or_insert_default().push(delivery, priority);
        dropped
    }

    fn take_urgent(&mut self, take: impl FnOnce(&mut Urgent) -> Option<Delivery>) -> Option<Delivery> {
        let urgent = self.urgent.as_mut()?;
        let delivery = take(urgent)?;
        if urgent.len() == 0 {
            self.urgent = None;
        }
        self.forget(&delivery);
        Some(delivery)
    }

    /// Whether a message of `cost` bytes fits without dropping another.
    pub(crate) fn has_room(&self, cost: usize, limits: QueueLimits) -> bool {
        self.len() < limits.messages_max && self.bytes.saturating_add(cost) <= limits.bytes_max
    }

    /// Takes the messages out that `wanted` names, in their order.
    pub(crate) fn take_if(&mut self, wanted: impl Fn(&Delivery) -> bool) -> Vec<Delivery> {
        let mut taken = self.urgent.as_mut().map_or_else(Vec::new, |urgent| urgent.take_if(&wanted));
        if self.urgent.as_ref().is_some_and(|urgent| urgent.len() == 0) {
            self.urgent = None;
        }
        if self.items.iter().any(&wanted) {
            let (out, kept): (Vec<_>, Vec<_>) = self.items.drain(..).partition(wanted);
            self.items = kept.into();
            taken.extend(out);
        }
        taken.iter().for_each(|delivery| self.forget(delivery));
        taken
    }

    /// The message that goes next.
    pub(crate) fn front(&self) -> Option<&Delivery> {
        self.urgent.as_ref().and_then(|urgent| urgent.front()).or_else(|| self.items.front())
    }

    /// Takes the message that goes next.
    pub(crate) fn pop_front(&mut self) -> Option<Delivery> {
        self.take_urgent(Urgent::pop_front).or_else(|| self.pop_ordinary())
    }

    /// Takes the message without priority that has waited longest. An emptied queue gives its memory back.
    fn pop_ordinary(&mut self) -> Option<Delivery> {
        let delivery = self.items.pop_front()?;
        self.forget(&delivery);
        if self.items.is_empty() && self.items.capacity() > 64 {
            self.items = VecDeque::new();
        }
        Some(delivery)
    }

    /// Takes out what a disconnected session does not keep.
    pub(crate) fn drop_qos0(&mut self) -> Vec<Delivery> {
        self.take_if(|delivery| delivery.qos == Qos::AtMostOnce)
    }

    fn take_oldest_qos0(&mut self) -> Option<Delivery> {
        if self.qos0_count == 0 {
            return None;
        }
        let at = self.items.iter().position(|delivery| delivery.qos == Qos::AtMostOnce)?;
        let delivery = self.items.remove(at)?;
        self.forget(&delivery);
        Some(delivery)
    }

    fn forget(&mut self, delivery: &Delivery) {
        self.bytes -= delivery.cost_bytes();
        self.qos0_count -= usize::from(delivery.qos == Qos::AtMostOnce);
    }
}
