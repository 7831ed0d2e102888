//! The broker from outside: start it, ask it, publish into it, stop it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use model::ports::{LiveClients, Metrics, Publish, PublishError, Refused, Sample, SampleKind};
use model::{ClientInfo, Message, MessageId, Qos, Str, validate_topic};
use parking_lot::Mutex;
use store::WriterId;
use tokio::task::JoinHandle;

use crate::codec::Reason;
use crate::connection::NotTaken;
use crate::durable::{self, Durable, Intake, Storage, Unstored, Writer};
use crate::error::Error;
use crate::listener;
use crate::node::{Core, Phase, Ports};
use crate::numbers::{Counters, Stat};
use crate::registry::Entry;
use crate::router::{DelayedCursor, run_delayed};
use crate::settings::{RetainedStorage, Settings};
use crate::timers;
use crate::topics::{BadDelay, split_delay};

/// The broker.
pub struct Broker;

/// A running broker. Clones are the same broker; it runs until [`Handle::stop`].
#[derive(Clone)]
pub struct Handle {
    core: Arc<Core>,
    addresses: Arc<[(String, SocketAddr)]>,
    tasks: Arc<Mutex<Vec<JoinHandle<()>>>>,
    /// The writer of the log; it goes last.
    writing: Arc<Mutex<Option<JoinHandle<()>>>>,
}

/// One message that waits to be published, as lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DelayedSummary {
    /// Its id; with `due_at_ms` the cursor for the next page.
    pub id: MessageId,
    /// When it is due, milliseconds since the epoch.
    pub due_at_ms: i64,
    /// When it came, milliseconds since the epoch.
    pub received_at_ms: i64,
    /// The effective topic.
    pub topic: Str,
    /// QoS it will be published with.
    pub qos: Qos,
    /// Whether it will be retained.
    pub retain: bool,
    /// Bytes of payload.
    pub payload_bytes: usize,
    /// Client identifier of the publisher; `None` for the server's own.
    pub publisher: Option<Str>,
}

impl Broker {
    /// Binds all listeners and starts serving. Must be called inside a tokio runtime. When one listener fails, nothing has
    /// been started.
    pub fn start(settings: Settings, ports: Ports) -> Result<Handle, Error> {
        check(&settings)?;
        Self::serve(Core::new(settings, ports, None)?, None)
    }

    /// Like [`Broker::start`], with sessions and retained messages that survive a restart. What became due while the
    /// broker was down happens now.
    pub async fn start_durable(settings: Settings, ports: Ports, storage: Storage) -> Result<Handle, Error> {
        check(&settings)?;
        let Storage { log, kv } = storage;
        let writer = WriterId(uuid::Uuid::new_v4().as_u128());
        let recovered = durable::recover(&*log, &kv, writer, ports.clock.now_ms()).await.map_err(Error::Store)?;
        let durable = Arc::new(Durable {
            intake: Intake::new(settings.log_pending_bytes_max),
            log,
            tables: Arc::new(kv),
            sessions: settings.durable_sessions,
            retained: settings.retained_storage != RetainedStorage::Ram,
        });
        let (log_bytes_max, snapshot_bytes) = (settings.log_bytes_max, settings.snapshot_bytes);
        let core = Core::new(settings, ports, Some(durable.clone()))?;
        core.adopt(&recovered);
        durable.intake.report.log_bytes.store(recovered.replayed_bytes, Ordering::Relaxed);
        durable.intake.report.log_records.store(recovered.replayed_records, Ordering::Relaxed);
        Self::serve(core, Some(Writer::new(recovered.state, writer, log_bytes_max, snapshot_bytes)))
    }

    fn serve(core: Core, writer: Option<Writer>) -> Result<Handle, Error> {
        let settings = &core.settings;
        let bound = settings.listeners.iter().map(listener::bind).collect::<Result<Vec<_>, _>>()?;
        let addresses = bound.iter().map(|bound| (bound.name.clone(), bound.address)).collect();
        let core = Arc::new(core);
        let writing = core
            .durable
            .clone()
            .zip(writer)
            .map(|(durable, writer)| model::task::spawn("broker-log", durable::run(core.clone(), durable, writer)));
        let mut tasks = vec![
            model::task::spawn("broker-timers", timers::run(core.clone())),
            model::task::spawn("broker-delayed", run_delayed(core.clone())),
        ];
        for listener in bound {
            tasks.push(model::task::spawn("broker-listener", listener.run(core.clone())));
        }
        let writing = Arc::new(Mutex::new(writing));
        Ok(Handle { core, addresses, tasks: Arc::new(Mutex::new(tasks)), writing })
    }
}

