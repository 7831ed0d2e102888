//! The durable state as rows of tables, so that the log behind it can be forgotten.
//!
//! A snapshot writes what changed since the one before it. It is taken between two batches, in memory, and written as one
//! atomic change together with the offset of the last batch it covers; a crash in between leaves the former one.
//!
//! | table | key | value |
//! |---|---|---|
//! | `mqtt.state` | `state` | version, applied offset, next delivery number and session key, latest time |
//! | `mqtt.sessions` | session | the session without its queue and subscriptions, what is in flight by number |
//! | `mqtt.subscriptions` | session | all its subscriptions |
//! | `mqtt.deliveries` | session, number | what is peculiar to this receiver, and the number of the message |
//! | `mqtt.messages` | number of the first delivery | the message, once for all receivers |
//! | `mqtt.retained` | topic | the message |
//!
//! Keys are big endian, so that the order of the table is the order of the queue.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use model::Message;
use store::Offset;

use super::codec::{Malformed, Out, VERSION};
use super::decode::In;
use super::state::{Body, State};
use crate::registry::{Entry, Inner};
use crate::router::Outgoing;
use crate::session::{Delivery, Kept, Phase};

/// The tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Table {
    State,
    Sessions,
    Subscriptions,
    Deliveries,
    Messages,
    Retained,
}

impl Table {
    /// Name in the key-value store.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::State => "mqtt.state",
            Self::Sessions => "mqtt.sessions",
            Self::Subscriptions => "mqtt.subscriptions",
            Self::Deliveries => "mqtt.deliveries",
            Self::Messages => "mqtt.messages",
            Self::Retained => "mqtt.retained",
        }
    }
}

/// The messages of one session that are in flight, by number, as far as they have come.
type InFlight = HashMap<u64, Option<Delivery>>;

/// The one key of [`Table::State`].
const STATE_KEY: &[u8] = b"state";

/// One change of one row; `None` deletes it.
pub(crate) type Change = (Table, Bytes, Option<Bytes>);

/// What a snapshot writes, to be written as a whole.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    /// The rows.
    pub rows: Vec<Change>,
    /// The last batch it covers.
    pub covers: Option<Offset>,
}

fn key(session: u64) -> Bytes {
    Bytes::copy_from_slice(&session.to_be_bytes())
}

fn row_key(session: u64, number: u64) -> Bytes {
    let mut key = [0; 16];
    for (place, byte) in key.iter_mut().zip(session.to_be_bytes().into_iter().chain(number.to_be_bytes())) {
        *place = byte;
    }
    Bytes::copy_from_slice(&key)
}

impl Changes {
    fn put(&mut self, table: Table, key: Bytes, value: Out) {
        self.rows.push((table, key, Some(value.0.into())));
    }

    fn delete(&mut self, table: Table, key: Bytes) {
        self.rows.push((table, key, None));
    }
}

impl State {
    /// Takes what changed since the last snapshot. From now on it counts as written: the caller writes it, however often
    /// it has to try.
    pub(crate) fn capture(&mut self) -> Changes {
        let mut changes = Changes { rows: Vec::new(), covers: self.applied };
        let unsaved = std::mem::take(&mut self.unsaved);
        for (session, numbers) in unsaved.ended {
            changes.delete(Table::Sessions, key(session));
            changes.delete(Table::Subscriptions, key(session));
            numbers.iter().for_each(|number| changes.delete(Table::Deliveries, row_key(session, *number)));
        }
        for session in unsaved.sessions {
            if let Some(entry) = self.sessions.get(&session).cloned() {
                self.capture_session(&entry, &mut changes);
            }
        }
        for first in unsaved.bodies_gone {
            changes.delete(Table::Messages, key(first));
        }
        for (topic, message) in unsaved.retained {
            let topic = Bytes::copy_from_slice(topic.as_bytes());
            match message {
                Some(message) => changes.put(Table::Retained, topic, encoded(&message)),
                None => changes.delete(Table::Retained, topic),
            }
        }
        let mut state = Out::default();
        state.int(VERSION.into());
        state.option(self.applied, |out, offset| out.int(offset.0));
        state.int(self.next_number);
        state.int(self.next_session);
        state.time(self.last_ms);
        changes.put(Table::State, Bytes::from_static(STATE_KEY), state);
        changes
    }

