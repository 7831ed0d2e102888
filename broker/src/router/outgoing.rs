//! One message on its way out: encoded once for each layout that subscribers need.

use std::sync::{Arc, OnceLock};

use model::{Message, PublishProperties, Qos};

use crate::codec::{Properties, Property, Version, put_string, put_varint, varint_len};

/// A message and its encodings. The layouts are (MQTT 3 or 5) × (with or without packet identifier); QoS, DUP and RETAIN
/// live in the first byte and are set in the copy.
#[derive(Debug)]
pub struct Outgoing {
    /// The message.
    pub message: Arc<Message>,
    frames: [OnceLock<Box<[u8]>>; 4],
}

/// What differs between two subscribers of one message.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    /// Version of the subscriber.
    pub version: Version,
    /// QoS of the delivery.
    pub qos: Qos,
    /// Repeated.
    pub dup: bool,
    /// RETAIN flag.
    pub retain: bool,
    /// Packet identifier; ignored for QoS 0.
    pub packet_id: u16,
    /// Subscription identifiers.
    pub identifiers: &'a [u32],
    /// Topic alias, for a subscriber that takes them.
    pub alias: Option<Alias>,
}

/// A topic alias towards one subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alias {
    /// The number that stands for the topic.
    pub id: u16,
    /// The subscriber knows it already: the topic name is left out.
    pub is_known: bool,
}

impl Outgoing {
    /// Wraps a message; nothing is encoded yet.
    pub fn new(message: Arc<Message>) -> Self {
        Self { message, frames: [const { OnceLock::new() }; 4] }
    }

    /// When the message expires, milliseconds since the epoch.
    pub fn expires_at_ms(&self) -> Option<i64> {
        let secs = self.message.properties.as_ref()?.message_expiry_secs?;
        Some(self.message.received_at_ms.saturating_add(i64::from(secs) * 1000))
    }

    /// Appends the PUBLISH for one subscriber to `out`. `false`, and nothing appended, when it is larger than `bytes_max`.
    pub fn encode(&self, out: &mut Vec<u8>, envelope: Envelope<'_>, now_ms: i64, bytes_max: usize) -> bool {
        let remaining_secs = self.remaining_secs(now_ms);
        let original_secs = self.message.properties.as_ref().and_then(|properties| properties.message_expiry_secs);
        let shared = envelope.identifiers.is_empty() && envelope.alias.is_none() && remaining_secs == original_secs;
        let one_off;
        let frame: &[u8] = if shared {
            let layout =
                usize::from(envelope.version == Version::V5) * 2 + usize::from(envelope.qos != Qos::AtMostOnce);
            let Some(cell) = self.frames.get(layout) else { return false };
            cell.get_or_init(|| self.frame(envelope, remaining_secs).into_boxed_slice())
        } else {
            one_off = self.frame(envelope, remaining_secs);
            &one_off
        };
        if frame.len() > bytes_max {
            return false;
        }
        let start = out.len();
        out.extend_from_slice(frame);
        if let Some(first) = out.get_mut(start) {
            *first = 0x30 | u8::from(envelope.dup) << 3 | (envelope.qos as u8) << 1 | u8::from(envelope.retain);
        }
        if envelope.qos != Qos::AtMostOnce {
            let at = start + packet_id_offset(frame, self.topic_for(envelope).len());
            if let Some(place) = out.get_mut(at..at + 2) {
                place.copy_from_slice(&envelope.packet_id.to_be_bytes());
            }
        }
        true
    }

    /// The message expiry interval minus the time waited here [MQTT-3.3.2-6], whole seconds.
    fn remaining_secs(&self, now_ms: i64) -> Option<u32> {
        let secs = self.message.properties.as_ref()?.message_expiry_secs?;
        let waited = now_ms.saturating_sub(self.message.received_at_ms).max(0) / 1000;
        Some(secs.saturating_sub(u32::try_from(waited).unwrap_or(u32::MAX)))
    }

    fn topic_for(&self, envelope: Envelope<'_>) -> &str {
        if envelope.alias.is_some_and(|alias| alias.is_known) { "" } else { &self.message.topic }
    }

    fn frame(&self, envelope: Envelope<'_>, remaining_secs: Option<u32>) -> Vec<u8> {
        let message = &self.message;
        let mut properties = Vec::new();
        if envelope.version == Version::V5 {
            wire_properties(message.properties.as_deref(), remaining_secs, envelope).encode(&mut properties);
        }
        let topic = self.topic_for(envelope);
        let id_len = if envelope.qos == Qos::AtMostOnce { 0 } else { 2 };
        let body_len = 2 + topic.len() + id_len + properties.len() + message.payload.len();
        let mut frame = Vec::with_capacity(1 + varint_len(body_len) + body_len);
        frame.push(0x30);
        put_varint(&mut frame, body_len);
        put_string(&mut frame, topic);
        frame.extend([0u8; 2].iter().take(id_len));
        frame.extend_from_slice(&properties);
        frame.extend_from_slice(&message.payload);
        frame
    }
}

fn packet_id_offset(frame: &[u8], topic_len: usize) -> usize {
    let length_len = frame.iter().skip(1).take_while(|byte| **byte & 0x80 != 0).count() + 1;
    1 + length_len + 2 + topic_len
}

fn wire_properties(
    properties: Option<&PublishProperties>,
    expiry_secs: Option<u32>,
    envelope: Envelope<'_>,
) -> Properties {
    let mut list = Vec::new();
    if let Some(known) = properties {
        list.extend(known.payload_is_text.map(Property::PayloadFormatIndicator));
        list.extend(expiry_secs.map(Property::MessageExpiryInterval));
        list.extend(known.content_type.clone().map(Property::ContentType));
        list.extend(known.response_topic.clone().map(Property::ResponseTopic));
        list.extend(known.correlation_data.clone().map(Property::CorrelationData));
        list.extend(
            known.user_properties.iter().map(|(name, value)| Property::UserProperty(name.clone(), value.clone())),
        );
    }
    list.extend(envelope.alias.map(|alias| Property::TopicAlias(alias.id)));
    list.extend(envelope.identifiers.iter().map(|id| Property::SubscriptionIdentifier(*id)));
    Properties(list)
}
