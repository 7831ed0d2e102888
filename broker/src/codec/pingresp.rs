//! Pingresp: gives the sign of life (MQTT 5.0 §3.13).

use super::{Error, Version};

/// gives the sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pingresp;

impl Pingresp {
    /// Reads the body of a frame, which is empty.
    pub fn decode(flags: u8, body: &[u8], _: Version) -> Result<Self, Error> {
        if !body.is_empty() {
            // Like an impossible remaining length: the frame itself is wrong, and servers close without DISCONNECT.
            return Err(Error::malformed("a remaining length that is not 0").silently());
        }
        if flags != 0 {
            return Err(Error::malformed("reserved flags are not zero"));
        }
        Ok(Self)
    }

    /// Appends the packet.
    pub fn encode(&self, out: &mut Vec<u8>, _: Version) {
        out.extend([0xd0, 0]);
    }
}
