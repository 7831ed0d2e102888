//! SUBSCRIBE: asks for messages (MQTT 5.0 §3.8).

use model::Qos;

use super::read::Reader;
use super::write::{put_string, put_u16, with_length};
use super::{Carrier, Error, Properties, Property, Version};
use crate::topics::split_share;

/// A subscribe request.
#[derive(Clone, Debug, PartialEq)]
pub struct Subscribe {
    /// For the SUBACK.
    pub packet_id: u16,
    /// MQTT 5 properties.
    pub properties: Properties,
    /// At least one.
    pub filters: Vec<Filter>,
}

/// One requested subscription.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    /// Topic filter; valid by [`model::validate_filter`].
    pub filter: String,
    /// Its options.
    pub options: SubscribeOptions,
}

/// Subscription options (MQTT 5.0 §3.8.3.1); only the QoS exists before MQTT 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscribeOptions {
    /// Maximum QoS the client wants to get.
    pub qos: Qos,
    /// Do not send the client its own messages.
    pub no_local: bool,
    /// Keep the RETAIN flag of the publisher.
    pub retain_as_published: bool,
    /// When to send retained messages.
    pub retain_handling: RetainHandling,
}

/// When retained messages are sent (MQTT 5.0 §3.8.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetainHandling {
    /// At every subscribe.
    Always = 0,
    /// Only when the subscription is new.
    IfNew = 1,
    /// Never.
    Never = 2,
}

impl SubscribeOptions {
    /// What a client of MQTT 3 gets.
    pub fn of_qos(qos: Qos) -> Self {
        Self { qos, no_local: false, retain_as_published: false, retain_handling: RetainHandling::Always }
    }

    /// The options byte.
    pub fn bits(self) -> u8 {
        self.qos as u8
            | u8::from(self.no_local) << 2
            | u8::from(self.retain_as_published) << 3
            | (self.retain_handling as u8) << 4
    }

    /// The options of a byte that [`SubscribeOptions::bits`] made.
    pub(crate) fn of_bits(bits: u8) -> Option<Self> {
        Self::from_bits(bits, Version::V5).ok()
    }

    fn from_bits(bits: u8, version: Version) -> Result<Self, Error> {
        let qos = Qos::from_u8(bits & 3).ok_or(Error::malformed("QoS 3 requested [MQTT-3.8.3-4]"))?;
        if version != Version::V5 {
            return if bits & 0xfc == 0 {
                Ok(Self::of_qos(qos))
            } else {
                Err(Error::malformed("reserved bits of the requested QoS are not zero [MQTT-3-8.3-4]"))
            };
        }
        let retain_handling = match bits >> 4 {
            0 => RetainHandling::Always,
            1 => RetainHandling::IfNew,
            2 => RetainHandling::Never,
            _ => {
                return Err(Error::malformed(
                    "reserved bits or retain handling 3 in the subscription options [MQTT-3.8.3-5]",
                ));
            }
        };
        Ok(Self { qos, no_local: bits & 4 != 0, retain_as_published: bits & 8 != 0, retain_handling })
    }
}

impl Subscribe {
    /// Reads the body of a frame.
    pub fn decode(flags: u8, body: &[u8], version: Version) -> Result<Self, Error> {
        check_flags(flags, version)?;
        let mut reader = Reader::new(body);
        let packet_id = reader.packet_id(Error::malformed("packet identifier 0 [MQTT-2.2.1-3]"))?;
        let properties = match version {
            Version::V5 => Properties::decode(&mut reader, Carrier::Subscribe)?,
            _ => Properties::default(),
        };
        if reader.is_empty() {
            return Err(Error::malformed("a SUBSCRIBE without topic filter [MQTT-3.8.3-2]"));
        }
        let mut filters = Vec::new();
        while !reader.is_empty() {
            let filter = filter(&mut reader)?;
            let options = SubscribeOptions::from_bits(reader.u8()?, version)?;
            if options.no_local && split_share(&filter).is_some() {
                return Err(Error::protocol("no local on a shared subscription [MQTT-3.8.3-4]"));
            }
            filters.push(Filter { filter, options });
        }
        Ok(Self { packet_id, properties, filters })
    }

    /// Appends the packet.
    pub fn encode(&self, out: &mut Vec<u8>, version: Version) {
        with_length(out, 0x82, |out| {
            put_u16(out, self.packet_id);
            if version == Version::V5 {
                self.properties.encode(out);
            }
            for Filter { filter, options } in &self.filters {
                put_string(out, filter);
                out.push(if version == Version::V5 { options.bits() } else { options.qos as u8 });
            }
        });
    }

    /// The subscription identifier, if any.
    pub fn identifier(&self) -> Option<u32> {
        self.properties.find(|property| match property {
            Property::SubscriptionIdentifier(id) => Some(*id),
            _ => None,
        })
    }
}

/// SUBSCRIBE and UNSUBSCRIBE carry the flags 2 [MQTT-3.8.1-1, MQTT-3.10.1-1]; MQTT 3.1 also allows DUP there.
pub(super) fn check_flags(flags: u8, version: Version) -> Result<(), Error> {
    let checked = if version == Version::V3_1 { flags & !0x08 } else { flags };
    if checked == 0x02 { Ok(()) } else { Err(Error::malformed("the flags of (UN)SUBSCRIBE are not 2 [MQTT-3.8.1-1]")) }
}

/// A topic filter of the payload.
pub(super) fn filter(reader: &mut Reader<'_>) -> Result<String, Error> {
    let filter = reader.name()?;
    model::validate_filter(filter).map_err(|error| match error {
        // A wrong share name parses; the standard calls using it a protocol error (§4.8.2).
        model::TopicError::BadShare => {
            Error::protocol("a shared subscription without valid group or filter [MQTT-4.8.2-2]")
        }
        _ => Error::malformed("an invalid topic filter [MQTT-4.7.1-1]"),
    })?;
    Ok(filter.to_owned())
}
