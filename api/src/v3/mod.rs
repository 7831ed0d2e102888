//! The API of EMQ X 3.4.5 (manual §7.3.2): one file per noun.
//!
//! Version 3 names things its own way (`rawsql`, `for`, old action names); they are translated here, in both directions,
//! and nowhere else.

pub(crate) mod actions;
pub(crate) mod auth_users;
pub(crate) mod banned;
pub(crate) mod clients;
pub(crate) mod resources;
pub(crate) mod rules;

use ::auth::NameKind;
use axum::Router;
use axum::routing::{delete, get};

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
        .route("/connections", get(clients::list))
        .route("/connections/{id}", get(clients::show).delete(clients::kick))
}
