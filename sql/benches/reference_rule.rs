//! The reference rule at row level: a filter on one payload number and five output fields from a payload of about 120
//! bytes; match, non-match, and the parts.

#![expect(clippy::unwrap_used, reason = "a bench may stop when its rule does not compile")]

use std::sync::Arc;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use model::{Body, Event, EventKind, Message, MessageId, Origin, Qos, Str};
use sql::{Decoded, EventView, Options, PathSet, compile, evaluate, evaluate_shared};
use std::hint::black_box;

const RULE: &str = "SELECT payload.device AS device, payload.temp AS temp, payload.hum AS hum, payload.site.name AS site, topic \
                    FROM \"sensors/#\" WHERE payload.temp > 30";

fn event(temp: &str) -> Event {
    let payload = format!(
        r#"{{"device":"device-000017","temp":{temp},"hum":48.2,"seq":123456,"site":{{"name":"hall-3","floor":2}},"ts":1700000000000,"ok":true}}"#
    );
    let message = Message {
        id: MessageId(1),
        topic: Str::new("sensors/a/temp"),
        payload: Bytes::from(payload),
        qos: Qos::AtLeastOnce,
        retain: false,
        dup: false,
        publisher: None,
        properties: None,
        received_at_ms: 1_700_000_000_000,
        origin: Origin::Client,
    };
    Event {
        kind: EventKind::MessagePublish,
        at_ms: 1_700_000_000_000,
        node: Str::new("n"),
        body: Body::Publish(Arc::new(message)),
    }
}

fn extraction(c: &mut Criterion) {
    let plan = compile(RULE, &Options::default()).unwrap();
    let hit = event("31.5");
    let Body::Publish(message) = &hit.body else { return };
    let payload = message.payload.as_ref();
    c.bench_function("extract_own", |b| b.iter(|| plan.paths.extract(black_box(payload))));
    c.bench_function("parse_whole_own", |b| b.iter(|| sql::json::parse(black_box(payload))));
    c.bench_function("parse_whole_serde_json", |b| {
        b.iter(|| serde_json::from_slice::<serde_json::Value>(black_box(payload)));
    });
}

fn reference(c: &mut Criterion) {
    let plan = compile(RULE, &Options::default()).unwrap();
    let (hit, miss) = (event("31.5"), event("21.5"));
    c.bench_function("match", |b| b.iter(|| evaluate(&plan, &EventView::new(black_box(&hit)))));
    c.bench_function("non_match", |b| b.iter(|| evaluate(&plan, &EventView::new(black_box(&miss)))));
    let mut union = PathSet::new();
    let slots: Vec<usize> = plan.paths.paths().map(|path| union.insert(path)).collect();
    let view = EventView::new(&hit);
    let decoded = Decoded(view.extract(&union));
    c.bench_function("match_already_decoded", |b| {
        b.iter(|| evaluate_shared(&plan, black_box(&view), &decoded, &slots))
    });
    let star = compile("SELECT * FROM \"sensors/#\"", &Options::default()).unwrap();
    c.bench_function("select_star", |b| b.iter(|| evaluate(&star, &EventView::new(black_box(&hit)))));
    c.bench_function("compile", |b| b.iter(|| compile(black_box(RULE), &Options::default())));
}

criterion_group!(benches, extraction, reference);
criterion_main!(benches);
