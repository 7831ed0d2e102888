//! Four paths out of the reference payload of about 120 bytes: our one pass, `sonic-rs` in one call, and whole documents.
//!
//! `cargo run --release --manifest-path sql/compare/Cargo.toml`

use std::hint::black_box;

use criterion::Criterion;

const PAYLOAD: &[u8] = br#"{"device":"device-000017","temp":31.5,"hum":48.2,"seq":123456,"site":{"name":"hall-3","floor":2},"ts":1700000000000,"ok":true}"#;
const RULE: &str = "SELECT payload.device AS device, payload.temp AS temp, payload.hum AS hum, payload.site.name AS site, topic \
                    FROM \"sensors/#\" WHERE payload.temp > 30";

/// One call for all paths, then each piece read as the value that a rule would get.
fn sonic(payload: &[u8], tree: &sonic_rs::PointerTree) -> usize {
    let found = sonic_rs::get_many(payload, tree).expect("the payload is JSON");
    let values = found.iter().map(|lazy| lazy.as_ref().map(|lazy| sql::json::parse(lazy.as_raw_str().as_bytes())));
    black_box(values.collect::<Vec<_>>()).len()
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let plan = sql::compile(RULE, &sql::Options::default()).expect("the rule compiles");
    criterion.bench_function("extract_own", |b| b.iter(|| plan.paths.extract(black_box(PAYLOAD))));
    let mut tree = sonic_rs::PointerTree::new();
    for path in [&["device"][..], &["temp"], &["hum"], &["site", "name"]] {
        tree.add_path(path);
    }
    criterion.bench_function("extract_sonic_get_many", |b| b.iter(|| sonic(black_box(PAYLOAD), &tree)));
    criterion.bench_function("parse_whole_own", |b| b.iter(|| sql::json::parse(black_box(PAYLOAD))));
    criterion.bench_function("parse_whole_serde_json", |b| {
        b.iter(|| serde_json::from_slice::<serde_json::Value>(black_box(PAYLOAD)));
    });
    criterion.final_summary();
}
