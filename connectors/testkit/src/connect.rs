//! Cases about opening, checking and closing a client.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use connector::{Client, Config, Error, ErrorKind};
use serde_json::Value as Json;
use tokio::time::timeout;

use crate::write::{self, write_to};
use crate::{Harness, Written};

/// Opening does not dial, checking dials: both answer, or say that they cannot, within this time.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// A client closes within this time (C8).
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// A client of the live service.
pub(crate) async fn open(harness: &dyn Harness) -> Result<Arc<dyn Client>, String> {
    open_with(harness, &harness.settings()).await
}

pub(crate) async fn open_with(harness: &dyn Harness, settings: &Json) -> Result<Arc<dyn Client>, String> {
    let connector = harness.connector();
    let config = Config::parse(connector.spec().fields, settings)
        .map_err(|errors| format!("the settings are refused: {}", join(&errors)))?;
    within("open", ANSWER_TIMEOUT, connector.open(&config)).await?.map_err(|error| format!("open: {error}"))
}

pub(crate) fn join(errors: &[connector::ConfigError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

pub(crate) async fn within<T>(what: &str, limit: Duration, future: impl Future<Output = T>) -> Result<T, String> {
    timeout(limit, future).await.map_err(|_| format!("{what} took longer than {} s", limit.as_secs()))
}

pub(crate) async fn close(client: &dyn Client) -> Result<(), String> {
    within("close", CLOSE_TIMEOUT, client.close()).await
}

pub(crate) async fn open_close(harness: &dyn Harness) -> Result<(), String> {
    let unused = open(harness).await?;
    close(unused.as_ref()).await?;
    let used = open(harness).await?;
    within("check", ANSWER_TIMEOUT, used.check()).await?.map_err(|error| format!("check: {error}"))?;
    close(used.as_ref()).await?;
    // Closing twice is what happens when a stop and a delete meet.
    close(used.as_ref()).await
}

pub(crate) async fn check_ok(harness: &dyn Harness) -> Result<(), String> {
    let client = open(harness).await?;
    for _ in 0..2 {
        within("check", ANSWER_TIMEOUT, client.check()).await?.map_err(|error| format!("check: {error}"))?;
    }
    close(client.as_ref()).await
}

pub(crate) async fn check_bad_credentials(harness: &dyn Harness) -> Result<(), String> {
    let settings = harness.bad_credentials().ok_or("the harness gives no bad credentials")?;
    let error = failed_check(harness, &settings).await?;
    if error.kind != ErrorKind::Unauthorized {
        return Err(format!("expected an error of kind unauthorized, got {error}"));
    }
    let secrets = harness.connector().spec().fields.iter().filter(|field| field.secret);
    for secret in secrets.filter_map(|field| settings.get(field.name).and_then(Json::as_str)) {
        if !secret.is_empty() && (error.to_string().contains(secret) || format!("{error:?}").contains(secret)) {
            return Err("the error message has the secret in it".to_owned());
        }
    }
    Ok(())
}

pub(crate) async fn check_unreachable(harness: &dyn Harness) -> Result<(), String> {
    let settings = match harness.unreachable() {
        Some(settings) => settings,
        None => harness
            .settings_at(closed_port().await?)
            .ok_or("the harness gives no settings of an unreachable service")?,
    };
    let error = failed_check(harness, &settings).await?;
    if !error.is_temporary() || matches!(error.kind, ErrorKind::Rejected | ErrorKind::Config) {
        return Err(format!("expected a temporary error such as unreachable, got {:?} {error}", error.retry));
    }
    Ok(())
}

async fn failed_check(harness: &dyn Harness, settings: &Json) -> Result<Error, String> {
    let client = open_with(harness, settings).await?;
    let result = within("check", ANSWER_TIMEOUT, client.check()).await?;
    close(client.as_ref()).await?;
    result.err().ok_or_else(|| "the check succeeded".to_owned())
}

/// An address where nothing listens: the port was free a moment ago.
async fn closed_port() -> Result<SocketAddr, String> {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(|error| error.to_string())?;
    listener.local_addr().map_err(|error| error.to_string())
}

pub(crate) async fn no_task_leak(harness: &dyn Harness) -> Result<(), String> {
    let destination = write::destination(harness, "task_leak").await?;
    let metrics = tokio::runtime::Handle::current().metrics();
    let before = metrics.num_alive_tasks();
    let client = open(harness).await?;
    within("check", ANSWER_TIMEOUT, client.check()).await?.map_err(|error| format!("check: {error}"))?;
    write_to(harness, client.as_ref(), &destination, &[Written::plain(1)]).await?;
    close(client.as_ref()).await?;
    drop(client);
    // A task that was told to end needs a moment to do so; ten seconds are the bound, not the wait.
    for _ in 0..1_000 {
        if metrics.num_alive_tasks() <= before {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Err(format!("{} tasks before, {} after closing", before, metrics.num_alive_tasks()))
}
