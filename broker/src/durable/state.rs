//! The durable state of the broker, as a fold over the records of the log.
//!
//! Invariants:
//! - [`State::apply`] is a function of the state and the record: no clock, no chance, no order of a hash map. The serving
//!   path and the replay after a start call the same one.
//! - What only this process knows (what was sent, which acknowledgements are on their way to the log) lives beside the
//!   state in the same session, and no decision in here looks at it.
//! - Locks: one session at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Message, Str};
use store::Offset;

use super::record::{Attach, Publish, Record};
use crate::registry::{Entry, Inner, Subscribed};
use crate::router::Outgoing;
use crate::session::{Delivery, Kept, Phase};

/// How often a running broker notes that it is alive, while durable sessions are connected, milliseconds. After a crash
/// a session counts as let go at most this long after its connection really ended, and never before.
pub(crate) const TICK_MS: i64 = 10_000;

/// Everything the log says.
#[derive(Default)]
pub(crate) struct State {
    /// Sessions by key.
    pub(super) sessions: BTreeMap<u64, Arc<Entry>>,
    /// Messages that wait in one session or several, by the number of their first delivery.
    pub(super) bodies: BTreeMap<u64, Body>,
    /// Number of the next delivery; 0 is for those that are not durable.
    pub(super) next_number: u64,
    /// Above every session key there has been: none is given twice.
    pub(super) next_session: u64,
    /// The latest time a record told, milliseconds since the epoch.
    pub(super) last_ms: i64,
    /// The last batch that was applied.
    pub(super) applied: Option<Offset>,
    /// Sessions the broker has made already, for the records that will say so.
    newcomers: BTreeMap<u64, Arc<Entry>>,
    /// What the next snapshot has to write.
    pub(super) unsaved: Unsaved,
}

/// One message with its durable deliveries.
pub(super) struct Body {
    pub(super) outgoing: Arc<Outgoing>,
    /// Deliveries that are not over.
    pub(super) open_count: u32,
    /// Whether a snapshot has it.
    pub(super) saved: bool,
}

/// Changes since the last snapshot.
#[derive(Default)]
pub(super) struct Unsaved {
    /// Sessions that changed.
    pub(super) sessions: Vec<u64>,
    /// Sessions that ended, with the deliveries a snapshot has of them.
    pub(super) ended: Vec<(u64, Vec<u64>)>,
    /// Messages in a snapshot that nobody waits for any more.
    pub(super) bodies_gone: Vec<u64>,
    /// Retained messages that changed; `None`: there is none any more.
    pub(super) retained: BTreeMap<Str, Option<Arc<Message>>>,
}

/// What the broker has to do about a change.
pub(crate) enum Effect {
    /// There may be something to send.
    Wake(Arc<Entry>),
    /// A message gave way in a full queue.
    Dropped(Arc<Entry>, Delivery),
    /// The session has a subscription; `true`: a new one.
    Subscribed(Arc<Entry>, Str, Subscribed, bool),
    /// The session has a subscription no more.
    Unsubscribed(Arc<Entry>, Str),
    /// The session is over; so many messages waited in it.
    Ended(Arc<Entry>, usize),
}

impl State {
    /// The state before the first record.
    pub(crate) fn new() -> Self {
        Self { next_number: 1, ..Self::default() }
    }

    /// Announces a session that a record on its way to the log will begin.
    pub(crate) fn expect(&mut self, entry: Arc<Entry>) {
        self.newcomers.insert(entry.key, entry);
    }

    /// The record that was to begin it will not come.
    pub(crate) fn forget(&mut self, session: u64) {
        self.newcomers.remove(&session);
    }

    /// Every session, in the order of their keys.
    pub(crate) fn sessions(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.sessions.values()
    }

    /// The first batch that has not been applied.
    pub(crate) fn next_offset(&self) -> Offset {
        self.applied.map_or(Offset(0), Offset::next)
    }

