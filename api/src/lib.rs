//! The HTTP API of weir: `/api/v3` in the shapes of EMQ X 3.4.5, `/api/v1` for what that has no words for, health and
//! metrics. Owns no state: it asks the engine, the resources and the broker.
//!
//! Invariants:
//! - Every path needs credentials but `/status`, `/livez`, `/readyz` and `/healthz`; there are no default ones.
//! - Secrets are masked in every answer.
//! - Bodies, connections, answers and time are bounded, by the settings named in the refusal.
//! - This room knows no concrete system, no SQL engine and no codec of MQTT.

mod apply;
mod auth;
mod guard;
mod health;
mod listener;
mod metrics;
mod reply;
mod request;
mod state;
mod v1;
mod v3;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, State as With};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, middleware};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

pub use apply::{Applied, ApplyError, ApplyOptions, Cause, apply, failed_test};
pub use auth::{CREDENTIALS_FILE, Credentials};
pub use health::{Health, Phase};
pub use state::{Clients, Parts};

use crate::listener::Bounded;
use crate::reply::{Refusal, problem};
use crate::state::{Shared, State};

/// A connection may be silent this much longer than a request may take.
const IDLE_GRACE: Duration = Duration::from_secs(15);

/// The API on its socket, not yet serving.
pub struct Service {
    listener: Bounded,
    local: SocketAddr,
    settings: settings::Api,
}

impl Service {
    /// Takes the address; nothing is answered until [`Service::run`].
    ///
    /// # Errors
    /// The address cannot be taken.
    pub async fn bind(settings: settings::Api) -> io::Result<Self> {
        let socket = TcpListener::bind(settings.bind).await?;
        let local = socket.local_addr()?;
        let permits = Arc::new(Semaphore::new(settings.connections_max.clamp(1, Semaphore::MAX_PERMITS)));
        let listener = Bounded { listener: socket, permits, idle_max: settings.request_timeout + IDLE_GRACE };
        Ok(Self { listener, local, settings })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Answers until `shutdown` is done; requests that are being answered then are finished.
    ///
    /// # Errors
    /// The listener failed.
    pub async fn run(self, parts: Parts, shutdown: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
        let router = router(parts, &self.settings);
        axum::serve(self.listener, router).with_graceful_shutdown(shutdown).await
    }
}

fn router(parts: Parts, settings: &settings::Api) -> Router {
    let state: Shared = Arc::new(State { parts, query_rows_max: settings.query_rows_max });
    Router::new()
        .nest("/api/v3", v3::routes())
        .nest("/api/v1", v1::routes())
        .route("/status", get(status))
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/healthz", get(ready))
        .route("/metrics", get(samples))
        .fallback(async || problem(&Refusal::new(StatusCode::NOT_FOUND, "there is nothing at this path")))
        .method_not_allowed_fallback(async || {
            problem(&Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "this path does not take this method"))
        })
        .layer(DefaultBodyLimit::max(settings.body_bytes_max.as_usize()))
        .layer(middleware::from_fn_with_state((Arc::clone(&state), settings.request_timeout), guard::guard))
        .with_state(state)
}

/// Plain text, as version 3 says it.
async fn status(With(state): With<Shared>) -> String {
    let phase = state.health.phase();
    let (node, weir) = match phase {
        Phase::Ready => ("started", "running"),
        Phase::Starting => ("starting", "not running"),
        Phase::Stopping => ("stopping", "not running"),
    };
    format!("Node {} is {node}\nweir is {weir}", state.node)
}

async fn ready(With(state): With<Shared>) -> Response {
    let phase = state.health.phase();
    let code = if phase == Phase::Ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, format!("{phase}\n")).into_response()
}

async fn samples(With(state): With<Shared>) -> Response {
    let mut samples = Vec::new();
    for source in &state.metrics {
        source.collect(&mut samples);
    }
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics::text(&samples)).into_response()
}
