//! One rule, four outside systems: the rows that SQL shaped land in a lake table, PostgreSQL, Kafka and a webhook.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Duration;

use rdkafka::Message;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde_json::{Value as Json, json};
use tests::server::{Server, wait_for};
use tests::services::service;

use crate::support::{ARRIVAL, PgTable, create_resource, create_rule, publish, query_until};

const TOPIC: &str = "weir-e2e-sinks";

#[test]
fn one_rule_feeds_the_lake_postgresql_kafka_and_a_webhook() {
    let (Some(pg), Some(kafka)) = (service("WEIR_TEST_PG_URL"), service("WEIR_TEST_KAFKA_SERVERS")) else { return };
    let table = PgTable::create(&pg, "e2e_sinks", "device text, n bigint, celsius double precision");
    let (hook_url, bodies) = web_server();
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]).expect("server");
    let lake_id = create_resource(&server, "lake", &json!({}));
    let pg_id = create_resource(&server, "backend_pgsql", &table.resource());
    let kafka_id = create_resource(&server, "bridge_kafka", &json!({"servers": kafka}));
    let hook_id = create_resource(&server, "web_hook", &json!({"url": hook_url}));
    create_rule(
        &server,
        r#"SELECT clientid AS device, payload.n AS n, (payload.f - 32) / 1.8 AS celsius FROM "plant/+/temp" WHERE payload.f > 50"#,
        &json!([
            {"name": "data_to_lake", "params": {"$resource": lake_id, "table": "plant"}, "delivery": "at_least_once"},
            {"name": "data_to_pgsql", "params": {"$resource": pg_id,
                "sql": "INSERT INTO e2e_sinks(device, n, celsius) VALUES (${device}, ${n}, ${celsius})"}},
            {"name": "data_to_kafka", "params": {"$resource": kafka_id, "topic": TOPIC, "key": "${device}"}},
            {"name": "data_to_webserver", "params": {"$resource": hook_id}},
        ]),
    );
    publish(&server, "plant/7/temp", r#"{"n": 9007199254740993, "f": 212}"#);
    publish(&server, "plant/7/temp", r#"{"n": 1, "f": 32}"#);
    let expected = json!({"device": "e2e-once", "n": 9_007_199_254_740_993_i64, "celsius": 100.0});

    let body = bodies.recv_timeout(ARRIVAL).expect("a request to the webhook");
    assert_eq!(serde_json::from_str::<Json>(&body).expect("JSON body"), expected);
    assert_eq!(
        query_until(&server, "SELECT device, n, celsius FROM plant", |rows| !rows.is_empty()),
        std::slice::from_ref(&expected)
    );
    let row = wait_for("the row in PostgreSQL", ARRIVAL, || {
        Some(table.sql("SELECT * FROM e2e_sinks")).filter(|row| !row.is_empty())
    });
    assert_eq!(row.expect("row"), "e2e-once|9007199254740993|100");
    let (key, value) = first_record(&kafka);
    assert_eq!(key, "e2e-once");
    assert_eq!(serde_json::from_str::<Json>(&value).expect("JSON value"), expected);
}

/// The newest record of the test's Kafka topic, waiting for it.
fn first_record(servers: &str) -> (String, String) {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("group.id", format!("weir-e2e-{}", std::process::id()))
        .set("auto.offset.reset", "earliest")
        .create()
        .expect("consumer");
    consumer.subscribe(&[TOPIC]).expect("subscribe");
    let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
    wait_for("the record in Kafka", ARRIVAL, || match consumer.poll(Duration::from_millis(500)) {
        Some(Ok(record)) => Some((text(record.key()), text(record.payload()))),
        _ => None,
    })
    .expect("record")
}

/// A web server on loopback that answers 200 to everything and hands the bodies over.
fn web_server() -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let url = format!("http://{}/rows", listener.local_addr().expect("address"));
    let (sender, bodies) = sync_channel(16);
    thread::spawn(move || {
        for stream in listener.incoming().take(16) {
            let Ok(mut stream) = stream else { return };
            let sender = sender.clone();
            thread::spawn(move || {
                while let Some(body) = read_request(&mut stream) {
                    if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").is_err()
                        || sender.send(body).is_err()
                    {
                        return;
                    }
                }
            });
        }
    });
    (url, bodies)
}

fn read_request(stream: &mut impl Read) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length:")).and_then(|text| text.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).ok()?;
    String::from_utf8(body).ok()
}
