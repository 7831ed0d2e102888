//! `republish`: publishes rows into the broker, where rules may select them again.
//!
//! Invariant: no message runs in a circle. A message remembers the rules it passed ([`Origin::Rules`]); a rule that
//! finds itself in the list, or a list that has become too long, refuses the row. What can be seen without an event is
//! refused when the rule is created ([`check_loop`]).

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use bytes::Bytes;
use connector::template::Part;
use connector::{Config, Error, ErrorKind, Record, Sink, Template, WriteError};
use model::ports::{Publish, PublishError, Refused};
use model::{Clock, EventKind, Message, MessageId, Origin, Qos, Str, Value};
use serde_json::{Value as Json, json};
use sql::Plan;

/// The broker, which is started after the engine because it needs the tap.
#[derive(Default)]
pub(crate) struct Late(OnceLock<Arc<dyn Publish>>);

impl Late {
    /// Binds the broker; the first one stays.
    pub(crate) fn set(&self, publish: Arc<dyn Publish>) {
        drop(self.0.set(publish));
    }
}

/// The sink.
pub(super) struct Republish {
    topic: Template,
    payload: Option<Template>,
    qos: Option<Qos>,
    retain: bool,
    publish: Arc<Late>,
    clock: Arc<dyn Clock>,
    hops_max: usize,
}

impl Republish {
    pub(super) fn new(
        config: &Config,
        publish: Arc<Late>,
        clock: Arc<dyn Clock>,
        hops_max: usize,
    ) -> Result<Self, Error> {
        let topic = Template::parse(config.text("target_topic").unwrap_or_default())?;
        let payload = match config.text("payload_tmpl") {
            None | Some("") => None,
            Some(text) => Some(Template::parse(text)?),
        };
        let qos = config.integer("target_qos").and_then(|qos| u8::try_from(qos).ok()).and_then(Qos::from_u8);
        Ok(Self { topic, payload, qos, retain: config.bool("retain"), publish, clock, hops_max })
    }

    /// The message for one row, or why there must not be one.
    fn message(&self, record: &Record) -> Result<Message, Error> {
        if record.passed_rules.contains(&record.rule) {
            let why = format!("loop: the message has passed {} before, by {}", record.rule, chain(record));
            return Err(Error::permanent(ErrorKind::Rejected, why));
        }
        if record.passed_rules.len() >= self.hops_max {
            let why =
                format!("the message has passed {} rules ({}), the most there may be", self.hops_max, chain(record));
            return Err(Error::permanent(ErrorKind::Rejected, why));
        }
        let topic = self.topic.text(&record.row);
        model::validate_topic(&topic)
            .map_err(|why| Error::permanent(ErrorKind::Rejected, format!("cannot publish to {topic:?}: {why}")))?;
        let payload = match &self.payload {
            Some(template) => template.bytes(&record.row),
            None => record.row.to_json().to_string().into_bytes(),
        };
        let mut passed = record.passed_rules.as_ref().clone();
        passed.push(record.rule.clone());
        let now_ms = self.clock.now_ms();
        Ok(Message {
            id: MessageId::next(now_ms),
            topic: topic.into(),
            payload: Bytes::from(payload),
            qos: self.qos.unwrap_or_else(|| qos_of(record)),
            retain: self.retain,
            dup: false,
            publisher: None,
            properties: None,
            received_at_ms: now_ms,
            origin: Origin::Rules(Arc::new(passed)),
        })
    }
}

fn chain(record: &Record) -> String {
    let names: Vec<&str> = record.passed_rules.iter().map(Str::as_str).collect();
    names.join(" → ")
}

/// The QoS of the row, or else of the event.
fn qos_of(record: &Record) -> Qos {
    let of_event = || match record.event.as_deref() {
        Some(Value::Map(fields)) => fields.get("qos").and_then(Value::as_int),
        _ => None,
    };
    let number = record.row.get("qos").and_then(Value::as_int).or_else(of_event);
    number.and_then(|qos| u8::try_from(qos).ok()).and_then(Qos::from_u8).unwrap_or(Qos::AtMostOnce)
}

