//! `/api/v1/acl`: the access rules in force, and reading them again.

use ::auth::AclState;
use axum::extract::State;
use axum::response::Response;
use serde_json::{Value as Json, json};

use crate::reply::data;
use crate::state::Shared;
use crate::v3::banned::refused;

pub(crate) async fn show(State(state): State<Shared>) -> Response {
    data(Ok(shown(&state.auth.acl_state())))
}

pub(crate) async fn reload(State(state): State<Shared>) -> Response {
    let reloaded = state.auth.reload_acl().await;
    data(reloaded.map(|state| shown(&state)).map_err(|error| refused(&error).into()))
}

fn shown(state: &AclState) -> Json {
    json!({"source": state.source, "rules": state.rule_count, "version": state.version})
}
