//! The bytes of a [`Record`], and of the parts that snapshots write too. No I/O.
//!
//! Integers are unsigned LEB128 unless they say otherwise; texts and bytes follow their length. Decoding never allocates
//! from a declared length: it takes what is there, and lists grow as their items are read.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use model::{ClientInfo, Message, MessageId, Origin, ProtocolVersion, PublishProperties, Qos, Str};

use super::record::{Attach, Publish, Receiver, Record};
use crate::codec::SubscribeOptions;
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

/// Bytes being read.
pub(super) struct In(pub(super) Bytes);

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

impl In {
    pub(super) fn end(&self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed::Trailing) }
    }

    fn take(&mut self, count: usize) -> Result<Bytes, Malformed> {
        if count > self.0.len() {
            return Err(Malformed::Truncated);
        }
        Ok(self.0.split_to(count))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let bytes = self.take(N)?;
        bytes.as_ref().try_into().map_err(|_| Malformed::Truncated)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Malformed> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    pub(super) fn bool(&mut self) -> Result<bool, Malformed> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed::Invalid),
        }
    }

    pub(super) fn int(&mut self) -> Result<u64, Malformed> {
        let mut n = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(Malformed::Invalid);
            }
            n |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(n);
            }
        }
        Err(Malformed::Invalid)
    }

    pub(super) fn small<T: TryFrom<u64>>(&mut self) -> Result<T, Malformed> {
        T::try_from(self.int()?).map_err(|_| Malformed::Invalid)
    }

    pub(super) fn time(&mut self) -> Result<i64, Malformed> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    pub(super) fn bytes(&mut self) -> Result<Bytes, Malformed> {
        let len = self.small()?;
        self.take(len)
    }

    pub(super) fn text(&mut self) -> Result<Str, Malformed> {
        let bytes = self.bytes()?;
        std::str::from_utf8(&bytes).map(Str::new).map_err(|_| Malformed::Invalid)
    }

    pub(super) fn option<T>(
        &mut self,
        get: impl FnOnce(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        if self.bool()? { get(self).map(Some) } else { Ok(None) }
    }

    pub(super) fn list<T>(
        &mut self,
        mut get: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let mut items = Vec::new();
        for _ in 0..self.int()? {
            items.push(get(self)?);
        }
        Ok(items)
    }

    fn record(&mut self) -> Result<Record, Malformed> {
        Ok(match self.u8()? {
            1 => Record::Publish(Box::new(Publish {
                message: Arc::new(self.message()?),
                receivers: self.list(|input| {
                    let session = input.int()?;
                    let (qos, retain, identifiers) = input.delivery()?;
                    Ok(Receiver { session, qos, retain, identifiers })
                })?,
                from: self.option(|input| Ok((input.int()?, input.small()?)))?,
                will_of: self.option(Self::int)?,
                retained: self.bool()?,
            })),
            2 => Record::Attach(Box::new(self.attach()?)),
            3 => Record::Detach {
                session: self.int()?,
                at_ms: self.time()?,
                expiry_secs: self.small()?,
                will_void: self.bool()?,
            },
            4 => Record::End { session: self.int()? },
            5 => Record::Subscribe { session: self.int()?, subscriptions: self.list(Self::subscription)? },
            6 => Record::Unsubscribe { session: self.int()?, filters: self.list(Self::text)? },
            7 => Record::Acknowledged { session: self.int()?, packet_ids: self.list(Self::small)? },
            8 => Record::Received { session: self.int()?, packet_id: self.small()? },
            9 => Record::Released { session: self.int()?, packet_id: self.small()? },
            10 => Record::WillDone { session: self.int()? },
            11 => Record::Unretain { topics: self.list(Self::text)? },
            12 => Record::Tick { at_ms: self.time()? },
            13 => Record::Restart { at_ms: self.time()? },
            _ => return Err(Malformed::Invalid),
        })
    }

    fn attach(&mut self) -> Result<Attach, Malformed> {
        Ok(Attach {
            session: self.int()?,
            is_new: self.bool()?,
            info: Arc::new(self.client()?),
            at_ms: self.time()?,
            window: self.small()?,
            limits: self.limits()?,
            will: self.option(Self::will)?,
        })
    }

    pub(super) fn will(&mut self) -> Result<Box<Will>, Malformed> {
        Ok(Box::new(Will {
            message: self.message()?,
            delay_secs: self.small()?,
            publish_delay_secs: self.option(Self::small)?,
        }))
    }

    pub(super) fn limits(&mut self) -> Result<QueueLimits, Malformed> {
        Ok(QueueLimits {
            messages_max: self.small()?,
            bytes_max: self.small()?,
            when_full: if self.bool()? { QueueFull::DropNewest } else { QueueFull::DropOldest },
        })
    }

    pub(super) fn subscription(&mut self) -> Result<(Str, Subscribed), Malformed> {
        let filter = self.text()?;
        let options = SubscribeOptions::of_bits(self.u8()?).ok_or(Malformed::Invalid)?;
        Ok((filter, Subscribed { options, identifier: self.option(Self::small)? }))
    }

    pub(super) fn delivery(&mut self) -> Result<(Qos, bool, Option<Box<[u32]>>), Malformed> {
        let flags = self.u8()?;
        let qos = Qos::from_u8(flags & 3).filter(|_| flags <= 7).ok_or(Malformed::Invalid)?;
        let identifiers = self.list(Self::small)?;
        Ok((qos, flags & 4 != 0, (!identifiers.is_empty()).then(|| identifiers.into())))
    }

    pub(super) fn client(&mut self) -> Result<ClientInfo, Malformed> {
        let client_id = self.text()?;
        let username = self.option(Self::text)?;
        let peer = self.option(|input| input.text()?.parse::<SocketAddr>().map_err(|_| Malformed::Invalid))?;
        let version = self.version()?;
        let keepalive_secs = self.small()?;
        let flags = self.u8()?;
        Ok(ClientInfo {
            client_id,
            username,
            peer,
            local: None,
            version,
            keepalive_secs,
            clean_start: flags & 1 != 0,
            is_bridge: flags & 2 != 0,
            session_expiry_secs: self.small()?,
            mountpoint: self.text()?,
            connected_at_ms: self.time()?,
            is_superuser: false,
        })
    }

    fn version(&mut self) -> Result<ProtocolVersion, Malformed> {
        match self.u8()? {
            3 => Ok(ProtocolVersion::V3_1),
            4 => Ok(ProtocolVersion::V3_1_1),
            5 => Ok(ProtocolVersion::V5),
            _ => Err(Malformed::Invalid),
        }
    }

    pub(super) fn message(&mut self) -> Result<Message, Malformed> {
        let id = MessageId(u128::from_le_bytes(self.array()?));
        let topic = self.text()?;
        // A message that waits must not keep the whole batch it came in alive.
        let payload = Bytes::copy_from_slice(&self.bytes()?);
        let flags = self.u8()?;
        let qos = Qos::from_u8(flags & 3).filter(|_| flags < 16).ok_or(Malformed::Invalid)?;
        Ok(Message {
            id,
            topic,
            payload,
            qos,
            retain: flags & 4 != 0,
            dup: flags & 8 != 0,
            publisher: self.option(Self::publisher)?,
            properties: self.option(Self::properties)?,
            received_at_ms: self.time()?,
            origin: match self.u8()? {
                0 => Origin::Client,
                1 => Origin::Will,
                2 => Origin::Api,
                3 => Origin::Rules(Arc::new(self.list(Self::text)?)),
                4 => Origin::System,
                _ => return Err(Malformed::Invalid),
            },
        })
    }

    /// The publisher as receivers and rules may still ask for it: who it was, not where it connected from.
    fn publisher(&mut self) -> Result<Arc<ClientInfo>, Malformed> {
        let (client_id, username, version) = (self.text()?, self.option(Self::text)?, self.version()?);
        Ok(Arc::new(ClientInfo {
            client_id,
            username,
            peer: None,
            local: None,
            version,
            keepalive_secs: 0,
            clean_start: false,
            session_expiry_secs: 0,
            is_bridge: false,
            mountpoint: self.text()?,
            connected_at_ms: 0,
            is_superuser: false,
        }))
    }

    fn properties(&mut self) -> Result<Box<PublishProperties>, Malformed> {
        Ok(Box::new(PublishProperties {
            payload_is_text: self.option(Self::bool)?,
            message_expiry_secs: self.option(Self::small)?,
            content_type: self.option(Self::text)?,
            response_topic: self.option(Self::text)?,
            correlation_data: self.option(Self::bytes)?,
            user_properties: self.list(|input| Ok((input.text()?, input.text()?)))?,
        }))
    }
}
