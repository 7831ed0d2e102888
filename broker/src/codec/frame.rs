//! The fixed header: packet type, flags and remaining length (MQTT 5.0 §2.1).

use super::Error;

/// The largest remaining length four bytes can carry, bytes.
pub const MAX_REMAINING_LENGTH: usize = 268_435_455;

/// A control packet type (MQTT 5.0 §2.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each variant is the packet type of its name")]
pub enum Kind {
    Connect = 1,
    Connack = 2,
    Publish = 3,
    Puback = 4,
    Pubrec = 5,
    Pubrel = 6,
    Pubcomp = 7,
    Subscribe = 8,
    Suback = 9,
    Unsubscribe = 10,
    Unsuback = 11,
    Pingreq = 12,
    Pingresp = 13,
    Disconnect = 14,
    Auth = 15,
}

impl Kind {
    /// The type in the high four bits of `first`; type 0 is forbidden.
    pub fn of(first: u8) -> Option<Self> {
        Some(match first >> 4 {
            1 => Self::Connect,
            2 => Self::Connack,
            3 => Self::Publish,
            4 => Self::Puback,
            5 => Self::Pubrec,
            6 => Self::Pubrel,
            7 => Self::Pubcomp,
            8 => Self::Subscribe,
            9 => Self::Suback,
            10 => Self::Unsubscribe,
            11 => Self::Unsuback,
            12 => Self::Pingreq,
            13 => Self::Pingresp,
            14 => Self::Disconnect,
            15 => Self::Auth,
            _ => return None,
        })
    }
}

/// Where a packet lies in the bytes read so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Packet type.
    pub kind: Kind,
    /// The low four bits of the first byte.
    pub flags: u8,
    /// Bytes of the fixed header.
    pub header_len: usize,
    /// Remaining length: bytes that follow the fixed header.
    pub body_len: usize,
}

impl Frame {
    /// Bytes of the whole packet, which is what Maximum Packet Size limits (MQTT 5.0 §3.1.2.11.4).
    pub fn total_len(self) -> usize {
        self.header_len + self.body_len
    }
}

/// Reads a fixed header from the front of `input`. `None`: more bytes are needed. The body need not be there yet.
pub fn frame(input: &[u8]) -> Result<Option<Frame>, Error> {
    let Some((&first, rest)) = input.split_first() else { return Ok(None) };
    let kind = Kind::of(first).ok_or(Error::protocol("packet type 0"))?;
    let mut body_len = 0usize;
    for (position, &byte) in rest.iter().take(4).enumerate() {
        body_len |= usize::from(byte & 0x7f) << (7 * position);
        if byte & 0x80 == 0 {
            if byte == 0 && position > 0 {
                return Err(Error::malformed("remaining length is not minimal [MQTT-1.5.5-1]"));
            }
            return Ok(Some(Frame { kind, flags: first & 0x0f, header_len: position + 2, body_len }));
        }
    }
    // Where the packet ends is unknown, and with it whether the peer speaks MQTT: servers close without DISCONNECT.
    let endless = Error::malformed("remaining length longer than four bytes").silently();
    if rest.len() >= 4 { Err(endless) } else { Ok(None) }
}
