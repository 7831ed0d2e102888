//! Which records of a queue are read, acknowledged or given back. Pure bookkeeping: no I/O, no clock.
//!
//! The window is the span from the oldest unacknowledged record (`low`) to the newest one read. Records behind the
//! window are unread; records before it are done with.

use std::collections::{BTreeSet, VecDeque};

/// The span of records that have been read and not released.
#[derive(Debug)]
pub(super) struct Window {
    low: u64,
    slots: VecDeque<Slot>,
    /// Numbers of the records given back, to be served again before anything new.
    returned: BTreeSet<u64>,
    in_flight: u64,
    /// Acknowledged records that wait for an older one.
    acked_ahead: u64,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    /// Byte in its file, to read it again.
    pos: u64,
    /// Length with framing.
    bytes: u64,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    InFlight,
    Returned,
    Acked,
}

impl Window {
    pub(super) fn new(low: u64) -> Self {
        Self { low, slots: VecDeque::new(), returned: BTreeSet::new(), in_flight: 0, acked_ahead: 0 }
    }

    /// The oldest unacknowledged record.
    pub(super) fn low(&self) -> u64 {
        self.low
    }

    /// The first record that was never read.
    pub(super) fn unread(&self) -> u64 {
        self.low + self.slots.len() as u64
    }

    /// How many records lie between the oldest unacknowledged and the newest read.
    pub(super) fn span(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn in_flight(&self) -> u64 {
        self.in_flight
    }

    pub(super) fn acked_ahead(&self) -> u64 {
        self.acked_ahead
    }

    /// Records given back and not yet served again, oldest first, with their place.
    pub(super) fn returned(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.returned.iter().filter_map(|seq| Some((*seq, self.slot(*seq)?.pos)))
    }

    pub(super) fn has_returned(&self) -> bool {
        !self.returned.is_empty()
    }

    /// The next unread record is now in flight.
    pub(super) fn push(&mut self, pos: u64, bytes: u64) {
        self.slots.push_back(Slot { pos, bytes, state: State::InFlight });
        self.in_flight += 1;
    }

    /// The next unread record is skipped: damaged, or dropped by policy.
    pub(super) fn push_done(&mut self) {
        self.slots.push_back(Slot { pos: 0, bytes: 0, state: State::Acked });
        self.acked_ahead += 1;
        self.advance();
    }

    /// A record given back is in flight again; false if it is not waiting any more.
    pub(super) fn take_returned(&mut self, seq: u64) -> bool {
        if !self.returned.remove(&seq) {
            return false;
        }
        self.set(seq, State::InFlight);
        self.in_flight += 1;
        true
    }

    /// Acknowledges one record in flight or given back; returns its bytes, or `None` if it is neither.
    pub(super) fn ack(&mut self, seq: u64) -> Option<u64> {
        let slot = *self.slot(seq)?;
        match slot.state {
            State::Acked => return None,
            State::InFlight => self.in_flight -= 1,
            State::Returned => {
                self.returned.remove(&seq);
            }
        }
        self.set(seq, State::Acked);
        self.acked_ahead += 1;
        Some(slot.bytes)
    }

    /// Gives one record in flight back; false if it is not in flight.
    pub(super) fn nack(&mut self, seq: u64) -> bool {
        if self.slot(seq).is_none_or(|slot| slot.state != State::InFlight) {
            return false;
        }
        self.set(seq, State::Returned);
        self.in_flight -= 1;
        self.returned.insert(seq)
    }

    /// Releases what is acknowledged without a gap; true if anything was.
    pub(super) fn advance(&mut self) -> bool {
        let before = self.low;
        while self.slots.pop_front_if(|slot| slot.state == State::Acked).is_some() {
            self.low += 1;
            self.acked_ahead -= 1;
        }
        self.low != before
    }

    fn slot(&self, seq: u64) -> Option<&Slot> {
        self.slots.get(usize::try_from(seq.checked_sub(self.low)?).ok()?)
    }

    fn set(&mut self, seq: u64, state: State) {
        let at = seq.checked_sub(self.low).and_then(|at| usize::try_from(at).ok());
        if let Some(slot) = at.and_then(|at| self.slots.get_mut(at)) {
            slot.state = state;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn out_of_order_acks_release_only_without_a_gap() {
        let mut window = Window::new(10);
        for _ in 0..4 {
            window.push(0, 7);
        }
        assert_eq!(window.ack(12), Some(7));
        assert_eq!(window.ack(12), None, "the second acknowledgement counts nothing");
        assert_eq!((window.advance(), window.low()), (false, 10));
        assert_eq!(window.ack(10), Some(7));
        assert_eq!((window.advance(), window.low()), (true, 11));
        assert_eq!(window.ack(11), Some(7));
        assert_eq!((window.advance(), window.low(), window.in_flight()), (true, 13, 1));
    }

    proptest! {
        /// Against the plainest model there is: a map from number to state.
        #[test]
        fn behaves_like_a_map_of_states(ops in proptest::collection::vec((0u8..4, 0u64..40), 0..200)) {
            let mut window = Window::new(0);
            let mut model: Vec<State> = Vec::new();
            for (op, n) in ops {
                let at = model.get_mut(n as usize);
                match op {
                    0 => { window.push(0, 1); model.push(State::InFlight); }
                    1 => {
                        let expect = at.is_some_and(|s| std::mem::replace(s, State::Acked) != State::Acked);
                        prop_assert_eq!(window.ack(n).is_some(), expect);
                        window.advance();
                    }
                    2 => {
                        let expect = at.is_some_and(|s| {
                            let was = *s == State::InFlight;
                            if was { *s = State::Returned; }
                            was
                        });
                        prop_assert_eq!(window.nack(n), expect);
                    }
                    _ => {
                        let expect = at.is_some_and(|s| {
                            let was = *s == State::Returned;
                            if was { *s = State::InFlight; }
                            was
                        });
                        prop_assert_eq!(window.take_returned(n), expect);
                    }
                }
                let low = model.iter().take_while(|s| **s == State::Acked).count();
                let count = |state| model.iter().filter(|s| **s == state).count() as u64;
                prop_assert_eq!(window.low(), low as u64);
                prop_assert_eq!(window.unread(), model.len() as u64);
                prop_assert_eq!(window.in_flight(), count(State::InFlight));
                prop_assert_eq!(window.acked_ahead(), count(State::Acked) - low as u64);
                prop_assert_eq!(window.returned().count() as u64, count(State::Returned));
            }
        }
    }
}
