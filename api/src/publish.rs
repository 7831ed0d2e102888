//! Publishing, subscribing and unsubscribing over HTTP: one body, one act. Both vocabularies use it.

use std::sync::Arc;

use axum::http::StatusCode;
use base64::Engine as _;
use bytes::Bytes;
use model::ports::PublishError;
use model::{Message, MessageId, Origin, Qos, Str, validate_topic};
use serde_json::Value as Json;

use crate::manage::{ask, refused};
use crate::reply::Refusal;
use crate::request::{flag, required, text};
use crate::state::Shared;

/// `{"topic", "payload", "qos", "retain", "client_id"}`; how many subscribers it was routed to. Several topics may be given
/// as `topics`, with commas.
pub(crate) async fn publish(state: &Shared, body: &Json) -> Result<usize, Refusal> {
    let topics = topics(body)?;
    let payload = payload(body)?;
    let (qos, retain) = (qos(body)?, flag(body, "retain")?);
    for topic in &topics {
        validate_topic(topic).map_err(|error| Refusal::invalid(format!("topic: {error}")))?;
        let delayed = topic.strip_prefix("$delayed/").and_then(|rest| rest.split_once('/'));
        if delayed.map_or(topic.as_str(), |(_, topic)| topic).starts_with("$SYS/") {
            return Err(Refusal::invalid("topic: what is below $SYS is the server's own"));
        }
        if topic.chars().any(char::is_control) {
            return Err(Refusal::invalid("topic: it has control characters"));
        }
    }
    // Who publishes is told to nobody: the message has no publisher, as it comes from no client.
    text(body, "client_id")?;
    let mut receivers = 0;
    for topic in topics {
        let now_ms = state.clock.now_ms();
        let message = Message {
            id: MessageId::next(now_ms),
            topic: Str::from(topic),
            payload: payload.clone(),
            qos,
            retain,
            dup: false,
            publisher: None,
            properties: None,
            received_at_ms: now_ms,
            origin: Origin::Api,
        };
        receivers += state.publish.publish(message).await.map_err(|error| not_published(&error))?;
    }
    Ok(receivers)
}

/// `{"client_id", "topic", "qos"}`
pub(crate) async fn subscribe(state: &Shared, body: &Json) -> Result<(), Refusal> {
    let (client_id, topics, qos) = (required(body, "client_id")?.to_owned(), topics(body)?, qos(body)?);
    let act = move |manage: &dyn model::manage::Manage| {
        topics.iter().try_for_each(|topic| manage.subscribe(&client_id, topic, qos))
    };
    ask(state, act).await?.map_err(|error| refused(&error))
}

/// `{"client_id", "topic"}`
pub(crate) async fn unsubscribe(state: &Shared, body: &Json) -> Result<(), Refusal> {
    let (client_id, topics) = (required(body, "client_id")?.to_owned(), topics(body)?);
    let act = move |manage: &dyn model::manage::Manage| {
        topics.iter().try_for_each(|topic| manage.unsubscribe(&client_id, topic))
    };
    ask(state, act).await?.map_err(|error| refused(&error))
}

fn topics(body: &Json) -> Result<Vec<String>, Refusal> {
    if let Some(topic) = text(body, "topic")? {
        return Ok(vec![topic.to_owned()]);
    }
    let several = text(body, "topics")?.ok_or_else(|| Refusal::invalid("topic is required"))?;
    Ok(several.split(',').map(|topic| topic.trim().to_owned()).collect())
}

fn qos(body: &Json) -> Result<Qos, Refusal> {
    match body.get("qos") {
        None | Some(Json::Null) => Ok(Qos::AtMostOnce),
        Some(given) => given
            .as_u64()
            .and_then(|qos| u8::try_from(qos).ok())
            .and_then(Qos::from_u8)
            .ok_or_else(|| Refusal::invalid("qos must be 0, 1 or 2")),
    }
}

/// Text as it is, or bytes with `"encoding": "base64"`.
fn payload(body: &Json) -> Result<Bytes, Refusal> {
    let plain = text(body, "payload")?.unwrap_or_default();
    match text(body, "encoding")? {
        None | Some("plain") => Ok(Bytes::copy_from_slice(plain.as_bytes())),
        Some("base64") => base64::engine::general_purpose::STANDARD
            .decode(plain)
            .map(Bytes::from)
            .map_err(|error| Refusal::invalid(format!("payload is not base64: {error}"))),
        Some(_) => Err(Refusal::invalid("encoding must be plain or base64")),
    }
}

fn not_published(error: &PublishError) -> Refusal {
    let status = match error {
        PublishError::InvalidTopic(_) => StatusCode::BAD_REQUEST,
        PublishError::Refused(_) | PublishError::Closed => StatusCode::SERVICE_UNAVAILABLE,
    };
    Refusal::new(status, error.to_string())
}

/// The publisher port, for the parts.
pub(crate) type Publisher = Arc<dyn model::ports::Publish>;
