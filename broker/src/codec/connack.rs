//! CONNACK: answers CONNECT (MQTT 5.0 §3.2).

use super::read::Reader;
use super::write::with_length;
use super::{Carrier, Error, Properties, Reason, Version};

/// The answer to a CONNECT.
#[derive(Clone, Debug, PartialEq)]
pub struct Connack {
    /// The server has a session of this client id.
    pub session_present: bool,
    /// How it went.
    pub reason: Reason,
    /// MQTT 5 properties.
    pub properties: Properties,
}

impl Connack {
    /// Reads the body of a frame. The return codes of MQTT 3 come back as the reason codes they stand for.
    pub fn decode(flags: u8, body: &[u8], version: Version) -> Result<Self, Error> {
        if flags != 0 {
            return Err(Error::malformed("reserved flags are not zero"));
        }
        let mut reader = Reader::new(body);
        let session_present = match reader.u8()? {
            // MQTT 3.1 has a reserved byte here, whose value says nothing.
            _ if version == Version::V3_1 => false,
            0 => false,
            1 => true,
            _ => return Err(Error::malformed("reserved connect acknowledge flags are not zero [MQTT-3.2.2-1]")),
        };
        let code = reader.u8()?;
        let mut packet = Self { session_present, reason: Reason(code), properties: Properties::default() };
        if version == Version::V5 {
            packet.properties = Properties::decode(&mut reader, Carrier::Connack)?;
        } else {
            packet.reason = match code {
                0 => Reason::SUCCESS,
                1 => Reason::UNSUPPORTED_PROTOCOL_VERSION,
                2 => Reason::CLIENT_IDENTIFIER_NOT_VALID,
                3 => Reason::SERVER_UNAVAILABLE,
                4 => Reason::BAD_USERNAME_OR_PASSWORD,
                5 => Reason::NOT_AUTHORIZED,
                _ => return Err(Error::protocol("a reserved connect return code")),
            };
        }
        reader.end()?;
        Ok(packet)
    }

    /// Appends the packet. A reason that MQTT 3 has no return code for must not be sent to such a client.
    pub fn encode(&self, out: &mut Vec<u8>, version: Version) {
        with_length(out, 0x20, |out| {
            // MQTT 3.1 has a reserved byte where later versions have this flag.
            out.push(u8::from(self.session_present && version != Version::V3_1));
            if version == Version::V5 {
                out.push(self.reason.0);
                self.properties.encode(out);
            } else {
                out.push(self.reason.connect_return_code_v3().unwrap_or(5));
            }
        });
    }
}
