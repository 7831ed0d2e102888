//! What a rule costs: the reference rule in both forms by batch size, a naive form that parses the payload anew for each
//! field, and the whole road from the tap to an action with and without ten thousand other rules.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench fails by panicking")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use connector::Registry;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, StringArray};
use datafusion::arrow::compute::filter_record_batch;
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::DFSchema;
use datafusion::logical_expr::{ColumnarValue, Volatility, col, create_udf, lit};
use datafusion::physical_plan::PhysicalExpr;
use datafusion::prelude::SessionContext;
use engine::{ActionConfig, Deps, Engine, Evaluator, Form, RuleSpec, Settings};
use model::ports::EventTap;
use model::{Body, ClientInfo, Event, EventKind, Message, MessageId, Origin, ProtocolVersion, Qos, SystemClock};
use resources::Resources;
use serde_json::json;
use store::Kv;

/// One number decides, five fields go out.
const REFERENCE: &str = "SELECT payload.temp as temp, payload.hum as hum, payload.dev as dev, payload.seq as seq, \
    payload.unit as unit FROM \"t/#\" WHERE payload.temp > 30";

/// 120 bytes.
fn payload(temp: &str, seq: usize) -> String {
    let head = format!(
        "{{\"dev\":\"device-0001\",\"temp\":{temp},\"hum\":55.5,\"seq\":{seq:07},\"unit\":\"C\",\"loc\":{{\"x\":1.5,\"y\":2.5}},\"note\":\""
    );
    format!(
        "{}{}\"}}",
        head.replace(&format!(":{seq:07}"), &format!(":{}", 1_000_000 + seq)),
        "n".repeat(118_usize.saturating_sub(head.len()))
    )
}

fn events(count: usize, temp: &str) -> Vec<Event> {
    let client = Arc::new(ClientInfo {
        client_id: "c1".into(),
        username: None,
        peer: None,
        local: None,
        version: ProtocolVersion::V5,
        keepalive_secs: 60,
        clean_start: true,
        session_expiry_secs: 0,
        is_bridge: false,
        mountpoint: "".into(),
        connected_at_ms: 0,
        is_superuser: false,
    });
    (0..count)
        .map(|seq| {
            let message = Message {
                id: MessageId(seq as u128),
                topic: "t/1".into(),
                payload: payload(temp, seq).into(),
                qos: Qos::AtMostOnce,
                retain: false,
                dup: false,
                publisher: Some(Arc::clone(&client)),
                properties: None,
                received_at_ms: 0,
                origin: Origin::Client,
            };
            Event {
                kind: EventKind::MessagePublish,
                at_ms: 0,
                node: "n".into(),
                body: Body::Publish(Arc::new(message)),
            }
        })
        .collect()
}

/// The peer: DataFusion expressions over a function that parses the payload each time it is called.
struct Naive {
    filter: Arc<dyn PhysicalExpr>,
    outputs: Vec<Arc<dyn PhysicalExpr>>,
    schema: Arc<Schema>,
}

impl Naive {
    fn new() -> Self {
        let parse = |args: &[ColumnarValue]| {
            let arrays = ColumnarValue::values_to_arrays(args).unwrap();
            let (texts, keys) = (arrays[0].as_string::<i32>().clone(), arrays[1].as_string::<i32>().clone());
            (0..texts.len())
                .map(|row| {
                    serde_json::from_str::<serde_json::Value>(texts.value(row))
                        .ok()
                        .and_then(|json| json.get(keys.value(row)).cloned())
                })
                .collect::<Vec<_>>()
        };
        let types = vec![DataType::Utf8, DataType::Utf8];
        let number = create_udf(
            "json_number",
            types.clone(),
            DataType::Float64,
            Volatility::Immutable,
            Arc::new(move |args: &[ColumnarValue]| {
                let values: Float64Array =
                    parse(args).into_iter().map(|value| value.and_then(|value| value.as_f64())).collect();
                Ok(ColumnarValue::Array(Arc::new(values) as ArrayRef))
            }),
        );
        let text = create_udf(
            "json_text",
            types,
            DataType::Utf8,
            Volatility::Immutable,
            Arc::new(move |args: &[ColumnarValue]| {
                let values: StringArray =
                    parse(args).into_iter().map(|value| value.map(|value| value.to_string())).collect();
                Ok(ColumnarValue::Array(Arc::new(values) as ArrayRef))
            }),
        );
        let schema = Arc::new(Schema::new(vec![Field::new("payload", DataType::Utf8, false)]));
        let context = SessionContext::new();
        let df_schema = DFSchema::try_from(Arc::clone(&schema)).unwrap();
        let physical = |expr| context.create_physical_expr(expr, &df_schema).unwrap();
        Self {
            filter: physical(number.call(vec![col("payload"), lit("temp")]).gt(lit(30.0))),
            outputs: ["temp", "hum", "dev", "seq", "unit"]
                .iter()
                .map(|key| physical(text.call(vec![col("payload"), lit(*key)])))
                .collect(),
            schema,
        }
    }

