//! The native API: what version 3 has no words for. Answers are `{"data": …}`, refusals RFC 9457 problems.

mod acl;
mod banned;
mod broker;
mod clients;
mod dead_letters;
mod pipelines;
mod query;
mod resources;
mod rules;
mod traces;
mod users;

use axum::Router;
use axum::routing::{delete, get, post};

use crate::state::Shared;

/// Every route below `/api/v1`.
pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/acl", get(acl::show))
        .route("/acl/reload", post(acl::reload))
        .route("/banned", get(banned::list).post(banned::add))
        .route("/banned/{kind}/{who}", delete(banned::remove))
        .route("/users/{kind}", get(users::list).post(users::add))
        .route("/users/{kind}/{name}", get(users::show).put(users::update).delete(users::remove))
        .route("/query", post(query::run))
        .route("/dead_letters", get(dead_letters::list))
        .route("/dead_letters/replay", post(dead_letters::replay))
        .route("/dead_letters/drop", post(dead_letters::drop))
        .route("/dead_letters/{id}", get(dead_letters::show))
        .route("/pipelines/apply", post(pipelines::apply))
        .route("/resources/{id}/check", post(resources::check))
        .route("/rules/{id}/inspections", get(rules::inspections))
        .route("/broker", get(broker::about))
        .route("/stats", get(broker::stats))
        .route("/metrics", get(broker::metrics))
        .route("/listeners", get(broker::listeners))
        .route("/clients", get(clients::list))
        .route("/clients/{id}", get(clients::show).delete(clients::kick))
        .route("/subscriptions", get(clients::subscriptions).post(clients::subscribe))
        .route("/subscriptions/remove", post(clients::unsubscribe))
        .route("/routes", get(clients::routes))
        .route("/topics", get(clients::routes))
        .route("/publish", post(clients::publish))
        .route("/alarms", get(broker::alarms))
        .route("/alarms/history", get(broker::alarm_history).delete(broker::clear_alarm_history))
        .route("/alarms/{name}", delete(broker::deactivate_alarm))
        .route("/traces", get(traces::list).post(traces::start))
        .route("/traces/{name}", delete(traces::remove))
        .route("/traces/{name}/stop", post(traces::stop))
        .route("/traces/{name}/log", get(traces::log))
}
