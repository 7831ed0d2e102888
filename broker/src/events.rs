//! Events for the rules: rows with the field names of the catalogue (manual §7.2.4 and the later engine's).
//! A row is only built when the tap wants its kind.

use std::sync::Arc;

use model::ports::{Access, Admission, Verdict};
use model::{Body, ClientInfo, Event, EventKind, Map, Message, ProtocolVersion, Qos, Row, Str, Value};

use crate::codec::{Properties, Property, Reason};
use crate::connection::refusal;
use crate::node::Core;

/// Fields under construction.
#[derive(Default)]
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
    pub(crate) fn emit_connected(&self, info: &ClientInfo, receive_maximum: u16, properties: &Properties) {
        self.emit(EventKind::ClientConnected, || {
            let mut fields = Fields::of_client(info);
            fields
                .put("keepalive", Value::Int(i64::from(info.keepalive_secs)))
                .put("clean_start", Value::Bool(info.clean_start))
                .put("expiry_interval", Value::Int(i64::from(info.session_expiry_secs)))
                .put("is_bridge", Value::Bool(info.is_bridge))
                .put("receive_maximum", Value::Int(i64::from(receive_maximum)))
                .put("conn_props", properties_value(Some(properties)))
                .put("connack", Value::Int(0));
            fields
        });
    }

    /// client.connack, also for refusals.
    pub(crate) fn emit_connack(&self, info: &ClientInfo, reason: Reason, properties: &Properties) {
        self.emit(EventKind::ClientConnack, || {
            let mut fields = Fields::of_client(info);
            fields
                .put("reason_code", Value::text(reason.name()))
                .put("keepalive", Value::Int(i64::from(info.keepalive_secs)))
                .put("clean_start", Value::Bool(info.clean_start))
                .put("expiry_interval", Value::Int(i64::from(info.session_expiry_secs)))
                .put("conn_props", properties_value(Some(properties)));
            fields
        });
    }

    /// client.check_authn_complete.
    pub(crate) fn emit_authenticated(&self, info: &ClientInfo, verdict: &Verdict) {
        self.emit(EventKind::ClientCheckAuthnComplete, || {
            let (superuser, reason) = match verdict {
                Verdict::Allow { superuser } => (*superuser, Reason::SUCCESS),
                refused => (false, refusal(refused)),
            };
            let mut fields = Fields::of_client(info);
            fields
                .put("reason_code", Value::text(reason.name()))
                .put("is_superuser", Value::Bool(superuser))
                .put("is_anonymous", Value::Bool(info.username.is_none()));
            fields
        });
    }

    /// client.check_authz_complete. Only what a client asks for itself: receiving is not an act of its own.
    pub(crate) fn emit_authorized(&self, info: &ClientInfo, access: Access, topic: &str, allowed: bool) {
        let action = match access {
            Access::Publish => "publish",
            Access::Subscribe => "subscribe",
            Access::Receive => return,
        };
        self.emit(EventKind::ClientCheckAuthzComplete, || {
            let mut fields = Fields::of_client(info);
            fields
                .put("topic", Value::text(topic))
                .put("action", Value::text(action))
                .put("authz_source", Value::text(if info.is_superuser { "superuser" } else { "authorizer" }))
                .put("result", Value::text(if allowed { "allow" } else { "deny" }));
            fields
        });
    }

    /// client.ping.
    pub(crate) fn emit_ping(&self, info: &ClientInfo) {
        self.emit(EventKind::ClientPing, || {
            let mut fields = Fields::of_client(info);
            fields
                .put("keepalive", Value::Int(i64::from(info.keepalive_secs)))
                .put("clean_start", Value::Bool(info.clean_start))
                .put("expiry_interval", Value::Int(i64::from(info.session_expiry_secs)));
            fields
        });
    }

    /// client.disconnected. `reason` is the code's name, or what happened to the connection.
    pub(crate) fn emit_disconnected(&self, info: &ClientInfo, reason: &str, code: u8, properties: Option<&Properties>) {
        self.emit(EventKind::ClientDisconnected, || {
            let mut fields = Fields::of_client(info);
            fields
                .put("reason", Value::text(reason))
                .put("reason_code", Value::Int(i64::from(code)))
                .put("disconn_props", properties_value(properties))
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

    /// client.subscribe and client.unsubscribe: what the client asks for, granted or not.
    pub(crate) fn emit_asked<'a>(
        &self,
        kind: EventKind,
        info: &ClientInfo,
        filters: impl Iterator<Item = (&'a str, Qos)>,
        properties: &Properties,
    ) {
        self.emit(kind, || {
            let list: Vec<(&str, i64)> = filters.map(|(topic, qos)| (topic, qos as i64)).collect();
            let one =
                |(topic, qos): &(&str, i64)| Value::map([("topic", Value::text(*topic)), ("qos", Value::Int(*qos))]);
            let mut fields = Fields::of_client(info);
            fields
                .put("topic_filters", Value::list(list.iter().map(one).collect()))
                .put("topic", list.first().map_or(Value::Missing, |(topic, _)| Value::text(*topic)))
                .put("qos", list.first().map_or(Value::Missing, |(_, qos)| Value::Int(*qos)))
                .put(props_name(kind), properties_value(Some(properties)));
            fields
        });
    }

    /// session.subscribed and session.unsubscribed, one for each filter.
    pub(crate) fn emit_subscribed(
        &self,
        kind: EventKind,
        info: &ClientInfo,
        filters: &[(Str, i64)],
        properties: &Properties,
    ) {
        for (topic, qos) in filters {
            self.emit(kind, || {
                let mut fields = Fields::of_client(info);
                fields
                    .put("topic", Value::Text(topic.clone()))
                    .put("qos", Value::Int(*qos))
                    .put(props_name(kind), properties_value(Some(properties)));
                fields
            });
        }
    }
}

fn props_name(kind: EventKind) -> &'static str {
    match kind {
        EventKind::ClientUnsubscribe | EventKind::SessionUnsubscribed => "unsub_props",
        _ => "sub_props",
    }
}

/// The properties of a packet by the names of the standard; empty when there are none. Authentication data is left out.
pub(crate) fn properties_value(properties: Option<&Properties>) -> Value {
    let mut map = Map::default();
    let mut users = Vec::new();
    for property in properties.iter().flat_map(|properties| &properties.0) {
        let (name, value) = match property {
            Property::UserProperty(name, value) => {
                users.push((name.clone(), Value::Text(value.clone())));
                continue;
            }
            Property::AuthenticationData(_) => continue,
            Property::PayloadFormatIndicator(on) => ("Payload-Format-Indicator", Value::Int(i64::from(*on))),
            Property::MessageExpiryInterval(secs) => ("Message-Expiry-Interval", Value::Int(i64::from(*secs))),
            Property::ContentType(text) => ("Content-Type", Value::Text(text.clone())),
            Property::ResponseTopic(text) => ("Response-Topic", Value::Text(text.clone())),
            Property::CorrelationData(data) => ("Correlation-Data", Value::Bytes(data.clone())),
            Property::SubscriptionIdentifier(id) => ("Subscription-Identifier", Value::Int(i64::from(*id))),
            Property::SessionExpiryInterval(secs) => ("Session-Expiry-Interval", Value::Int(i64::from(*secs))),
            Property::AssignedClientIdentifier(text) => ("Assigned-Client-Identifier", Value::Text(text.clone())),
            Property::ServerKeepAlive(secs) => ("Server-Keep-Alive", Value::Int(i64::from(*secs))),
            Property::AuthenticationMethod(text) => ("Authentication-Method", Value::Text(text.clone())),
            Property::RequestProblemInformation(on) => ("Request-Problem-Information", Value::Int(i64::from(*on))),
            Property::WillDelayInterval(secs) => ("Will-Delay-Interval", Value::Int(i64::from(*secs))),
            Property::RequestResponseInformation(on) => ("Request-Response-Information", Value::Int(i64::from(*on))),
            Property::ResponseInformation(text) => ("Response-Information", Value::Text(text.clone())),
            Property::ServerReference(text) => ("Server-Reference", Value::Text(text.clone())),
            Property::ReasonString(text) => ("Reason-String", Value::Text(text.clone())),
            Property::ReceiveMaximum(count) => ("Receive-Maximum", Value::Int(i64::from(*count))),
            Property::TopicAliasMaximum(count) => ("Topic-Alias-Maximum", Value::Int(i64::from(*count))),
            Property::TopicAlias(alias) => ("Topic-Alias", Value::Int(i64::from(*alias))),
            Property::MaximumQos(qos) => ("Maximum-QoS", Value::Int(i64::from(*qos))),
            Property::RetainAvailable(on) => ("Retain-Available", Value::Int(i64::from(*on))),
            Property::MaximumPacketSize(bytes) => ("Maximum-Packet-Size", Value::Int(i64::from(*bytes))),
            Property::WildcardSubscriptionAvailable(on) => {
                ("Wildcard-Subscription-Available", Value::Int(i64::from(*on)))
            }
            Property::SubscriptionIdentifierAvailable(on) => {
                ("Subscription-Identifier-Available", Value::Int(i64::from(*on)))
            }
            Property::SharedSubscriptionAvailable(on) => ("Shared-Subscription-Available", Value::Int(i64::from(*on))),
        };
        map.insert(Str::new(name), value);
    }
    if !users.is_empty() {
        map.insert(Str::new("User-Property"), Value::map(users));
    }
    Value::Map(Arc::new(map))
}
