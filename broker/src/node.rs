//! What all connections share, and what is done to messages and sessions no matter who asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use model::ports::{Access, Admission, Authenticate, Authorize, Decision, EventTap};
use model::{Body, ClientInfo, Clock, Event, EventKind, Message, MessageId, Origin, Qos, Str, Value};
use parking_lot::{MutexGuard, RwLock};
use tokio::sync::{Notify, oneshot, watch};

use crate::alarms::AlarmStore;
use crate::codec::Reason;
use crate::connection::Waits;
use crate::durable::{Durable, Receiver, Record, Stored, will_of};
use crate::error::Error;
use crate::events::Fields;
use crate::numbers::{Counters, Dropped, Metric, Peaks, Stat};
use crate::registry::{Entry, Inner, Link, Registry, Will};
use crate::router::{self, Delayed, Outgoing, Retained, Subscribers};
use crate::session::{Delivery, Queue, QueueLimits};
use crate::settings::Settings;
use crate::sys::{LastDrop, Sys};
use crate::timers::{Timer, Timers};
use crate::topics::{Rewrites, Template};
use crate::trace::{Line, Traces};

/// What the broker needs from others.
#[derive(Clone)]
pub struct Ports {
    /// Gets every event.
    pub tap: Arc<dyn EventTap>,
    /// Decides who may connect.
    pub authenticate: Arc<dyn Authenticate>,
    /// Decides who may publish, subscribe and receive.
    pub authorize: Arc<dyn Authorize>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
}

/// Where a message went.
pub(crate) struct Routed {
    pub(crate) receiver_count: usize,
    pub(crate) pressed: Option<Arc<Entry>>,
    /// Resolves when durable receivers have it.
    pub(crate) stored: Option<oneshot::Receiver<Stored>>,
}

/// What became of a message that was taken in.
pub(crate) struct Ingested {
    /// Sessions it was routed to.
    pub(crate) receiver_count: usize,
    /// What the publisher's acknowledgement has to wait for.
    pub(crate) waits: Waits,
    /// A receiver that is about to be outrun; see [`Core::wait_for_relief`].
    pub(crate) pressed: Option<Arc<Entry>>,
}

/// What the log has to know about a message besides.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Source {
    /// The durable session and packet identifier of a QoS 2 publisher.
    pub(crate) from: Option<(u64, u16)>,
    /// The durable session whose will it is.
    pub(crate) will_of: Option<u64>,
    /// The retained store has taken it.
    pub(crate) retained: bool,
}

/// How far the broker is on its way down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Serving.
    Running,
    /// No new connections; the present ones finish.
    Draining,
    /// The deadline is over: everything ends where it stands.
    Aborting,
}

/// The shared state of the broker.
pub(crate) struct Core {
    /// Limits.
    pub settings: Settings,
    /// The outside.
    pub ports: Ports,
    /// Node name in events.
    pub node: Str,
    /// Sessions.
    pub registry: Registry,
    /// Subscriptions.
    pub subscribers: Subscribers,
    /// Retained messages.
    pub retained: RwLock<Retained>,
    /// Messages to be published later.
    pub delayed: Delayed,
    /// What clients' topics become.
    pub rewrites: Rewrites,
    /// Filters of the proxy subscriptions, with their QoS.
    pub proxy_subscriptions: Vec<(Template, Qos)>,
    /// Counters.
    pub counters: Counters,
    /// The highest values of the stats.
    pub peaks: Peaks,
    /// Due times.
    pub timers: Timers,
    /// The log of durable sessions; `None` when everything lives in memory.
    pub durable: Option<Arc<Durable>>,
    /// Alarms.
    pub alarms: AlarmStore,
    /// Traces to files.
    pub traces: Traces,
    /// What `$SYS` needs besides the numbers.
    pub sys: Sys,
    /// Whose queue was full last.
    pub last_drop: LastDrop,
    /// Where the broker is in its life.
    pub phase: watch::Sender<Phase>,
    /// Rings when a connection has let go of its session.
    pub detached: Notify,
    /// Rings when a connection is gone.
    pub gone: Notify,
    next_session_key: AtomicU64,
    started: Instant,
    /// When the broker started, milliseconds since the epoch.
    pub started_at_ms: i64,
}

