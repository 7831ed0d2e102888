//! Events from a tester's JSON: what `rules test` and the HTTP testers are given.

use std::sync::Arc;

use bytes::Bytes;
use model::{Body, Event, EventKind, Row, Str, Value};
use serde_json::Value as Json;

use super::{EVENTS, EventInfo, NEVER_FIRE, event, event_name, other_name, sample_value};
use crate::plan::Generation;

/// What becomes of fields the tester did not give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// They are missing, as they would be on an event that lacks them.
    Nothing,
    /// They get the catalogue's samples, as the dashboard's form does.
    Samples,
}

/// The node name of tester events that give none.
const TESTER_NODE: &str = "weir@127.0.0.1";

/// The kind that a tester's event type names: `client.connected`, `client_connected`, `$events/client/connected`,
/// `message.deliver`, …
pub fn kind_of_type(name: &str) -> Option<EventKind> {
    if NEVER_FIRE.contains(&name) {
        return Some(EventKind::MessagePublish);
    }
    let wanted = normal(name);
    EVENTS
        .iter()
        .find(|info| {
            normal(info.kind.name()) == wanted
                || info.v3_names.iter().any(|known| normal(known) == wanted)
                || info.v5_names.iter().any(|known| normal(known) == wanted)
        })
        .map(|info| info.kind)
}

fn normal(name: &str) -> String {
    name.strip_prefix("$events/").unwrap_or(name).replace(['.', '/'], "_")
}

/// An event of the type with these fields at `now_ms`. `timestamp` and `node` may be given as fields.
///
/// # Errors
/// An unknown type (with the known ones), or fields that are no JSON object.
pub fn event_from_json(event_type: &str, fields: &Json, now_ms: i64, fill: Fill) -> Result<Event, String> {
    let kind = kind_of_type(event_type).ok_or_else(|| {
        let known: Vec<&str> = EventKind::ALL.iter().map(|kind| kind.name()).collect();
        format!("there is no event type {event_type:?}; known: {}", known.join(", "))
    })?;
    let given = match fields {
        Json::Object(given) => given,
        Json::Null => &serde_json::Map::new(),
        _ => return Err("the fields of an event must be a JSON object".to_owned()),
    };
    let mut pairs: Vec<(Str, Value)> =
        given.iter().map(|(name, value)| (Str::new(name), value_from_tester(value))).collect();
    pairs.retain(|(_, value)| !value.is_missing());
    if fill == Fill::Samples {
        let has = |pairs: &[(Str, Value)], name: &str| pairs.iter().any(|(known, _)| known == name);
        for field in event(kind).into_iter().flat_map(EventInfo::fields) {
            let name = if field.v5.is_empty() { field.v3 } else { field.v5 };
            if has(&pairs, name) || has(&pairs, field.v3) || other_name(name).is_some_and(|other| has(&pairs, other)) {
                continue;
            }
            // Retain is part of flags; two samples of one fact would disagree.
            if matches!(name, "retain" | "event") {
                continue;
            }
            pairs.push((Str::new(name), sample_value(field.sample, now_ms)));
        }
        if !has(&pairs, "event") {
            pairs.push((Str::new("event"), Value::text(event_name(kind, Generation::V5))));
        }
    }
    let row = Row::from_pairs(pairs);
    let at_ms = row.get("timestamp").and_then(Value::as_int).unwrap_or(now_ms);
    let node = row.get("node").and_then(Value::as_text).map_or_else(|| Str::new(TESTER_NODE), Str::new);
    Ok(Event { kind, at_ms, node, body: Body::Fields(Arc::new(row)) })
}

/// A value as a tester writes it: JSON, where `{"$undef":true}` is missing and `{"$hex":"…"}` bytes. Bit strings,
/// `{"$bits":"…"}`, are maps in the language as well.
pub fn value_from_tester(json: &Json) -> Value {
    match json {
        Json::Object(map) if map.len() == 1 => {
            if map.get("$undef").is_some() {
                return Value::Missing;
            }
            if let Some(bytes) = map.get("$hex").and_then(Json::as_str).and_then(bytes_of_hex) {
                return Value::Bytes(Bytes::from(bytes));
            }
            Value::map(map.iter().map(|(key, value)| (key.as_str(), value_from_tester(value))))
        }
        Json::Object(map) => Value::map(map.iter().map(|(key, value)| (key.as_str(), value_from_tester(value)))),
        Json::Array(items) => Value::list(items.iter().map(value_from_tester).collect()),
        other => Value::from_json(other),
    }
}

fn bytes_of_hex(hex: &str) -> Option<Vec<u8>> {
    if !hex.len().is_multiple_of(2) || !hex.is_ascii() {
        return None;
    }
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()).collect()
}
