//! `/api/v1/clients`, `/subscriptions`, `/routes` (also `/topics`): lists by cursor, with conditions, and what can be done to
//! a client.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use model::manage::{Found, RouteFilter, Slice, SubscriptionFilter};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::manage::{ClientQuery, ask, query, read};
use crate::publish;
use crate::reply::{Listed1, Refusal, V1, data, page};
use crate::request::Body;
use crate::state::Shared;

/// Rows in one answer unless `limit` says otherwise.
const PAGE_ROWS: usize = 100;
/// Most rows one answer may have.
const PAGE_ROWS_MAX: usize = 10_000;

/// `?after=&limit=`
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Cursor {
    after: Option<String>,
    limit: Option<String>,
}

impl Cursor {
    fn limit(&self) -> Result<usize, Refusal> {
        let wanted = format!("a whole number from 1 to {PAGE_ROWS_MAX}");
        let limit = read("limit", self.limit.as_deref(), &wanted)?.unwrap_or(PAGE_ROWS);
        if (1..=PAGE_ROWS_MAX).contains(&limit) {
            Ok(limit)
        } else {
            Err(Refusal::invalid(format!("limit must be {wanted}")))
        }
    }
}

fn listed<T: Serialize>(found: &Found<T>) -> Result<(serde_json::Value, Option<String>), Refusal> {
    let items = serde_json::to_value(&found.items).map_err(|error| Refusal::internal(error.to_string()))?;
    Ok((items, found.next.as_ref().map(ToString::to_string)))
}

pub(crate) async fn list(
    State(state): State<Shared>,
    wanted: Result<Query<ClientQuery>, QueryRejection>,
    cursor: Result<Query<Cursor>, QueryRejection>,
) -> Response {
    let find = async || -> Listed1 {
        let (filter, cursor) = (query(wanted)?.filter()?, query(cursor)?);
        let limit = cursor.limit()?;
        let found =
            ask(&state, move |manage| manage.clients(&filter, Slice::after(cursor.after.as_deref(), limit))).await?;
        Ok(listed(&found)?)
    };
    page(find().await)
}

pub(crate) async fn show(State(state): State<Shared>, Path(id): Path<String>) -> Response {
    data(match state.manage.client(&id) {
        Some(client) => Ok(json!(client)),
        None => Err(Refusal::not_found("client", &id).into()),
    })
}

pub(crate) async fn kick(State(state): State<Shared>, Path(id): Path<String>) -> Response {
    let client_id = id.clone();
    let kicked = ask(&state, move |manage| manage.kick(&client_id)).await;
    data(match kicked {
        Ok(true) => Ok(json!({})),
        Ok(false) => Err(Refusal::not_found("client", &id).into()),
        Err(refusal) => Err(refusal.into()),
    })
}

/// `?client_id=&filter=&matches=&qos=&shared=`
#[derive(Debug, Default, Deserialize)]
pub(crate) struct SubscriptionQuery {
    client_id: Option<String>,
    filter: Option<String>,
    matches: Option<String>,
    qos: Option<String>,
    shared: Option<String>,
}

pub(crate) async fn subscriptions(
    State(state): State<Shared>,
    wanted: Result<Query<SubscriptionQuery>, QueryRejection>,
    cursor: Result<Query<Cursor>, QueryRejection>,
) -> Response {
    let find = async || -> Listed1 {
        let (wanted, cursor) = (query(wanted)?, query(cursor)?);
        let filter = SubscriptionFilter {
            qos: read("qos", wanted.qos.as_deref(), "0, 1 or 2")?,
            is_shared: read("shared", wanted.shared.as_deref(), "true or false")?,
            client_id: wanted.client_id,
            filter: wanted.filter,
            matches: wanted.matches,
        };
        let limit = cursor.limit()?;
        let slice = move |manage: &dyn model::manage::Manage| {
            manage.subscriptions(&filter, Slice::after(cursor.after.as_deref(), limit))
        };
        Ok(listed(&ask(&state, slice).await?)?)
    };
    page(find().await)
}

/// `{"client_id", "topic", "qos"}`
pub(crate) async fn subscribe(State(state): State<Shared>, Body(body): Body) -> Response {
    let act = async || -> V1 {
        publish::subscribe(&state, &body?).await?;
        Ok(json!({}))
    };
    data(act().await)
}

/// `{"client_id", "topic"}`
pub(crate) async fn unsubscribe(State(state): State<Shared>, Body(body): Body) -> Response {
    let act = async || -> V1 {
        publish::unsubscribe(&state, &body?).await?;
        Ok(json!({}))
    };
    data(act().await)
}

/// `?filter=&filter_like=&matches=`
#[derive(Debug, Default, Deserialize)]
pub(crate) struct RouteQuery {
    filter: Option<String>,
    filter_like: Option<String>,
    matches: Option<String>,
}

pub(crate) async fn routes(
    State(state): State<Shared>,
    wanted: Result<Query<RouteQuery>, QueryRejection>,
    cursor: Result<Query<Cursor>, QueryRejection>,
) -> Response {
    let find = async || -> Listed1 {
        let (wanted, cursor) = (query(wanted)?, query(cursor)?);
        let filter = RouteFilter { filter: wanted.filter, filter_like: wanted.filter_like, matches: wanted.matches };
        let limit = cursor.limit()?;
        let found =
            ask(&state, move |manage| manage.routes(&filter, Slice::after(cursor.after.as_deref(), limit))).await?;
        let (mut items, next) = listed(&found)?;
        for item in items.as_array_mut().into_iter().flatten().filter_map(serde_json::Value::as_object_mut) {
            item.insert("node".to_owned(), json!(state.node));
        }
        Ok((items, next))
    };
    page(find().await)
}

/// The same body as version 3's; the answer says how many subscribers the message was routed to.
pub(crate) async fn publish(State(state): State<Shared>, Body(body): Body) -> Response {
    let act = async || -> V1 { Ok(json!({"receivers": publish::publish(&state, &body?).await?})) };
    data(act().await)
}
