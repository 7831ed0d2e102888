//! `/api/v1/banned`: who may not connect. The same entries as in version 3.

use ::auth::Target;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde_json::{Value as Json, json};

use crate::reply::{Data, Refusal, V1, data};
use crate::request::{Body, Page};
use crate::state::Shared;
use crate::v3::banned::{self, refused, shown};

pub(crate) async fn list(State(state): State<Shared>, Query(page): Query<Page>) -> Response {
    let bans: Vec<Json> = state.auth.banned().list().iter().map(shown).collect();
    data(page.cut(bans).map_err(Into::into).map(|cut| match cut {
        Data::List { items, .. } => Json::Array(items),
        _ => json!([]),
    }))
}

pub(crate) async fn add(State(state): State<Shared>, body: Body) -> Response {
    let added: V1 = async { Ok(banned::add(&state, &body.0?).await?) }.await;
    data(added)
}

pub(crate) async fn remove(State(state): State<Shared>, Path((kind, who)): Path<(String, String)>) -> Response {
    let removed = async {
        let target = Target::parse(&kind, &who).map_err(|error| refused(&error))?;
        state.auth.banned().remove(&target).await.map_err(|error| refused(&error))?;
        Ok::<_, Refusal>(json!({}))
    };
    data(removed.await.map_err(Into::into))
}
