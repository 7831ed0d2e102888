//! The API of EMQ X 3.4.5 (manual §7.3.2): one file per noun.
//!
//! Version 3 names things its own way (`rawsql`, `for`, old action names); they are translated here, in both directions,
//! and nowhere else.

pub(crate) mod actions;
pub(crate) mod alarms;
pub(crate) mod auth_users;
pub(crate) mod banned;
pub(crate) mod clients;
pub(crate) mod mqtt;
pub(crate) mod nodes;
pub(crate) mod resources;
pub(crate) mod rules;
pub(crate) mod subscriptions;

use ::auth::NameKind;
use axum::Router;
use axum::routing::{delete, get, post};

use crate::state::Shared;

/// Every route below `/api/v3`.
pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/rules", get(rules::list).post(rules::create))
        .route("/rules/{id}", get(rules::show).put(rules::update).delete(rules::remove))
        .route("/actions", get(actions::list))
        .route("/actions/{name}", get(actions::show))
        .route("/rule_events", get(actions::events))
        .route("/resource_types", get(resources::list_types))
        .route("/resource_types/{name}", get(resources::show_type))
        .route("/resource_types/{name}/resources", get(resources::list_of_type))
        .route("/resources", get(resources::list).post(resources::create))
        .route("/resources/{id}", get(resources::show).post(resources::start).delete(resources::remove))
        .route("/resource_status/{id}", get(resources::status))
        .route("/banned", get(banned::list).post(banned::create))
        .route("/banned/", get(banned::list).post(banned::create))
        .route("/banned/{who}", delete(banned::remove))
        .nest("/auth_username", auth_users::routes(NameKind::Username))
        .nest("/auth_clientid", auth_users::routes(NameKind::ClientId))
        .merge(of_broker())
        .merge(of_clients())
}

/// The broker as a whole.
fn of_broker() -> Router<Shared> {
    Router::new()
        .route("/nodes", get(nodes::list))
        .route("/nodes/{node}", get(nodes::show))
        .route("/brokers", get(nodes::brokers))
        .route("/brokers/{node}", get(nodes::show_broker))
        .route("/listeners", get(nodes::listeners))
        .route("/nodes/{node}/listeners", get(nodes::listeners_on))
        .route("/stats", get(nodes::stats))
        .route("/nodes/{node}/stats", get(nodes::stats_on))
        .route("/metrics", get(nodes::metrics))
        .route("/nodes/{node}/metrics", get(nodes::metrics_on))
        .route("/alarms/present", get(alarms::present))
        .route("/alarms/present/{node}", get(alarms::present_on))
        .route("/alarms/history", get(alarms::history))
        .route("/alarms/history/{node}", get(alarms::history_on))
}

/// Its clients, and what can be done for them.
fn of_clients() -> Router<Shared> {
    Router::new()
        .route("/connections", get(clients::list))
        .route("/connections/{id}", get(clients::show).delete(clients::kick))
        .route("/connection/username/{username}", get(clients::by_username))
        .route("/nodes/{node}/connections", get(clients::list_on))
        .route("/nodes/{node}/connections/{id}", get(clients::show_on))
        .route("/nodes/{node}/connection/username/{username}", get(clients::by_username_on))
        .route("/sessions", get(clients::sessions))
        .route("/sessions/{id}", get(clients::show_session))
        .route("/sessions/persistent/{id}", delete(clients::clean))
        .route("/nodes/{node}/sessions", get(clients::sessions_on))
        .route("/nodes/{node}/sessions/{id}", get(clients::show_session_on))
        .route("/nodes/{node}/sessions/persistent/{id}", delete(clients::clean_on))
        .route("/subscriptions", get(subscriptions::list))
        .route("/subscriptions/{id}", get(subscriptions::of_client))
        .route("/nodes/{node}/subscriptions", get(subscriptions::list_on))
        .route("/nodes/{node}/subscriptions/{id}", get(subscriptions::of_client_on))
        .route("/routes", get(subscriptions::routes))
        .route("/routes/{*topic}", get(subscriptions::show_route))
        .route("/mqtt/publish", post(mqtt::publish_one))
        .route("/mqtt/subscribe", post(mqtt::subscribe_one))
        .route("/mqtt/unsubscribe", post(mqtt::unsubscribe_one))
        .route("/mqtt/publish_batch", post(mqtt::publish_batch))
        .route("/mqtt/subscribe_batch", post(mqtt::subscribe_batch))
        .route("/mqtt/unsubscribe_batch", post(mqtt::unsubscribe_batch))
}
