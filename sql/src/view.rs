//! An event as a rule reads it: fields by either vocabulary's name, and the payload's bytes.
//!
//! Reading a field of a published message builds only that field; nothing is decoded here.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::net::SocketAddr;

use model::{Body, Event, EventKind, Message, Origin, Row, Str, Value};

use crate::catalogue::{self, PublishField};
use crate::json::{JsonError, PathSet};
use crate::ops;
use crate::plan::{Generation, Read};

/// A view of one event. Cheap; made once for all rules that look at the event.
#[derive(Debug)]
pub struct EventView<'e> {
    event: &'e Event,
    /// The payload of a published message as a value, made at most once.
    payload: OnceCell<Value>,
}

impl<'e> EventView<'e> {
    /// A view of `event`.
    pub fn new(event: &'e Event) -> Self {
        Self { event, payload: OnceCell::new() }
    }

    /// The event behind the view.
    pub fn event(&self) -> &'e Event {
        self.event
    }

    /// What happened.
    pub fn kind(&self) -> EventKind {
        self.event.kind
    }

    /// The event's topic, if it has one.
    pub fn topic(&self) -> Option<&'e str> {
        match &self.event.body {
            Body::Publish(message) => Some(message.topic.as_str()),
            Body::Fields(row) => row.get("topic").and_then(Value::as_text),
        }
    }

    /// A field by either vocabulary's name; missing when the event does not have it.
    pub fn field(&self, name: &str, generation: Generation) -> Value {
        match &self.event.body {
            Body::Publish(message) => match catalogue::publish_field(name) {
                Some(field) => self.publish(message, field, generation),
                None => Value::Missing,
            },
            Body::Fields(row) => self.row_field(row, name, generation),
        }
    }

    /// What a read of a plan gives, but for paths below the payload: those come from [`EventView::extract`].
    pub fn read(&self, read: &Read, generation: Generation) -> Value {
        let root = match (&self.event.body, read.publish) {
            (Body::Publish(message), Some(field)) => self.publish(message, field, generation),
            (Body::Publish(_), None) => Value::Missing,
            (Body::Fields(row), _) => self.row_field(row, &read.field, generation),
        };
        if read.path.is_empty() { root } else { ops::get_path(&root, &read.path) }
    }

    /// The values at `paths` below the payload, in one pass over its bytes. An event without a payload gives missing
    /// everywhere.
    ///
    /// # Errors
    /// The payload is no JSON.
    pub fn extract(&self, paths: &PathSet) -> Result<Vec<Value>, JsonError> {
        match &self.event.body {
            Body::Publish(message) => paths.extract(&message.payload),
            Body::Fields(row) => match row.get("payload") {
                None => Ok(vec![Value::Missing; paths.len()]),
                Some(Value::Text(text)) => paths.extract(text.as_bytes()),
                Some(Value::Bytes(bytes)) => paths.extract(bytes),
                Some(decoded) => Ok(paths.extract_from(decoded)),
            },
        }
    }

    /// Calls `field` for each field that `SELECT *` gives in this vocabulary.
    pub fn each_field(&self, generation: Generation, mut field: impl FnMut(Str, Value)) {
        match &self.event.body {
            Body::Publish(message) => {
                for (name, place) in catalogue::publish_vocabulary(generation) {
                    field(name.clone(), self.publish(message, *place, generation));
                }
            }
            Body::Fields(row) => {
                let info = catalogue::event(self.event.kind);
                for (name, value) in row.iter() {
                    // A field given by the other vocabulary's name is shown by this one's.
                    let known =
                        info.and_then(|info| info.fields().find(|known| *name == known.v5 || *name == known.v3));
                    let shown = known.and_then(|known| known.name(generation));
                    match shown {
                        Some(shown) if *name != shown && row.get(shown).is_none() => {
                            field(Str::new(shown), value.clone())
                        }
                        _ => field(name.clone(), value.clone()),
                    }
                }
                for name in ["event", "timestamp", "node"] {
                    if row.get(name).is_none() {
                        field(Str::new(name), self.row_field(row, name, generation));
                    }
                }
            }
        }
    }

    fn row_field(&self, row: &Row, name: &str, generation: Generation) -> Value {
        if let Some(value) = row.get(name) {
            return value.clone();
        }
        if let Some(value) = catalogue::other_name(name).and_then(|other| row.get(other)) {
            return value.clone();
        }
        let first_filter = |key: &str| match row.get("topic_filters") {
            Some(Value::List(filters)) => {
                filters.first().map_or(Value::Missing, |first| ops::get(first, &ops::Step::Key(key.into())))
            }
            _ => Value::Missing,
        };
        match name {
            "event" => Value::text(catalogue::event_name(self.event.kind, generation)),
            "timestamp" => Value::Int(self.event.at_ms),
            "node" => Value::Text(self.event.node.clone()),
            "retain" => match row.get("flags").map(|flags| ops::get(flags, &ops::Step::Key("retain".into()))) {
                Some(Value::Bool(retain)) => Value::Int(i64::from(retain)),
                Some(other) => other,
                None => Value::Missing,
            },
            "flags" => match row.get("retain") {
                Some(retain) => {
                    Value::map([("retain", Value::Bool(matches!(retain, Value::Int(1) | Value::Bool(true))))])
                }
                None => Value::Missing,
            },
            "peerhost" => {
                match row.get("peername").and_then(Value::as_text).and_then(|peer| peer.parse::<SocketAddr>().ok()) {
                    Some(peer) => Value::text(peer.ip().to_string()),
                    None => Value::Missing,
                }
            }
            "topic" | "qos" => first_filter(name),
            _ => Value::Missing,
        }
    }

    fn publish(&self, message: &Message, field: PublishField, generation: Generation) -> Value {
        let client = message.publisher.as_deref();
        match field {
            PublishField::Id => Value::text(message.id.to_string()),
            PublishField::ClientId => client.map_or(Value::Missing, |client| Value::Text(client.client_id.clone())),
            PublishField::Username => {
                client.and_then(|client| client.username.clone()).map_or(Value::Missing, Value::Text)
            }
            PublishField::Payload => self.payload.get_or_init(|| payload_value(message)).clone(),
            PublishField::PeerHost => {
                client.and_then(|client| client.peer).map_or(Value::Missing, |peer| Value::text(peer.ip().to_string()))
            }
            PublishField::PeerName => {
                client.and_then(|client| client.peer).map_or(Value::Missing, |peer| Value::text(peer.to_string()))
            }
            PublishField::Topic => Value::Text(message.topic.clone()),
            PublishField::Qos => Value::Int(message.qos as i64),
            PublishField::Retain => Value::Int(i64::from(message.retain)),
            PublishField::Flags => flags(message),
            PublishField::Properties => properties(message),
            PublishField::ReceivedAt => Value::Int(message.received_at_ms),
            PublishField::Event => Value::text(catalogue::event_name(self.event.kind, generation)),
            PublishField::Timestamp => Value::Int(self.event.at_ms),
            PublishField::Node => Value::Text(self.event.node.clone()),
            PublishField::Mountpoint => client.map_or(Value::Missing, |client| Value::Text(client.mountpoint.clone())),
        }
    }
}

