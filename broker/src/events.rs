//! Events for the rules: rows with the field names of the catalogue (manual §7.2.4 and the later engine's).
//! A row is only built when the tap wants its kind.

use std::sync::Arc;

use model::ports::Admission;
use model::{Body, ClientInfo, Event, EventKind, Map, Message, ProtocolVersion, Row, Str, Value};

use crate::codec::Reason;
use crate::node::Core;

/// Fields under construction.
pub(crate) struct Fields(Vec<(&'static str, Value)>);

impl Fields {
    /// The fields that every event about a client has.
    pub(crate) fn of_client(info: &ClientInfo) -> Self {
        let peer = info.peer.map_or(Value::Missing, |peer| Value::text(peer.to_string()));
        let host = info.peer.map_or(Value::Missing, |peer| Value::text(peer.ip().to_string()));
        let local = info.local.map_or(Value::Missing, |local| Value::text(local.to_string()));
        Self(vec![
            ("client_id", Value::Text(info.client_id.clone())),
            ("clientid", Value::Text(info.client_id.clone())),
            ("username", optional(info.username.as_ref())),
            ("peername", peer),
            ("peerhost", host),
            ("sockname", local),
            ("proto_name", Value::text(if info.version == ProtocolVersion::V3_1 { "MQIsdp" } else { "MQTT" })),
            ("proto_ver", Value::Int(info.version as i64)),
            ("mountpoint", Value::Text(info.mountpoint.clone())),
            ("auth_result", Value::text("success")),
            ("connected_at", Value::Int(info.connected_at_ms)),
        ])
    }

    /// The fields of a message, from its publisher's point of view.
    pub(crate) fn of_message(message: &Message) -> Self {
        let mut fields = match &message.publisher {
            Some(info) => Self::of_client(info),
            None => Self(Vec::new()),
        };
        fields.message(message);
        fields
    }

    /// The fields of a message that went, or should have gone, to `receiver`.
    pub(crate) fn of_delivery(message: &Message, receiver: &ClientInfo) -> Self {
        let mut fields = Self::of_client(receiver);
        fields.message(message);
        let from = message.publisher.as_ref();
        fields.put("from_clientid", from.map_or(Value::Missing, |info| Value::Text(info.client_id.clone())));
        fields.put("from_username", optional(from.and_then(|info| info.username.as_ref())));
        fields
    }

    /// Adds one field.
    pub(crate) fn put(&mut self, name: &'static str, value: Value) -> &mut Self {
        self.0.push((name, value));
        self
    }

    fn message(&mut self, message: &Message) {
        let flags = [("retain", message.retain), ("dup", message.dup)];
        self.put("id", Value::text(message.id.to_string()))
            .put("topic", Value::Text(message.topic.clone()))
            .put("payload", Value::Bytes(message.payload.clone()))
            .put("qos", Value::Int(message.qos as i64))
            .put("retain", Value::Int(i64::from(message.retain)))
            .put("flags", Value::map(flags.map(|(name, on)| (name, Value::Bool(on)))))
            .put("publish_received_at", Value::Int(message.received_at_ms))
            .put("pub_props", publish_properties(message));
    }
}

fn optional(text: Option<&Str>) -> Value {
    text.map_or(Value::Missing, |text| Value::Text(text.clone()))
}

fn publish_properties(message: &Message) -> Value {
    let mut map = Map::default();
    if let Some(properties) = &message.properties {
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                map.insert(Str::new(name), value);
            }
        };
        put("Payload-Format-Indicator", properties.payload_is_text.map(|on| Value::Int(i64::from(on))));
        put("Message-Expiry-Interval", properties.message_expiry_secs.map(|secs| Value::Int(i64::from(secs))));
        put("Content-Type", properties.content_type.clone().map(Value::Text));
        put("Response-Topic", properties.response_topic.clone().map(Value::Text));
        put("Correlation-Data", properties.correlation_data.clone().map(Value::Bytes));
        let pairs = || properties.user_properties.iter();
        put("User-Property", Some(Value::map(pairs().map(|(name, value)| (name.clone(), Value::Text(value.clone()))))));
        let pair = |(name, value): &(Str, Str)| {
            Value::map([("key", Value::Text(name.clone())), ("value", Value::Text(value.clone()))])
        };
        put("User-Property-Pairs", Some(Value::list(pairs().map(pair).collect())));
    }
    Value::Map(Arc::new(map))
}

