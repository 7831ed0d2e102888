//! Rows a second by way of batching and batch size, against a real PostgreSQL (docs/decisions/0005-postgresql-batching.md).
//!
//! `cargo xtask services up postgresql`, then `cargo bench -p postgresql`. The table is emptied between the ways, not
//! between iterations, so that only the writing is measured.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a bench that cannot run ends")]

use std::sync::Arc;

use connector::{Client, Config, Record, Sink};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use model::{Row, Str, Value};
use serde_json::json;
use testkit::Service;

fn record(n: i64) -> Record {
    Record {
        row: Row::from_pairs([
            ("client", Value::text(format!("sensor-{n:06}"))),
            ("topic", Value::text("building/7/floor/3/room/12/temp")),
            ("temp", Value::Float(21.5)),
            ("seq", Value::Int(n)),
            ("at", Value::Int(1_700_000_000_000 + n)),
        ]),
        rule: Str::new("rule:bench"),
        id: Str::new("bench/0"),
        at_ms: 0,
        event: None,
        passed_rules: Arc::default(),
    }
}

fn settings(url: &str) -> serde_json::Value {
    let config: tokio_postgres::Config = url.parse().expect("WEIR_TEST_PG_URL");
    let Some(tokio_postgres::config::Host::Tcp(host)) = config.get_hosts().first() else { panic!("no TCP host") };
    json!({
        "server": format!("{host}:{}", config.get_ports()[0]),
        "database": config.get_dbname(),
        "username": config.get_user(),
        "password": String::from_utf8_lossy(config.get_password().unwrap_or_default()),
    })
}

async fn open(url: &str) -> Arc<dyn Client> {
    let connector = postgresql::connector();
    connector.open(&Config::parse(connector.spec().fields, &settings(url)).expect("settings")).await.expect("open")
}

async fn execute(url: &str, sql: &str) {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.expect("connect");
    let driver = model::task::spawn("bench session", async move { connection.await.unwrap_or_default() });
    client.batch_execute(sql).await.expect("execute");
    drop(client);
    driver.await.expect("driver");
}

fn ways(c: &mut Criterion) {
    let Some(service) = Service::find("postgresql", "WEIR_TEST_PG_URL", "bench batching") else { return };
    let url = service.address.as_str();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime");
    let client = runtime.block_on(open(url));
    let action = &postgresql::settings::SPEC.actions[0];
    let mut group = c.benchmark_group("postgresql");
    for way in ["single", "multi_row", "unnest", "copy"] {
        for rows in [1usize, 4, 32, 500, 2000] {
            if rows == 1 && way != "single" {
                continue; // One row is one statement whatever the setting.
            }
            runtime.block_on(execute(
                url,
                "DROP TABLE IF EXISTS bench_rows; CREATE TABLE bench_rows (client text, topic text, temp double precision, seq bigint, at timestamptz)",
            ));
            let params = json!({
                "sql": "INSERT INTO bench_rows (client, topic, temp, seq, at) VALUES (${client}, ${topic}, ${temp}, ${seq}, ${at})",
                "batching": way,
            });
            let sink: Arc<dyn Sink> =
                client.sink(action, &Config::parse(action.params, &params).expect("params")).expect("sink");
            let batch: Vec<Record> = (0..rows as i64).map(record).collect();
            group.throughput(Throughput::Elements(rows as u64));
            group.bench_function(BenchmarkId::new(way, rows), |b| {
                b.iter(|| runtime.block_on(sink.write(&batch)).expect("write"));
            });
        }
    }
    group.finish();
    runtime.block_on(client.close());
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(std::time::Duration::from_millis(500)).measurement_time(std::time::Duration::from_secs(2));
    targets = ways
}
criterion_main!(benches);
