//! UNSUBACK: answers UNSUBSCRIBE (MQTT 5.0 §3.11).

use super::read::Reader;
use super::write::{put_u16, with_length};
use super::{Carrier, Error, Properties, Reason, Version};

/// The answer to an UNSUBSCRIBE.
#[derive(Clone, Debug, PartialEq)]
pub struct Unsuback {
    /// Of the UNSUBSCRIBE.
    pub packet_id: u16,
    /// MQTT 5 properties.
    pub properties: Properties,
    /// One a filter, in their order; not on the wire before MQTT 5.
    pub reasons: Vec<Reason>,
}

impl Unsuback {
    /// Reads the body of a frame.
    pub fn decode(flags: u8, body: &[u8], version: Version) -> Result<Self, Error> {
        if flags != 0 {
            return Err(Error::malformed("reserved flags are not zero"));
        }
        let mut reader = Reader::new(body);
        let packet_id = reader.packet_id(Error::protocol("packet identifier 0 [MQTT-2.2.1-3]"))?;
        let mut properties = Properties::default();
        if version == Version::V5 {
            properties = Properties::decode(&mut reader, Carrier::Suback)?;
        } else {
            reader.end()?;
        }
        Ok(Self { packet_id, properties, reasons: reader.rest().iter().copied().map(Reason).collect() })
    }

    /// Appends the packet.
    pub fn encode(&self, out: &mut Vec<u8>, version: Version) {
        with_length(out, 0xb0, |out| {
            put_u16(out, self.packet_id);
            if version == Version::V5 {
                self.properties.encode(out);
                out.extend(self.reasons.iter().map(|reason| reason.0));
            }
        });
    }
}
