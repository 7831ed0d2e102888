//! The room against a connector whose service the test switches on and off.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use connector::{
    ActionSpec, BatchDefaults, Client, Config, Connector, ErrorKind, Field, FieldKind, Record, Registry, Role, Sink,
    Spec, WriteError,
};
use model::{Row, Str, SystemClock, Value};
use parking_lot::Mutex;
use serde_json::{Value as Json, json};
use store::Kv;

use crate::*;

static SPEC: Spec = Spec {
    name: "bench",
    aliases: &["workbench"],
    title: "Bench",
    description: "A service made of switches.",
    provider: "weir_bench",
    roles: &[Role::Sink],
    fields: &[
        Field { name: "server", ..Field::REQUIRED },
        Field { name: "password", aliases: &["pass"], secret: true, ..Field::OPTIONAL },
        Field { name: "size", kind: FieldKind::Integer { min: 1, max: 9 }, default: Some("1"), ..Field::OPTIONAL },
    ],
    actions: &[ActionSpec {
        name: "data_to_bench",
        title: "",
        description: "",
        params: &[Field { name: "topic", kind: FieldKind::Template, ..Field::OPTIONAL }],
        batch: BatchDefaults::NATURAL,
    }],
};

static OTHER: ActionSpec =
    ActionSpec { name: "data_to_other", title: "", description: "", params: &[], batch: BatchDefaults::NATURAL };

/// What the outside world of a test is like.
#[derive(Default)]
struct World {
    down: AtomicBool,
    silent: AtomicBool,
    open: AtomicUsize,
    /// `server/password: row` of every write.
    written: Mutex<Vec<String>>,
}

struct Bench(Arc<World>);

struct BenchClient {
    world: Arc<World>,
    label: String,
    closed: AtomicBool,
}

struct BenchSink {
    world: Arc<World>,
    label: String,
}

#[async_trait]
impl Connector for Bench {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    async fn open(&self, config: &Config) -> Result<Arc<dyn Client>, connector::Error> {
        let server = config.text("server").unwrap_or_default();
        if server.contains(' ') {
            return Err(connector::Error::permanent(ErrorKind::Config, "a server has no spaces"));
        }
        self.0.open.fetch_add(1, Ordering::Relaxed);
        let label = format!("{server}/{}", config.secret("password").map_or("", connector::Secret::expose));
        Ok(Arc::new(BenchClient { world: Arc::clone(&self.0), label, closed: AtomicBool::new(false) }))
    }
}

#[async_trait]
impl Client for BenchClient {
    async fn check(&self) -> Result<(), connector::Error> {
        if self.world.silent.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        if self.world.down.load(Ordering::Relaxed) {
            return Err(connector::Error::temporary(ErrorKind::Unreachable, "the bench is down"));
        }
        Ok(())
    }

    fn sink(&self, _: &'static ActionSpec, params: &Config) -> Result<Arc<dyn Sink>, connector::Error> {
        if params.text("topic").is_some_and(|topic| self.label.starts_with(topic)) {
            return Err(connector::Error::permanent(ErrorKind::Config, "the topic is the server's own"));
        }
        Ok(Arc::new(BenchSink { world: Arc::clone(&self.world), label: self.label.clone() }))
    }