impl Core {
    /// Hands an event over when somebody wants it. Only a PUBLISH waits for its admission; these do not.
    pub(crate) fn emit(&self, kind: EventKind, fields: impl FnOnce() -> Fields) {
        if !self.ports.tap.wants(kind) {
            return;
        }
        let row = Row::from_pairs(fields().0);
        let event = Event { kind, at_ms: self.now_ms(), node: self.node.clone(), body: Body::Fields(Arc::new(row)) };
        // The admission of such an event promises nothing to anybody: dropping it is the answer.
        drop::<Admission>(self.ports.tap.emit(event));
    }

    /// client.connected.
    pub(crate) fn emit_connected(&self, info: &ClientInfo, receive_maximum: u16) {
        self.emit(EventKind::ClientConnected, || {
            let mut fields = Fields::of_client(info);
            fields
                .put("keepalive", Value::Int(i64::from(info.keepalive_secs)))
                .put("clean_start", Value::Bool(info.clean_start))
                .put("expiry_interval", Value::Int(i64::from(info.session_expiry_secs)))
                .put("is_bridge", Value::Bool(info.is_bridge))
                .put("receive_maximum", Value::Int(i64::from(receive_maximum)))
                .put("connack", Value::Int(0));
            fields
        });
    }

    /// client.connack, also for refusals.
    pub(crate) fn emit_connack(&self, info: &ClientInfo, reason: Reason) {
        self.emit(EventKind::ClientConnack, || {
            let mut fields = Fields::of_client(info);
            fields
                .put("reason_code", Value::text(reason.name()))
                .put("keepalive", Value::Int(i64::from(info.keepalive_secs)))
                .put("clean_start", Value::Bool(info.clean_start))
                .put("expiry_interval", Value::Int(i64::from(info.session_expiry_secs)));
            fields
        });
    }

    /// client.disconnected. `reason` is the code's name, or what happened to the connection.
    pub(crate) fn emit_disconnected(&self, info: &ClientInfo, reason: &str, code: u8) {
        self.emit(EventKind::ClientDisconnected, || {
            let mut fields = Fields::of_client(info);
            fields
                .put("reason", Value::text(reason))
                .put("reason_code", Value::Int(i64::from(code)))
                .put("disconnected_at", Value::Int(self.now_ms()));
            fields
        });
    }

    /// session.created, session.resumed and session.terminated.
    pub(crate) fn emit_session(&self, kind: EventKind, info: &ClientInfo, reason: Option<&str>) {
        self.emit(kind, || {
            let mut fields = Fields::of_client(info);
            if let Some(reason) = reason {
                fields.put("reason", Value::text(reason));
            }
            fields
        });
    }

    /// client.subscribe and client.unsubscribe, with the list, and session.(un)subscribed, one a filter.
    pub(crate) fn emit_subscriptions(
        &self,
        kind: EventKind,
        each: EventKind,
        info: &ClientInfo,
        filters: &[(Str, i64)],
    ) {
        let first = filters.first();
        self.emit(kind, || {
            let list = filters
                .iter()
                .map(|(topic, qos)| Value::map([("topic", Value::Text(topic.clone())), ("qos", Value::Int(*qos))]))
                .collect();
            let mut fields = Fields::of_client(info);
            fields
                .put("topic_filters", Value::list(list))
                .put("topic", optional(first.map(|(topic, _)| topic)))
                .put("qos", first.map_or(Value::Missing, |(_, qos)| Value::Int(*qos)));
            fields
        });
        for (topic, qos) in filters {
            self.emit_subscription(each, info, topic, *qos);
        }
    }

    /// session.subscribed, for a subscription the client did not ask for.
    pub(crate) fn emit_subscribed(&self, info: &ClientInfo, filter: &Str, qos: i64) {
        self.emit_subscription(EventKind::SessionSubscribed, info, filter, qos);
    }

    fn emit_subscription(&self, kind: EventKind, info: &ClientInfo, filter: &Str, qos: i64) {
        self.emit(kind, || {
            let mut fields = Fields::of_client(info);
            fields.put("topic", Value::Text(filter.clone())).put("qos", Value::Int(qos));
            fields
        });
    }
}
