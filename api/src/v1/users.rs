//! `/api/v1/users/username` and `/api/v1/users/client_id`: names with their passwords. No answer carries a password or
//! what is kept of it.

use ::auth::{NameKind, UserSummary};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::reply::{Refusal, V1, data};
use crate::request::{Body, Page, flag, required};
use crate::state::{Shared, State as Inner};
use crate::v3::banned::refused;

/// Users in one answer unless `_limit` says otherwise.
const PAGE_USERS: usize = 1_000;

/// `?after=`, the last name of the page before.
#[derive(Debug, Deserialize)]
pub(crate) struct After {
    after: Option<String>,
}

pub(crate) async fn list(
    State(state): State<Shared>,
    Path(kind): Path<String>,
    Query(after): Query<After>,
    Query(page): Query<Page>,
) -> Response {
    data(listed(&state, &kind, after.after.as_deref(), &page))
}

pub(crate) async fn show(State(state): State<Shared>, Path((kind, name)): Path<(String, String)>) -> Response {
    let found = named(&kind)
        .and_then(|kind| state.auth.users().get(kind, &name).ok_or_else(|| Refusal::not_found("user", &name)));
    data(found.map(|user| shown(&user)).map_err(Into::into))
}

pub(crate) async fn add(State(state): State<Shared>, Path(kind): Path<String>, body: Body) -> Response {
    let added: V1 = async {
        let (kind, body) = (named(&kind)?, body.0?);
        let (name, is_superuser) = (required(&body, "name")?, flag(&body, "is_superuser")?);
        let added = state.auth.users().add(kind, name, required(&body, "password")?, is_superuser).await;
        added.map_err(|error| refused(&error))?;
        Ok(json!({"name": name, "is_superuser": is_superuser}))
    }
    .await;
    data(added)
}

pub(crate) async fn update(
    State(state): State<Shared>,
    Path((kind, name)): Path<(String, String)>,
    body: Body,
) -> Response {
    let updated: V1 = async {
        let (kind, body) = (named(&kind)?, body.0?);
        let superuser = body.get("is_superuser").map(|_| flag(&body, "is_superuser")).transpose()?;
        let updated = state.auth.users().update(kind, &name, required(&body, "password")?, superuser).await;
        updated.map_err(|error| refused(&error))?;
        Ok(json!({"name": name}))
    }
    .await;
    data(updated)
}

pub(crate) async fn remove(State(state): State<Shared>, Path((kind, name)): Path<(String, String)>) -> Response {
    let removed: V1 = async {
        let removed = state.auth.users().remove(named(&kind)?, &name).await;
        removed.map_err(|error| refused(&error))?;
        Ok(json!({}))
    }
    .await;
    data(removed)
}

/// Pages are walked by name: `_page` counts pages of `_limit`, `after` continues behind a name.
fn listed(state: &Inner, kind: &str, after: Option<&str>, page: &Page) -> V1 {
    let kind = named(kind)?;
    let (number, limit) = page.numbers(PAGE_USERS)?;
    let wanted = number.saturating_mul(limit);
    let users = state.auth.users().list(kind, after, wanted);
    let users: Vec<Json> = users.iter().skip(wanted - limit).map(shown).collect();
    Ok(Json::Array(users))
}

fn shown(user: &UserSummary) -> Json {
    json!({"name": user.name, "is_superuser": user.is_superuser})
}

fn named(kind: &str) -> Result<NameKind, Refusal> {
    match kind {
        "username" => Ok(NameKind::Username),
        "client_id" => Ok(NameKind::ClientId),
        _ => Err(Refusal::new(
            StatusCode::NOT_FOUND,
            format!("there are no users by {kind}; only by username and client_id"),
        )),
    }
}