    fn capture_session(&mut self, entry: &Arc<Entry>, changes: &mut Changes) {
        let mut inner = entry.inner.lock();
        let Some(mut kept) = inner.kept.take() else { return };
        kept.saved.listed = false;
        changes.put(Table::Sessions, key(entry.key), session_row(&inner, &kept));
        if !std::mem::replace(&mut kept.saved.subscriptions, true) {
            let mut out = Out::default();
            let list: Vec<_> = inner.subscriptions.iter().collect();
            out.list(&list, |out, (filter, subscribed)| out.subscription(filter, subscribed));
            changes.put(Table::Subscriptions, key(entry.key), out);
        }
        for number in std::mem::take(&mut kept.saved.gone) {
            changes.delete(Table::Deliveries, row_key(entry.key, number));
        }
        let in_flight = inner.outbound.iter().filter_map(|entry| match &entry.phase {
            Phase::Published(delivery) => Some(delivery),
            Phase::Released | Phase::Awaited(_) => None,
        });
        for delivery in in_flight.chain(inner.queue.iter()).filter(|delivery| delivery.number >= kept.saved.below) {
            let Some((first, body)) = self.bodies.range_mut(..=delivery.number).next_back() else { continue };
            if !std::mem::replace(&mut body.saved, true) {
                changes.put(Table::Messages, key(*first), encoded(&body.outgoing.message));
            }
            let mut out = Out::default();
            out.int(*first);
            out.delivery(delivery.qos, delivery.retain, delivery.identifiers.as_deref());
            changes.put(Table::Deliveries, row_key(entry.key, delivery.number), out);
        }
        kept.saved.below = self.next_number;
        inner.kept = Some(kept);
    }

    fn take_rows(&mut self, table: Table, rows: Vec<(Bytes, Bytes)>) -> Result<(), Damage> {
        // Which numbers of the session at hand are in flight, and with which identifier.
        let mut in_flight = InFlight::new();
        let mut at = None;
        for (key, value) in rows {
            let mut input = In(value);
            let taken = match table {
                Table::State => self.take_state(&mut input),
                Table::Messages => self.take_message(&key, &mut input),
                Table::Sessions => self.take_session(&key, &mut input),
                Table::Subscriptions => self.take_subscriptions(&key, &mut input),
                Table::Deliveries => {
                    let session = u64_of(key.get(..8));
                    if session.as_ref().ok() != at.as_ref() {
                        self.place(at.take(), &mut in_flight);
                        at = session.as_ref().ok().copied();
                        self.await_session(at, &mut in_flight);
                    }
                    session.and_then(|session| self.take_delivery(session, &key, &mut input, &mut in_flight))
                }
                Table::Retained => Ok(()),
            };
            taken.and_then(|()| input.end()).map_err(|why| Damage { table, key, why })?;
        }
        self.place(at, &mut in_flight);
        Ok(())
    }

    fn take_state(&mut self, input: &mut In) -> Result<(), Malformed> {
        let version: u16 = input.small()?;
        if version != VERSION {
            return Err(Malformed::Version(version));
        }
        self.applied = input.option(In::int)?.map(Offset);
        self.next_number = input.int()?;
        self.next_session = input.int()?;
        self.last_ms = input.time()?;
        Ok(())
    }

    fn take_message(&mut self, key: &[u8], input: &mut In) -> Result<(), Malformed> {
        let outgoing = Arc::new(Outgoing::new(Arc::new(input.message()?)));
        self.bodies.insert(u64_of(Some(key))?, Body { outgoing, open_count: 0, saved: true });
        Ok(())
    }

    fn take_session(&mut self, key: &[u8], input: &mut In) -> Result<(), Malformed> {
        let session = u64_of(Some(key))?;
        let info = Arc::new(input.client()?);
        let created_at_ms = input.time()?;
        let expiry_secs = input.small()?;
        let mut kept = Box::new(Kept::new(info.clone(), input.limits()?));
        kept.expiry_secs = expiry_secs;
        kept.begun = true;
        kept.window = input.small()?;
        kept.attached = input.bool()?;
        kept.detached_at_ms = input.time()?;
        kept.recorded = input.list(In::small)?.into_iter().collect();
        let will = input.option(In::will)?;
        let last_packet_id = input.small()?;
        // Placeholders: the messages come with the deliveries, which are sorted in by number.
        let in_flight = input.list(|input| Ok((input.small()?, input.int()?)))?;
        kept.saved.below = self.next_number;
        kept.saved.subscriptions = true;
        let entry = Entry::new(session, info, created_at_ms, Some(kept));
        {
            let mut inner = entry.inner.lock();
            inner.will = will;
            inner.outbound.expect(in_flight, last_packet_id);
        }
        self.sessions.insert(session, Arc::new(entry));
        Ok(())
    }

    fn take_subscriptions(&mut self, key: &[u8], input: &mut In) -> Result<(), Malformed> {
        let list = input.list(In::subscription)?;
        if let Some(entry) = self.sessions.get(&u64_of(Some(key))?) {
            entry.inner.lock().subscriptions = list.into_iter().collect();
        }
        Ok(())
    }

    fn take_delivery(
        &mut self,
        session: u64,
        key: &[u8],
        input: &mut In,
        in_flight: &mut InFlight,
    ) -> Result<(), Malformed> {
        let number = u64_of(key.get(8..))?;
        let first = input.int()?;
        let (qos, retain, identifiers) = input.delivery()?;
        let (Some(body), Some(entry)) = (self.bodies.get_mut(&first), self.sessions.get(&session)) else {
            return Err(Malformed::Invalid);
        };
        body.open_count += 1;
        let delivery = Delivery { outgoing: body.outgoing.clone(), qos, retain, identifiers, ticket: None, number };
        let mut inner = entry.inner.lock();
        match in_flight.get_mut(&number) {
            Some(place) => {
                if let Some(kept) = &mut inner.kept {
                    kept.inflight_bytes += delivery.cost_bytes();
                }
                *place = Some(delivery);
            }
            None => inner.queue.push_within(delivery),
        }
        Ok(())
    }

