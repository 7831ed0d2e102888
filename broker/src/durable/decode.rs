//! Reads the bytes that `codec.rs` writes. No I/O.
//!
//! Decoding never allocates from a declared length: it takes what is there, and lists grow as their items are read.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use model::{ClientInfo, Message, MessageId, Origin, ProtocolVersion, PublishProperties, Qos, Str};

use super::codec::Malformed;
use super::record::{Attach, Publish, Receiver, Record};
use crate::codec::SubscribeOptions;
use crate::registry::{Subscribed, Will};
use crate::session::QueueLimits;
use crate::settings::QueueFull;

/// QoS, RETAIN flag and subscription identifiers of a delivery.
pub(super) type Terms = (Qos, bool, Option<Box<[u32]>>);

/// Bytes being read.
pub(super) struct In(pub(super) Bytes);

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

    /// A whole record.
    pub(super) fn record(&mut self) -> Result<Record, Malformed> {
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

    pub(super) fn delivery(&mut self) -> Result<Terms, Malformed> {
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
