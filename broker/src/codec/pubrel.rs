//! Pubrel: releases a PUBLISH of QoS 2 (MQTT 5.0 §3.6).

use super::{Error, Properties, Reason, Version, ack};

/// releases a PUBLISH of QoS 2.
#[derive(Clone, Debug, PartialEq)]
pub struct Pubrel {
    /// The message this is about.
    pub packet_id: u16,
    /// How it went; always success before MQTT 5.
    pub reason: Reason,
    /// MQTT 5 properties.
    pub properties: Properties,
}

impl Pubrel {
    /// The packet without properties.
    pub fn new(packet_id: u16, reason: Reason) -> Self {
        Self { packet_id, reason, properties: Properties::default() }
    }

    /// Reads the body of a frame.
    pub fn decode(flags: u8, body: &[u8], version: Version) -> Result<Self, Error> {
        // MQTT 3.1 allows DUP on a repeated PUBREL (§2.1 there); later versions reserve all four bits [MQTT-3.6.1-1].
        let checked = if version == Version::V3_1 { flags & !0x08 } else { flags };
        if checked != 0x02 {
            return Err(Error::protocol("the flags of PUBREL are not 2 [MQTT-3.6.1-1]"));
        }
        let ack::Fields { packet_id, reason, properties } = ack::decode(body, version, &ack::RELEASE_REASONS)?;
        Ok(Self { packet_id, reason, properties })
    }

    /// Appends the packet.
    pub fn encode(&self, out: &mut Vec<u8>, version: Version) {
        ack::encode(out, 0x62, version, self.packet_id, self.reason, &self.properties);
    }
}
