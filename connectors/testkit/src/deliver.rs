//! Cases that go through the action runner: queue, retry, bisection, dead letters.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use connector::{
    ActionHandle, ActionName, ActionParts, ActionSettings, Counters, DeadLetterFilter, DeadLetterLimits, DeadLetters,
    Sink, Submitted,
};
use model::{Str, SystemClock};
use serde_json::{Value as Json, json};
use store::{DataDir, Kv};

use crate::connect::{CLOSE_TIMEOUT, close, open, open_with, within};
use crate::write::{destination, expect_exactly, read_until, record, records, sink};
use crate::{Harness, Written};

/// Everything submitted is delivered, or has failed, within this time.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(90);
/// An action stops within its deadline and this grace.
const STOP_DEADLINE: Duration = Duration::from_secs(5);

/// An action in a data folder of its own.
struct Rig {
    handle: ActionHandle,
    dead_letters: DeadLetters,
    _folder: tempfile::TempDir,
}

impl Rig {
    async fn start(harness: &dyn Harness, sink: Arc<dyn Sink>, settings: &Json) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let data_dir = DataDir::open(folder.path()).map_err(|error| error.to_string())?;
        let kv = Kv::open(data_dir.kv_path()).await.map_err(|error| error.to_string())?;
        let clock = Arc::new(SystemClock);
        let dead_letters = DeadLetters::open(kv, DeadLetterLimits::default(), Arc::clone(&clock) as _)
            .await
            .map_err(|error| error.to_string())?;
        let spec = harness.connector().spec();
        let action = spec.actions.iter().find(|action| action.name == harness.action()).ok_or("no such action")?;
        let settings = settings.as_object().cloned().unwrap_or_default();
        let settings =
            ActionSettings::parse(&settings, action.batch).map_err(|errors| crate::connect::join(&errors))?;
        let name = ActionName {
            id: Str::new("rule:conformance/0"),
            rule: Str::new("rule:conformance"),
            action: Str::new(action.name),
            resource: None,
        };
        let parts = ActionParts {
            name,
            settings,
            sink: Ok(sink),
            data_dir: Some(data_dir),
            dead_letters: Some(dead_letters.clone()),
            fallback: Vec::new(),
            clock,
        };
        let handle = ActionHandle::start(parts).await.map_err(|error| error.to_string())?;
        Ok(Self { handle, dead_letters, _folder: folder })
    }

    /// Submits and waits until the rows are taken.
    async fn submit(&self, rows: Vec<connector::Record>) -> Result<(), String> {
        match self.handle.submit(rows) {
            Submitted::Done => Ok(()),
            Submitted::Pending(answer) => match within("taking rows", DELIVERY_TIMEOUT, answer).await? {
                Ok(Ok(())) => Ok(()),
                other => Err(format!("rows were refused: {other:?}")),
            },
        }
    }

    /// Waits until nothing is queued or in flight.
    async fn settle(&self) -> Result<Counters, String> {
        let settled = within("delivery", DELIVERY_TIMEOUT, async {
            loop {
                let counters = self.handle.counters();
                if counters.queued + counters.inflight == 0 {
                    return counters;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        settled.await.map_err(|why| format!("{why}: {:?}, {:?}", self.handle.counters(), self.handle.trouble()))
    }

    async fn stop(&self) -> Result<(), String> {
        within("stop", STOP_DEADLINE + CLOSE_TIMEOUT, self.handle.stop(STOP_DEADLINE)).await.map(|_| ())
    }
}

pub(crate) async fn rejects_bad_row_only(harness: &dyn Harness) -> Result<(), String> {
    let bad = harness.bad_row(5).ok_or("the harness gives no bad row")?;
    let destination = destination(harness, "bad_row").await?;
    let client = open(harness).await?;
    let rig = Rig::start(harness, sink(harness, client.as_ref(), &destination)?, &json!({})).await?;
    let good: Vec<Written> = (0..10).filter(|id| *id != 5).map(Written::plain).collect();
    let mut rows = records(&good);
    rows.insert(5, record(bad, 5));
    rig.submit(rows).await?;
    let counters = rig.settle().await?;
    if (counters.success, counters.failed) != (9, 1) {
        return Err(format!("expected 9 rows delivered and 1 failed, got {counters:?}"));
    }
    let letters =
        rig.dead_letters.list(&DeadLetterFilter::default(), None, 10).await.map_err(|error| error.to_string())?.letters;
    let ids: Vec<&str> = letters.iter().map(|letter| letter.record.as_str()).collect();
    if ids != ["conformance-5/0"] {
        return Err(format!("expected the bad row alone as a dead letter, got {ids:?}"));
    }
    expect_exactly(harness, &destination, &good).await?;
    rig.stop().await?;
    close(client.as_ref()).await
}

pub(crate) async fn at_least_once_through_reconnect(harness: &dyn Harness) -> Result<(), String> {
    if !harness.can_restart() {
        return Err("the harness cannot restart its service".to_owned());
    }
    let destination = destination(harness, "reconnect").await?;
    let client = open(harness).await?;
    let settings =
        json!({"delivery": "at_least_once", "write_timeout": "5s", "retry": {"initial": "100ms", "max": "2s"}});
    let rig = Rig::start(harness, sink(harness, client.as_ref(), &destination)?, &settings).await?;
    let batch = |first: i64| records(&(first..first + 100).map(Written::plain).collect::<Vec<_>>());
    rig.submit(batch(0)).await?;
    harness.stop_service().await?;
    rig.submit(batch(100)).await?;
    // The length of the outage is what is tested here; nothing is synchronised with it.
    tokio::time::sleep(harness.outage()).await;
    harness.start_service().await?;
    rig.submit(batch(200)).await?;
    let counters = rig.settle().await?;
    if counters.failed + counters.dropped_total() > 0 {
        return Err(format!("rows were lost: {counters:?}"));
    }
    let found: BTreeSet<Written> = read_until(harness, &destination, 300).await?.into_iter().collect();
    let lost: Vec<i64> = (0..300).filter(|id| !found.contains(&Written::plain(*id))).collect();
    if !lost.is_empty() {
        return Err(format!("{} rows were acknowledged and are not there, such as {:?}", lost.len(), lost.first()));
    }
    rig.stop().await?;
    close(client.as_ref()).await
}

pub(crate) async fn respects_deadline(harness: &dyn Harness) -> Result<(), String> {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(|error| error.to_string())?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let settings = harness.settings_at(address).ok_or("the harness gives no settings with another address")?;
    let silent = async {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    };
    let case = async {
        let client = open_with(harness, &settings).await?;
        let quick = json!({"write_timeout": "500ms", "retry": {"initial": "50ms", "attempts_max": 2}});
        let rig = Rig::start(harness, sink(harness, client.as_ref(), "weir_kit_deadline")?, &quick).await?;
        rig.submit(records(&[Written::plain(1)])).await?;
        let counters = within("two attempts of 500 ms", Duration::from_secs(15), rig.settle()).await??;
        if counters.failed != 1 {
            return Err(format!("expected the row to fail, got {counters:?}"));
        }
        rig.stop().await?;
        close(client.as_ref()).await
    };
    tokio::select! {
        () = silent => Err("the silent server ended".to_owned()),
        result = case => result,
    }
}

pub(crate) async fn counters_add_up(harness: &dyn Harness) -> Result<(), String> {
    let destination = destination(harness, "counters").await?;
    let client = open(harness).await?;
    let settings = json!({"concurrency_max": 4, "batch": {"records_max": 20}, "queue": {"when_full": "block"}});
    let rig = Rig::start(harness, sink(harness, client.as_ref(), &destination)?, &settings).await?;
    let (done, mut finished) = tokio::sync::oneshot::channel::<()>();
    let watched = rig.handle.clone();
    let watcher = std::thread::spawn(move || {
        let mut unbalanced = None;
        while matches!(finished.try_recv(), Err(tokio::sync::oneshot::error::TryRecvError::Empty)) {
            let counters = watched.counters();
            if !counters.balances() {
                unbalanced = Some(counters);
            }
            std::thread::yield_now();
        }
        unbalanced
    });
    let sent: Vec<Written> = (0..400).map(Written::plain).collect();
    let mut result = Ok(());
    for rows in sent.chunks(10) {
        result = result.and(rig.submit(records(rows)).await);
    }
    let settled = rig.settle().await;
    drop(done);
    let unbalanced = watcher.join().map_err(|_| "the watcher panicked".to_owned())?;
    result?;
    let counters = settled?;
    if let Some(counters) = unbalanced {
        return Err(format!("the counters did not add up: {counters:?}"));
    }
    if counters.matched != 400 || counters.success != 400 {
        return Err(format!("expected 400 rows in and out, got {counters:?}"));
    }
    expect_exactly(harness, &destination, &sent).await?;
    rig.stop().await?;
    close(client.as_ref()).await
}
