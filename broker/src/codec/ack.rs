//! What PUBACK, PUBREC, PUBREL and PUBCOMP share: packet identifier, reason code, properties (MQTT 5.0 §3.4–3.7).

use super::read::Reader;
use super::write::{put_u16, with_length};
use super::{Carrier, Error, Properties, Reason, Version};

pub(super) struct Fields {
    pub(super) packet_id: u16,
    pub(super) reason: Reason,
    pub(super) properties: Properties,
}

/// Reads the variable header; `reasons` are the codes this packet may carry.
pub(super) fn decode(body: &[u8], version: Version, reasons: &[Reason]) -> Result<Fields, Error> {
    let mut reader = Reader::new(body);
    let packet_id = reader.packet_id(Error::protocol("packet identifier 0 [MQTT-2.2.1-3]"))?;
    let mut fields = Fields { packet_id, reason: Reason::SUCCESS, properties: Properties::default() };
    if version == Version::V5 && !reader.is_empty() {
        fields.reason = Reason(reader.u8()?);
        if !reader.is_empty() {
            fields.properties = Properties::decode(&mut reader, Carrier::Ack)?;
        }
    }
    reader.end()?;
    if !reasons.contains(&fields.reason) {
        return Err(Error::protocol("a reason code that this packet must not carry"));
    }
    Ok(fields)
}

/// Appends the packet; reason code and properties are left out when they say nothing (MQTT 5.0 §3.4.2.1).
pub(super) fn encode(
    out: &mut Vec<u8>,
    first: u8,
    version: Version,
    packet_id: u16,
    reason: Reason,
    properties: &Properties,
) {
    if version != Version::V5 || (reason == Reason::SUCCESS && properties.0.is_empty()) {
        let [high, low] = packet_id.to_be_bytes();
        out.extend([first, 2, high, low]);
        return;
    }
    with_length(out, first, |out| {
        put_u16(out, packet_id);
        out.push(reason.0);
        if !properties.0.is_empty() {
            properties.encode(out);
        }
    });
}

/// Reasons of PUBACK and PUBREC.
pub(super) const PUBLISH_REASONS: [Reason; 9] = [
    Reason::SUCCESS,
    Reason::NO_MATCHING_SUBSCRIBERS,
    Reason::UNSPECIFIED_ERROR,
    Reason::IMPLEMENTATION_SPECIFIC_ERROR,
    Reason::NOT_AUTHORIZED,
    Reason::TOPIC_NAME_INVALID,
    Reason::PACKET_IDENTIFIER_IN_USE,
    Reason::QUOTA_EXCEEDED,
    Reason::PAYLOAD_FORMAT_INVALID,
];

/// Reasons of PUBREL and PUBCOMP.
pub(super) const RELEASE_REASONS: [Reason; 2] = [Reason::SUCCESS, Reason::PACKET_IDENTIFIER_NOT_FOUND];
