//! The connector against a real Kafka broker: the conformance menu, keys, headers, topics, sizes.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking, also in its helpers")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use connector::{Client, Config, Connector, ErrorKind, Record, Sink, WriteError};
use model::{Row, Str, Value};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message, OwnedMessage};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Value as Json, json};
use testkit::{Case, Harness, Service, Written};
use tokio::sync::RwLock;

/// The conformance run stops and starts the broker; whoever else uses it holds this for reading.
static BROKER: RwLock<()> = RwLock::const_new(());

/// Longest time for one question to the broker in these tests.
const PATIENCE: Duration = Duration::from_secs(20);

struct Kafka {
    service: Service,
}

impl Kafka {
    fn find(test: &str) -> Option<Self> {
        Some(Self { service: Service::find("kafka", "WEIR_TEST_KAFKA_SERVERS", test)? })
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.service.address);
        config
    }

    async fn create(&self, topic: &str, settings: &[(&str, &str)]) -> Result<(), String> {
        let admin: AdminClient<DefaultClientContext> = self.config().create().map_err(|error| error.to_string())?;
        let mut topic = NewTopic::new(topic, 1, TopicReplication::Fixed(1));
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        let made = admin.create_topics([&topic], &AdminOptions::new().request_timeout(Some(PATIENCE))).await;
        for result in made.map_err(|error| error.to_string())? {
            result.map_err(|(topic, code)| format!("{topic}: {code}"))?;
        }
        Ok(())
    }

    /// Everything in partition 0 of the topic.
    async fn records(&self, topic: &str) -> Result<Vec<OwnedMessage>, String> {
        let (mut config, topic) = (self.config(), topic.to_owned());
        config.set("group.id", "weir-test").set("enable.auto.commit", "false");
        let read = move || -> Result<Vec<OwnedMessage>, String> {
            let consumer: BaseConsumer = config.create().map_err(|error| error.to_string())?;
            let (low, high) = consumer.fetch_watermarks(&topic, 0, PATIENCE).map_err(|error| error.to_string())?;
            let mut list = TopicPartitionList::new();
            list.add_partition_offset(&topic, 0, Offset::Beginning).map_err(|error| error.to_string())?;
            consumer.assign(&list).map_err(|error| error.to_string())?;
            let mut found = Vec::new();
            while low + i64::try_from(found.len()).unwrap_or(i64::MAX) < high {
                match consumer.poll(PATIENCE) {
                    Some(Ok(message)) => found.push(message.detach()),
                    Some(Err(error)) => return Err(error.to_string()),
                    None => return Err(format!("{} of {} records within {PATIENCE:?}", found.len(), high - low)),
                }
            }
            Ok(found)
        };
        tokio::task::spawn_blocking(read).await.map_err(|error| error.to_string())?
    }

    async fn client(&self, change: Json) -> Arc<dyn Client> {
        open(self.settings(), change).await
    }
}

async fn open(mut settings: Json, change: Json) -> Arc<dyn Client> {
    for (key, value) in change.as_object().expect("an object") {
        settings[key] = value.clone();
    }
    let connector = kafka::connector();
    let config = Config::parse(connector.spec().fields, &settings).expect("settings");
    connector.open(&config).await.expect("open")
}

fn sink(client: &dyn Client, params: &Json) -> Result<Arc<dyn Sink>, connector::Error> {
    let action = &kafka::settings::SPEC.actions[0];
    client.sink(action, &Config::parse(action.params, params).expect("params"))
}

fn record(row: Row) -> Record {
    let at_ms = 1_700_000_000_123;
    Record { row, rule: Str::new("rule:1"), id: Str::new("1/0"), at_ms, event: None, passed_rules: Arc::default() }
}

fn topic(name: &str) -> String {
    format!("weir-{name}-{}", std::process::id())
}

#[async_trait]
impl Harness for Kafka {
    fn connector(&self) -> Arc<dyn Connector> {
        kafka::connector()
    }

    fn settings(&self) -> Json {
        json!({ "servers": self.service.address })
    }

    fn settings_at(&self, address: SocketAddr) -> Option<Json> {
        Some(json!({ "servers": address.to_string() }))
    }

