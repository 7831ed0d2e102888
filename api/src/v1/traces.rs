//! `/api/v1/traces`: what one client, topic or address does, written to a file (manual §4.18).

use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use model::manage::{TraceSpec, TraceTarget};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::manage::{ask, query, read, trace_refused};
use crate::reply::{Refusal, V1, data, problem};
use crate::request::{Body, flag, required, text};
use crate::state::Shared;

/// Most bytes of a trace in one answer; `?offset=` goes on.
const READ_BYTES_MAX: usize = 4 << 20;

pub(crate) async fn list(State(state): State<Shared>) -> Response {
    data(Ok(json!(state.manage.traces())))
}

/// `{"name", "client_id" | "topic" | "address", "payload", "duration_secs"}`
pub(crate) async fn start(State(state): State<Shared>, Body(body): Body) -> Response {
    let act = async || -> V1 {
        let spec = spec(&body?)?;
        let started = ask(&state, move |manage| manage.start_trace(spec)).await?;
        Ok(json!(started.map_err(|error| trace_refused(&error))?))
    };
    data(act().await)
}

fn spec(body: &Json) -> Result<TraceSpec, Refusal> {
    let (client_id, topic, address) = (text(body, "client_id")?, text(body, "topic")?, text(body, "address")?);
    let target = match (client_id, topic, address) {
        (Some(client_id), None, None) => TraceTarget::Client(client_id.to_owned()),
        (None, Some(topic), None) => TraceTarget::Topic(topic.to_owned()),
        (None, None, Some(address)) => {
            TraceTarget::Address(address.parse().map_err(|_| Refusal::invalid("address must be an IP address"))?)
        }
        _ => return Err(Refusal::invalid("give one of client_id, topic and address")),
    };
    let duration = match body.get("duration_secs") {
        None | Some(Json::Null) => None,
        Some(secs) => {
            let secs = secs.as_u64().filter(|secs| *secs > 0);
            Some(Duration::from_secs(
                secs.ok_or_else(|| Refusal::invalid("duration_secs must be a whole number above 0"))?,
            ))
        }
    };
    Ok(TraceSpec { name: required(body, "name")?.to_owned(), target, with_payload: flag(body, "payload")?, duration })
}

pub(crate) async fn stop(State(state): State<Shared>, Path(name): Path<String>) -> Response {
    let act = async || -> V1 {
        let stopped = ask(&state, move |manage| manage.stop_trace(&name)).await?;
        Ok(json!(stopped.map_err(|error| trace_refused(&error))?))
    };
    data(act().await)
}

pub(crate) async fn remove(State(state): State<Shared>, Path(name): Path<String>) -> Response {
    let act = async || -> V1 {
        ask(&state, move |manage| manage.delete_trace(&name)).await?.map_err(|error| trace_refused(&error))?;
        Ok(json!({}))
    };
    data(act().await)
}

/// `?offset=`
#[derive(Debug, Default, Deserialize)]
pub(crate) struct From {
    offset: Option<String>,
}

/// The file as it is; from `offset`, when it is given.
pub(crate) async fn log(
    State(state): State<Shared>,
    Path(name): Path<String>,
    from: Result<Query<From>, QueryRejection>,
) -> Response {
    let act = async || -> Result<Vec<u8>, Refusal> {
        let offset = read("offset", query(from)?.offset.as_deref(), "a whole number")?.unwrap_or(0);
        let bytes = ask(&state, move |manage| manage.read_trace(&name, offset, READ_BYTES_MAX)).await?;
        bytes.map_err(|error| trace_refused(&error))
    };
    match act().await {
        Ok(bytes) => ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], bytes).into_response(),
        Err(refusal) => problem(&refusal),
    }
}