/// Text when the payload is UTF-8, bytes otherwise; the bytes are shared, not copied.
fn payload_value(message: &Message) -> Value {
    match std::str::from_utf8(&message.payload) {
        Ok(text) => Value::text(text),
        Err(_) => Value::Bytes(message.payload.clone()),
    }
}

fn flags(message: &Message) -> Value {
    let sys = message.origin == Origin::System;
    Value::map([("retain", Value::Bool(message.retain)), ("dup", Value::Bool(message.dup)), ("sys", Value::Bool(sys))])
}

fn properties(message: &Message) -> Value {
    let Some(properties) = message.properties.as_deref() else {
        return Value::map([("User-Property", Value::map::<Str>([]))]);
    };
    let number = |n: Option<u32>| n.map(|n| Value::Int(i64::from(n)));
    let user = properties.user_properties.iter().map(|(key, value)| (key.clone(), Value::Text(value.clone())));
    let pairs = properties
        .user_properties
        .iter()
        .map(|(key, value)| Value::map([("key", Value::Text(key.clone())), ("value", Value::Text(value.clone()))]));
    let known = [
        ("Payload-Format-Indicator", number(properties.payload_is_text.map(u32::from))),
        ("Message-Expiry-Interval", number(properties.message_expiry_secs)),
        ("Content-Type", properties.content_type.clone().map(Value::Text)),
        ("Response-Topic", properties.response_topic.clone().map(Value::Text)),
        ("Correlation-Data", properties.correlation_data.clone().map(text_or_bytes)),
        ("User-Property", Some(Value::map(user))),
        ("User-Property-Pairs", Some(Value::list(pairs.collect()))),
    ];
    Value::map(known.into_iter().filter_map(|(name, value)| Some((name, value?))))
}

/// Text when the bytes are UTF-8.
pub(crate) fn text_or_bytes(bytes: impl Into<bytes::Bytes>) -> Value {
    let bytes = bytes.into();
    match std::str::from_utf8(&bytes) {
        Ok(text) => Value::text(text),
        Err(_) => Value::Bytes(bytes),
    }
}

/// The words for a value in an explanation.
pub(crate) fn shown(value: &Value) -> Cow<'static, str> {
    Cow::Owned(ops::show(value))
}
