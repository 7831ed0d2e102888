//! The part of a session's queue that overtakes: messages of topics with a priority (manual §5.11 `mqueue_priorities`).
//!
//! Within a priority messages keep their order, which is all that an ordered topic asks for [MQTT-4.6.0-6]: a topic has one
//! priority. Bounds are those of the whole queue.

use std::collections::{BTreeMap, VecDeque};

use model::Qos;

use super::Delivery;

/// Messages by priority. Never empty: the queue has none of these while nothing overtakes.
#[derive(Debug, Default)]
pub(super) struct Urgent {
    lanes: BTreeMap<u8, VecDeque<Delivery>>,
    count: usize,
}

impl Urgent {
    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn push(&mut self, delivery: Delivery, priority: u8) {
        self.lanes.entry(priority).or_default().push_back(delivery);
        self.count += 1;
    }

    /// The message that goes next: the first of the highest priority.
    pub(super) fn front(&self) -> Option<&Delivery> {
        self.lanes.last_key_value().and_then(|(_, lane)| lane.front())
    }

    pub(super) fn pop_front(&mut self) -> Option<Delivery> {
        let mut highest = self.lanes.last_entry()?;
        let delivery = highest.get_mut().pop_front();
        if highest.get().is_empty() {
            highest.remove();
        }
        self.count -= usize::from(delivery.is_some());
        delivery
    }

    /// Takes a message out to make room for one of `priority`: the oldest of the lowest priority, of QoS 0 if `qos0`.
    pub(super) fn give_way(&mut self, priority: u8, qos0: bool) -> Option<Delivery> {
        let fits = |delivery: &Delivery| !qos0 || delivery.qos == Qos::AtMostOnce;
        let found = self.lanes.range_mut(..=priority).find_map(|(lane, items)| {
            let at = items.iter().position(fits)?;
            items.remove(at).map(|delivery| (*lane, items.is_empty(), delivery))
        });
        let (lane, is_empty, delivery) = found?;
        if is_empty {
            self.lanes.remove(&lane);
        }
        self.count -= 1;
        Some(delivery)
    }

    /// Takes out what `wanted` names, highest priority first.
    pub(super) fn take_if(&mut self, wanted: impl Fn(&Delivery) -> bool) -> Vec<Delivery> {
        let mut taken = Vec::new();
        for lane in self.lanes.values_mut().rev() {
            let (out, kept): (Vec<_>, Vec<_>) = lane.drain(..).partition(&wanted);
            taken.extend(out);
            *lane = kept.into();
        }
        self.lanes.retain(|_, lane| !lane.is_empty());
        self.count -= taken.len();
        taken
    }
}
