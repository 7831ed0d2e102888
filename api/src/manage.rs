//! What both vocabularies share when they ask the broker: calls that walk its sessions leave the async threads, and
//! conditions of a query are read once.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::http::StatusCode;
use model::manage::{ClientFilter, Manage, ManageError, TraceError};
use serde::Deserialize;

use crate::reply::Refusal;
use crate::state::Shared;

/// Asks the broker on a thread that may block.
pub(crate) async fn ask<T: Send + 'static>(
    state: &Shared,
    question: impl FnOnce(&dyn Manage) -> T + Send + 'static,
) -> Result<T, Refusal> {
    let manage = Arc::clone(&state.manage);
    let answer = tokio::task::spawn_blocking(move || question(&*manage)).await;
    answer.map_err(|_| Refusal::internal("the server failed at this request; its log says more"))
}

/// The query of a request, or what is wrong with it.
pub(crate) fn query<T>(given: Result<Query<T>, QueryRejection>) -> Result<T, Refusal> {
    given.map(|Query(query)| query).map_err(|rejection| Refusal::invalid(rejection.body_text()))
}

/// Conditions on clients, as query parameters.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct ClientQuery {
    client_id: Option<String>,
    #[serde(alias = "_like_client_id")]
    client_id_like: Option<String>,
    username: Option<String>,
    #[serde(alias = "_like_username")]
    username_like: Option<String>,
    #[serde(alias = "ip_address", alias = "ipaddress")]
    address: Option<String>,
    #[serde(alias = "proto_ver")]
    version: Option<String>,
    connected: Option<String>,
    clean_start: Option<String>,
    persistent: Option<String>,
}

impl ClientQuery {
    /// The conditions; `Err` names the parameter that is wrong.
    pub(crate) fn filter(self) -> Result<ClientFilter, Refusal> {
        Ok(ClientFilter {
            address: read::<IpAddr>("address", self.address.as_deref(), "an IP address")?,
            version: read("version", self.version.as_deref(), "3, 4 or 5")?,
            is_connected: read("connected", self.connected.as_deref(), "true or false")?,
            clean_start: read("clean_start", self.clean_start.as_deref(), "true or false")?,
            is_persistent: read("persistent", self.persistent.as_deref(), "true or false")?,
            client_id: self.client_id,
            client_id_like: self.client_id_like,
            username: self.username,
            username_like: self.username_like,
        })
    }
}

/// Reads one parameter.
pub(crate) fn read<T: std::str::FromStr>(name: &str, text: Option<&str>, wanted: &str) -> Result<Option<T>, Refusal> {
    let parse = |text: &str| text.parse().map_err(|_| Refusal::invalid(format!("{name} must be {wanted}")));
    text.map(parse).transpose()
}

/// The broker's no in the API's words.
pub(crate) fn refused(error: &ManageError) -> Refusal {
    let status = match error {
        ManageError::NoSuchClient | ManageError::NoSuchSubscription => StatusCode::NOT_FOUND,
        ManageError::InvalidFilter(_) => StatusCode::BAD_REQUEST,
        ManageError::TooManySubscriptions => StatusCode::CONFLICT,
    };
    Refusal::new(status, error.to_string())
}

/// The same for traces.
pub(crate) fn trace_refused(error: &TraceError) -> Refusal {
    let status = match error {
        TraceError::NotFound(_) => StatusCode::NOT_FOUND,
        TraceError::Invalid(_) => StatusCode::BAD_REQUEST,
        TraceError::Exists(_) | TraceError::TooMany(_) => StatusCode::CONFLICT,
        TraceError::Off => StatusCode::SERVICE_UNAVAILABLE,
        TraceError::Io(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    Refusal::new(status, error.to_string())
}
