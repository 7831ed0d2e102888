//! PUBLISH from the client.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::ports::Access;
use model::{Message, MessageId, Origin, ProtocolVersion, PublishProperties, Qos, Str};

use super::Connection;
use super::admission::Answer;
use super::end::End;
use crate::codec::{Error, Properties, Property, Publish, PublishHeader, Reason};
use crate::numbers::{Dropped, Metric};
use crate::session::Received;
use crate::topics::Destination;

impl Connection {
    pub(super) async fn handle_publish(&mut self, packet: Publish) -> Result<(), End> {
        let Publish { header, payload } = packet;
        self.core.counters.add(Metric::of_received_message(header.qos), 1);
        self.core.counters.add(Metric::MessagesBytesReceived, payload.len() as u64);
        self.link.received_count.fetch_add(1, Ordering::Relaxed);
        let named = self.named_topic(&header)?;
        let destination = self.core.rewrites.destination(named, &self.info);
        self.check_limits(&header, destination.as_ref().map_or("", |found| &found.topic))?;
        let (packet_id, qos) = (header.packet_id, header.qos);
        if !self.register(&header)? {
            return Ok(());
        }
        let Ok(Destination { topic, delay_secs }) = destination else {
            self.core.counters.dropped(Dropped::TopicInvalid, 1);
            return self.refuse(&header, Reason::TOPIC_NAME_INVALID);
        };
        // The server's own topics are closed to clients whatever the authorizer says.
        if topic.starts_with('$') || !self.core.allows(&self.info, Access::Publish, &topic).await {
            return self.deny(&header, topic);
        }
        let received_at_ms = self.core.now_ms();
        let message = Message {
            id: MessageId::next(received_at_ms),
            topic,
            payload,
            qos,
            retain: header.retain,
            dup: header.dup,
            publisher: Some(self.info.clone()),
            properties: travelling(&header.properties),
            received_at_ms,
            origin: Origin::Client,
        };
        if let Some(secs) = delay_secs {
            let kept = self.core.delay(message, secs);
            let reason = if kept { Reason::SUCCESS } else { Reason::QUOTA_EXCEEDED };
            return self.acknowledge(packet_id, qos, Answer::Reason(reason));
        }
        let ingested = self.core.ingest(Arc::new(message));
        self.acknowledge(packet_id, qos, ingested.admission.into())?;
        // A client that outruns itself has only itself to wait for: its own queue is served by this very task.
        if let Some(entry) = ingested.pressed.filter(|entry| entry.key != self.entry.key) {
            self.write_some()?;
            self.core.wait_for_relief(&entry).await;
        }
        Ok(())
    }

    /// The topic name with its alias resolved (MQTT 5.0 §3.3.2.3.4).
    fn named_topic(&mut self, header: &PublishHeader) -> Result<Str, End> {
        let alias = header.properties.find(|property| match property {
            Property::TopicAlias(alias) => Some(*alias),
            _ => None,
        });
        let Some(alias) = alias else { return Ok(Str::new(&header.topic)) };
        if alias > self.zone.topic_alias_max {
            let error = Error::with(Reason::TOPIC_ALIAS_INVALID, "a topic alias above the maximum [MQTT-3.3.2-9]");
            return Err(error.into());
        }
        if header.topic.is_empty() {
            let known = self.aliases.as_ref().and_then(|aliases| aliases.get(&alias)).cloned();
            return known.ok_or_else(|| Error::protocol("a topic alias that was never set").into());
        }
        let topic = Str::new(&header.topic);
        self.aliases.get_or_insert_default().insert(alias, topic.clone());
        Ok(topic)
    }

    fn check_limits(&self, header: &PublishHeader, topic: &str) -> Result<(), End> {
        let zone = &self.zone;
        if topic.split('/').count() > zone.topic_levels_max {
            return Err(
                Error::with(Reason::TOPIC_NAME_INVALID, "a topic with more levels than topic_levels_max").into()
            );
        }
        if header
            .properties
            .find(|property| matches!(property, Property::SubscriptionIdentifier(_)).then_some(()))
            .is_some()
        {
            return Err(Error::protocol("a subscription identifier from a client [MQTT-3.3.4-6]").into());
        }
        if header.properties.user_property_count() > zone.user_properties_max {
            return Err(Error::with(Reason::QUOTA_EXCEEDED, "more user properties than user_properties_max").into());
        }
        if header.qos > zone.qos_max {
            return Err(Error::with(Reason::QOS_NOT_SUPPORTED, "a QoS above the maximum [MQTT-3.2.2-11]").into());
        }
        if header.retain && !self.core.retain_available(zone) {
            return Err(
                Error::with(Reason::RETAIN_NOT_SUPPORTED, "retained messages are turned off [MQTT-3.2.2-14]").into()
            );
        }
        Ok(())
    }