    /// Retained messages that changed since the last snapshot.
    pub(crate) fn retained_changes(&self) -> impl Iterator<Item = (&Str, Option<&Arc<Message>>)> {
        self.unsaved.retained.iter().map(|(topic, message)| (topic, message.as_ref()))
    }

    /// The log ends before `end`, though more has been applied: what is appended next gets that offset.
    pub(crate) fn shorten(&mut self, end: Offset) {
        self.applied = end.0.checked_sub(1).map(Offset);
    }

    /// Whether any session has a connection.
    pub(crate) fn any_attached(&self) -> bool {
        let attached = |entry: &Arc<Entry>| entry.inner.lock().kept.as_ref().is_some_and(|kept| kept.attached);
        self.sessions.values().any(attached)
    }

    /// The batch at `offset` has been applied as a whole.
    pub(crate) fn applied(&mut self, offset: Offset) {
        self.applied = Some(offset);
    }

    /// Changes the state as the record, part of the batch at `offset`, says. A batch that was applied already changes
    /// nothing.
    pub(crate) fn apply(&mut self, offset: Offset, record: &Record, effects: &mut Vec<Effect>) {
        if self.applied.is_some_and(|applied| offset <= applied) {
            return;
        }
        match record {
            Record::Publish(publish) => self.publish(publish, effects),
            Record::Attach(attach) => self.attach(attach, effects),
            Record::Detach { session, at_ms, expiry_secs, will_void } => {
                self.last_ms = self.last_ms.max(*at_ms);
                self.change(*session, |_, inner, kept| {
                    kept.attached = false;
                    kept.detached_at_ms = *at_ms;
                    kept.expiry_secs = *expiry_secs;
                    if *will_void {
                        inner.will = None;
                    }
                });
            }
            Record::End { session } => self.end(*session, effects),
            Record::Subscribe { session, subscriptions } => self.subscribe(*session, subscriptions, effects),
            Record::Unsubscribe { session, filters } => self.unsubscribe(*session, filters, effects),
            Record::Acknowledged { session, packet_ids } => self.acknowledged(*session, packet_ids, effects),
            Record::Received { session, packet_id } => self.received(*session, *packet_id, effects),
            Record::Released { session, packet_id } => {
                self.change(*session, |_, _, kept| {
                    kept.recorded.remove(packet_id);
                });
            }
            Record::WillDone { session } => self.will_done(*session),
            Record::Unretain { topics } => {
                self.unsaved.retained.extend(topics.iter().map(|topic| (topic.clone(), None)));
            }
            Record::Tick { at_ms } => self.last_ms = self.last_ms.max(*at_ms),
            Record::Restart { at_ms } => self.restart(*at_ms),
        }
    }

    fn publish(&mut self, publish: &Publish, effects: &mut Vec<Effect>) {
        if let Some((session, packet_id)) = publish.from {
            let mut is_new = true;
            self.change(session, |_, _, kept| is_new = kept.recorded.insert(packet_id));
            if !is_new {
                return;
            }
        }
        if let Some(session) = publish.will_of {
            self.will_done(session);
        }
        if publish.retained {
            let message = (!publish.message.payload.is_empty()).then(|| publish.message.clone());
            self.unsaved.retained.insert(publish.message.topic.clone(), message);
        }
        if publish.receivers.is_empty() {
            return;
        }
        let first = self.next_number;
        let outgoing = Arc::new(Outgoing::new(publish.message.clone()));
        // Held open until every receiver has its delivery: the first one's may be over at once.
        self.bodies.insert(first, Body { outgoing: outgoing.clone(), open_count: 1, saved: false });
        for receiver in &publish.receivers {
            let delivery = Delivery {
                outgoing: outgoing.clone(),
                qos: receiver.qos,
                retain: receiver.retain,
                identifiers: receiver.identifiers.clone(),
                ticket: None,
                number: self.next_number,
            };
            self.next_number += 1;
            self.deliver(receiver.session, delivery, effects);
        }
        self.body_over(first);
    }

