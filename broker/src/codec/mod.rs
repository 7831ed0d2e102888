//! MQTT 3.1, 3.1.1 and 5.0 control packets: bytes in, packets out, and back.
//!
//! Every packet type is one file with the same methods in the same order: `decode(flags, body, version)`, then
//! `encode(out, version)`.
//!
//! Invariants:
//! - No I/O, no clock, no state between packets.
//! - Decoding never panics and never allocates from a declared length: a frame is only decoded once all its bytes
//!   are there, and every field is a slice of them first.
//! - Decoding is strict. What cannot be parsed is [`Reason::MALFORMED_PACKET`], what can be parsed but breaks a rule is
//!   [`Reason::PROTOCOL_ERROR`] (MQTT 5.0 §4.13.1).

mod ack;
mod auth;
mod connack;
mod connect;
mod disconnect;
mod error;
mod frame;
mod pingreq;
mod pingresp;
mod properties;
mod puback;
mod pubcomp;
mod publish;
mod pubrec;
mod pubrel;
mod read;
mod reason;
mod suback;
mod subscribe;
mod unsuback;
mod unsubscribe;
mod write;

pub use auth::Auth;
pub use connack::Connack;
pub use connect::{Connect, LastWill};
pub use disconnect::Disconnect;
pub use error::Error;
pub use frame::{Frame, Kind, MAX_REMAINING_LENGTH, frame};
pub use pingreq::Pingreq;
pub use pingresp::Pingresp;
pub use properties::{Carrier, Properties, Property};
pub use puback::Puback;
pub use pubcomp::Pubcomp;
pub use publish::{Publish, PublishHeader};
pub use pubrec::Pubrec;
pub use pubrel::Pubrel;
pub use reason::Reason;
pub use suback::Suback;
pub use subscribe::{Filter, RetainHandling, Subscribe, SubscribeOptions};
pub use unsuback::Unsuback;
pub use unsubscribe::Unsubscribe;
pub use write::{put_string, put_varint, varint_len, with_length};

/// The version all codec functions speak of.
pub use model::ProtocolVersion as Version;

/// One decoded control packet.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each variant is the packet of its name, documented there")]
pub enum Packet {
    Connect(Box<Connect>),
    Connack(Connack),
    Publish(Publish),
    Puback(Puback),
    Pubrec(Pubrec),
    Pubrel(Pubrel),
    Pubcomp(Pubcomp),
    Subscribe(Subscribe),
    Suback(Suback),
    Unsubscribe(Unsubscribe),
    Unsuback(Unsuback),
    Pingreq(Pingreq),
    Pingresp(Pingresp),
    Disconnect(Disconnect),
    Auth(Auth),
}

impl Packet {
    /// Decodes the body of a frame. `version` is that of the connection; a CONNECT brings its own.
    pub fn decode(kind: Kind, flags: u8, body: &[u8], version: Version) -> Result<Self, Error> {
        Ok(match kind {
            Kind::Connect => Self::Connect(Box::new(Connect::decode(flags, body)?)),
            Kind::Connack => Self::Connack(Connack::decode(flags, body, version)?),
            Kind::Publish => Self::Publish(Publish::decode(flags, body, version)?),
            Kind::Puback => Self::Puback(Puback::decode(flags, body, version)?),
            Kind::Pubrec => Self::Pubrec(Pubrec::decode(flags, body, version)?),
            Kind::Pubrel => Self::Pubrel(Pubrel::decode(flags, body, version)?),
            Kind::Pubcomp => Self::Pubcomp(Pubcomp::decode(flags, body, version)?),
            Kind::Subscribe => Self::Subscribe(Subscribe::decode(flags, body, version)?),
            Kind::Suback => Self::Suback(Suback::decode(flags, body, version)?),
            Kind::Unsubscribe => Self::Unsubscribe(Unsubscribe::decode(flags, body, version)?),
            Kind::Unsuback => Self::Unsuback(Unsuback::decode(flags, body, version)?),
            Kind::Pingreq => Self::Pingreq(Pingreq::decode(flags, body, version)?),
            Kind::Pingresp => Self::Pingresp(Pingresp::decode(flags, body, version)?),
            Kind::Disconnect => Self::Disconnect(Disconnect::decode(flags, body, version)?),
            Kind::Auth => Self::Auth(Auth::decode(flags, body, version)?),
        })
    }

    /// Appends the packet to `out`.
    pub fn encode(&self, out: &mut Vec<u8>, version: Version) {
        match self {
            Self::Connect(packet) => packet.encode(out),
            Self::Connack(packet) => packet.encode(out, version),
            Self::Publish(packet) => packet.encode(out, version),
            Self::Puback(packet) => packet.encode(out, version),
            Self::Pubrec(packet) => packet.encode(out, version),
            Self::Pubrel(packet) => packet.encode(out, version),
            Self::Pubcomp(packet) => packet.encode(out, version),
            Self::Subscribe(packet) => packet.encode(out, version),
            Self::Suback(packet) => packet.encode(out, version),
            Self::Unsubscribe(packet) => packet.encode(out, version),
            Self::Unsuback(packet) => packet.encode(out, version),
            Self::Pingreq(packet) => packet.encode(out, version),
            Self::Pingresp(packet) => packet.encode(out, version),
            Self::Disconnect(packet) => packet.encode(out, version),
            Self::Auth(packet) => packet.encode(out, version),
        }
    }
}

#[cfg(test)]
mod tests;
