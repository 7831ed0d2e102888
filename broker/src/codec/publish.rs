//! PUBLISH: carries an application message (MQTT 5.0 §3.3).

use bytes::Bytes;
use model::Qos;

use super::read::Reader;
use super::write::{put_string, put_u16, with_length};
use super::{Carrier, Error, Properties, Property, Version};

/// A PUBLISH with its payload copied out of the read buffer, once, into the storage every subscriber will share.
#[derive(Clone, Debug, PartialEq)]
pub struct Publish {
    /// Fixed and variable header.
    pub header: PublishHeader,
    /// The application message.
    pub payload: Bytes,
}

/// All of a PUBLISH but its payload.
#[derive(Clone, Debug, PartialEq)]
pub struct PublishHeader {
    /// A re-delivery.
    pub dup: bool,
    /// Quality of service.
    pub qos: Qos,
    /// Keep, or comes from, the retained messages.
    pub retain: bool,
    /// Topic name; empty when a topic alias stands for it.
    pub topic: String,
    /// Packet identifier; 0 for QoS 0 only.
    pub packet_id: u16,
    /// MQTT 5 properties.
    pub properties: Properties,
}

impl Publish {
    /// Reads the body of a frame.
    pub fn decode(flags: u8, body: &[u8], version: Version) -> Result<Self, Error> {
        let dup = flags & 0x08 != 0;
        let qos = Qos::from_u8(flags >> 1 & 3).ok_or(Error::malformed("QoS 3 [MQTT-3.3.1-4]"))?;
        if dup && qos == Qos::AtMostOnce && version != Version::V3_1 {
            return Err(Error::malformed("DUP with QoS 0 [MQTT-3.3.1-2]"));
        }
        let mut reader = Reader::new(body);
        let topic = reader.name()?.to_owned();
        let packet_id = match qos {
            Qos::AtMostOnce => 0,
            _ => reader.packet_id(Error::protocol("packet identifier 0 [MQTT-2.2.1-3]"))?,
        };
        let properties = match version {
            Version::V5 => Properties::decode(&mut reader, Carrier::Publish)?,
            _ => Properties::default(),
        };
        check_topic(&topic, &properties, version)?;
        let header = PublishHeader { dup, qos, retain: flags & 1 != 0, topic, packet_id, properties };
        Ok(Self { header, payload: Bytes::copy_from_slice(reader.rest()) })
    }

    /// Appends the packet.
    pub fn encode(&self, out: &mut Vec<u8>, version: Version) {
        let header = &self.header;
        let first = 0x30 | u8::from(header.dup) << 3 | (header.qos as u8) << 1 | u8::from(header.retain);
        with_length(out, first, |out| {
            put_string(out, &header.topic);
            if header.qos != Qos::AtMostOnce {
                put_u16(out, header.packet_id);
            }
            if version == Version::V5 {
                header.properties.encode(out);
            }
            out.extend_from_slice(&self.payload);
        });
    }
}

fn check_topic(topic: &str, properties: &Properties, version: Version) -> Result<(), Error> {
    if !topic.is_empty() {
        return model::validate_topic(topic)
            .map_err(|_| Error::malformed("the topic name contains a wildcard [MQTT-3.3.2-2]"));
    }
    if version != Version::V5 {
        return Err(Error::malformed("an empty topic name [MQTT-4.7.3-1]"));
    }
    match properties.find(|property| matches!(property, Property::TopicAlias(_)).then_some(())) {
        Some(()) => Ok(()),
        // §3.3.2.1 calls this a protocol error, §4.7.3 an invalid topic name; servers answer the latter.
        None => Err(Error::malformed("an empty topic name without topic alias [MQTT-4.7.3-1]")),
    }
}
