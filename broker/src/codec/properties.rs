//! MQTT 5 properties: one list, checked against what the packet may carry (MQTT 5.0 §2.2.2.2).

use bytes::Bytes;
use model::Str;

use super::Error;
use super::read::Reader;
use super::write::{put_binary, put_string, put_u16, put_u32, put_varint};

/// One property; the number in the comment is its identifier.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each variant is the property of its name")]
pub enum Property {
    PayloadFormatIndicator(bool),          // 0x01
    MessageExpiryInterval(u32),            // 0x02
    ContentType(Str),                      // 0x03
    ResponseTopic(Str),                    // 0x08
    CorrelationData(Bytes),                // 0x09
    SubscriptionIdentifier(u32),           // 0x0B
    SessionExpiryInterval(u32),            // 0x11
    AssignedClientIdentifier(Str),         // 0x12
    ServerKeepAlive(u16),                  // 0x13
    AuthenticationMethod(Str),             // 0x15
    AuthenticationData(Bytes),             // 0x16
    RequestProblemInformation(bool),       // 0x17
    WillDelayInterval(u32),                // 0x18
    RequestResponseInformation(bool),      // 0x19
    ResponseInformation(Str),              // 0x1A
    ServerReference(Str),                  // 0x1C
    ReasonString(Str),                     // 0x1F
    ReceiveMaximum(u16),                   // 0x21
    TopicAliasMaximum(u16),                // 0x22
    TopicAlias(u16),                       // 0x23
    MaximumQos(u8),                        // 0x24
    RetainAvailable(bool),                 // 0x25
    UserProperty(Str, Str),                // 0x26
    MaximumPacketSize(u32),                // 0x27
    WildcardSubscriptionAvailable(bool),   // 0x28
    SubscriptionIdentifierAvailable(bool), // 0x29
    SharedSubscriptionAvailable(bool),     // 0x2A
}

/// The packet, or the part of one, that a property list stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is the packet of its name")]
pub enum Carrier {
    Connect,
    Will,
    Connack,
    Publish,
    Ack,
    Subscribe,
    Suback,
    Unsubscribe,
    Disconnect,
    Auth,
}

impl Carrier {
    /// Identifiers this packet may carry (MQTT 5.0 table 2-4), as a bit set.
    fn allowed(self) -> u64 {
        let ids: &[u8] = match self {
            Self::Connect => &[0x11, 0x15, 0x16, 0x17, 0x19, 0x21, 0x22, 0x26, 0x27],
            Self::Will => &[0x01, 0x02, 0x03, 0x08, 0x09, 0x18, 0x26],
            Self::Connack => {
                &[0x11, 0x12, 0x13, 0x15, 0x16, 0x1a, 0x1c, 0x1f, 0x21, 0x22, 0x24, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2a]
            }
            Self::Publish => &[0x01, 0x02, 0x03, 0x08, 0x09, 0x0b, 0x23, 0x26],
            Self::Ack | Self::Suback => &[0x1f, 0x26],
            Self::Subscribe => &[0x0b, 0x26],
            Self::Unsubscribe => &[0x26],
            Self::Disconnect => &[0x11, 0x1c, 0x1f, 0x26],
            Self::Auth => &[0x15, 0x16, 0x1f, 0x26],
        };
        ids.iter().fold(0, |set, id| set | 1 << id)
    }

    /// The standard calls an identifier that the packet may not carry malformed (§2.2.2.2) and, in the tables of the
    /// packets, a protocol error. Servers in the field answer SUBSCRIBE and UNSUBSCRIBE with the former and the rest
    /// with the latter, and so does this one.
    fn refusal(self, what: &'static str) -> Error {
        match self {
            Self::Subscribe | Self::Unsubscribe => Error::malformed(what),
            _ => Error::protocol(what),
        }
    }
}

/// The properties of one packet in the order they came.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Properties(pub Vec<Property>);

impl Properties {
    /// Reads a property list with its length.
    pub(super) fn decode(reader: &mut Reader<'_>, carrier: Carrier) -> Result<Self, Error> {
        let len = reader.varint()? as usize;
        if len == 0 {
            return Ok(Self::default());
        }
        let mut list = Reader::new(reader.take(len)?);
        let mut properties = Vec::new();
        let mut seen = 0u64;
        let allowed = carrier.allowed();
        while !list.is_empty() {
            let id = list.varint()?;
            // The value is read before the identifier is judged: a property that ends early is malformed even where
            // it would be refused anyway.
            let property = value(id, &mut list)?;
            let bit = 1u64 << id;
            if allowed & bit == 0 {
                return Err(carrier.refusal("a property that this packet must not carry"));
            }
            let repeatable = id == 0x26 || (id == 0x0b && carrier == Carrier::Publish);
            if seen & bit != 0 && !repeatable {
                return Err(Error::protocol("a property that may appear once appears twice"));
            }
            seen |= bit;
            check_value(&property, carrier)?;
            properties.push(property);
        }
        Ok(Self(properties))
    }

    /// Appends the list with its length.
    pub fn encode(&self, out: &mut Vec<u8>) {
        if self.0.is_empty() {
            out.push(0);
            return;
        }
        let mut list = Vec::new();
        for property in &self.0 {
            put_property(&mut list, property);
        }
        put_varint(out, list.len());
        out.extend_from_slice(&list);
    }

    /// The first value that `pick` accepts.
    pub fn find<T>(&self, pick: impl FnMut(&Property) -> Option<T>) -> Option<T> {
        self.0.iter().find_map(pick)
    }

    /// Number of user properties.
    pub fn user_property_count(&self) -> usize {
        self.0.iter().filter(|property| matches!(property, Property::UserProperty(..))).count()
    }
}