    fn bad_credentials(&self) -> Option<Json> {
        let servers = Service::find("kafka", "WEIR_TEST_KAFKA_SASL_SERVERS", "bad_credentials")?.address;
        Some(json!({
            "servers": servers, "security_protocol": "sasl_plaintext", "username": "weir", "password": "not-the-password",
        }))
    }

    fn action(&self) -> &'static str {
        "data_to_kafka"
    }

    fn params(&self, destination: &str) -> Json {
        json!({ "topic": destination, "key": "${id}" })
    }

    async fn prepare(&self, destination: &str) -> Result<(), String> {
        self.create(destination, &[("max.message.bytes", "20000")]).await
    }

    async fn read(&self, destination: &str) -> Result<Vec<Written>, String> {
        let records = self.records(destination).await?;
        records
            .iter()
            .map(|record| {
                let row: Json =
                    serde_json::from_slice(record.payload().unwrap_or_default()).map_err(|error| error.to_string())?;
                let data = row["data"].as_str().map(|hex| {
                    let digits: Vec<u32> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
                    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).expect("a byte")).collect()
                });
                Ok(Written {
                    id: row["id"].as_i64().ok_or("no id")?,
                    text: row["text"].as_str().map(str::to_owned),
                    data,
                })
            })
            .collect()
    }

    fn bad_row(&self, id: i64) -> Option<Row> {
        // More than the topic takes, less than the producer does: the broker refuses it, with the batch it came in.
        Some(Row::from_pairs([
            ("id", Value::Int(id)),
            ("text", Value::text("x".repeat(30_000))),
            ("data", Value::Null),
        ]))
    }

    fn can_restart(&self) -> bool {
        self.service.can_restart()
    }

    async fn stop_service(&self) -> Result<(), String> {
        self.service.run("stop").await
    }

    async fn start_service(&self) -> Result<(), String> {
        self.service.run("up").await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conformance() {
    let _alone = BROKER.write().await;
    let Some(kafka) = Kafka::find("conformance") else { return };
    testkit::run(&kafka, &Case::SINK).await;
}

#[tokio::test]
async fn key_value_headers_and_time_arrive_as_the_templates_say() {
    let _shared = BROKER.read().await;
    let Some(kafka) = Kafka::find("templates") else { return };
    let name = topic("templates");
    kafka.create(&name, &[]).await.expect("topic");
    let row = Row::from_pairs([
        ("client", Value::text("c 1")),
        ("temp", Value::Float(21.5)),
        ("raw", Value::Bytes(vec![0, 255].into())),
    ]);
    for compression in ["no_compression", "gzip", "snappy", "lz4", "zstd"] {
        let client = kafka.client(json!({ "compression": compression })).await;
        let params = json!({
            "topic": name, "key": "${client}", "value": "{\"t\": ${temp}, \"c\": \"<${client}>\"}", "headers": { "source": "weir ${client}" },
        });
        sink(client.as_ref(), &params).expect("sink").write(&[record(row.clone())]).await.expect(compression);
        client.close().await;
    }
    let client = kafka.client(json!({})).await;
    sink(client.as_ref(), &json!({ "topic": name, "value": "${raw}", "key": "${none}" }))
        .expect("sink")
        .write(&[record(row.clone())])
        .await
        .expect("bytes");
    client.close().await;
    let records = kafka.records(&name).await.expect("records");
    let (last, others) = records.split_last().expect("records");
    assert_eq!(others.len(), 5);
    for record in others {
        assert_eq!(record.key(), Some("c 1".as_bytes()));
        assert_eq!(record.payload(), Some(r#"{"t": 21.5, "c": "<c 1>"}"#.as_bytes()));
        assert_eq!(record.timestamp().to_millis(), Some(1_700_000_000_123));
        let header = record.headers().expect("headers").get(0);
        assert_eq!((header.key, header.value), ("source", Some("weir c 1".as_bytes())));
    }
    assert_eq!((last.key(), last.payload()), (None, Some(&[0, 255][..])));
}

/// Too large for the producer: refused here. Too large for the topic: refused there, with its whole batch, of which only
/// the one row may fail.
#[tokio::test]
async fn only_the_row_that_is_too_large_fails() {
    let _shared = BROKER.read().await;
    let Some(kafka) = Kafka::find("too_large") else { return };
    let name = topic("too-large");
    kafka.create(&name, &[("max.message.bytes", "2000")]).await.expect("topic");
    let client = kafka.client(json!({ "max_batch_bytes": "100KB", "linger": "50ms" })).await;
    let sink = sink(client.as_ref(), &json!({ "topic": name })).expect("sink");
    let rows: Vec<Record> = [10, 200_000, 10, 5_000, 10]
        .iter()
        .map(|size| record(Row::from_pairs([("x", Value::text("x".repeat(*size)))])))
        .collect();
    let Err(WriteError::Rows(failed)) = sink.write(&rows).await else { panic!("two rows are too large") };
    let indexes: Vec<usize> = failed.iter().map(|(index, _)| *index).collect();
    assert_eq!(indexes, [1, 3], "{failed:?}");
    assert!(failed.iter().all(|(_, error)| error.kind == ErrorKind::Rejected && !error.is_temporary()), "{failed:?}");
    assert_eq!(kafka.records(&name).await.expect("records").len(), 3);
    client.close().await;
}

#[tokio::test]
async fn topics_are_routed_within_a_literal_prefix() {
    let client = open(json!({ "servers": "127.0.0.1:1" }), json!({})).await;
    let error = sink(client.as_ref(), &json!({ "topic": "${t}" })).err().expect("no literal prefix");
    assert!(error.kind == ErrorKind::Config && error.context.contains("allow_dynamic"), "{error}");
    let free = sink(client.as_ref(), &json!({ "topic": "${t}", "allow_dynamic": true })).expect("allowed");
    let fixed = sink(client.as_ref(), &json!({ "topic": "sensors.${t}" })).expect("a prefix");
    let row = |value: Value| record(Row::from_pairs([("t", value)]));
    assert_eq!(free.render(&row(Value::text("a"))).expect("render")["topic"], "a");
    assert_eq!(fixed.render(&row(Value::Int(7))).expect("render")["topic"], "sensors.7");
    for bad in [Value::text("a/b"), Value::text("ü"), Value::Missing, Value::text("x".repeat(250))] {
        let error = fixed.render(&row(bad.clone())).expect_err("no topic");
        assert!(error.kind == ErrorKind::Rejected && !error.is_temporary(), "{bad:?}: {error}");
    }
    client.close().await;
}

#[tokio::test]
async fn sasl_logs_in_and_writes() {
    let _shared = BROKER.read().await;
    let Some(kafka) = Kafka::find("sasl") else { return };
    let servers = Service::find("kafka", "WEIR_TEST_KAFKA_SASL_SERVERS", "sasl")
        .expect("the broker that is there has a SASL listener")
        .address;
    let name = topic("sasl");
    kafka.create(&name, &[]).await.expect("topic");
    let settings =
        json!({ "servers": servers, "security_protocol": "sasl_plaintext", "username": "weir", "password": "public" });
    let client = open(settings.clone(), json!({})).await;
    client.check().await.expect("the password is right");
    let row = [record(Row::from_pairs([("x", Value::Int(1))]))];
    sink(client.as_ref(), &json!({ "topic": name })).expect("sink").write(&row).await.expect("write");
    assert_eq!(kafka.records(&name).await.expect("records").len(), 1);
    client.close().await;
    let stranger = open(settings, json!({ "password": "wrong" })).await;
    let Err(WriteError::Rows(failed)) =
        sink(stranger.as_ref(), &json!({ "topic": name })).expect("sink").write(&row).await
    else {
        panic!("written")
    };
    assert!(failed[0].1.kind == ErrorKind::Unauthorized && !failed[0].1.is_temporary(), "{failed:?}");
    stranger.close().await;
}

#[test]
fn the_example_of_the_readme_is_valid() {
    testkit::check_readme(&kafka::settings::SPEC, include_str!("../../README.md"));
}
