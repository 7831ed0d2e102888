//! SUBACK: answers SUBSCRIBE, one code a filter (MQTT 5.0 §3.9).

use super::read::Reader;
use super::write::{put_u16, with_length};
use super::{Carrier, Error, Properties, Reason, Version};

/// The answer to a SUBSCRIBE.
#[derive(Clone, Debug, PartialEq)]
pub struct Suback {
    /// Of the SUBSCRIBE.
    pub packet_id: u16,
    /// MQTT 5 properties.
    pub properties: Properties,
    /// Granted QoS or failure, in the order of the filters. Every failure is 0x80 before MQTT 5.
    pub reasons: Vec<Reason>,
}

impl Suback {
    /// Reads the body of a frame.
    pub fn decode(flags: u8, body: &[u8], version: Version) -> Result<Self, Error> {
        if flags != 0 {
            return Err(Error::malformed("reserved flags are not zero"));
        }
        let mut reader = Reader::new(body);
        let packet_id = reader.packet_id(Error::protocol("packet identifier 0 [MQTT-2.2.1-3]"))?;
        let properties = match version {
            Version::V5 => Properties::decode(&mut reader, Carrier::Suback)?,
            _ => Properties::default(),
        };
        let reasons: Vec<Reason> = reader.rest().iter().copied().map(Reason).collect();
        if version != Version::V5 && reasons.iter().any(|reason| !matches!(reason.0, 0..=2 | 0x80)) {
            return Err(Error::protocol("a reserved SUBACK return code [MQTT-3.9.3-2]"));
        }
        Ok(Self { packet_id, properties, reasons })
    }

    /// Appends the packet.
    pub fn encode(&self, out: &mut Vec<u8>, version: Version) {
        with_length(out, 0x90, |out| {
            put_u16(out, self.packet_id);
            if version == Version::V5 {
                self.properties.encode(out);
            }
            out.extend(self.reasons.iter().map(|reason| match version {
                Version::V5 => reason.0,
                _ if reason.is_error() => Reason::UNSPECIFIED_ERROR.0,
                _ => reason.0,
            }));
        });
    }
}