fn check(settings: &Settings) -> Result<(), Error> {
    let wrong = |name, why| Err(Error::Setting { name, why });
    if settings.receive_maximum == 0 {
        return wrong("receive_maximum", "must be at least 1: MQTT 5 has no 0 here");
    }
    if settings.inflight_max == 0 {
        return wrong("inflight_max", "must be at least 1, or no message of QoS 1 or 2 could be delivered");
    }
    if settings.server_moved && settings.server_reference.is_empty() {
        return wrong("server_moved", "needs server_reference: where has it moved to?");
    }
    if settings.packet_bytes_max < 128 {
        return wrong("packet_bytes_max", "must be at least 128 bytes");
    }
    if settings.keepalive_max_secs == 0 {
        return wrong("keepalive_max_secs", "must be at least 1; 65535 means no cap");
    }
    if settings.alarm_low_percent >= settings.alarm_high_percent || settings.alarm_high_percent > 100 {
        return wrong("alarm_high_percent", "must be above low_percent and at most 100");
    }
    if settings.subscribe_refused_code < 0x80 {
        return wrong("subscribe_refused_code", "must be a failure code, 0x80 or above");
    }
    Ok(())
}

impl Handle {
    /// Where the listeners listen, by name.
    pub fn local_addrs(&self) -> &[(String, SocketAddr)] {
        &self.addresses
    }

    /// What all connections share.
    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// At most `limit` messages that wait to be published, in the order they are due, after the cursor `after`.
    pub fn delayed(&self, after: Option<DelayedCursor>, limit: usize) -> Vec<DelayedSummary> {
        self.core.delayed.page(after, limit, |due_at_ms, message| DelayedSummary {
            id: message.id,
            due_at_ms,
            received_at_ms: message.received_at_ms,
            topic: message.topic.clone(),
            qos: message.qos,
            retain: message.retain,
            payload_bytes: message.payload.len(),
            publisher: message.publisher.as_ref().map(|info| info.client_id.clone()),
        })
    }

    /// Deletes a message that waits to be published. `false` when there is none of that id.
    pub fn delete_delayed(&self, id: MessageId) -> bool {
        self.core.delayed.remove(id)
    }

    /// What the broker has counted.
    pub fn counters(&self) -> &Counters {
        &self.core.counters
    }

    /// Number of sessions, connected or not.
    pub fn session_count(&self) -> usize {
        self.core.registry.len()
    }

    /// Number of retained messages.
    pub fn retained_count(&self) -> usize {
        self.core.retained.read().len()
    }

    /// Stops: listeners first, then every client (MQTT 5 clients are told 0x8B) once its admissions are done, or at the
    /// deadline as it stands. Afterwards no task of the broker is left.
    pub async fn stop(&self, deadline: Duration) {
        self.core.phase.send_replace(Phase::Draining);
        let tasks = std::mem::take(&mut *self.tasks.lock());
        for task in tasks {
            // A listener or timer that panicked has been logged by its spawn; it is gone either way.
            drop(task.await);
        }
        for entry in self.core.registry.page(None, usize::MAX) {
            if let Some(link) = &entry.inner.lock().link {
                link.end(Reason::SERVER_SHUTTING_DOWN);
            }
        }
        if tokio::time::timeout(deadline, self.all_gone()).await.is_err() {
            self.core.phase.send_replace(Phase::Aborting);
            self.all_gone().await;
        }
        let writing = self.writing.lock().take();
        if let (Some(durable), Some(writing)) = (&self.core.durable, writing) {
            durable.intake.close();
            // The last snapshot only makes the next start quicker: everything is in the log already.
            if tokio::time::timeout(deadline.max(Duration::from_secs(1)), writing).await.is_err() {
                tracing::warn!("the last snapshot of the sessions was not written in time");
            }
        }
        self.core.traces.end_all(self.core.now_ms());
    }

    async fn all_gone(&self) {
        loop {
            let gone = self.core.gone.notified();
            tokio::pin!(gone);
            gone.as_mut().enable();
            if self.core.counters.connections.get() == 0 {
                return;
            }
            gone.await;
        }
    }
}

const DELAY_WRONG: &str = "a delayed topic is $delayed/<seconds>/<topic>, with at most delay_secs_max whole seconds";