    fn deliver(&mut self, session: u64, delivery: Delivery, effects: &mut Vec<Effect>) {
        let number = delivery.number;
        let mut dropped = Vec::new();
        let known = self.change(session, |entry, inner, kept| {
            dropped = inner.queue.push(delivery, kept.limits);
            kept.fill(&mut inner.queue, &mut inner.outbound);
            wake(effects, entry, kept);
        });
        let Some(entry) = known else { return };
        if let Some((_, body)) = self.bodies.range_mut(..=number).next_back() {
            body.open_count += 1;
        }
        for delivery in dropped {
            self.over(&entry, delivery.number);
            effects.push(Effect::Dropped(entry.clone(), delivery));
        }
    }

    fn attach(&mut self, attach: &Attach, effects: &mut Vec<Effect>) {
        self.last_ms = self.last_ms.max(attach.at_ms);
        self.next_session = self.next_session.max(attach.session.saturating_add(1));
        if attach.is_new && !self.sessions.contains_key(&attach.session) {
            let made = self.newcomers.remove(&attach.session);
            let kept = || Some(Box::new(Kept::new(attach.info.clone(), attach.limits)));
            let make = || Arc::new(Entry::new(attach.session, attach.info.clone(), attach.at_ms, kept()));
            self.sessions.insert(attach.session, made.unwrap_or_else(make));
        }
        self.change(attach.session, |entry, inner, kept| {
            if attach.is_new {
                inner.created_at_ms = attach.at_ms;
            }
            inner.info = attach.info.clone();
            kept.info = attach.info.clone();
            kept.expiry_secs = attach.info.session_expiry_secs;
            inner.will = attach.will.clone();
            kept.begun = true;
            kept.attached = true;
            kept.window = attach.window;
            kept.limits = attach.limits;
            kept.will_claimed = false;
            kept.pubrels.clear();
            inner.outbound.resume();
            kept.fill(&mut inner.queue, &mut inner.outbound);
            wake(effects, entry, kept);
        });
    }

    fn end(&mut self, session: u64, effects: &mut Vec<Effect>) {
        let Some(entry) = self.sessions.remove(&session) else { return };
        let (numbers, saved, waiting_count) = {
            let mut inner = entry.inner.lock();
            inner.ended = true;
            let queue = std::mem::take(&mut inner.queue);
            let outbound = std::mem::take(&mut inner.outbound);
            let waiting_count = queue.len() + outbound.len();
            let mut numbers: Vec<u64> = queue.iter().map(|delivery| delivery.number).collect();
            let in_flight = outbound.into_phases().filter_map(Phase::into_delivery);
            numbers.extend(in_flight.map(|delivery| delivery.number));
            let saved = inner.kept.as_mut().map(|kept| std::mem::take(&mut kept.saved)).unwrap_or_default();
            (numbers, saved, waiting_count)
        };
        let mut gone = saved.gone;
        for number in numbers {
            self.body_over(number);
            if number < saved.below {
                gone.push(number);
            }
        }
        self.unsaved.ended.push((session, gone));
        effects.push(Effect::Ended(entry, waiting_count));
    }

    fn subscribe(&mut self, session: u64, subscriptions: &[(Str, Subscribed)], effects: &mut Vec<Effect>) {
        self.change(session, |entry, inner, kept| {
            kept.saved.subscriptions = false;
            for (filter, subscribed) in subscriptions {
                let is_new = inner.subscriptions.insert(filter.clone(), *subscribed).is_none();
                effects.push(Effect::Subscribed(entry.clone(), filter.clone(), *subscribed, is_new));
            }
        });
    }

    fn unsubscribe(&mut self, session: u64, filters: &[Str], effects: &mut Vec<Effect>) {
        self.change(session, |entry, inner, kept| {
            kept.saved.subscriptions = false;
            for filter in filters {
                if inner.subscriptions.remove(filter).is_some() {
                    effects.push(Effect::Unsubscribed(entry.clone(), filter.clone()));
                }
            }
        });
    }

