//! `/api/v3/connections` and `/api/v3/sessions`: who is connected, and whose state is kept (manual §16.4, §16.5).

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use model::manage::{ClientFilter, ClientView, Slice};
use serde_json::{Value as Json, json};

use super::nodes::here;
use crate::manage::{ClientQuery, ask, query};
use crate::reply::{Data, Refusal, V3};
use crate::request::Page;
use crate::state::{Shared, State as Inner};

/// Rows in one answer unless `_limit` says otherwise.
pub(super) const PAGE_ROWS: usize = 10_000;

type Wanted = Result<Query<ClientQuery>, QueryRejection>;
type Show = fn(&Inner, &ClientView) -> Json;

pub(crate) async fn list(State(state): State<Shared>, wanted: Wanted, Query(page): Query<Page>) -> V3 {
    let filter = ClientFilter { is_connected: Some(true), ..query(wanted)?.filter()? };
    listed(&state, filter, &page, connection).await
}

pub(crate) async fn list_on(
    State(state): State<Shared>,
    Path(node): Path<String>,
    wanted: Wanted,
    page: Query<Page>,
) -> V3 {
    here(&state, &node)?;
    list(State(state), wanted, page).await
}

/// Version 3 answers a list: the same client id could be connected to several nodes.
pub(crate) async fn show(State(state): State<Shared>, Path(id): Path<String>) -> V3 {
    let found = state.manage.client(&id).filter(|client| client.is_connected);
    let found = found.ok_or_else(|| Refusal::not_found("connected client", &id))?;
    Ok(Data::List { items: vec![connection(&state, &found)], meta: None })
}

pub(crate) async fn show_on(State(state): State<Shared>, Path((node, id)): Path<(String, String)>) -> V3 {
    here(&state, &node)?;
    show(State(state), Path(id)).await
}

pub(crate) async fn by_username(State(state): State<Shared>, Path(username): Path<String>) -> V3 {
    let filter = ClientFilter { username: Some(username), is_connected: Some(true), ..ClientFilter::default() };
    listed(&state, filter, &Page::default(), connection).await
}

pub(crate) async fn by_username_on(State(state): State<Shared>, Path((node, username)): Path<(String, String)>) -> V3 {
    here(&state, &node)?;
    by_username(State(state), Path(username)).await
}

pub(crate) async fn kick(State(state): State<Shared>, Path(id): Path<String>) -> V3 {
    let client_id = id.clone();
    match ask(&state, move |manage| manage.kick(&client_id)).await? {
        true => Ok(Data::Nothing),
        false => Err(Refusal::not_found("connected client", &id).into()),
    }
}

pub(crate) async fn sessions(State(state): State<Shared>, wanted: Wanted, Query(page): Query<Page>) -> V3 {
    listed(&state, query(wanted)?.filter()?, &page, session).await
}

pub(crate) async fn sessions_on(
    State(state): State<Shared>,
    Path(node): Path<String>,
    wanted: Wanted,
    page: Query<Page>,
) -> V3 {
    here(&state, &node)?;
    sessions(State(state), wanted, page).await
}

pub(crate) async fn show_session(State(state): State<Shared>, Path(id): Path<String>) -> V3 {
    let found = state.manage.client(&id).ok_or_else(|| Refusal::not_found("session", &id))?;
    Ok(Data::List { items: vec![session(&state, &found)], meta: None })
}

pub(crate) async fn show_session_on(State(state): State<Shared>, Path((node, id)): Path<(String, String)>) -> V3 {
    here(&state, &node)?;
    show_session(State(state), Path(id)).await
}

/// Ends a session that nobody is connected to.
pub(crate) async fn clean(State(state): State<Shared>, Path(id): Path<String>) -> V3 {
    let found = state.manage.client(&id).filter(|client| client.session_expiry_secs > 0);
    if found.is_none() {
        return Err(Refusal::not_found("persistent session", &id).into());
    }
    kick(State(state), Path(id)).await
}

pub(crate) async fn clean_on(State(state): State<Shared>, Path((node, id)): Path<(String, String)>) -> V3 {
    here(&state, &node)?;
    clean(State(state), Path(id)).await
}

/// Always in pages: there can be a million.
async fn listed(state: &Shared, filter: ClientFilter, page: &Page, show: Show) -> V3 {
    let (number, limit) = page.numbers(PAGE_ROWS)?;
    let skip = (number - 1).saturating_mul(limit);
    let found = ask(state, move |manage| manage.clients(&filter, Slice::skipping(skip, limit))).await?;
    let items = found.items.iter().map(|client| show(state, client)).collect();
    Ok(Data::List { items, meta: Some(json!({"page": number, "limit": limit, "count": found.total})) })
}

fn connection(state: &Inner, client: &ClientView) -> Json {
    json!({
        "node": state.node,
        "client_id": client.client_id,
        "username": client.username,
        "ipaddress": client.address,
        "port": client.port,
        "proto_name": client.protocol,
        "proto_ver": client.version,
        "keepalive": client.keepalive_secs,
        "clean_start": client.clean_start,
        "is_bridge": client.is_bridge,
        "connected_at": client.connected_at_ms,
        "session_expiry": client.session_expiry_secs,
        "subscriptions": client.subscription_count,
        "queued": client.queue_message_count,
        "inflight": client.inflight_count,
        "awaiting_rel": client.awaiting_rel_count,
        "recv_msg": client.received_count,
        "send_msg": client.sent_count,
    })
}

fn session(state: &Inner, client: &ClientView) -> Json {
    json!({
        "node": state.node,
        "client_id": client.client_id,
        "username": client.username,
        "connected": client.is_connected,
        "clean_start": client.clean_start,
        "expiry_interval": client.session_expiry_secs,
        "subscriptions_count": client.subscription_count,
        "max_inflight": client.inflight_max,
        "inflight": client.inflight_count,
        "mqueue_len": client.queue_message_count,
        "mqueue_bytes": client.queue_bytes,
        "mqueue_dropped": client.dropped_count,
        "awaiting_rel": client.awaiting_rel_count,
        "deliver_msg": client.sent_count,
        "enqueue_msg": client.enqueued_count,
        "created_at": client.created_at_ms,
    })
}
