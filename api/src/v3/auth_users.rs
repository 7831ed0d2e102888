//! `/api/v3/auth_username` and `/api/v3/auth_clientid` (manual §9.6, §9.7): names with their passwords. No answer carries
//! a password or what is kept of it.

use ::auth::NameKind;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::routing::get;
use serde_json::{Value as Json, json};

use super::banned::refused;
use crate::reply::{Data, Refusal, V3};
use crate::request::{Body, Page, flag, required};
use crate::state::Shared;

/// The routes of one kind of name.
pub(super) fn routes(kind: NameKind) -> Router<Shared> {
    let listed = move |state: State<Shared>, page: Query<Page>| list(state, page, kind);
    let created = move |state: State<Shared>, body: Body| create(state, body, kind);
    let found = move |state: State<Shared>, name: Path<String>| show(state, name, kind);
    let updated = move |state: State<Shared>, name: Path<String>, body: Body| update(state, name, body, kind);
    let removed = move |state: State<Shared>, name: Path<String>| remove(state, name, kind);
    Router::new().route("/", get(listed).post(created)).route("/{name}", get(found).put(updated).delete(removed))
}

async fn list(State(state): State<Shared>, Query(page): Query<Page>, kind: NameKind) -> V3 {
    let users = state.auth.users().list(kind, None, usize::MAX);
    Ok(page.cut(users.into_iter().map(|user| Json::String(user.name)).collect())?)
}

async fn create(State(state): State<Shared>, body: Body, kind: NameKind) -> V3 {
    let body = body.0?;
    let name = required(&body, field(kind))?;
    let added = state.auth.users().add(kind, name, required(&body, "password")?, flag(&body, "is_superuser")?).await;
    added.map_err(|error| refused(&error))?;
    Ok(Data::Nothing)
}

async fn show(State(state): State<Shared>, Path(name): Path<String>, kind: NameKind) -> V3 {
    let found = state.auth.users().get(kind, &name).ok_or_else(|| Refusal::not_found("user", &name))?;
    Ok(Data::Is(json!({field(kind): found.name, "is_superuser": found.is_superuser})))
}

async fn update(State(state): State<Shared>, Path(name): Path<String>, body: Body, kind: NameKind) -> V3 {
    let body = body.0?;
    let superuser = body.get("is_superuser").map(|_| flag(&body, "is_superuser")).transpose()?;
    let updated = state.auth.users().update(kind, &name, required(&body, "password")?, superuser).await;
    updated.map_err(|error| refused(&error))?;
    Ok(Data::Nothing)
}

async fn remove(State(state): State<Shared>, Path(name): Path<String>, kind: NameKind) -> V3 {
    state.auth.users().remove(kind, &name).await.map_err(|error| refused(&error))?;
    Ok(Data::Nothing)
}

fn field(kind: NameKind) -> &'static str {
    match kind {
        NameKind::Username => "username",
        NameKind::ClientId => "clientid",
    }
}