    fn acknowledged(&mut self, session: u64, packet_ids: &[u16], effects: &mut Vec<Effect>) {
        let mut over = Vec::new();
        let known = self.change(session, |entry, inner, kept| {
            for packet_id in packet_ids {
                let phase = inner.outbound.acknowledged(*packet_id);
                if let Some(delivery) = phase.and_then(Phase::into_delivery) {
                    kept.no_longer_in_flight(&delivery);
                    over.push(delivery.number);
                }
            }
            kept.fill(&mut inner.queue, &mut inner.outbound);
            wake(effects, entry, kept);
        });
        if let Some(entry) = known {
            over.into_iter().for_each(|number| self.over(&entry, number));
        }
    }

    fn received(&mut self, session: u64, packet_id: u16, effects: &mut Vec<Effect>) {
        let mut over = None;
        let known = self.change(session, |entry, inner, kept| {
            let Some(delivery) = inner.outbound.received(packet_id) else { return };
            kept.no_longer_in_flight(&delivery);
            over = Some(delivery.number);
            if kept.attached {
                kept.pubrels.push_back(packet_id);
            }
            wake(effects, entry, kept);
        });
        if let (Some(entry), Some(number)) = (known, over) {
            self.over(&entry, number);
        }
    }

    fn will_done(&mut self, session: u64) {
        self.change(session, |_, inner, kept| {
            inner.will = None;
            kept.will_claimed = false;
        });
    }

    /// When exactly a session that was attached at the crash was let go is not known. It is taken as the latest possible
    /// moment: a session must not end early.
    fn restart(&mut self, at_ms: i64) {
        let let_go_ms = at_ms.min(self.last_ms.saturating_add(TICK_MS));
        let attached: Vec<u64> = self.sessions.keys().copied().collect();
        for session in attached {
            self.change(session, |_, _, kept| {
                if std::mem::replace(&mut kept.attached, false) {
                    kept.detached_at_ms = let_go_ms;
                }
            });
        }
        self.last_ms = self.last_ms.max(at_ms);
    }

    /// Changes one session, if it is there, and takes note that the next snapshot has to write it.
    fn change(&mut self, session: u64, change: impl FnOnce(&Arc<Entry>, &mut Inner, &mut Kept)) -> Option<Arc<Entry>> {
        let entry = self.sessions.get(&session)?;
        let mut inner = entry.inner.lock();
        // The part is lent out for the time of the change, so that both may be borrowed.
        let mut kept = inner.kept.take()?;
        if !std::mem::replace(&mut kept.saved.listed, true) {
            self.unsaved.sessions.push(session);
        }
        change(entry, &mut inner, &mut kept);
        inner.kept = Some(kept);
        drop(inner);
        Some(entry.clone())
    }

    /// A delivery to `entry` is over.
    fn over(&mut self, entry: &Arc<Entry>, number: u64) {
        if let Some(kept) = &mut entry.inner.lock().kept
            && number < kept.saved.below
        {
            kept.saved.gone.push(number);
        }
        self.body_over(number);
    }

    fn body_over(&mut self, number: u64) {
        let Some((first, body)) = self.bodies.range_mut(..=number).next_back() else { return };
        body.open_count = body.open_count.saturating_sub(1);
        if body.open_count == 0 {
            let (first, saved) = (*first, body.saved);
            self.bodies.remove(&first);
            if saved {
                self.unsaved.bodies_gone.push(first);
            }
        }
    }
}

/// Wakes the connection, once for several changes in a row.
fn wake(effects: &mut Vec<Effect>, entry: &Arc<Entry>, kept: &Kept) {
    let again = matches!(effects.last(), Some(Effect::Wake(last)) if Arc::ptr_eq(last, entry));
    if kept.attached && !again {
        effects.push(Effect::Wake(entry.clone()));
    }
}
