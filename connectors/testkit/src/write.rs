//! Cases that write through the sink itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use connector::{Client, Config, Record, Sink, WriteError};
use model::{Row, Str, Value};

use crate::connect::{close, join, open, within};
use crate::{Harness, Written};

/// One write to a live service.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// What was confirmed can be read back within this time.
const READ_TIMEOUT: Duration = Duration::from_secs(15);
/// After a restart the client writes again within this time.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(60);

/// A prepared destination with a name of its own.
pub(crate) async fn destination(harness: &dyn Harness, case: &str) -> Result<String, String> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("weir_kit_{case}_{}_{count}", std::process::id());
    harness.prepare(&name).await.map_err(|why| format!("preparing {name}: {why}"))?;
    Ok(name)
}

pub(crate) fn sink(harness: &dyn Harness, client: &dyn Client, destination: &str) -> Result<Arc<dyn Sink>, String> {
    let spec = harness.connector().spec();
    let action = spec
        .actions
        .iter()
        .find(|action| action.name == harness.action())
        .ok_or_else(|| format!("{} has no action {}", spec.name, harness.action()))?;
    let params = Config::parse(action.params, &harness.params(destination))
        .map_err(|errors| format!("the parameters are refused: {}", join(&errors)))?;
    client.sink(action, &params).map_err(|error| format!("sink: {error}"))
}

pub(crate) fn record(row: Row, id: i64) -> Record {
    Record {
        row,
        rule: Str::new("rule:conformance"),
        id: Str::from(format!("conformance-{id}/0")),
        at_ms: model::Clock::now_ms(&model::SystemClock),
        event: Some(Arc::new(Value::map([("event", Value::text("message.publish"))]))),
        passed_rules: Arc::default(),
    }
}

pub(crate) fn records(rows: &[Written]) -> Vec<Record> {
    rows.iter().map(|row| record(row.to_row(), row.id)).collect()
}

pub(crate) fn failure(error: &WriteError) -> String {
    match error {
        WriteError::Batch(error) => format!("write: {error}"),
        WriteError::Rows(rows) => {
            let first = rows.first().map(|(index, error)| format!("row {index}: {error}")).unwrap_or_default();
            format!("write: {} rows failed, first {first}", rows.len())
        }
    }
}

/// Writes the rows in one batch.
pub(crate) async fn write_to(
    harness: &dyn Harness,
    client: &dyn Client,
    destination: &str,
    rows: &[Written],
) -> Result<(), String> {
    let sink = sink(harness, client, destination)?;
    within("write", WRITE_TIMEOUT, sink.write(&records(rows))).await?.map_err(|error| failure(&error))
}

/// Reads until `rows` are there, each once.
pub(crate) async fn expect_exactly(harness: &dyn Harness, destination: &str, rows: &[Written]) -> Result<(), String> {
    let found = read_until(harness, destination, rows.len()).await?;
    let mut wanted = rows.to_vec();
    wanted.sort();
    if found == wanted {
        return Ok(());
    }
    let differs = wanted.iter().zip(&found).find(|(wanted, found)| wanted != found);
    Err(match differs {
        Some((sent, read)) => format!("sent {} rows, read {}; sent {sent:?}, read {read:?}", rows.len(), found.len()),
        None => format!("sent {} rows, read {}", rows.len(), found.len()),
    })
}

/// Reads until there are `count` rows; gives what there is when the time is over. Sorted.
pub(crate) async fn read_until(harness: &dyn Harness, destination: &str, count: usize) -> Result<Vec<Written>, String> {
    let mut found = Vec::new();
    let mut waited = Duration::ZERO;
    while waited < READ_TIMEOUT {
        found = harness.read(destination).await.map_err(|why| format!("reading back: {why}"))?;
        if found.len() >= count {
            break;
        }
        let pause = Duration::from_millis(100);
        tokio::time::sleep(pause).await;
        waited += pause;
    }
    found.sort();
    Ok(found)
}

pub(crate) async fn write_one(harness: &dyn Harness) -> Result<(), String> {
    write_rows(harness, "one", &[Written::plain(1)]).await
}

pub(crate) async fn write_batch(harness: &dyn Harness, count: i64) -> Result<(), String> {
    write_rows(harness, "batch", &(0..count).map(Written::plain).collect::<Vec<_>>()).await
}

async fn write_rows(harness: &dyn Harness, case: &str, rows: &[Written]) -> Result<(), String> {
    let destination = destination(harness, case).await?;
    let client = open(harness).await?;
    write_to(harness, client.as_ref(), &destination, rows).await?;
    expect_exactly(harness, &destination, rows).await?;
    close(client.as_ref()).await
}

pub(crate) async fn write_parallel(harness: &dyn Harness, writers: i64) -> Result<(), String> {
    let destination = destination(harness, "parallel").await?;
    let client = open(harness).await?;
    let parts: Vec<Vec<Written>> =
        (0..writers).map(|part| (part * 50..(part + 1) * 50).map(Written::plain).collect()).collect();
    let writes = parts.iter().map(|rows| write_to(harness, client.as_ref(), &destination, rows));
    futures::future::try_join_all(writes).await?;
    expect_exactly(harness, &destination, &parts.concat()).await?;
    close(client.as_ref()).await
}

pub(crate) async fn preserves_utf8_binary_null(harness: &dyn Harness) -> Result<(), String> {
    let texts = [
        "",
        "grüße, 世界 🐸",
        "it's \"quoted\" \\ ${x} $1 :2 ?",
        "line\r\nline\ttab",
        "  spaces  ",
        "null",
        "{\"a\":[1]}",
    ];
    let mut rows: Vec<Written> =
        texts.iter().zip(1..).map(|(text, id)| Written { id, text: Some((*text).to_owned()), data: None }).collect();
    rows.push(Written { id: i64::MAX, text: None, data: None });
    rows.push(Written { id: i64::MIN, text: None, data: Some((0..=255).collect()) });
    write_rows(harness, "values", &rows).await
}

pub(crate) async fn survives_restart_of_service(harness: &dyn Harness) -> Result<(), String> {
    if !harness.can_restart() {
        return Err("the harness cannot restart its service".to_owned());
    }
    let destination = destination(harness, "restart").await?;
    let client = open(harness).await?;
    write_to(harness, client.as_ref(), &destination, &[Written::plain(1)]).await?;
    harness.stop_service().await?;
    let down =
        tokio::time::timeout(WRITE_TIMEOUT, write_to(harness, client.as_ref(), &destination, &[Written::plain(2)]))
            .await;
    harness.start_service().await?;
    if matches!(down, Ok(Ok(()))) {
        return Err("a write was confirmed while the service was down".to_owned());
    }
    let recovered = within("writing again after the restart", RECOVERY_TIMEOUT, async {
        while write_to(harness, client.as_ref(), &destination, &[Written::plain(3)]).await.is_err() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    recovered.await?;
    let found = read_until(harness, &destination, 2).await?;
    for id in [1, 3] {
        if !found.contains(&Written::plain(id)) {
            return Err(format!("row {id} was confirmed and is not there; found {found:?}"));
        }
    }
    close(client.as_ref()).await
}