impl Core {
    /// A core without connections.
    pub(crate) fn new(settings: Settings, ports: Ports, durable: Option<Arc<Durable>>) -> Result<Self, Error> {
        let proxies = settings.proxy_subscriptions.iter();
        Ok(Self {
            node: Str::new(&settings.node),
            started: ports.clock.instant(),
            started_at_ms: ports.clock.now_ms(),
            traces: Traces::open(&settings),
            subscribers: Subscribers::new(&settings),
            rewrites: Rewrites::compile(&settings)?,
            proxy_subscriptions: proxies.map(|proxy| (Template::parse(&proxy.filter), proxy.qos)).collect(),
            settings,
            ports,
            registry: Registry::default(),
            retained: RwLock::default(),
            delayed: Delayed::default(),
            counters: Counters::default(),
            peaks: Peaks::default(),
            timers: Timers::default(),
            durable,
            alarms: AlarmStore::default(),
            sys: Sys::default(),
            last_drop: LastDrop::default(),
            phase: watch::Sender::new(Phase::Running),
            detached: Notify::new(),
            gone: Notify::new(),
            next_session_key: AtomicU64::new(1),
        })
    }

    /// Milliseconds since the epoch.
    pub(crate) fn now_ms(&self) -> i64 {
        self.ports.clock.now_ms()
    }

    /// Milliseconds since the broker started, on a clock that never jumps.
    pub(crate) fn monotonic_ms(&self) -> i64 {
        let elapsed = self.ports.clock.instant().saturating_duration_since(self.started);
        i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
    }

    /// A session key that was never used.
    pub(crate) fn new_session_key(&self) -> u64 {
        self.next_session_key.fetch_add(1, Ordering::Relaxed)
    }

    /// Session keys below `key` are in use.
    pub(crate) fn skip_session_keys(&self, key: u64) {
        self.next_session_key.fetch_max(key, Ordering::Relaxed);
    }

    /// Asks the authorizer. Superusers are not asked about.
    pub(crate) async fn allows(&self, client: &ClientInfo, access: Access, topic: &str) -> bool {
        if !self.settings.acl {
            return true;
        }
        let allowed = client.is_superuser
            || match self.ports.authorize.authorize(client, access, topic) {
                Decision::Allow => true,
                Decision::Deny => false,
                Decision::Ask(answer) => answer.await,
            };
        self.emit_authorized(client, access, topic, allowed);
        allowed
    }

    /// A client was let in, or is gone: whoever does that too often is reported.
    pub(crate) fn state_changed(&self, client: &ClientInfo) {
        if let Some(measure) = self.settings.flapping {
            self.ports.authenticate.state_changed(client, measure);
        }
    }

    /// Takes an authorized message in: to the tap, the retained store and the subscribers.
    pub(crate) fn ingest(&self, message: Arc<Message>) -> Ingested {
        self.ingest_from(message, Source::default())
    }

    /// Like [`Core::ingest`], for a message the log has to know more about.
    pub(crate) fn ingest_from(&self, message: Arc<Message>, mut source: Source) -> Ingested {
        let admission = if self.ports.tap.wants(EventKind::MessagePublish) {
            self.ports.tap.emit(Event {
                kind: EventKind::MessagePublish,
                at_ms: message.received_at_ms,
                node: self.node.clone(),
                body: Body::Publish(message.clone()),
            })
        } else {
            Admission::Done
        };
        if message.retain {
            source.retained = self.retain(&message);
        }
        let routed = self.route(&message, source);
        let waits = Waits::new(admission, routed.stored);
        Ingested { receiver_count: routed.receiver_count, waits, pressed: routed.pressed }
    }

    /// Keeps a retained message, or clears its topic; `true`: the log is to know it.
    fn retain(&self, message: &Arc<Message>) -> bool {
        let stored = {
            let mut retained = self.retained.write();
            let count = retained.len();
            let stored = retained.store(message, self.settings.retained_limits());
            // The message that a refused one supersedes is gone all the same, and must not come back with a restart. Told
            // under the lock, so that a newer message of the topic comes after it in the log.
            let superseded = stored != router::Stored::Yes && retained.len() < count;
            if superseded && self.durable.as_ref().is_some_and(|durable| durable.retained) {
                self.tell(Record::Unretain { topics: vec![message.topic.clone()] });
            }
            // The lock must be gone before the stat asks for it again.
            stored
        };
        let refused = match stored {
            router::Stored::Yes => {
                self.counters.add(Metric::MessagesRetained, u64::from(!message.payload.is_empty()));
                self.stat(Stat::Retained);
                return true;
            }
            router::Stored::Full => Dropped::RetainedFull,
            router::Stored::TooLarge => Dropped::RetainedTooLarge,
        };
        self.counters.dropped(refused, 1);
        false
    }

