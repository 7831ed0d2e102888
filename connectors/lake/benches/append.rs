//! What one append costs: rows to Parquet, fsync, commit, fsync. Most of a small one is the disk's sync.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench may stop")]

use std::hint::black_box;

use connector::{Config, Record};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use model::{Row, Str, Value};
use serde_json::json;

fn records(from: usize, count: usize) -> Vec<Record> {
    (from..from + count)
        .map(|n| Record {
            row: Row::from_pairs([
                ("sensor", Value::text(format!("sensor-{}", n % 100))),
                ("temp", Value::Float(20.0 + (n % 50) as f64 / 10.0)),
                ("ts", Value::Int(1_767_225_600_000 + n as i64)),
            ]),
            rule: Str::new("bench"),
            id: Str::from(format!("{n}/0")),
            at_ms: 0,
            event: None,
            passed_rules: std::sync::Arc::default(),
        })
        .collect()
}

fn append(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut group = criterion.benchmark_group("append");
    group.sample_size(20);
    for count in [1, 1_000, 100_000] {
        let folder = tempfile::tempdir().unwrap();
        let config = Config::parse(lake::SPEC.fields, &json!({"path": folder.path()})).unwrap();
        let client = runtime.block_on(lake::connector().open(&config)).unwrap();
        let params = Config::parse(lake::SPEC.actions[0].params, &json!({"table": "t"})).unwrap();
        let sink = client.sink(&lake::SPEC.actions[0], &params).unwrap();
        let mut next = 0;
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter_batched(
                || {
                    next += count;
                    records(next, count)
                },
                |batch| runtime.block_on(sink.write(black_box(&batch))).unwrap(),
                criterion::BatchSize::PerIteration,
            );
        });
        runtime.block_on(client.close());
    }
    group.finish();
}

criterion_group!(benches, append);
criterion_main!(benches);