    async fn close(&self) {
        if !self.closed.swap(true, Ordering::Relaxed) {
            self.world.open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[async_trait]
impl Sink for BenchSink {
    async fn write(&self, batch: &[Record]) -> Result<(), WriteError> {
        let lines = batch.iter().map(|record| format!("{}: {}", self.label, record.row.to_json()));
        self.world.written.lock().extend(lines);
        Ok(())
    }

    fn render(&self, _: &Record) -> Result<Json, connector::Error> {
        Ok(json!({"label": self.label}))
    }
}

struct Rig {
    world: Arc<World>,
    kv: Kv,
    room: Resources,
    _folder: tempfile::TempDir,
}

fn settings() -> Settings {
    Settings {
        health_interval: Duration::from_millis(5),
        check_timeout: Duration::from_millis(50),
        close_timeout: Duration::from_secs(1),
        count_max: 10,
    }
}

fn registry(world: &Arc<World>) -> Registry {
    Registry::new([Arc::new(Bench(Arc::clone(world))) as Arc<dyn Connector>])
}

impl Rig {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let kv = Kv::open(folder.path().join("kv")).await.unwrap();
        let world = Arc::new(World::default());
        let room = Resources::open(registry(&world), kv.clone(), settings(), Arc::new(SystemClock)).await.unwrap();
        Self { world, kv, room, _folder: folder }
    }

    async fn reopened(&self, registry: Registry) -> Resources {
        self.room.close().await;
        Resources::open(registry, self.kv.clone(), settings(), Arc::new(SystemClock)).await.unwrap()
    }

    async fn becomes(&self, id: &str, state: State) {
        for _ in 0..2_000 {
            if self.room.status(id).unwrap().state == state {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("never {state:?}: {:?}", self.room.status(id));
    }
}

fn spec(json: Json) -> ResourceSpec {
    serde_json::from_value(json).unwrap()
}

fn named(id: &str) -> ResourceSpec {
    spec(json!({"id": id, "type": "bench", "config": {"server": "a:1", "password": "hunter2"}, "description": "d"}))
}

fn owned(id: &str, line: u32) -> ResourceSpec {
    ResourceSpec { origin: Some(Origin { file: "site.yaml".to_owned(), line }), ..named(id) }
}

fn row() -> Vec<Record> {
    vec![Record {
        row: Row::from_pairs([("n", Value::Int(1))]),
        rule: Str::new("rule:1"),
        id: Str::new("1/0"),
        at_ms: 0,
        event: None,
        passed_rules: Arc::default(),
    }]
}

fn action() -> (&'static ActionSpec, Config) {
    (&SPEC.actions[0], Config::parse(SPEC.actions[0].params, &json!({})).unwrap())
}

#[tokio::test]
async fn mistakes_are_told_precisely() {
    let rig = Rig::new().await;
    rig.room.create(named("taken")).await.unwrap();
    for (given, expected) in [
        (
            json!({"type": "bensh", "config": {}}),
            "type: there is no resource type bensh; did you mean bench? the known types are bench",
        ),
        (
            json!({"type": "bench", "config": {"servr": "a"}}),
            "servr: unknown key; did you mean server?; server: is required: ",
        ),
        (json!({"type": "bench", "config": {"server": "a", "size": 0}}), "size: 0 is out of range: from 1 to 9"),
        (json!({"type": "bench", "config": {"server": "a b"}}), "config: config: a server has no spaces"),
        (json!({"type": "bench", "id": "taken", "config": {"server": "a"}}), "there is a resource taken already"),
        (
            json!({"type": "bench", "id": "a b", "config": {"server": "a"}}),
            "id: an id has 1 to 128 bytes, none of them a space or control character",
        ),
    ] {
        assert_eq!(rig.room.create(spec(given)).await.unwrap_err().to_string(), expected);
    }
    assert_eq!(rig.room.get("x").unwrap_err().to_string(), "there is no resource x; there are taken");
    for n in 0..9 {
        rig.room.create(named(&format!("n{n}"))).await.unwrap();
    }
    assert!(matches!(rig.room.create(named("one-too-many")).await, Err(Error::Conflict(_))));
}

#[tokio::test]
async fn a_resource_survives_a_restart_and_its_secret_is_never_shown() {
    let rig = Rig::new().await;
    let made = rig
        .room
        .create(spec(json!({"type": "workbench", "config": {"server": "a:1", "pass": "hunter2"}})))
        .await
        .unwrap();
    assert_eq!(made.resource_type.as_str(), "bench");
    let id = made.id.strip_prefix("resource:").unwrap();
    assert!(id.len() == 8 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    assert_eq!(made.config, json!({"server": "a:1", "pass": "******"}));
    assert!(!format!("{made:?} {:?}", named("x")).contains("hunter2"));

    let again = rig.reopened(registry(&rig.world)).await;
    let view = again.get(&made.id).unwrap();
    assert_eq!((&view.config, view.created_at_ms), (&made.config, made.created_at_ms));
    let (action, params) = action();
    again.sink(&made.id, action, &params, "rule:1").unwrap().write(&row()).await.unwrap();
    assert_eq!(rig.world.written.lock().clone(), [r#"a:1/hunter2: {"n":1}"#]);
    again.close().await;
    assert_eq!(rig.world.open.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn what_cannot_be_opened_any_more_is_kept_and_says_why() {
    let rig = Rig::new().await;
    rig.room.create(named("b")).await.unwrap();
    let bare = rig.reopened(Registry::default()).await;
    let view = bare.get("b").unwrap();
    assert_eq!(view.status.state, State::Disconnected);
    assert_eq!(view.status.last_error.as_deref(), Some("this server has no resource type bench"));
    // Which settings of an unknown type are secret is unknown, so all are hidden.
    assert_eq!(view.config, json!({"server": "******", "password": "******"}));
    assert!(bare.client("b").is_err());
    bare.delete("b", By::Api).await.unwrap();
    assert!(bare.list().is_empty());
}

#[tokio::test]
async fn health_follows_the_service_and_switches_nothing_off() {
    let rig = Rig::new().await;
    rig.room.create(named("b")).await.unwrap();
    rig.becomes("b", State::Connected).await;
    rig.world.down.store(true, Ordering::Relaxed);
    rig.becomes("b", State::Disconnected).await;
    assert_eq!(rig.room.status("b").unwrap().last_error.as_deref(), Some("unreachable: the bench is down"));
    let (action, params) = action();
    rig.room.sink("b", action, &params, "rule:1").unwrap().write(&row()).await.unwrap();
    rig.world.down.store(false, Ordering::Relaxed);
    rig.becomes("b", State::Connected).await;
    rig.world.silent.store(true, Ordering::Relaxed);
    rig.becomes("b", State::Disconnected).await;
    let status = rig.room.check("b").await.unwrap();
    assert!(status.last_error.unwrap().starts_with("timeout: "));
    let mut samples = Vec::new();
    model::ports::Metrics::collect(&rig.room, &mut samples);
    let on: Vec<&Str> = samples.iter().filter(|sample| sample.value > 0.0).map(|sample| &sample.labels[1].1).collect();
    assert_eq!(on, ["disconnected"]);
}

#[tokio::test]
async fn an_update_reaches_sinks_at_their_next_write_and_keeps_a_masked_secret() {
    let rig = Rig::new().await;
    rig.room.create(named("b")).await.unwrap();
    let (action, params) = action();
    let sink = rig.room.sink("b", action, &params, "rule:1").unwrap();
    sink.write(&row()).await.unwrap();
    let changed = spec(json!({"id": "b", "type": "bench", "config": {"server": "new:2", "password": "******"}}));
    rig.room.apply(changed, By::Api, &BTreeSet::new()).await.unwrap();
    sink.write(&row()).await.unwrap();
    assert_eq!(rig.world.open.load(Ordering::Relaxed), 1, "the old client is closed");

    rig.room.stop("b").await.unwrap();
    let Err(WriteError::Batch(error)) = sink.write(&row()).await else { panic!("a stopped resource takes no rows") };
    assert!(error.is_temporary());
    assert_eq!(rig.room.status("b").unwrap().state, State::Stopped);
    rig.room.start("b").await.unwrap();
    sink.write(&row()).await.unwrap();
    let label = r#"new:2/hunter2: {"n":1}"#;
    assert_eq!(rig.world.written.lock().clone(), [r#"a:1/hunter2: {"n":1}"#, label, label]);

    let broken = spec(json!({"id": "b", "type": "bench", "config": {}}));
    assert!(matches!(rig.room.apply(broken, By::Api, &BTreeSet::new()).await, Err(Error::Invalid(_))));
    sink.write(&row()).await.unwrap();
}

#[tokio::test]
async fn a_stopped_resource_stays_stopped_over_a_restart() {
    let rig = Rig::new().await;
    rig.room.create(named("b")).await.unwrap();
    rig.room.stop("b").await.unwrap();
    let again = rig.reopened(registry(&rig.world)).await;
    assert_eq!(again.status("b").unwrap().state, State::Stopped);
    assert_eq!(rig.world.open.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn what_a_rule_uses_is_not_deleted() {
    let rig = Rig::new().await;
    rig.room.create(named("b")).await.unwrap();
    let (action, params) = action();
    let sink = rig.room.sink("b", action, &params, "rule:1").unwrap();
    let used = rig.room.register_use("b", "rule:2").unwrap();
    let refused = rig.room.delete("b", By::Api).await.unwrap_err();
    assert_eq!(refused.to_string(), "the resource b is used by rule:1, rule:2; delete the rules first");
    assert_eq!(rig.room.get("b").unwrap().used_by, ["rule:1", "rule:2"]);
    drop((sink, used));
    rig.room.delete("b", By::Api).await.unwrap();
    assert!(matches!(rig.room.delete("b", By::Api).await, Err(Error::NotFound(_))));
    assert_eq!(rig.world.open.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn what_a_file_owns_only_the_file_changes() {
    let rig = Rig::new().await;
    rig.room.apply(owned("b", 7), By::File, &BTreeSet::new()).await.unwrap();
    let refused = [
        rig.room.delete("b", By::Api).await.unwrap_err(),
        rig.room.apply(named("b"), By::Api, &BTreeSet::new()).await.unwrap_err(),
    ];
    for error in refused {
        assert_eq!(error.to_string(), "the resource b belongs to site.yaml:7; change it there and apply the file");
        assert!(matches!(error, Error::Conflict(_)));
    }
    assert_eq!(rig.room.apply(owned("b", 9), By::File, &BTreeSet::new()).await.unwrap().origin.unwrap().line, 9);
    rig.room.create(named("mine")).await.unwrap();
    assert!(matches!(rig.room.apply(owned("mine", 1), By::File, &BTreeSet::new()).await, Err(Error::Conflict(_))));
    rig.room.delete("b", By::File).await.unwrap();
}

#[tokio::test]
async fn a_test_opens_checks_and_closes() {
    let rig = Rig::new().await;
    let config = json!({"server": "a:1"});
    rig.room.test("bench", &config).await.unwrap();
    rig.world.down.store(true, Ordering::Relaxed);
    assert_eq!(rig.room.test("bench", &config).await.unwrap_err().to_string(), "unreachable: the bench is down");
    rig.world.silent.store(true, Ordering::Relaxed);
    assert!(rig.room.test("bench", &config).await.unwrap_err().to_string().starts_with("timeout: "));
    assert!(matches!(rig.room.test("bench", &json!({})).await, Err(Error::Invalid(_))));
    assert_eq!(rig.world.open.load(Ordering::Relaxed), 0);
    assert!(rig.room.list().is_empty());
}

#[tokio::test]
async fn an_action_of_another_type_is_refused() {
    let rig = Rig::new().await;
    rig.room.create(named("b")).await.unwrap();
    let (_, params) = action();
    let Err(error) = rig.room.sink("b", &OTHER, &params, "rule:1") else { panic!("another connector's action") };
    assert_eq!(
        error.to_string(),
        "$resource: the resource b of type bench has no action data_to_other; it has data_to_bench"
    );
}

#[tokio::test]
async fn an_update_that_a_sink_could_not_work_with_is_refused_and_the_old_client_serves() {
    let rig = Rig::new().await;
    rig.room.create(named("b")).await.unwrap();
    let params = Config::parse(SPEC.actions[0].params, &json!({"topic": "new"})).unwrap();
    let sink = rig.room.sink("b", &SPEC.actions[0], &params, "rule:1").unwrap();
    let changed = || spec(json!({"id": "b", "type": "bench", "config": {"server": "new:2"}}));
    let refused = rig.room.apply(changed(), By::Api, &BTreeSet::new()).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "config: the action data_to_bench of rule:1 could not work with it: config: the topic is the server's own"
    );
    sink.write(&row()).await.unwrap();
    assert_eq!(rig.room.get("b").unwrap().config["server"], json!("a:1"));
    assert_eq!(rig.world.open.load(Ordering::Relaxed), 1, "the new client is closed");
    // A rule that changes in the same step gets a new sink.
    rig.room.apply(changed(), By::Api, &BTreeSet::from([Str::new("rule:1")])).await.unwrap();
    drop(sink);
    rig.room
        .apply(spec(json!({"id": "b", "type": "bench", "config": {"server": "new:3"}})), By::Api, &BTreeSet::new())
        .await
        .expect("a sink that is gone asks for nothing");
}

#[tokio::test]
async fn a_change_that_cannot_be_stored_leaves_the_old_client_serving() {
    let rig = Rig::new().await;
    rig.room.create(named("b")).await.unwrap();
    let (action, params) = action();
    let sink = rig.room.sink("b", action, &params, "rule:1").unwrap();
    rig.kv.close().await.unwrap();
    let changed = spec(json!({"id": "b", "type": "bench", "config": {"server": "new:2"}}));
    assert!(matches!(rig.room.apply(changed, By::Api, &BTreeSet::new()).await, Err(Error::Unavailable(_))));
    assert!(matches!(rig.room.create(named("c")).await, Err(Error::Unavailable(_))));
    sink.write(&row()).await.unwrap();
    assert_eq!(rig.world.written.lock().clone(), [r#"a:1/hunter2: {"n":1}"#]);
    assert_eq!(rig.world.open.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_change_is_taken_back_to_what_was_there() {
    let rig = Rig::new().await;
    let made = rig.room.create(named("b")).await.unwrap();
    let (action, params) = action();
    let sink = rig.room.sink("b", action, &params, "rule:1").unwrap();
    let before = [rig.room.snapshot("b"), rig.room.snapshot("new")];
    assert!(!format!("{before:?}").contains("hunter2"));
    let changed = spec(json!({"id": "b", "type": "bench", "config": {"server": "new:2", "password": "other"}}));
    rig.room.apply(changed, By::Api, &BTreeSet::new()).await.unwrap();
    rig.room.create(named("new")).await.unwrap();
    for snapshot in before {
        rig.room.put_back(snapshot).await.unwrap();
    }
    let back = rig.room.get("b").unwrap();
    assert_eq!(
        (back.config, back.description, back.created_at_ms),
        (made.config, made.description, made.created_at_ms)
    );
    sink.write(&row()).await.unwrap();
    assert_eq!(rig.world.written.lock().clone(), [r#"a:1/hunter2: {"n":1}"#]);
    assert!(rig.room.get("new").is_err());
    drop(sink);
    let before = rig.room.snapshot("b");
    rig.room.delete("b", By::Api).await.unwrap();
    rig.room.put_back(before).await.unwrap();
    rig.becomes("b", State::Connected).await;
    assert_eq!(rig.world.open.load(Ordering::Relaxed), 1);
    let again = rig.reopened(registry(&rig.world)).await;
    assert_eq!(again.list().len(), 1);
    again.close().await;
}

#[tokio::test]
async fn a_file_does_not_take_what_another_file_owns() {
    let rig = Rig::new().await;
    rig.room.apply(owned("b", 7), By::File, &BTreeSet::new()).await.unwrap();
    let other = ResourceSpec { origin: Some(Origin { file: "other.yaml".to_owned(), line: 1 }), ..named("b") };
    let refused = rig.room.apply(other.clone(), By::File, &BTreeSet::new()).await.unwrap_err();
    assert_eq!(refused.to_string(), "the resource b belongs to site.yaml:7: change it there");
    assert!(matches!(rig.room.validate(&other, By::File), Err(Error::Conflict(_))));
    rig.room.validate(&owned("b", 8), By::File).unwrap();
}
