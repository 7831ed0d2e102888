//! Pubcomp: ends the exchange of a PUBLISH of QoS 2 (MQTT 5.0 §3.7).

use super::{Error, Properties, Reason, Version, ack};

/// ends the exchange of a PUBLISH of QoS 2.
#[derive(Clone, Debug, PartialEq)]
pub struct Pubcomp {
    /// The message this is about.
    pub packet_id: u16,
    /// How it went; always success before MQTT 5.
    pub reason: Reason,
    /// MQTT 5 properties.
    pub properties: Properties,
}

impl Pubcomp {
    /// The packet without properties.
    pub fn new(packet_id: u16, reason: Reason) -> Self {
        Self { packet_id, reason, properties: Properties::default() }
    }

    /// Reads the body of a frame.
    pub fn decode(flags: u8, body: &[u8], version: Version) -> Result<Self, Error> {
        if flags != 0 {
            return Err(Error::malformed("reserved flags are not zero"));
        }
        let ack::Fields { packet_id, reason, properties } = ack::decode(body, version, &ack::RELEASE_REASONS)?;
        Ok(Self { packet_id, reason, properties })
    }

    /// Appends the packet.
    pub fn encode(&self, out: &mut Vec<u8>, version: Version) {
        ack::encode(out, 0x70, version, self.packet_id, self.reason, &self.properties);
    }
}