    /// Gives a message to everybody who subscribes to its topic.
    pub(crate) fn route(&self, message: &Arc<Message>, source: Source) -> Routed {
        let publisher = message.publisher.as_ref().map(|info| info.client_id.as_str());
        let routes = self.subscribers.resolve(&message.topic, publisher, self.settings.match_visits_max);
        if routes.cut_short {
            self.counters.dropped(Dropped::MatchCutShort, 1);
        }
        let receiver_count = routes.receivers.len() + routes.groups.len();
        self.trace(message.publisher.as_deref(), Line::Routed(message, receiver_count));
        if receiver_count == 0 {
            // What the server says about itself is said to nobody in particular.
            if message.origin != Origin::System {
                self.drop_message(message, Dropped::NoSubscribers);
            }
            return Routed { receiver_count: 0, pressed: None, stored: self.record(message, Vec::new(), source) };
        }
        let outgoing = Arc::new(Outgoing::new(message.clone()));
        let mut pressed = None;
        let mut durable = Vec::new();
        for receiver in routes.receivers {
            if self.place(&receiver.session, receiver.delivery(&outgoing, None), &mut durable) {
                pressed = Some(receiver.session);
            }
        }
        for group in &routes.groups {
            match self.dispatch(group, &outgoing, Vec::new(), &mut durable) {
                Ok(member) => pressed = member.or(pressed),
                // The group loses its last member at this very moment.
                Err(()) => self.drop_message(message, Dropped::NoSubscribers),
            }
        }
        Routed { receiver_count, pressed, stored: self.record(message, durable, source) }
    }

    /// Puts a message into a session's queue and wakes its connection. `true` when the queue is more than half full and its
    /// client has kept up so far.
    pub(crate) fn deliver(&self, entry: &Entry, delivery: Delivery) -> bool {
        let inner = entry.inner.lock();
        if inner.ended { false } else { self.put(inner, delivery) }
    }

    /// Like [`Core::deliver`], but gives the message back rather than dropping one: the session is over or its queue full.
    pub(crate) fn offer(
        &self,
        entry: &Entry,
        delivery: Delivery,
        durable: &mut Vec<Receiver>,
    ) -> Result<bool, Delivery> {
        let inner = entry.inner.lock();
        if inner.ended || !inner.queue.has_room(delivery.cost_bytes(), self.queue_limits()) {
            return Err(delivery);
        }
        if entry.durable {
            drop(inner);
            return Ok(self.place(entry, delivery, durable));
        }
        Ok(self.put(inner, delivery))
    }

    fn put(&self, mut guard: MutexGuard<'_, Inner>, delivery: Delivery) -> bool {
        let inner = &mut *guard;
        inner.enqueued_count += 1;
        // What comes this way to a durable session is of QoS 0 and waits beside its queue.
        let queue = inner.kept.as_mut().map_or(&mut inner.queue, |kept| &mut kept.transient);
        let Some(link) = inner.link.clone() else {
            let info = inner.info.clone();
            if delivery.qos == Qos::AtMostOnce && !self.settings.queue_qos0_offline {
                drop(guard);
                self.drop_delivery(&delivery, &info, Dropped::Qos0Offline);
                return false;
            }
            let dropped = self.enqueue(queue, delivery);
            inner.dropped_count += dropped.len() as u64;
            drop(guard);
            dropped.iter().for_each(|delivery| self.drop_delivery(delivery, &info, Dropped::QueueFull));
            return false;
        };
        let was_empty = queue.is_empty();
        let dropped = self.enqueue(queue, delivery);
        inner.dropped_count += dropped.len() as u64;
        let pressed = self.is_half_full(queue) && !link.is_slow.load(Ordering::Relaxed);
        drop(guard);
        // A queue that was not empty has woken its connection already.
        if was_empty {
            link.notify.notify_one();
        }
        dropped.iter().for_each(|delivery| self.drop_delivery(delivery, &link.info, Dropped::QueueFull));
        pressed
    }

    fn enqueue(&self, queue: &mut Queue, delivery: Delivery) -> Vec<Delivery> {
        match self.settings.priority_of(&delivery.outgoing.message.topic) {
            0 => queue.push(delivery, self.queue_limits()),
            priority => queue.push_urgent(delivery, priority, self.queue_limits()),
        }
    }