    /// Takes note of the packet identifier. `false`: seen before, and answered.
    fn register(&mut self, header: &PublishHeader) -> Result<bool, End> {
        let v5 = self.version == ProtocolVersion::V5;
        let over = v5 && self.unacknowledged_count() >= usize::from(self.zone.receive_maximum);
        let exceeded =
            || Error::with(Reason::RECEIVE_MAXIMUM_EXCEEDED, "more than Receive Maximum publishes [MQTT-3.3.4-7]");
        match header.qos {
            Qos::AtMostOnce => Ok(true),
            Qos::AtLeastOnce if over => Err(exceeded().into()),
            Qos::AtLeastOnce => Ok(true),
            Qos::ExactlyOnce => {
                let received = {
                    let mut inner = self.entry.inner.lock();
                    inner.inbound.receive(header.packet_id, self.zone.awaiting_rel_max)
                };
                match received {
                    Received::Duplicate => self.acknowledge_again(header.packet_id).map(|()| false),
                    _ if over => Err(exceeded().into()),
                    Received::Fresh => {
                        self.unreleased_count += 1;
                        Ok(true)
                    }
                    Received::Full if v5 => {
                        // Counted like a taken one; the failure gives it back when it leaves.
                        self.unreleased_count += 1;
                        let answer = Answer::Reason(Reason::QUOTA_EXCEEDED);
                        self.acknowledge(header.packet_id, Qos::ExactlyOnce, answer).map(|()| false)
                    }
                    Received::Full => {
                        Err(Error::with(Reason::QUOTA_EXCEEDED, "more QoS 2 messages than awaiting_rel_max").into())
                    }
                }
            }
        }
    }

    /// A QoS 2 message that was taken before is acknowledged and not published again [MQTT-4.3.3-10]. When its admission
    /// is still open, from this connection or a former one, the acknowledgement goes on waiting for it.
    fn acknowledge_again(&mut self, packet_id: u16) -> Result<(), End> {
        let waits = |ack: &super::PendingAck| ack.packet_id == packet_id && ack.qos == Qos::ExactlyOnce;
        if self.pending.iter().any(waits) {
            return Ok(());
        }
        let orphan = {
            let mut inner = self.entry.inner.lock();
            let at = inner.orphans.iter().position(|(id, _)| *id == packet_id);
            at.map(|at| inner.orphans.swap_remove(at).1)
        };
        let answer = orphan.map_or(Answer::Reason(Reason::SUCCESS), Answer::Waiting);
        self.acknowledge(packet_id, Qos::ExactlyOnce, answer)
    }

    /// The client may not publish there.
    fn deny(&mut self, header: &PublishHeader, topic: Str) -> Result<(), End> {
        self.core.counters.dropped(Dropped::PublishDenied, 1);
        tracing::debug!(client_id = ?self.info.client_id, ?topic, "publish denied");
        self.refuse(header, Reason::NOT_AUTHORIZED)
    }

    /// MQTT 5 says why; MQTT 3 has no word for it and gets its acknowledgement [MQTT-3.3.5-2 of 3.1.1].
    fn refuse(&mut self, header: &PublishHeader, reason: Reason) -> Result<(), End> {
        let reason = if self.version == ProtocolVersion::V5 { reason } else { Reason::SUCCESS };
        self.acknowledge(header.packet_id, header.qos, Answer::Reason(reason))
    }
}

/// The properties that go on to the subscribers (MQTT 5.0 §3.3.2.3).
pub(super) fn travelling(properties: &Properties) -> Option<Box<PublishProperties>> {
    let mut travelling = PublishProperties::default();
    let mut any = false;
    for property in &properties.0 {
        let mut known = true;
        match property {
            Property::PayloadFormatIndicator(is_text) => travelling.payload_is_text = Some(*is_text),
            Property::MessageExpiryInterval(secs) => travelling.message_expiry_secs = Some(*secs),
            Property::ContentType(text) => travelling.content_type = Some(text.clone()),
            Property::ResponseTopic(topic) => travelling.response_topic = Some(topic.clone()),
            Property::CorrelationData(data) => travelling.correlation_data = Some(data.clone()),
            Property::UserProperty(name, value) => travelling.user_properties.push((name.clone(), value.clone())),
            _ => known = false,
        }
        any |= known;
    }
    any.then(|| Box::new(travelling))
}
