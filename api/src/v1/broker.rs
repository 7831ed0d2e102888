//! `/api/v1/broker`, `/stats`, `/metrics`, `/listeners` and `/alarms`: the broker about itself.

use axum::extract::{Path, State};
use axum::response::Response;
use model::manage::Number;
use serde_json::{Value as Json, json};

use crate::reply::{Refusal, data};
use crate::state::Shared;

pub(crate) async fn about(State(state): State<Shared>) -> Response {
    data(Ok(json!(state.manage.about())))
}

pub(crate) async fn stats(State(state): State<Shared>) -> Response {
    data(Ok(object(&state.manage.stats())))
}

pub(crate) async fn metrics(State(state): State<Shared>) -> Response {
    data(Ok(object(&state.manage.metrics())))
}

fn object(numbers: &[Number]) -> Json {
    Json::Object(numbers.iter().map(|number| (number.name.to_owned(), json!(number.value))).collect())
}

pub(crate) async fn listeners(State(state): State<Shared>) -> Response {
    data(Ok(json!(state.manage.listeners())))
}

pub(crate) async fn alarms(State(state): State<Shared>) -> Response {
    data(Ok(json!(state.manage.present())))
}

pub(crate) async fn alarm_history(State(state): State<Shared>) -> Response {
    data(Ok(json!(state.manage.history())))
}

pub(crate) async fn clear_alarm_history(State(state): State<Shared>) -> Response {
    state.manage.clear_history();
    data(Ok(json!({})))
}

/// Ends an alarm by hand; its source raises it again when the condition still holds.
pub(crate) async fn deactivate_alarm(State(state): State<Shared>, Path(name): Path<String>) -> Response {
    data(match state.manage.deactivate(&name) {
        true => {
            tracing::info!(alarm = ?name, "deactivated by an administrator");
            Ok(json!({}))
        }
        false => Err(Refusal::not_found("alarm", &name).into()),
    })
}
