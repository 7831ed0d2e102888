//! What delivery costs a row: templates, and the way from submission to a sink that confirms at once.

#![expect(clippy::unwrap_used, reason = "a bench may stop")]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use connector::{
    ActionHandle, ActionName, ActionParts, ActionSettings, BatchDefaults, Error, Record, Sink, Submitted, Template,
    WriteError,
};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use model::{Row, Str, SystemClock, Value};
use serde_json::{Value as Json, json};
use store::DataDir;

/// Rows of one submission; sources gather about that many under load.
const ROWS: usize = 512;

struct Confirms;

#[async_trait]
impl Sink for Confirms {
    async fn write(&self, _: &[Record]) -> Result<(), WriteError> {
        Ok(())
    }

    fn render(&self, _: &Record) -> Result<Json, Error> {
        Ok(Json::Null)
    }
}

fn row() -> Row {
    Row::from_pairs([
        ("client_id", Value::text("sensor-1234")),
        ("temp", Value::Float(31.5)),
        ("ts", Value::Int(1_700_000_000_000)),
        ("payload", Value::text(r#"{"temp":31.5,"hum":40,"tags":["a","b"],"pos":{"lat":1.5,"lon":2.5}}"#)),
    ])
}

fn records() -> Vec<Record> {
    let row = row();
    let passed_rules = Arc::default();
    (0..ROWS)
        .map(|n| Record {
            row: row.clone(),
            rule: Str::new("rule:1"),
            id: Str::from(format!("0018BC6B4A1E00000000000000{n:04}/0")),
            at_ms: 1_700_000_000_000,
            event: None,
            passed_rules: Arc::clone(&passed_rules),
        })
        .collect()
}

fn templates(c: &mut Criterion) {
    let row = row();
    for (name, text) in [
        ("text, two columns", "dev/${client_id}/${temp}"),
        ("text, two paths into one JSON payload", "${payload.pos.lat},${payload.pos.lon}"),
        ("whole row", "${.}"),
    ] {
        let template = Template::parse(text).unwrap();
        c.bench_function(&format!("template: {name}"), |b| b.iter(|| template.text(&row)));
    }
    let body = Template::parse(r#"{"id": "${client_id}", "temp": ${temp}, "ts": ${ts}}"#).unwrap().json().unwrap();
    c.bench_function("template: JSON body, three values", |b| b.iter(|| body.text(&row)));
}

fn delivery(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut group = c.benchmark_group(format!("delivery of {ROWS} rows"));
    group.throughput(Throughput::Elements(ROWS as u64));
    for delivery in ["at_most_once", "at_least_once"] {
        let folder = tempfile::tempdir().unwrap();
        let settings = json!({"delivery": delivery, "queue": {"when_full": "block"}});
        let parts = ActionParts {
            name: ActionName { id: Str::new("r/0"), rule: Str::new("r"), action: Str::new("a"), resource: None },
            settings: ActionSettings::parse(settings.as_object().unwrap(), BatchDefaults::NATURAL).unwrap(),
            sink: Ok(Arc::new(Confirms)),
            data_dir: Some(DataDir::open(folder.path()).unwrap()),
            dead_letters: None,
            fallback: Vec::new(),
            clock: Arc::new(SystemClock),
        };
        let action = runtime.block_on(ActionHandle::start(parts)).unwrap();
        group.bench_function(delivery, |b| {
            b.iter_batched(
                records,
                |rows| {
                    runtime.block_on(async {
                        let wanted = action.counters().success + ROWS as u64;
                        if let Submitted::Pending(answer) = action.submit(rows) {
                            answer.await.unwrap().unwrap();
                        }
                        while action.counters().success < wanted {
                            tokio::task::yield_now().await;
                        }
                    });
                },
                BatchSize::SmallInput,
            );
        });
        runtime.block_on(action.stop(Duration::from_secs(5)));
    }
    group.finish();
}

criterion_group!(benches, templates, delivery);
criterion_main!(benches);
