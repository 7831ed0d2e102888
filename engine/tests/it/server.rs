//! An engine over a real store in a temporary folder, and a loop-back publisher.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use connector::{DeadLetterLimits, DeadLetters, Registry};
use engine::{ActionConfig, Deps, Engine, RuleSpec, RuleView, Settings};
use model::ports::{Admission, EventTap, Publish, PublishError, Refused};
use model::{Body, Event, EventKind, Message, MessageId, Origin, Qos, SystemClock};
use parking_lot::Mutex;
use resources::Resources;
use serde_json::{Value as Json, json};
use store::{DataDir, Kv};

/// Everything an engine needs, in one folder.
pub(crate) struct Server {
    pub(crate) engine: Engine,
    pub(crate) published: Arc<Loopback>,
    pub(crate) kv: Kv,
    pub(crate) resources: Resources,
}

/// Routes to the tap, as the broker does.
pub(crate) struct Loopback {
    tap: Arc<dyn EventTap>,
    pub(crate) messages: Mutex<Vec<Message>>,
}

#[async_trait]
impl Publish for Loopback {
    async fn publish(&self, message: Message) -> Result<usize, PublishError> {
        self.messages.lock().push(message.clone());
        match self.tap.emit(event_of(message)) {
            Admission::Done => Ok(0),
            Admission::Pending(answer) => {
                answer.await.unwrap_or(Err(Refused::Unavailable)).map(|()| 0).map_err(PublishError::Refused)
            }
        }
    }
}

impl Server {
    pub(crate) async fn start(folder: &std::path::Path, settings: Settings) -> Self {
        let server = Self::start_without_broker(folder, settings).await;
        server.engine.set_publish(Arc::clone(&server.published) as Arc<dyn Publish>);
        server
    }

    /// Republished rows wait.
    pub(crate) async fn start_without_broker(folder: &std::path::Path, settings: Settings) -> Self {
        Self::start_with(folder, settings, Registry::default()).await
    }

    /// With these connectors and no broker.
    pub(crate) async fn start_with(folder: &std::path::Path, settings: Settings, registry: Registry) -> Self {
        let data_dir = DataDir::open(folder).unwrap();
        let kv = Kv::open(data_dir.kv_path()).await.unwrap();
        let clock = Arc::new(SystemClock);
        let resources =
            Resources::open(registry.clone(), kv.clone(), resources::Settings::default(), clock.clone()).await.unwrap();
        let dead_letters = DeadLetters::open(kv.clone(), DeadLetterLimits::default(), clock.clone()).await.unwrap();
        let engine = Engine::open(Deps {
            registry,
            resources: resources.clone(),
            kv: kv.clone(),
            dead_letters: Some(dead_letters),
            data_dir: Some(data_dir),
            clock,
            node: "weir@127.0.0.1".into(),
            settings,
        })
        .await
        .unwrap();
        let published = Arc::new(Loopback { tap: engine.tap(), messages: Mutex::default() });
        Self { engine, published, kv, resources }
    }

    /// The rows that were republished wait no more.
    pub(crate) fn connect(&self) {
        self.engine.set_publish(Arc::clone(&self.published) as Arc<dyn Publish>);
    }

    pub(crate) async fn stop(self) {
        self.stop_within(Duration::from_secs(5)).await;
    }

    pub(crate) async fn stop_within(self, deadline: Duration) {
        self.engine.stop(deadline).await;
        self.resources.close().await;
        self.kv.close().await.unwrap();
    }

    pub(crate) async fn rule(&self, sql: &str, actions: Json) -> Result<RuleView, engine::Error> {
        self.engine.create_rule(spec(sql, actions)).await
    }

    /// Publishes as a client does; the admission is given back.
    pub(crate) fn publish(&self, topic: &str, payload: impl Into<bytes::Bytes>) -> Admission {
        self.engine.tap().emit(event_of(message(topic, payload)))
    }

    /// Polls until the rule's numbers satisfy `done`; fails with them after ten seconds.
    pub(crate) async fn until(&self, id: &str, done: impl Fn(&RuleView) -> bool) -> RuleView {
        let end = tokio::time::Instant::now() + Duration::from_secs(10);
        loop {
            let view = self.engine.rule(id).unwrap();
            if done(&view) {
                return view;
            }
            assert!(tokio::time::Instant::now() < end, "not reached: {view:?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

pub(crate) fn spec(sql: &str, actions: Json) -> RuleSpec {
    let actions = actions.as_array().unwrap().iter().map(|action| ActionConfig::from_json(action).unwrap()).collect();
    RuleSpec::new(sql, actions)
}

pub(crate) fn inspect() -> Json {
    json!([{"name": "inspect", "params": {"a": 1}}])
}

pub(crate) fn message(topic: &str, payload: impl Into<bytes::Bytes>) -> Message {
    Message {
        id: MessageId::next(1_700_000_000_000),
        topic: topic.into(),
        payload: payload.into(),
        qos: Qos::AtLeastOnce,
        retain: false,
        dup: false,
        publisher: None,
        properties: None,
        received_at_ms: 1_700_000_000_000,
        origin: Origin::Client,
    }
}

pub(crate) fn event_of(message: Message) -> Event {
    Event {
        kind: EventKind::MessagePublish,
        at_ms: message.received_at_ms,
        node: "weir@127.0.0.1".into(),
        body: Body::Publish(Arc::new(message)),
    }
}

/// The answer a publisher gets, within a bound.
pub(crate) async fn answer(admission: Admission) -> Result<(), Refused> {
    match admission {
        Admission::Done => Ok(()),
        Admission::Pending(answer) => tokio::time::timeout(Duration::from_secs(10), answer)
            .await
            .expect("an answer within ten seconds")
            .unwrap_or(Err(Refused::Unavailable)),
    }
}