    fn evaluate(&self, payloads: &[&str]) -> usize {
        let column: ArrayRef = Arc::new(StringArray::from_iter_values(payloads));
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), vec![column]).unwrap();
        let mask = self.filter.evaluate(&batch).unwrap().into_array(batch.num_rows()).unwrap();
        let mask: &BooleanArray = mask.as_boolean();
        let batch = filter_record_batch(&batch, mask).unwrap();
        for output in &self.outputs {
            black_box(output.evaluate(&batch).unwrap().into_array(batch.num_rows()).unwrap());
        }
        batch.num_rows()
    }
}

fn reference(c: &mut Criterion) {
    assert_eq!(payload("31.5", 1).len(), 120);
    let evaluator = Evaluator::new(REFERENCE, None).unwrap();
    let naive = Naive::new();
    for (name, temp) in [("match", "31.5"), ("non_match", "21.5")] {
        let mut group = c.benchmark_group(format!("reference_{name}"));
        for size in [1, 4, 16, 64, 512] {
            let events = events(size, temp);
            let texts: Vec<String> = (0..size).map(|seq| payload(temp, seq)).collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            group.throughput(Throughput::Elements(size as u64));
            group.bench_with_input(BenchmarkId::new("rows", size), &events, |b, events| {
                b.iter(|| evaluator.evaluate(black_box(events), Form::Rows));
            });
            group.bench_with_input(BenchmarkId::new("columns", size), &events, |b, events| {
                b.iter(|| evaluator.evaluate(black_box(events), Form::Columns));
            });
            group.bench_with_input(BenchmarkId::new("naive_reparsing", size), &texts, |b, texts| {
                b.iter(|| naive.evaluate(black_box(texts)));
            });
        }
    }
}

/// A rule that computes: where columns should pay.
fn computing(c: &mut Criterion) {
    let sql = "SELECT payload.seq * 2 + 1 as a, (payload.seq - 5) * (payload.seq + 5) as b FROM \"t/#\" \
        WHERE payload.temp > 30 AND payload.temp < 90 AND payload.seq > 10 AND payload.unit = 'C' AND payload.hum >= 5.0";
    let evaluator = Evaluator::new(sql, None).unwrap();
    let mut group = c.benchmark_group("computing");
    for size in [1, 4, 16, 64, 512] {
        let events = events(size, "31.5");
        group.throughput(Throughput::Elements(size as u64));
        group.bench_with_input(BenchmarkId::new("rows", size), &events, |b, events| {
            b.iter(|| evaluator.evaluate(black_box(events), Form::Rows));
        });
        group.bench_with_input(BenchmarkId::new("columns", size), &events, |b, events| {
            b.iter(|| evaluator.evaluate(black_box(events), Form::Columns));
        });
    }
}

/// From the tap to `do_nothing`, alone and beside ten thousand rules on other topics.
fn tap(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let mut group = c.benchmark_group("tap_to_action");
    group.sample_size(20).measurement_time(Duration::from_secs(10));
    const EVENTS: usize = 8192;
    group.throughput(Throughput::Elements(EVENTS as u64));
    let given = events(EVENTS, "31.5");
    for others in [0, 10_000] {
        let folder = tempfile::tempdir().unwrap();
        let engine = runtime.block_on(open(folder.path()));
        runtime.block_on(async {
            for n in 0..others {
                let actions = vec![ActionConfig::new("do_nothing", json!({}))];
                engine
                    .create_rule(RuleSpec::new(format!("SELECT * FROM \"other/{n}/#\" WHERE payload.x > {n}"), actions))
                    .await
                    .unwrap();
            }
        });
        let action = ActionConfig::from_json(&json!({"name": "do_nothing", "keep_event": false})).unwrap();
        let rule = runtime.block_on(engine.create_rule(RuleSpec::new(REFERENCE, vec![action]))).unwrap().id;
        let tap: Arc<dyn EventTap> = engine.tap();
        let mut expected = 0;
        group.bench_function(BenchmarkId::new("other_rules", others), |b| {
            b.iter_batched(
                || given.clone(),
                |events| {
                    expected += events.len() as u64;
                    for event in events {
                        drop(tap.emit(event));
                    }
                    let end = Instant::now() + Duration::from_secs(10);
                    while engine.rule(&rule).unwrap().metrics.passed < expected {
                        assert!(Instant::now() < end, "the events were not all evaluated");
                        std::thread::yield_now();
                    }
                },
                BatchSize::LargeInput,
            );
        });
        runtime.block_on(engine.stop(Duration::from_secs(5)));
    }
}

async fn open(folder: &std::path::Path) -> Engine {
    let kv = Kv::open(folder.join("store.kv")).await.unwrap();
    let clock = Arc::new(SystemClock);
    let registry = Registry::default();
    let resources =
        Resources::open(registry.clone(), kv.clone(), resources::Settings::default(), clock.clone()).await.unwrap();
    let deps = Deps {
        registry,
        resources,
        kv,
        dead_letters: None,
        data_dir: None,
        clock,
        node: "n".into(),
        settings: Settings::default(),
    };
    Engine::open(deps).await.unwrap()
}

criterion_group!(benches, reference, computing, tap);
criterion_main!(benches);
