//! What every message pays: the match in the subscription trie, decoding, and encoding for one more subscriber.

use std::hint::black_box;
use std::sync::Arc;

use broker::bench_parts::{Envelope, Outgoing};
use broker::codec::{Publish, Version};
use broker::topics::Trie;
use criterion::{Criterion, criterion_group, criterion_main};
use model::{Message, MessageId, Origin, Qos};

fn matching(c: &mut Criterion) {
    for count in [1_000u64, 100_000, 1_000_000] {
        let mut trie = Trie::default();
        for n in 0..count {
            trie.insert(&format!("site/{}/device/{n}/+/state", n % 100), n, n);
        }
        for (key, filter) in ["site/+/device/77/#", "site/77/#", "#"].iter().enumerate() {
            trie.insert(filter, u64::MAX - key as u64, 0);
        }
        c.bench_function(&format!("match 4 of {count} wildcard filters"), |b| {
            b.iter(|| {
                let mut hits = 0;
                trie.matches(black_box("site/77/device/77/temp/state"), usize::MAX, |_| hits += 1);
                hits
            });
        });
    }
    let mut trie = Trie::default();
    for n in 0..100_000u64 {
        trie.insert(&format!("site/{}/device/{n}", n % 100), n, n);
    }
    c.bench_function("match 1 of 100000 exact filters", |b| {
        b.iter(|| trie.matches(black_box("site/77/device/77"), usize::MAX, |_| {}));
    });
}

fn encoding(c: &mut Criterion) {
    let message = Message {
        id: MessageId(1),
        topic: "site/77/device/77/temp".into(),
        payload: vec![b'x'; 120].into(),
        qos: Qos::AtLeastOnce,
        retain: false,
        dup: false,
        publisher: None,
        properties: None,
        received_at_ms: 0,
        origin: Origin::Client,
    };
    let outgoing = Outgoing::new(Arc::new(message));
    let envelope = Envelope {
        alias: None,
        version: Version::V5,
        qos: Qos::AtLeastOnce,
        dup: false,
        retain: false,
        packet_id: 7,
        identifiers: &[],
    };
    let mut out = Vec::with_capacity(1 << 16);
    c.bench_function("encode PUBLISH for one more subscriber", |b| {
        b.iter(|| {
            out.clear();
            outgoing.encode(&mut out, black_box(envelope), 0, usize::MAX)
        });
    });
    let body = out.get(2..).unwrap_or_default().to_vec();
    c.bench_function("decode PUBLISH of 120 bytes", |b| b.iter(|| Publish::decode(2, black_box(&body), Version::V5)));
}

criterion_group!(benches, matching, encoding);
criterion_main!(benches);
