//! The broker from outside: start it, ask it, publish into it, stop it.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use model::ports::{Admission, Metrics, Publish, PublishError, Refused, Sample, SampleKind};
use model::{ClientInfo, Message, MessageId, Qos, Str, validate_topic};
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use crate::codec::Reason;
use crate::error::Error;
use crate::listener;
use crate::node::{Core, Phase, Ports};
use crate::numbers::{Counters, Stat};
use crate::registry::Entry;
use crate::router::{DelayedCursor, run_delayed};
use crate::settings::Settings;
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
}

/// One session as lists show it.
#[derive(Clone, Debug)]
pub struct ClientSummary {
    /// The client as it last connected.
    pub info: Arc<ClientInfo>,
    /// Whether it is connected now.
    pub is_connected: bool,
    /// When the session was created, milliseconds since the epoch.
    pub created_at_ms: i64,
    /// Seconds the session outlives its connection.
    pub session_expiry_secs: u32,
    /// Subscriptions.
    pub subscription_count: usize,
    /// Messages waiting.
    pub queue_message_count: usize,
    /// Bytes of topic and payload waiting.
    pub queue_bytes: usize,
    /// Messages sent and not acknowledged.
    pub inflight_count: usize,
    /// QoS 2 messages received and not released.
    pub awaiting_rel_count: usize,
    /// PUBLISH packets from the client on this connection.
    pub received_count: u64,
    /// PUBLISH packets to the client on this connection.
    pub sent_count: u64,
}

/// One subscription as lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionSummary {
    /// The subscriber.
    pub client_id: Str,
    /// Topic filter, with `$share/<group>/` where it has one.
    pub filter: Str,
    /// Maximum QoS.
    pub qos: Qos,
    /// The options byte of MQTT 5.0 §3.8.3.1.
    pub options: u8,
    /// Subscription identifier.
    pub identifier: Option<u32>,
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
        let core = Arc::new(Core::new(settings, ports)?);
        let bound = listener::bind_all(&core)?;
        let addresses = bound.iter().map(|bound| (bound.name.clone(), bound.address)).collect();
        let mut tasks = vec![
            model::task::spawn("broker-timers", timers::run(core.clone())),
            model::task::spawn("broker-delayed", run_delayed(core.clone())),
        ];
        for listener in bound {
            tasks.push(model::task::spawn("broker-listener", listener.run(core.clone())));
        }
        Ok(Handle { core, addresses, tasks: Arc::new(Mutex::new(tasks)) })
    }
}

fn check(settings: &Settings) -> Result<(), Error> {
    let mut names = HashSet::new();
    for zone in std::iter::once(&settings.zone).chain(&settings.zones) {
        let wrong = |name, why| Error::Setting { zone: zone.name.clone(), name, why };
        zone.check().map_err(|(name, why)| wrong(name, why))?;
        if !names.insert(&zone.name) {
            return Err(wrong("name", "is the name of two zones"));
        }
    }
    Ok(())
}

impl Handle {
    /// Where the listeners listen, by name.
    pub fn local_addrs(&self) -> &[(String, SocketAddr)] {
        &self.addresses
    }

    /// At most `limit` sessions in the order of their client identifiers, after the cursor `after`.
    pub fn clients(&self, after: Option<&str>, limit: usize) -> Vec<ClientSummary> {
        self.core.registry.page(after, limit).iter().map(|entry| summary(entry)).collect()
    }

    /// The session of one client identifier.
    pub fn client(&self, client_id: &str) -> Option<ClientSummary> {
        self.core.registry.get(client_id).map(|entry| summary(&entry))
    }

    /// Ends a client's connection and its session (0x98 Administrative action). `false` when there is neither.
    pub fn kick(&self, client_id: &str) -> bool {
        let Some(entry) = self.core.registry.get(client_id) else { return false };
        let link = {
            let mut inner = entry.inner.lock();
            inner.set_expiry(0, &self.core.counters.persistent_sessions);
            inner.link.clone()
        };
        match link {
            Some(link) => link.end(Reason::ADMINISTRATIVE_ACTION),
            None => self.core.terminate(&entry, "kicked"),
        }
        true
    }

    /// The subscriptions of at most `limit` sessions after the cursor `after`; page by the last client identifier.
    pub fn subscriptions(&self, after: Option<&str>, limit: usize) -> Vec<SubscriptionSummary> {
        let mut found = Vec::new();
        for entry in self.core.registry.page(after, limit) {
            let inner = entry.inner.lock();
            found.extend(inner.subscriptions.iter().map(|(filter, subscribed)| SubscriptionSummary {
                client_id: entry.client_id.clone(),
                filter: filter.clone(),
                qos: subscribed.options.qos,
                options: subscribed.options.bits(),
                identifier: subscribed.identifier,
            }));
        }
        found
    }

    /// The subscriptions of one client.
    pub fn subscriptions_of(&self, client_id: &str) -> Vec<SubscriptionSummary> {
        let Some(entry) = self.core.registry.get(client_id) else { return Vec::new() };
        let inner = entry.inner.lock();
        let summarize = |(filter, subscribed): (&Str, &crate::registry::Subscribed)| SubscriptionSummary {
            client_id: entry.client_id.clone(),
            filter: filter.clone(),
            qos: subscribed.options.qos,
            options: subscribed.options.bits(),
            identifier: subscribed.identifier,
        };
        inner.subscriptions.iter().map(summarize).collect()
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

fn summary(entry: &Entry) -> ClientSummary {
    let inner = entry.inner.lock();
    let count = |pick: fn(&crate::registry::Link) -> &std::sync::atomic::AtomicU64| {
        inner.link.as_ref().map_or(0, |link| pick(link).load(Ordering::Relaxed))
    };
    ClientSummary {
        info: inner.info.clone(),
        is_connected: inner.link.is_some(),
        created_at_ms: inner.created_at_ms,
        session_expiry_secs: inner.expiry_secs,
        subscription_count: inner.subscriptions.len(),
        queue_message_count: inner.queue.len(),
        queue_bytes: inner.queue.bytes(),
        inflight_count: inner.outbound.len(),
        awaiting_rel_count: inner.inbound.len(),
        received_count: count(|link| &link.received_count),
        sent_count: count(|link| &link.sent_count),
    }
}

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
        let ingested = self.core.ingest(Arc::new(message));
        if let Some(entry) = &ingested.pressed {
            self.core.wait_for_relief(entry).await;
        }
        let count = ingested.receiver_count;
        match ingested.admission {
            Admission::Done => Ok(count),
            Admission::Pending(answer) => match answer.await.unwrap_or(Err(Refused::Unavailable)) {
                Ok(()) => Ok(count),
                Err(refused) => Err(PublishError::Refused(refused)),
            },
        }
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
        let retained = self.core.retained.read();
        gauge("broker_retained_messages", "Retained messages.", retained.len());
        gauge("broker_retained_bytes", "Bytes of topic and payload of the retained messages.", retained.bytes());
    }
}
