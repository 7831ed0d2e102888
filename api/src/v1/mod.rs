//! The native API: what version 3 has no words for. Answers are `{"data": …}`, refusals RFC 9457 problems.

mod acl;
mod banned;
mod dead_letters;
mod pipelines;
mod query;
mod resources;
mod rules;
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
}
