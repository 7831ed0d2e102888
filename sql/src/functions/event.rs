//! Functions that read the event. They are compiled to reads; only the two helpers at the end ever run.

use model::Value;

use super::args::{arg, list, small_integer, text, wrong};
use super::{Context, EventFunction, Function, FunctionError, Outcome};
use crate::ops;

/// Stands where code would: the compiler replaces these calls by reads.
fn resolved(_: &Context, _: &[Value]) -> Outcome {
    Err(FunctionError::new("this function reads the event and can only be used in a rule"))
}

const fn field(signature: &'static str, name: &'static str, field: &'static str, doc: &'static str) -> Function {
    Function::new(signature, name, (0, 0), resolved, doc)
        .event(EventFunction::Field(field))
        .nulls("missing when the event has no such field")
}

pub(super) const FUNCTIONS: &[Function] = &[
    field("msgid() -> text", "msgid", "id", "Identifier of the message.").example("msgid() = '5C0D…'"),
    field("qos() -> integer", "qos", "qos", "QoS of the message.").example("qos() = 1"),
    field("flags() -> map", "flags", "flags", "Flags of the message: retain, dup, sys.")
        .example("flags() = {\"retain\":false,…}"),
    Function::new("flag(name) -> boolean", "flag", (1, 1), resolved, "One flag of the message.")
        .event(EventFunction::Flag)
        .nulls("missing when there is no such flag")
        .example("flag('retain') = false"),
    Function::new(
        "topic([level]) -> text",
        "topic",
        (0, 1),
        resolved,
        "Topic of the message, or one of its levels, counted from 1.",
    )
    .event(EventFunction::Topic)
    .nulls("missing when the event has no topic, or the topic no such level")
    .example("topic(1) = 'sensors'"),
    field("clientid() -> text", "clientid", "clientid", "Client identifier.").example("clientid() = 'c1'"),
    field("clientip() -> text", "clientip", "peerhost", "IP address of the client.")
        .example("clientip() = '127.0.0.1'"),
    field("peerhost() -> text", "peerhost", "peerhost", "IP address of the client.")
        .example("peerhost() = '127.0.0.1'"),
    field("peername() -> text", "peername", "peername", "IP address and port of the client.")
        .example("peername() = '127.0.0.1:5000'"),
    field("username() -> text", "username", "username", "User name of the client.").example("username() = 'u1'"),
    field("timestamp() -> integer", "timestamp", "timestamp", "Time of the event, milliseconds since the epoch.")
        .example("timestamp() = 1700000000000"),
    Function::new("payload([path]) -> value", "payload", (0, 1), resolved, "The payload, or what it has at a path.")
        .event(EventFunction::Payload)
        .nulls("missing when there is nothing at the path")
        .example("payload('a.b') = 1"),
    Function::new(
        "contains_topic(filters, topic[, qos]) -> boolean",
        "contains_topic",
        (2, 3),
        contains_topic,
        "Whether a list of subscriptions has this very filter.",
    )
    .example("contains_topic(topic_filters, 't/#') = true"),
    Function::new(
        "contains_topic_match(filters, topic[, qos]) -> boolean",
        "contains_topic_match",
        (2, 3),
        contains_topic_match,
        "Whether a filter of a list of subscriptions matches a topic.",
    )
    .example("contains_topic_match(topic_filters, 't/1') = true"),
];

fn contains(args: &[Value], matches: impl Fn(&str, &str) -> bool) -> Outcome {
    let filters = list(args, 0)?;
    let topic = text(args, 1)?;
    let qos = if args.len() > 2 { Some(small_integer(args, 2)?) } else { None };
    let found = filters.iter().any(|entry| {
        let filter = match entry {
            Value::Text(_) => entry.clone(),
            other => ops::get(other, &ops::Step::Key("topic".into())),
        };
        let entry_qos = ops::get(entry, &ops::Step::Key("qos".into()));
        filter.as_text().is_some_and(|filter| matches(filter, &topic))
            && qos.is_none_or(|qos| entry_qos == Value::Int(qos))
    });
    Ok(Value::Bool(found))
}

fn contains_topic(_: &Context, args: &[Value]) -> Outcome {
    contains(args, |filter, topic| filter == topic)
}

fn contains_topic_match(_: &Context, args: &[Value]) -> Outcome {
    contains(args, model::filter_matches)
}

/// `topic(level)` after the topic was read.
pub static TOPIC_LEVEL: Function =
    Function::new("topic(level) -> text", "topic", (2, 2), topic_level, "One level of a topic.");
/// `payload(path)` and `flag(name)` with a computed path, after the root was read.
pub static VALUE_AT: Function =
    Function::new("payload(path) -> value", "payload", (2, 2), value_at, "What a value has at a path.");

fn topic_level(_: &Context, args: &[Value]) -> Outcome {
    let Value::Text(topic) = arg(args, 0) else { return Ok(Value::Missing) };
    let level = small_integer(args, 1)?;
    let found = usize::try_from(level - 1).ok().and_then(|level| topic.split('/').nth(level));
    Ok(found.map_or(Value::Missing, Value::text))
}

fn value_at(_: &Context, args: &[Value]) -> Outcome {
    match arg(args, 1) {
        Value::Text(path) => Ok(ops::get_path(arg(args, 0), &ops::parse_path(path))),
        _ => wrong(args, 1, "a path as text"),
    }
}
