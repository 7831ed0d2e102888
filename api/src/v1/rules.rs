//! `GET /api/v1/rules/{id}/inspections`: the last rows that went through a rule's `inspect` actions.

use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::json;

use crate::reply::data;
use crate::state::Shared;
use crate::v3::rules::refused;

pub(crate) async fn inspections(State(state): State<Shared>, Path(id): Path<String>) -> Response {
    data(state.engine.inspections(&id).map(|rows| json!(rows)).map_err(|error| refused(error).into()))
}
