//! The catalogue of events and their fields, as data: it serves the checks at creation, `SELECT *`, the tester's samples,
//! the editor's completion and the reference pages.
//!
//! Two vocabularies describe the same events: that of 3.4.5 (manual §7.2.3, §7.2.4) and that of the later versions. A
//! field may be read by either name, whatever the FROM clause says.

use model::{EventKind, Str, Value};

mod events;
mod tester;

pub use events::{EVENTS, NEVER_FIRE};
pub use tester::{Fill, event_from_json, kind_of_type, value_from_tester};

use crate::plan::Generation;

/// The type of a field, for documentation and completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say the type")]
pub enum FieldType {
    Text,
    Integer,
    Boolean,
    Map,
    List,
    /// Text or bytes, as published.
    Payload,
}

/// A sample value, as the tester fills it in.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names say the value")]
pub enum Sample {
    Text(&'static str),
    Integer(i64),
    Boolean(bool),
    /// A JSON document.
    Json(&'static str),
    /// The time of the event, milliseconds.
    Now,
}

/// One field of an event.
#[derive(Clone, Copy, Debug)]
pub struct FieldInfo {
    /// Name in the later versions; empty when they have no such field.
    pub v5: &'static str,
    /// Name in 3.4.5; empty when it had no such field.
    pub v3: &'static str,
    /// Its type.
    pub field_type: FieldType,
    /// One sentence.
    pub doc: &'static str,
    /// A sample.
    pub sample: Sample,
}

impl FieldInfo {
    /// The name in a vocabulary, if it has the field.
    pub fn name(&self, generation: Generation) -> Option<&'static str> {
        let name = match generation {
            Generation::V3 => self.v3,
            Generation::V5 => self.v5,
        };
        (!name.is_empty()).then_some(name)
    }
}

/// One event.
#[derive(Clone, Copy, Debug)]
pub struct EventInfo {
    /// Its kind.
    pub kind: EventKind,
    /// Names in the style of 3.4.5; the first is the one its `event` field carries in that vocabulary.
    pub v3_names: &'static [&'static str],
    /// `$events/…` names; the first is preferred.
    pub v5_names: &'static [&'static str],
    /// One sentence.
    pub doc: &'static str,
    /// Groups of its fields.
    pub groups: &'static [&'static [FieldInfo]],
}

impl EventInfo {
    /// All its fields.
    pub fn fields(&self) -> impl Iterator<Item = &'static FieldInfo> + use<> {
        self.groups.iter().flat_map(|group| group.iter())
    }
}

/// The catalogue's entry of a kind.
pub fn event(kind: EventKind) -> Option<&'static EventInfo> {
    EVENTS.iter().find(|info| info.kind == kind)
}

/// Whether events of `kind` have a field of this name, in either vocabulary.
pub fn has_field(kind: EventKind, name: &str) -> bool {
    event(kind).is_some_and(|info| info.fields().any(|field| field.v5 == name || field.v3 == name))
}

/// The value of the `event` field.
pub fn event_name(kind: EventKind, generation: Generation) -> &'static str {
    match generation {
        Generation::V5 => kind.name(),
        Generation::V3 => event(kind).and_then(|info| info.v3_names.first().copied()).unwrap_or_else(|| kind.name()),
    }
}

/// The kind a 3.4.5 name stands for.
pub fn kind_of_v3_name(name: &str) -> Option<EventKind> {
    EVENTS.iter().find(|info| info.v3_names.contains(&name)).map(|info| info.kind)
}

/// All names in the style of 3.4.5.
pub fn v3_names() -> Vec<&'static str> {
    EVENTS.iter().filter_map(|info| info.v3_names.first().copied()).collect()
}

/// All preferred `$events/…` names.
pub fn v5_names() -> Vec<&'static str> {
    EVENTS.iter().filter_map(|info| info.v5_names.first().copied()).collect()
}

/// The kinds that a `$events/…` name or pattern stands for; an empty list for a name that is known and never fires;
/// `None` when it names nothing.
pub fn kinds_of_pattern(pattern: &str) -> Option<Vec<EventKind>> {
    if NEVER_FIRE.contains(&pattern) {
        return Some(Vec::new());
    }
    let kinds: Vec<EventKind> = EVENTS
        .iter()
        .filter(|info| info.v5_names.iter().any(|name| model::filter_matches(pattern, name)))
        .map(|info| info.kind)
        .collect();
    (!kinds.is_empty()).then_some(kinds)
}

/// Names of one field in the two vocabularies: what either name reads when only the other is there.
const ALIASES: [(&str, &str); 8] = [
    ("clientid", "client_id"),
    ("client_id", "clientid"),
    ("from_clientid", "from_client_id"),
    ("from_client_id", "from_clientid"),
    ("reason", "reason_code"),
    ("reason_code", "reason"),
    ("peerhost", "peer_host"),
    ("expiry_interval", "session_expiry_interval"),
];

/// The other vocabulary's name of a field.
pub fn other_name(name: &str) -> Option<&'static str> {
    ALIASES.iter().find(|(known, _)| *known == name).map(|(_, other)| *other)
}

/// Where a published message keeps a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say the field")]
pub enum PublishField {
    Id,
    ClientId,
    Username,
    Payload,
    PeerHost,
    PeerName,
    Topic,
    Qos,
    Retain,
    Flags,
    Properties,
    ReceivedAt,
    Event,
    Timestamp,
    Node,
    Mountpoint,
}

/// The place of a field in a published message.
pub fn publish_field(name: &str) -> Option<PublishField> {
    Some(match name {
        "id" => PublishField::Id,
        "clientid" | "client_id" => PublishField::ClientId,
        "username" => PublishField::Username,
        "payload" => PublishField::Payload,
        "peerhost" => PublishField::PeerHost,
        "peername" => PublishField::PeerName,
        "topic" => PublishField::Topic,
        "qos" => PublishField::Qos,
        "retain" => PublishField::Retain,
        "flags" => PublishField::Flags,
        "pub_props" => PublishField::Properties,
        "publish_received_at" => PublishField::ReceivedAt,
        "event" => PublishField::Event,
        "timestamp" => PublishField::Timestamp,
        "node" => PublishField::Node,
        "mountpoint" => PublishField::Mountpoint,
        _ => return None,
    })
}

/// The fields `SELECT *` gives for a published message, in order.
pub fn publish_vocabulary(generation: Generation) -> &'static [(Str, PublishField)] {
    use std::sync::LazyLock;
    fn build(generation: Generation) -> Vec<(Str, PublishField)> {
        let names = event(EventKind::MessagePublish).into_iter().flat_map(EventInfo::fields);
        names
            .filter_map(|field| field.name(generation))
            .filter_map(|name| Some((Str::new(name), publish_field(name)?)))
            .collect()
    }
    static V3: LazyLock<Vec<(Str, PublishField)>> = LazyLock::new(|| build(Generation::V3));
    static V5: LazyLock<Vec<(Str, PublishField)>> = LazyLock::new(|| build(Generation::V5));
    match generation {
        Generation::V3 => &V3,
        Generation::V5 => &V5,
    }
}

/// A sample as a value.
pub fn sample_value(sample: Sample, now_ms: i64) -> Value {
    match sample {
        Sample::Text(text) => Value::text(text),
        Sample::Integer(n) => Value::Int(n),
        Sample::Boolean(b) => Value::Bool(b),
        Sample::Json(json) => crate::json::parse(json.as_bytes()).unwrap_or(Value::Null),
        Sample::Now => Value::Int(now_ms),
    }
}
