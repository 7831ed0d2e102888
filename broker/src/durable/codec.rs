//! The bytes of a [`Record`], and of the parts that snapshots write too: how they are written (`decode.rs` reads them).
//! No I/O.
//!
//! Integers are unsigned LEB128 unless they say otherwise; texts and bytes follow their length. Decoding never allocates
//! from a declared length: it takes what is there, and lists grow as their items are read.

use std::fmt;

use bytes::Bytes;
use model::{ClientInfo, Message, Origin, PublishProperties, Qos};

use super::decode::In;
use super::record::{Attach, Record};
use crate::registry::{Subscribed, Will};
use crate::session::QueueLimits;
use crate::settings::QueueFull;

/// The version that log entries and snapshot rows carry.
pub(crate) const VERSION: u16 = 1;

/// Why bytes are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// They end early.
    Truncated,
    /// A tag, number or text that cannot be.
    Invalid,
    /// There are more of them than the record has.
    Trailing,
    /// A version this program does not know.
    Version(u16),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("it ends early"),
            Self::Invalid => f.write_str("it holds an impossible value"),
            Self::Trailing => f.write_str("it is longer than its content"),
            Self::Version(version) => write!(f, "it has version {version}, this program knows {VERSION}"),
        }
    }
}

/// Encodes a record.
pub(crate) fn encode(record: &Record) -> Bytes {
    let mut out = Out::default();
    out.record(record);
    out.0.into()
}

/// Decodes a record of the given version.
pub(crate) fn decode(version: u16, bytes: &Bytes) -> Result<Record, Malformed> {
    if version != VERSION {
        return Err(Malformed::Version(version));
    }
    let mut input = In(bytes.clone());
    let record = input.record()?;
    input.end()?;
    Ok(record)
}

/// Bytes under construction.
#[derive(Default)]
pub(super) struct Out(pub(super) Vec<u8>);

impl Out {
    pub(super) fn u8(&mut self, byte: u8) {
        self.0.push(byte);
    }

    pub(super) fn bool(&mut self, on: bool) {
        self.0.push(u8::from(on));
    }

