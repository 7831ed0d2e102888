//! `/api/v3/subscriptions` and `/api/v3/routes` (manual §16.6, §16.7).

use axum::extract::{Path, Query, State};
use model::manage::{RouteFilter, RouteView, Slice, SubscriptionFilter, SubscriptionView};
use serde_json::{Value as Json, json};

use super::clients::PAGE_ROWS;
use super::nodes::here;
use crate::manage::ask;
use crate::reply::{Data, Refusal, V3};
use crate::request::Page;
use crate::state::{Shared, State as Inner};

pub(crate) async fn list(State(state): State<Shared>, Query(page): Query<Page>) -> V3 {
    let (number, limit) = page.numbers(PAGE_ROWS)?;
    let skip = (number - 1).saturating_mul(limit);
    let all = SubscriptionFilter::default();
    let found = ask(&state, move |manage| manage.subscriptions(&all, Slice::skipping(skip, limit))).await?;
    let items = found.items.iter().map(|one| subscription(&state, one)).collect();
    Ok(Data::List { items, meta: Some(json!({"page": number, "limit": limit, "count": found.total})) })
}

pub(crate) async fn list_on(State(state): State<Shared>, Path(node): Path<String>, page: Query<Page>) -> V3 {
    here(&state, &node)?;
    list(State(state), page).await
}

/// One client has at most `mqtt.subscriptions_max`: all of them, without pages.
pub(crate) async fn of_client(State(state): State<Shared>, Path(id): Path<String>) -> V3 {
    let wanted = SubscriptionFilter { client_id: Some(id), ..SubscriptionFilter::default() };
    let found = ask(&state, move |manage| manage.subscriptions(&wanted, Slice::after(None, usize::MAX))).await?;
    Ok(Data::List { items: found.items.iter().map(|one| subscription(&state, one)).collect(), meta: None })
}

pub(crate) async fn of_client_on(State(state): State<Shared>, Path((node, id)): Path<(String, String)>) -> V3 {
    here(&state, &node)?;
    of_client(State(state), Path(id)).await
}

pub(crate) async fn routes(State(state): State<Shared>, Query(page): Query<Page>) -> V3 {
    let (number, limit) = page.numbers(PAGE_ROWS)?;
    let skip = (number - 1).saturating_mul(limit);
    let all = RouteFilter::default();
    let found = ask(&state, move |manage| manage.routes(&all, Slice::skipping(skip, limit))).await?;
    let items = found.items.iter().map(|one| route(&state, one)).collect();
    Ok(Data::List { items, meta: Some(json!({"page": number, "limit": limit, "count": found.total})) })
}

pub(crate) async fn show_route(State(state): State<Shared>, Path(topic): Path<String>) -> V3 {
    let wanted = RouteFilter { filter: Some(topic.clone()), ..RouteFilter::default() };
    let found = ask(&state, move |manage| manage.routes(&wanted, Slice::after(None, 1))).await?;
    if found.items.is_empty() {
        return Err(Refusal::not_found("route to", &topic).into());
    }
    Ok(Data::List { items: found.items.iter().map(|one| route(&state, one)).collect(), meta: None })
}

fn subscription(state: &Inner, one: &SubscriptionView) -> Json {
    json!({"node": state.node, "client_id": one.client_id, "topic": one.filter, "qos": one.qos as u8})
}

fn route(state: &Inner, one: &RouteView) -> Json {
    json!({"topic": one.filter, "node": state.node})
}