    /// Whether a queue is so full that its publishers should wait a moment.
    pub(crate) fn is_half_full(&self, queue: &Queue) -> bool {
        queue.len() > self.settings.queue_messages_max / 2 || queue.bytes() > self.settings.queue_bytes_max / 2
    }

    /// Lets a client that is merely outrun catch up before its queue has to drop messages. One that does not within
    /// `publish_wait_ms` is slow and waited for no more: a consumer must not hold the publishers.
    pub(crate) async fn wait_for_relief(&self, entry: &Entry) {
        let link = {
            let inner = entry.inner.lock();
            inner.link.clone().filter(|link| self.is_half_full(&inner.queue) && !link.is_slow.load(Ordering::Relaxed))
        };
        let Some(link) = link else { return };
        let relief = link.relief.notified();
        // The relief may have come between the two lines above; whoever rings after this one is heard.
        if !self.is_half_full(&entry.inner.lock().queue) {
            return;
        }
        if tokio::time::timeout(Duration::from_millis(self.settings.publish_wait_ms), relief).await.is_err() {
            link.is_slow.store(true, Ordering::Relaxed);
        }
    }

    /// The bounds of every session's queue.
    pub(crate) fn queue_limits(&self) -> QueueLimits {
        QueueLimits {
            messages_max: self.settings.queue_messages_max,
            bytes_max: self.settings.queue_bytes_max,
            when_full: self.settings.queue_full,
        }
    }

    /// Counts and reports a message that did not reach one subscriber.
    pub(crate) fn drop_delivery(&self, delivery: &Delivery, receiver: &ClientInfo, reason: Dropped) {
        self.counters.dropped(reason, 1);
        if delivery.qos == Qos::ExactlyOnce {
            self.counters.add(Metric::MessagesQos2Dropped, 1);
            self.counters.add(Metric::MessagesQos2Expired, u64::from(reason == Dropped::Expired));
        }
        if reason == Dropped::QueueFull {
            self.last_drop.note(&receiver.client_id);
        }
        self.trace(Some(receiver), Line::Dropped(&delivery.outgoing.message, reason.name()));
        self.emit(EventKind::MessageDeliveryDropped, || {
            let mut fields = Fields::of_delivery(&delivery.outgoing.message, receiver);
            fields.put("reason", Value::text(reason.name()));
            fields
        });
    }

    /// Counts and reports a message that goes nowhere.
    pub(crate) fn drop_message(&self, message: &Message, reason: Dropped) {
        self.counters.dropped(reason, 1);
        self.counters.add(Metric::MessagesQos2Dropped, u64::from(message.qos == Qos::ExactlyOnce));
        self.trace(message.publisher.as_deref(), Line::Dropped(message, reason.name()));
        self.emit(EventKind::MessageDropped, || {
            let mut fields = Fields::of_message(message);
            fields.put("reason", Value::text(reason.name()));
            fields
        });
    }

    /// The connection `link` no longer serves `entry`: publishes the will when it is due, ends the session or lets it
    /// wait. `will_void`: the client took its leave properly [MQTT-3.14.4-3].
    pub(crate) fn connection_ended(self: &Arc<Self>, entry: &Arc<Entry>, link: &Arc<Link>, will_void: bool) {
        let (will_now, will_delay_secs, expiry_secs, epoch, left) = {
            let mut inner = entry.inner.lock();
            if !entry.detach(&mut inner, link) {
                return;
            }
            self.counters.clients.sub(1);
            if will_void {
                // That of a durable session is gone once the log has it.
                drop(inner.claim_will());
            }
            // A client that takes its session over is back at once: its messages wait for it.
            let stays = inner.expiry_secs > 0 && link.order() != Some(Reason::SESSION_TAKEN_OVER);
            let left = if stays { self.take_for_others(entry, &mut inner) } else { Vec::new() };
            if !self.settings.queue_qos0_offline {
                let inner = &mut *inner;
                let queue = inner.kept.as_mut().map_or(&mut inner.queue, |kept| &mut kept.transient);
                let dropped = queue.drop_qos0();
                dropped.iter().for_each(|delivery| self.drop_delivery(delivery, &link.info, Dropped::Qos0Offline));
            }
            let waits = !will_void && inner.kept.as_ref().is_none_or(|kept| !kept.will_claimed);
            let delay_secs = inner.will.as_ref().filter(|_| waits).map(|will| will.delay_secs.min(inner.expiry_secs));
            let will_now = if delay_secs == Some(0) { inner.claim_will() } else { None };
            (will_now, delay_secs.filter(|secs| *secs > 0), inner.expiry_secs, inner.epoch, left)
        };
        self.hand_on_or_keep(left, entry);
        if let Some(will) = will_now {
            self.publish_will(*will, will_of(entry));
        }
        if entry.durable {
            self.tell(Record::Detach { session: entry.key, at_ms: self.now_ms(), expiry_secs, will_void });
        }
        let now_ms = self.monotonic_ms();
        if let Some(secs) = will_delay_secs {
            self.timers.set(now_ms + i64::from(secs) * 1000, Timer::WillDelay(entry.clone(), epoch));
        }
        if expiry_secs == 0 {
            self.terminate(entry, "normal");
        } else {
            self.timers.set(now_ms + i64::from(expiry_secs) * 1000, Timer::SessionExpiry(entry.clone(), epoch));
        }
        self.detached.notify_waiters();
    }

