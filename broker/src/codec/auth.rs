//! AUTH: enhanced authentication (MQTT 5.0 §3.15). The broker refuses every method at CONNECT with 0x8C, so a client
//! never has a reason to send it; it is decoded to be refused precisely.

use super::read::Reader;
use super::write::with_length;
use super::{Carrier, Error, Properties, Reason, Version};

/// One step of an authentication exchange.
#[derive(Clone, Debug, PartialEq)]
pub struct Auth {
    /// Success, continue or re-authenticate.
    pub reason: Reason,
    /// MQTT 5 properties.
    pub properties: Properties,
}

impl Auth {
    /// Reads the body of a frame.
    pub fn decode(flags: u8, body: &[u8], version: Version) -> Result<Self, Error> {
        if version != Version::V5 {
            return Err(Error::malformed("packet type 15 before MQTT 5"));
        }
        if flags != 0 {
            return Err(Error::protocol("reserved flags of AUTH are not zero [MQTT-3.15.1-1]"));
        }
        let mut reader = Reader::new(body);
        let mut packet = Self { reason: Reason::SUCCESS, properties: Properties::default() };
        if !reader.is_empty() {
            packet.reason = Reason(reader.u8()?);
            if !reader.is_empty() {
                packet.properties = Properties::decode(&mut reader, Carrier::Auth)?;
            }
        }
        reader.end()?;
        let known = [Reason::SUCCESS, Reason::CONTINUE_AUTHENTICATION, Reason::RE_AUTHENTICATE];
        if !known.contains(&packet.reason) {
            return Err(Error::protocol("a reason code that AUTH must not carry [MQTT-3.15.2-1]"));
        }
        Ok(packet)
    }

    /// Appends the packet.
    pub fn encode(&self, out: &mut Vec<u8>, _: Version) {
        if self.reason == Reason::SUCCESS && self.properties.0.is_empty() {
            out.extend([0xf0, 0]);
            return;
        }
        with_length(out, 0xf0, |out| {
            out.push(self.reason.0);
            self.properties.encode(out);
        });
    }
}
