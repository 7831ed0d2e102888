//! UNSUBSCRIBE: ends subscriptions (MQTT 5.0 §3.10).

use super::read::Reader;
use super::write::{put_string, put_u16, with_length};
use super::{Carrier, Error, Properties, Version, subscribe};

/// An unsubscribe request.
#[derive(Clone, Debug, PartialEq)]
pub struct Unsubscribe {
    /// For the UNSUBACK.
    pub packet_id: u16,
    /// MQTT 5 properties.
    pub properties: Properties,
    /// At least one, each valid by [`model::validate_filter`].
    pub filters: Vec<String>,
}

impl Unsubscribe {
    /// Reads the body of a frame.
    pub fn decode(flags: u8, body: &[u8], version: Version) -> Result<Self, Error> {
        subscribe::check_flags(flags, version)?;
        let mut reader = Reader::new(body);
        let packet_id = reader.packet_id(Error::malformed("packet identifier 0 [MQTT-2.2.1-3]"))?;
        let properties = match version {
            Version::V5 => Properties::decode(&mut reader, Carrier::Unsubscribe)?,
            _ => Properties::default(),
        };
        if reader.is_empty() {
            return Err(Error::malformed("an UNSUBSCRIBE without topic filter [MQTT-3.10.3-2]"));
        }
        let mut filters = Vec::new();
        while !reader.is_empty() {
            filters.push(subscribe::filter(&mut reader)?);
        }
        Ok(Self { packet_id, properties, filters })
    }

    /// Appends the packet.
    pub fn encode(&self, out: &mut Vec<u8>, version: Version) {
        with_length(out, 0xa2, |out| {
            put_u16(out, self.packet_id);
            if version == Version::V5 {
                self.properties.encode(out);
            }
            for filter in &self.filters {
                put_string(out, filter);
            }
        });
    }
}