    pub(super) fn int(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.0.push((n & 0x7f) as u8 | 0x80);
            n >>= 7;
        }
        self.0.push(n as u8);
    }

    /// Signed, as its two's complement in 8 bytes.
    pub(super) fn time(&mut self, ms: i64) {
        self.0.extend_from_slice(&ms.to_le_bytes());
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.int(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub(super) fn option<T>(&mut self, value: Option<T>, put: impl FnOnce(&mut Self, T)) {
        self.bool(value.is_some());
        if let Some(value) = value {
            put(self, value);
        }
    }

    pub(super) fn list<T>(&mut self, items: &[T], mut put: impl FnMut(&mut Self, &T)) {
        self.int(items.len() as u64);
        items.iter().for_each(|item| put(self, item));
    }

    fn record(&mut self, record: &Record) {
        match record {
            Record::Publish(publish) => {
                self.u8(1);
                self.message(&publish.message);
                self.list(&publish.receivers, |out, receiver| {
                    out.int(receiver.session);
                    out.delivery(receiver.qos, receiver.retain, receiver.identifiers.as_deref());
                });
                self.option(publish.from, |out, (session, packet_id)| {
                    out.int(session);
                    out.int(packet_id.into());
                });
                self.option(publish.will_of, Self::int);
                self.bool(publish.retained);
            }
            Record::Attach(attach) => self.attach(attach),
            Record::Detach { session, at_ms, expiry_secs, will_void } => {
                self.u8(3);
                self.int(*session);
                self.time(*at_ms);
                self.int((*expiry_secs).into());
                self.bool(*will_void);
            }
            Record::End { session } => self.tagged(4, *session),
            Record::Subscribe { session, subscriptions } => {
                self.tagged(5, *session);
                self.list(subscriptions, |out, (filter, subscribed)| out.subscription(filter, subscribed));
            }
            Record::Unsubscribe { session, filters } => {
                self.tagged(6, *session);
                self.list(filters, |out, filter| out.text(filter));
            }
            Record::Acknowledged { session, packet_ids } => {
                self.tagged(7, *session);
                self.list(packet_ids, |out, packet_id| out.int((*packet_id).into()));
            }
            Record::Received { session, packet_id } => {
                self.tagged(8, *session);
                self.int((*packet_id).into());
            }
            Record::Released { session, packet_id } => {
                self.tagged(9, *session);
                self.int((*packet_id).into());
            }
            Record::WillDone { session } => self.tagged(10, *session),
            Record::Unretain { topics } => {
                self.u8(11);
                self.list(topics, |out, topic| out.text(topic));
            }
            Record::Tick { at_ms } => {
                self.u8(12);
                self.time(*at_ms);
            }
            Record::Restart { at_ms } => {
                self.u8(13);
                self.time(*at_ms);
            }
        }
    }

    fn tagged(&mut self, tag: u8, session: u64) {
        self.u8(tag);
        self.int(session);
    }

    fn attach(&mut self, attach: &Attach) {
        self.tagged(2, attach.session);
        self.bool(attach.is_new);
        self.client(&attach.info);
        self.time(attach.at_ms);
        self.int(attach.window.into());
        self.limits(&attach.limits);
        self.option(attach.will.as_deref(), Self::will);
    }

    pub(super) fn will(&mut self, will: &Will) {
        self.message(&will.message);
        self.int(will.delay_secs.into());
        self.option(will.publish_delay_secs, |out, secs| out.int(secs.into()));
    }

    pub(super) fn limits(&mut self, limits: &QueueLimits) {
        self.int(limits.messages_max as u64);
        self.int(limits.bytes_max as u64);
        self.bool(limits.when_full == QueueFull::DropNewest);
    }

    pub(super) fn subscription(&mut self, filter: &str, subscribed: &Subscribed) {
        self.text(filter);
        self.u8(subscribed.options.bits());
        self.option(subscribed.identifier, |out, id| out.int(id.into()));
    }

    pub(super) fn delivery(&mut self, qos: Qos, retain: bool, identifiers: Option<&[u32]>) {
        self.u8(qos as u8 | u8::from(retain) << 2);
        self.list(identifiers.unwrap_or_default(), |out, id| out.int((*id).into()));
    }

    /// What a session knows of its client. Not its rights: they are asked for again.
    pub(super) fn client(&mut self, info: &ClientInfo) {
        self.text(&info.client_id);
        self.option(info.username.as_deref(), Self::text);
        self.option(info.peer, |out, peer| out.text(&peer.to_string()));
        self.u8(info.version as u8);
        self.int(info.keepalive_secs.into());
        self.u8(u8::from(info.clean_start) | u8::from(info.is_bridge) << 1);
        self.int(info.session_expiry_secs.into());
        self.text(&info.mountpoint);
        self.time(info.connected_at_ms);
    }

    pub(super) fn message(&mut self, message: &Message) {
        self.0.extend_from_slice(&message.id.0.to_le_bytes());
        self.text(&message.topic);
        self.bytes(&message.payload);
        self.u8(message.qos as u8 | u8::from(message.retain) << 2 | u8::from(message.dup) << 3);
        self.option(message.publisher.as_ref(), |out, info| {
            out.text(&info.client_id);
            out.option(info.username.as_deref(), Self::text);
            out.u8(info.version as u8);
            out.text(&info.mountpoint);
        });
        self.option(message.properties.as_deref(), Self::properties);
        self.time(message.received_at_ms);
        match &message.origin {
            Origin::Client => self.u8(0),
            Origin::Will => self.u8(1),
            Origin::Api => self.u8(2),
            Origin::Rules(rules) => {
                self.u8(3);
                self.list(rules, |out, rule| out.text(rule));
            }
            Origin::System => self.u8(4),
        }
    }

    fn properties(&mut self, properties: &PublishProperties) {
        self.option(properties.payload_is_text, Self::bool);
        self.option(properties.message_expiry_secs, |out, secs| out.int(secs.into()));
        self.option(properties.content_type.as_deref(), Self::text);
        self.option(properties.response_topic.as_deref(), Self::text);
        self.option(properties.correlation_data.as_deref(), Self::bytes);
        self.list(&properties.user_properties, |out, (name, value)| {
            out.text(name);
            out.text(value);
        });
    }
}