    /// Ends a session: its subscriptions, its queue, its identity. A will that still waits is published now
    /// [MQTT-3.1.3-9].
    pub(crate) fn terminate(self: &Arc<Self>, entry: &Arc<Entry>, reason: &str) {
        let (filters, will, info, shared, mut waiting, inflight_count) = {
            let mut inner = entry.inner.lock();
            if inner.ended {
                return;
            }
            inner.ended = true;
            inner.set_expiry(0, &self.counters.persistent_sessions);
            let filters: Vec<Str> = inner.subscriptions.keys().cloned().collect();
            let is_shared = |delivery: &Delivery| delivery.ticket.is_some();
            let mut shared = inner.outbound.take_unacknowledged(is_shared);
            shared.extend(inner.queue.take_if(is_shared));
            let (mut waiting, mut inflight_count) = (Queue::default(), 0);
            // What a durable session holds is let go when the log has its end.
            if !entry.durable {
                inflight_count = inner.outbound.len();
                waiting = std::mem::take(&mut inner.queue);
                inner.outbound = Default::default();
                inner.subscriptions = Default::default();
            }
            (filters, inner.claim_will(), inner.info.clone(), shared, waiting, inflight_count)
        };
        self.registry.remove(entry);
        for filter in &filters {
            self.subscribers.remove(filter, entry);
            if !entry.durable {
                self.forget_subscription(filter);
            }
        }
        self.hand_on_all(shared, entry, &info, Dropped::SessionEnded);
        while let Some(delivery) = waiting.pop_front() {
            self.drop_delivery(&delivery, &info, Dropped::SessionEnded);
        }
        self.counters.dropped(Dropped::SessionEnded, inflight_count as u64);
        self.counters.add(Metric::SessionTerminated, 1);
        if let Some(will) = will {
            self.publish_will(*will, will_of(entry));
        }
        if entry.durable {
            self.tell(Record::End { session: entry.key });
        }
        self.emit_session(EventKind::SessionTerminated, &info, Some(reason));
    }

    /// Publishes a will if its client may still publish to the topic; asked again here because rights may have changed
    /// since CONNECT.
    pub(crate) fn publish_will(self: &Arc<Self>, will: Will, will_of: Option<u64>) {
        let mut message = will.message;
        message.received_at_ms = self.now_ms();
        message.id = MessageId::next(message.received_at_ms);
        if let Some(secs) = will.publish_delay_secs {
            // The right is asked for again when the message is due.
            self.delay(message, secs);
            if let Some(session) = will_of {
                self.tell(Record::WillDone { session });
            }
            return;
        }
        let decision = match &message.publisher {
            Some(info) if !info.is_superuser && self.settings.acl => {
                self.ports.authorize.authorize(info, Access::Publish, &message.topic)
            }
            _ => Decision::Allow,
        };
        match decision {
            Decision::Allow => self.publish_will_if(true, message, will_of),
            Decision::Deny => self.publish_will_if(false, message, will_of),
            Decision::Ask(answer) => {
                let core = self.clone();
                drop(model::task::spawn("broker-will", async move {
                    let allowed = answer.await;
                    core.publish_will_if(allowed, message, will_of);
                }));
            }
        }
    }

    fn publish_will_if(&self, allowed: bool, message: Message, will_of: Option<u64>) {
        if allowed {
            // Nobody is to be acknowledged: what it waits for has nobody to tell.
            drop(self.ingest_from(Arc::new(message), Source { will_of, ..Source::default() }));
            return;
        }
        if let Some(session) = will_of {
            self.tell(Record::WillDone { session });
        }
        self.drop_message(&message, Dropped::PublishDenied);
    }
}
