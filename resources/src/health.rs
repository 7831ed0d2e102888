//! Checks of one resource, now and from time to time.

use std::sync::Arc;
use std::time::Duration;

use connector::{Client, ErrorKind};
use model::Clock;

use crate::Settings;
use crate::entry::Entry;
use crate::types::{State, Status};

/// Checks the client within the deadline.
pub(crate) async fn check_client(client: &dyn Client, limit: Duration) -> Result<(), connector::Error> {
    match tokio::time::timeout(limit, client.check()).await {
        Ok(result) => result,
        Err(_) => Err(connector::Error::temporary(ErrorKind::Timeout, format!("the check took longer than {limit:?}"))),
    }
}

/// Checks the resource now and remembers what came out.
pub(crate) async fn check(entry: &Entry, settings: &Settings, clock: &dyn Clock) -> Status {
    let Ok((generation, client)) = entry.client() else { return entry.status.lock().clone() };
    let result = check_client(client.as_ref(), settings.check_timeout).await;
    let now_ms = clock.now_ms();
    let live = entry.live.lock();
    let mut status = entry.status.lock();
    // The answer of a client that was replaced meanwhile says nothing about the new one.
    if live.generation == generation {
        let state = if result.is_ok() { State::Connected } else { State::Disconnected };
        if status.state != state {
            status.since_ms = now_ms;
            match &result {
                Ok(()) => tracing::info!(resource = %entry.id, "connected"),
                Err(error) => tracing::warn!(resource = %entry.id, %error, "disconnected"),
            }
        }
        status.state = state;
        status.checked_at_ms = Some(now_ms);
        if let Err(error) = result {
            status.last_error = Some(error.to_string());
        }
    }
    status.clone()
}

/// Begins to check the entry again and again, until it is replaced, stopped or gone. The first check is at once.
pub(crate) fn watch(entry: &Arc<Entry>, settings: Settings, clock: Arc<dyn Clock>) {
    let weak = Arc::downgrade(entry);
    let task = model::task::spawn("resource health", async move {
        while let Some(entry) = weak.upgrade() {
            check(&entry, &settings, clock.as_ref()).await;
            drop(entry);
            tokio::time::sleep(settings.health_interval).await;
        }
    });
    if let Some(old) = entry.health.lock().replace(task) {
        old.abort();
    }
}

/// Ends the checks.
pub(crate) fn unwatch(entry: &Entry) {
    if let Some(task) = entry.health.lock().take() {
        task.abort();
    }
}