fn value(id: u32, list: &mut Reader<'_>) -> Result<Property, Error> {
    use Property as P;
    Ok(match id {
        0x01 => P::PayloadFormatIndicator(flag(list)?),
        0x02 => P::MessageExpiryInterval(list.u32()?),
        0x03 => P::ContentType(list.text()?.into()),
        0x08 => P::ResponseTopic(list.name()?.into()),
        0x09 => P::CorrelationData(Bytes::copy_from_slice(list.binary()?)),
        0x0b => P::SubscriptionIdentifier(list.varint()?),
        0x11 => P::SessionExpiryInterval(list.u32()?),
        0x12 => P::AssignedClientIdentifier(list.name()?.into()),
        0x13 => P::ServerKeepAlive(list.u16()?),
        0x15 => P::AuthenticationMethod(list.name()?.into()),
        0x16 => P::AuthenticationData(Bytes::copy_from_slice(list.binary()?)),
        0x17 => P::RequestProblemInformation(flag(list)?),
        0x18 => P::WillDelayInterval(list.u32()?),
        0x19 => P::RequestResponseInformation(flag(list)?),
        0x1a => P::ResponseInformation(list.text()?.into()),
        0x1c => P::ServerReference(list.text()?.into()),
        0x1f => P::ReasonString(list.text()?.into()),
        0x21 => P::ReceiveMaximum(list.u16()?),
        0x22 => P::TopicAliasMaximum(list.u16()?),
        0x23 => P::TopicAlias(list.u16()?),
        0x24 => P::MaximumQos(list.u8()?),
        0x25 => P::RetainAvailable(flag(list)?),
        0x26 => P::UserProperty(list.text()?.into(), list.text()?.into()),
        0x27 => P::MaximumPacketSize(list.u32()?),
        0x28 => P::WildcardSubscriptionAvailable(flag(list)?),
        0x29 => P::SubscriptionIdentifierAvailable(flag(list)?),
        0x2a => P::SharedSubscriptionAvailable(flag(list)?),
        _ => return Err(Error::malformed("an unknown property identifier")),
    })
}

fn flag(list: &mut Reader<'_>) -> Result<bool, Error> {
    match list.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Error::protocol("a property that is 0 or 1 has another value")),
    }
}

fn check_value(property: &Property, carrier: Carrier) -> Result<(), Error> {
    match property {
        Property::SubscriptionIdentifier(0) => Err(carrier.refusal("subscription identifier 0")),
        Property::ReceiveMaximum(0) => Err(Error::protocol("receive maximum 0")),
        Property::MaximumPacketSize(0) => Err(Error::protocol("maximum packet size 0")),
        Property::MaximumQos(qos) if *qos > 1 => Err(Error::protocol("maximum QoS above 1")),
        Property::TopicAlias(0) => Err(Error::protocol("topic alias 0 [MQTT-3.3.2-8]")),
        Property::ResponseTopic(topic) if model::validate_topic(topic).is_err() => {
            Err(Error::protocol("the response topic is no topic name [MQTT-3.3.2-14]"))
        }
        _ => Ok(()),
    }
}

pub(super) fn put_property(out: &mut Vec<u8>, property: &Property) {
    use Property as P;
    let mut string = |id: u8, text: &str| {
        out.push(id);
        put_string(out, text);
    };
    match property {
        P::ContentType(text) => string(0x03, text),
        P::ResponseTopic(text) => string(0x08, text),
        P::AssignedClientIdentifier(text) => string(0x12, text),
        P::AuthenticationMethod(text) => string(0x15, text),
        P::ResponseInformation(text) => string(0x1a, text),
        P::ServerReference(text) => string(0x1c, text),
        P::ReasonString(text) => string(0x1f, text),
        P::UserProperty(name, value) => {
            string(0x26, name);
            put_string(out, value);
        }
        P::CorrelationData(data) => {
            out.push(0x09);
            put_binary(out, data);
        }
        P::AuthenticationData(data) => {
            out.push(0x16);
            put_binary(out, data);
        }
        P::SubscriptionIdentifier(id) => {
            out.push(0x0b);
            put_varint(out, *id as usize);
        }
        P::PayloadFormatIndicator(on) => out.extend([0x01, u8::from(*on)]),
        P::RequestProblemInformation(on) => out.extend([0x17, u8::from(*on)]),
        P::RequestResponseInformation(on) => out.extend([0x19, u8::from(*on)]),
        P::MaximumQos(qos) => out.extend([0x24, *qos]),
        P::RetainAvailable(on) => out.extend([0x25, u8::from(*on)]),
        P::WildcardSubscriptionAvailable(on) => out.extend([0x28, u8::from(*on)]),
        P::SubscriptionIdentifierAvailable(on) => out.extend([0x29, u8::from(*on)]),
        P::SharedSubscriptionAvailable(on) => out.extend([0x2a, u8::from(*on)]),
        P::ServerKeepAlive(n) => put_id_u16(out, 0x13, *n),
        P::ReceiveMaximum(n) => put_id_u16(out, 0x21, *n),
        P::TopicAliasMaximum(n) => put_id_u16(out, 0x22, *n),
        P::TopicAlias(n) => put_id_u16(out, 0x23, *n),
        P::MessageExpiryInterval(n) => put_id_u32(out, 0x02, *n),
        P::SessionExpiryInterval(n) => put_id_u32(out, 0x11, *n),
        P::WillDelayInterval(n) => put_id_u32(out, 0x18, *n),
        P::MaximumPacketSize(n) => put_id_u32(out, 0x27, *n),
    }
}

fn put_id_u16(out: &mut Vec<u8>, id: u8, n: u16) {
    out.push(id);
    put_u16(out, n);
}

fn put_id_u32(out: &mut Vec<u8>, id: u8, n: u32) {
    out.push(id);
    put_u32(out, n);
}
