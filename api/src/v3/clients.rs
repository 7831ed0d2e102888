//! `/api/v3/connections`: who is connected.

use axum::extract::{Path, Query, State};

use serde_json::json;

use crate::reply::{Data, Refusal, V3};
use crate::request::Page;
use crate::state::Shared;

/// Clients in one answer unless `_limit` says otherwise.
const PAGE_CLIENTS: usize = 10_000;

pub(crate) async fn list(State(state): State<Shared>, Query(page): Query<Page>) -> V3 {
    // Always in pages: there can be a million.
    let (number, limit) = page.numbers(PAGE_CLIENTS)?;
    let (items, count) = state.clients.list((number - 1).saturating_mul(limit), limit);
    Ok(Data::List { items, meta: Some(json!({"page": number, "limit": limit, "count": count})) })
}

/// Version 3 answers a list: the same client id could be connected to several nodes.
pub(crate) async fn show(State(state): State<Shared>, Path(id): Path<String>) -> V3 {
    let found = state.clients.get(&id).ok_or_else(|| Refusal::not_found("connected client", &id))?;
    Ok(Data::List { items: vec![found], meta: None })
}

pub(crate) async fn kick(State(state): State<Shared>, Path(id): Path<String>) -> V3 {
    if state.clients.kick(&id).await {
        Ok(Data::Nothing)
    } else {
        Err(Refusal::not_found("connected client", &id).into())
    }
}
