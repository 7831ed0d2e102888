//! What stands before every handler: credentials, a time limit, containment of panics, security headers.
//!
//! Invariant: a path that is not in [`OPEN`] needs credentials, whether or not there is a handler behind it.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt as _;

use crate::reply::{Refusal, problem};
use crate::state::Shared;

/// The only paths without credentials.
const OPEN: [&str; 4] = ["/status", "/livez", "/readyz", "/healthz"];

pub(crate) async fn guard(
    State((state, time_max)): State<(Shared, Duration)>,
    request: Request,
    next: Next,
) -> Response {
    let admitted = OPEN.contains(&request.uri().path()) || state.credentials.admits(request.headers());
    let mut response = if admitted { answered(request, next, time_max).await } else { unauthorized() };
    secure(response.headers_mut());
    response
}

async fn answered(request: Request, next: Next, time_max: Duration) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let handled = AssertUnwindSafe(next.run(request)).catch_unwind();
    match tokio::time::timeout(time_max, handled).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => {
            tracing::error!(%method, path, "a request handler panicked; only this request is lost");
            problem(&Refusal::internal("the server failed at this request; its log says more"))
        }
        Err(_) => problem(&Refusal::new(
            StatusCode::GATEWAY_TIMEOUT,
            format!("the request took longer than {} s; the bound is api.request_timeout", time_max.as_secs_f64()),
        )),
    }
}

fn unauthorized() -> Response {
    let refusal =
        Refusal::new(StatusCode::UNAUTHORIZED, "this API needs Basic authentication with an app id and its secret");
    let challenge = [(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"weir\", charset=\"UTF-8\""))];
    (challenge, problem(&refusal)).into_response()
}

fn secure(headers: &mut HeaderMap) {
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