#[async_trait]
impl Sink for Republish {
    async fn write(&self, batch: &[Record]) -> Result<(), WriteError> {
        let Some(publish) = self.publish.0.get() else {
            return Err(Error::temporary(ErrorKind::Unreachable, "the broker is not started yet").into());
        };
        let mut failed = Vec::new();
        for (place, record) in batch.iter().enumerate() {
            let result = match self.message(record) {
                Ok(message) => publish.publish(message).await.map(drop).map_err(|error| outcome(&error)),
                Err(error) => {
                    tracing::warn!(rule = %record.rule, %error, "a row was not republished");
                    Err(error)
                }
            };
            failed.extend(result.err().map(|error| (place, error)));
        }
        if failed.is_empty() { Ok(()) } else { Err(WriteError::Rows(failed)) }
    }

    fn render(&self, record: &Record) -> Result<Json, Error> {
        let message = self.message(record)?;
        Ok(json!({
            "topic": message.topic,
            "qos": message.qos as u8,
            "retain": message.retain,
            "payload": Value::Bytes(message.payload).to_json(),
        }))
    }
}

fn outcome(error: &PublishError) -> Error {
    match error {
        PublishError::InvalidTopic(_) => Error::permanent(ErrorKind::Rejected, error.to_string()),
        PublishError::Refused(Refused::QueueFull) => Error::temporary(ErrorKind::Exhausted, error.to_string()),
        PublishError::Refused(Refused::Unavailable) => Error::temporary(ErrorKind::Unreachable, error.to_string()),
        PublishError::Closed => Error::temporary(ErrorKind::Closed, error.to_string()),
    }
}

/// The default target of a rule: by the name its output gives the client's id.
pub(crate) fn default_topic(plan: &Plan) -> &'static str {
    let gives = |wanted: &str| plan.names.as_ref().is_some_and(|names| names.iter().any(|name| name == wanted));
    let later = match plan.names {
        Some(_) => gives("clientid") && !gives("client_id"),
        None => plan.generation == sql::Generation::V5,
    };
    if later { "repub/to/${clientid}" } else { "repub/to/${client_id}" }
}

/// Why nothing can ever be published to this target.
pub(crate) fn check_target(target: &str) -> Option<String> {
    // A template that does not parse is reported as one.
    let template = Template::parse(target).ok()?;
    if template.is_literal() {
        return model::validate_topic(&sample_of(&template)).err().map(|why| format!("{target:?}: {why}"));
    }
    let wild = |part: &Part| matches!(part, Part::Literal(text) if text.contains(['+', '#']));
    template.parts().iter().any(wild).then(|| format!("{target:?}: a topic to publish to has no wildcards"))
}

/// Whether every message this action publishes is selected by its own rule again, as far as FROM and the topic
/// conditions of WHERE say: the reason, for the creator of the rule.
pub(crate) fn check_loop(plan: &Plan, target: &str) -> Option<String> {
    let template = Template::parse(target).ok()?;
    let topic = sample_of(&template);
    let by_from = plan.from_matches(EventKind::MessagePublish, Some(&topic));
    let hints = &plan.topic_hints;
    let by_where = hints.is_empty() || hints.iter().any(|hint| model::filter_matches(hint, &topic));
    (by_from && by_where)
        .then(|| format!("the rule would select its own output: it republishes to {target}, which its FROM matches"))
}

/// The topic with a word in the place of each value that no filter names, so that only wildcards match there.
fn sample_of(template: &Template) -> String {
    let parts = template.parts().iter().map(|part| match part {
        Part::Literal(text) => text.as_str(),
        Part::Slot { .. } => "\u{1}value",
    });
    parts.collect()
}
