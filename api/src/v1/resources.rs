//! `POST /api/v1/resources/{id}/check`: dials an existing resource now.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use crate::reply::{Refusal, V1, data};
use crate::state::{Shared, State as Inner};
use crate::v3::resources::{refused, shown_status};

pub(crate) async fn check(State(state): State<Shared>, Path(id): Path<String>) -> Response {
    data(answer(&state, &id).await)
}

async fn answer(state: &Inner, id: &str) -> V1 {
    let status = state.resources.check(id).await.map_err(refused)?;
    if status.state == resources::State::Connected {
        return Ok(shown_status(&status));
    }
    let why = status.last_error.as_deref().unwrap_or("it is stopped");
    Err(Refusal::new(StatusCode::BAD_GATEWAY, format!("{id} does not answer: {why}"))
        .with_data(shown_status(&status))
        .into())
}