    fn await_session(&self, session: Option<u64>, in_flight: &mut InFlight) {
        if let Some(entry) = session.and_then(|session| self.sessions.get(&session)) {
            in_flight.extend(entry.inner.lock().outbound.awaited().map(|number| (number, None)));
        }
    }

    /// Puts the messages of a session that are in flight in their places.
    fn place(&mut self, session: Option<u64>, in_flight: &mut InFlight) {
        if let Some(entry) = session.and_then(|session| self.sessions.get(&session)) {
            entry.inner.lock().outbound.fulfil(in_flight);
        }
        in_flight.clear();
    }

    /// Everything of the durable state, in one form for each state: two that are equal have equal lines.
    #[cfg(test)]
    pub(crate) fn fingerprint(&self) -> Vec<String> {
        let mut lines = vec![format!("next {} {} last {}", self.next_number, self.next_session, self.last_ms)];
        for (session, entry) in &self.sessions {
            let inner = entry.inner.lock();
            let Some(kept) = &inner.kept else { continue };
            lines.push(format!(
                "{session} {:?} {:?} {:02x?}",
                kept.info.client_id,
                kept.recorded,
                session_row(&inner, kept).0
            ));
            lines.push(format!("{session} subscriptions {:?}", inner.subscriptions));
            for delivery in inner.queue.iter() {
                let Delivery { number, qos, retain, identifiers, .. } = delivery;
                lines.push(format!("{session} waits {number} {qos:?} {retain} {identifiers:?}"));
            }
            for entry in inner.outbound.iter() {
                lines.push(format!("{session} flies {} {:?}", entry.packet_id, entry.phase.number()));
            }
        }
        for (first, body) in &self.bodies {
            lines.push(format!("message {first} open {} {:02x?}", body.open_count, encoded(&body.outgoing.message).0));
        }
        lines
    }
}

/// A state that is being read from its tables.
pub(crate) struct Loading {
    state: State,
    retained: Vec<Arc<Message>>,
}

impl Loading {
    /// The tables, in the order in which they have to be read.
    pub(crate) const TABLES: [Table; 6] =
        [Table::State, Table::Messages, Table::Sessions, Table::Subscriptions, Table::Deliveries, Table::Retained];

    /// Nothing read yet.
    pub(crate) fn new() -> Self {
        Self { state: State::new(), retained: Vec::new() }
    }

    /// Takes all rows of a table, in the order of their keys.
    pub(crate) fn take(&mut self, table: Table, rows: Vec<(Bytes, Bytes)>) -> Result<(), Damage> {
        if table != Table::Retained {
            return self.state.take_rows(table, rows);
        }
        for (key, value) in rows {
            let mut input = In(value);
            let message = input.message().and_then(|message| input.end().map(|()| message));
            self.retained.push(Arc::new(message.map_err(|why| Damage { table, key, why })?));
        }
        Ok(())
    }

    /// The state, and the retained messages.
    pub(crate) fn finish(self) -> Result<(State, Vec<Arc<Message>>), Damage> {
        let incomplete = |entry: &Arc<Entry>| entry.inner.lock().outbound.awaited().next().is_some();
        match self.state.sessions.iter().find(|(_, entry)| incomplete(entry)) {
            Some((session, _)) => {
                Err(Damage { table: Table::Deliveries, key: key(*session), why: Malformed::Truncated })
            }
            None => Ok((self.state, self.retained)),
        }
    }
}

/// A row of a snapshot that cannot be read.
#[derive(Debug)]
pub(crate) struct Damage {
    /// Its table.
    pub table: Table,
    /// Its key.
    pub key: Bytes,
    /// What is wrong.
    pub why: Malformed,
}

fn u64_of(bytes: Option<&[u8]>) -> Result<u64, Malformed> {
    let bytes = bytes.and_then(|bytes| bytes.try_into().ok()).ok_or(Malformed::Invalid)?;
    Ok(u64::from_be_bytes(bytes))
}

fn encoded(message: &Message) -> Out {
    let mut out = Out::default();
    out.message(message);
    out
}

fn session_row(inner: &Inner, kept: &Kept) -> Out {
    let mut out = Out::default();
    out.client(&kept.info);
    out.time(inner.created_at_ms);
    out.int(kept.expiry_secs.into());
    out.limits(&kept.limits);
    out.int(kept.window.into());
    out.bool(kept.attached);
    out.time(kept.detached_at_ms);
    let recorded: Vec<u16> = kept.recorded.iter().copied().collect();
    out.list(&recorded, |out, packet_id| out.int((*packet_id).into()));
    out.option(inner.will.as_deref(), Out::will);
    out.int(inner.outbound.last_packet_id().into());
    let in_flight: Vec<_> = inner.outbound.iter().collect();
    out.list(&in_flight, |out, entry| {
        out.int(entry.packet_id.into());
        out.int(entry.phase.number());
    });
    out
}