#[async_trait]
impl Publish for Handle {
    /// Server-side publishers may use `$` topics: they are the server.
    async fn publish(&self, message: Message) -> Result<usize, PublishError> {
        if *self.core.phase.borrow() != Phase::Running {
            return Err(PublishError::Closed);
        }
        validate_topic(&message.topic).map_err(|error| PublishError::InvalidTopic(error.to_string()))?;
        let settings = &self.core.settings;
        let delay = split_delay(&message.topic, settings.delay_secs_max)
            .map_err(|BadDelay| PublishError::InvalidTopic(DELAY_WRONG.to_owned()))?;
        if let Some((secs, topic)) = delay.filter(|_| settings.delayed_messages_max > 0) {
            let message = Message { topic: Str::new(topic), ..message.clone() };
            return if self.core.delay(message, secs) { Ok(0) } else { Err(PublishError::Refused(Refused::QueueFull)) };
        }
        self.core.room_in_log().await;
        let ingested = self.core.ingest(Arc::new(message));
        if let Some(entry) = &ingested.pressed {
            self.core.wait_for_relief(entry).await;
        }
        let count = ingested.receiver_count;
        match ingested.waits.taken().await {
            Ok(()) => Ok(count),
            Err(NotTaken::Rule(refused)) => Err(PublishError::Refused(refused)),
            Err(NotTaken::Log(Unstored::Full)) => Err(PublishError::Refused(Refused::QueueFull)),
            Err(NotTaken::Log(Unstored::Unknown)) => Err(PublishError::Refused(Refused::Unavailable)),
        }
    }
}

/// Sessions looked at under one lock of the registry.
const PAGE_SESSIONS: usize = 1_000;

impl Handle {
    fn each_session(&self, mut act: impl FnMut(&Arc<Entry>)) {
        let mut after: Option<Str> = None;
        loop {
            let page = self.core.registry.page(after.as_deref(), PAGE_SESSIONS);
            page.iter().for_each(&mut act);
            match page.last() {
                Some(last) if page.len() == PAGE_SESSIONS => after = Some(last.client_id.clone()),
                _ => return,
            }
        }
    }
}

impl LiveClients for Handle {
    fn recheck(&self) {
        self.each_session(|entry| {
            if let Some(link) = &entry.inner.lock().link {
                link.recheck();
            }
        });
    }

    fn end(&self, is_meant: &dyn Fn(&ClientInfo) -> bool) -> usize {
        let mut count = 0;
        self.each_session(|entry| {
            let link = entry.inner.lock().link.clone();
            if let Some(link) = link.filter(|link| is_meant(&link.info)) {
                link.end(Reason::ADMINISTRATIVE_ACTION);
                count += 1;
            }
        });
        count
    }
}

impl Metrics for Handle {
    fn collect(&self, out: &mut Vec<Sample>) {
        self.core.counters.collect(out);
        for stat in Stat::ALL {
            let ((now, max), (now_family, max_family)) = (self.core.stat(*stat), stat.families());
            for (name, value) in [(now_family, now), (max_family, max)] {
                let (help, kind) = (stat.help(), SampleKind::Gauge);
                out.push(Sample { name, help, kind, labels: Vec::new(), value: value as f64 });
            }
        }
        let mut gauge = |name, help, value: usize| {
            out.push(Sample { name, help, kind: SampleKind::Gauge, labels: Vec::new(), value: value as f64 });
        };
        gauge("broker_sessions", "Sessions, connected or not.", self.core.registry.len());
        gauge("broker_subscriptions", "Subscriptions; a shared group counts once.", self.core.subscribers.len());
        let (delayed_count, delayed_bytes) = self.core.delayed.size();
        gauge("broker_delayed_messages", "Messages that wait to be published.", delayed_count);
        gauge("broker_delayed_bytes", "Bytes of topic and payload of these messages.", delayed_bytes);
        if let Some(durable) = &self.core.durable {
            durable.collect(self.core.monotonic_ms(), out);
        }
        let mut gauge = |name, help, value: usize| {
            out.push(Sample { name, help, kind: SampleKind::Gauge, labels: Vec::new(), value: value as f64 });
        };
        let retained = self.core.retained.read();
        gauge("broker_retained_messages", "Retained messages.", retained.len());
        gauge("broker_retained_bytes", "Bytes of topic and payload of the retained messages.", retained.bytes());
    }
}
