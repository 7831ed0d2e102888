//! What all connections share, and what is done to messages and sessions no matter who asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use model::ports::{Access, Admission, Authenticate, Authorize, Decision, EventTap};
use model::{Body, ClientInfo, Clock, Event, EventKind, Message, MessageId, Qos, Str, Value};
use parking_lot::{MutexGuard, RwLock};
use tokio::sync::{Notify, watch};

use crate::codec::Reason;
use crate::error::Error;
use crate::events::Fields;
use crate::numbers::{Counters, Dropped, Metric, Peaks, Stat};
use crate::registry::{Entry, Inner, Link, Registry, Will};
use crate::router::{Delayed, Outgoing, Retained, Stored, Subscribers};
use crate::session::Delivery;
use crate::settings::Settings;
use crate::timers::{Timer, Timers};
use crate::topics::{Rewrites, Template};
use crate::zone::Zone;

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

/// What became of a message that was taken in.
pub(crate) struct Ingested {
    /// Sessions it was routed to.
    pub(crate) receiver_count: usize,
    /// What the publisher's acknowledgement has to wait for.
    pub(crate) admission: Admission,
    /// A receiver that is about to be outrun; see [`Core::wait_for_relief`].
    pub(crate) pressed: Option<Arc<Entry>>,
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
    /// Zones; the first is the one of listeners that name none.
    zones: Vec<Arc<Zone>>,
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
    /// Where the broker is in its life.
    pub phase: watch::Sender<Phase>,
    /// Rings when a connection has let go of its session.
    pub detached: Notify,
    /// Rings when a connection is gone.
    pub gone: Notify,
    next_session_key: AtomicU64,
    started: Instant,
}

impl Core {
    /// A core without connections.
    pub(crate) fn new(settings: Settings, ports: Ports) -> Result<Self, Error> {
        let proxies = settings.proxy_subscriptions.iter();
        Ok(Self {
            node: Str::new(&settings.node),
            zones: std::iter::once(&settings.zone).chain(&settings.zones).cloned().map(Arc::new).collect(),
            started: ports.clock.instant(),
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
            phase: watch::Sender::new(Phase::Running),
            detached: Notify::new(),
            gone: Notify::new(),
            next_session_key: AtomicU64::new(1),
        })
    }

    /// A zone by its name; `None` when there is none of that name.
    pub(crate) fn zone(&self, name: &str) -> Option<&Arc<Zone>> {
        self.zones.iter().find(|zone| zone.name == name)
    }

    /// Whether clients of `zone` may publish retained messages.
    pub(crate) fn retain_available(&self, zone: &Zone) -> bool {
        zone.retain_available && self.settings.retained_messages_max > 0
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

    /// Asks the authorizer. Superusers are not asked about.
    pub(crate) async fn allows(&self, client: &ClientInfo, access: Access, topic: &str) -> bool {
        if client.is_superuser {
            return true;
        }
        match self.ports.authorize.authorize(client, access, topic) {
            Decision::Allow => true,
            Decision::Deny => false,
            Decision::Ask(answer) => answer.await,
        }
    }

    /// Takes an authorized message in: to the tap, the retained store and the subscribers.
    pub(crate) fn ingest(&self, message: Arc<Message>) -> Ingested {
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
            let (count_max, bytes_max) = (self.settings.retained_messages_max, self.settings.retained_bytes_max);
            // The lock must be gone before the stat asks for it again.
            let stored = self.retained.write().store(&message, count_max, bytes_max);
            match stored {
                Stored::Full => self.counters.dropped(Dropped::RetainedFull, 1),
                Stored::Yes => {
                    self.counters.add(Metric::MessagesRetained, u64::from(!message.payload.is_empty()));
                    self.stat(Stat::Retained);
                }
            }
        }
        let (receiver_count, pressed) = self.route(&message);
        Ingested { receiver_count, admission, pressed }
    }

    fn route(&self, message: &Arc<Message>) -> (usize, Option<Arc<Entry>>) {
        let publisher = message.publisher.as_ref().map(|info| info.client_id.as_str());
        let routes = self.subscribers.resolve(&message.topic, publisher, self.settings.match_visits_max);
        if routes.cut_short {
            self.counters.dropped(Dropped::MatchCutShort, 1);
        }
        if routes.receivers.is_empty() && routes.groups.is_empty() {
            self.drop_message(message, Dropped::NoSubscribers);
            return (0, None);
        }
        let outgoing = Arc::new(Outgoing::new(message.clone()));
        let mut pressed = None;
        let receiver_count = routes.receivers.len() + routes.groups.len();
        for receiver in routes.receivers {
            if self.deliver(&receiver.session, receiver.delivery(&outgoing, None)) {
                pressed = Some(receiver.session);
            }
        }
        for group in &routes.groups {
            // A group that nobody is left in loses its last member at this very moment.
            pressed = self.dispatch(group, &outgoing, Vec::new()).ok().flatten().or(pressed);
        }
        (receiver_count, pressed)
    }

    /// Puts a message into a session's queue and wakes its connection. `true` when the queue is more than half full and its
    /// client has kept up so far.
    pub(crate) fn deliver(&self, entry: &Entry, delivery: Delivery) -> bool {
        let inner = entry.inner.lock();
        if inner.ended { false } else { self.put(inner, delivery) }
    }

    /// Like [`Core::deliver`], but gives the message back rather than dropping one: the session is over or its queue full.
    pub(crate) fn offer(&self, entry: &Entry, delivery: Delivery) -> Result<bool, Delivery> {
        let inner = entry.inner.lock();
        if inner.ended || !inner.queue.has_room(delivery.cost_bytes(), inner.zone.queue_limits()) {
            return Err(delivery);
        }
        Ok(self.put(inner, delivery))
    }

    fn put(&self, mut inner: MutexGuard<'_, Inner>, delivery: Delivery) -> bool {
        inner.enqueued_count += 1;
        let Some(link) = inner.link.clone() else {
            let info = inner.info.clone();
            if delivery.qos == Qos::AtMostOnce && !inner.zone.queue_qos0_offline {
                drop(inner);
                self.drop_delivery(&delivery, &info, Dropped::Qos0Offline);
                return false;
            }
            let limits = inner.zone.queue_limits();
            let dropped = inner.queue.push(delivery, limits);
            inner.dropped_count += dropped.len() as u64;
            drop(inner);
            dropped.iter().for_each(|delivery| self.drop_delivery(delivery, &info, Dropped::QueueFull));
            return false;
        };
        let was_empty = inner.queue.is_empty();
        let limits = inner.zone.queue_limits();
        let dropped = inner.queue.push(delivery, limits);
        inner.dropped_count += dropped.len() as u64;
        let pressed = inner.is_half_full() && !link.is_slow.load(Ordering::Relaxed);
        drop(inner);
        // A queue that was not empty has woken its connection already.
        if was_empty {
            link.notify.notify_one();
        }
        dropped.iter().for_each(|delivery| self.drop_delivery(delivery, &link.info, Dropped::QueueFull));
        pressed
    }

    /// Lets a client that is merely outrun catch up before its queue has to drop messages. One that does not within
    /// `publish_wait_ms` is slow and waited for no more: a consumer must not hold the publishers.
    pub(crate) async fn wait_for_relief(&self, entry: &Entry) {
        let link = {
            let inner = entry.inner.lock();
            inner.link.clone().filter(|link| inner.is_half_full() && !link.is_slow.load(Ordering::Relaxed))
        };
        let Some(link) = link else { return };
        let relief = link.relief.notified();
        // The relief may have come between the two lines above; whoever rings after this one is heard.
        if !entry.inner.lock().is_half_full() {
            return;
        }
        if tokio::time::timeout(Duration::from_millis(self.settings.publish_wait_ms), relief).await.is_err() {
            link.is_slow.store(true, Ordering::Relaxed);
        }
    }

    /// Counts and reports a message that did not reach one subscriber.
    pub(crate) fn drop_delivery(&self, delivery: &Delivery, receiver: &ClientInfo, reason: Dropped) {
        self.counters.dropped(reason, 1);
        if delivery.qos == Qos::ExactlyOnce {
            self.counters.add(Metric::MessagesQos2Dropped, 1);
            self.counters.add(Metric::MessagesQos2Expired, u64::from(reason == Dropped::Expired));
        }
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
                inner.will = None;
            }
            // A client that takes its session over is back at once: its messages wait for it.
            let stays = inner.expiry_secs > 0 && link.order() != Some(Reason::SESSION_TAKEN_OVER);
            let left = if stays { self.take_for_others(entry, &mut inner) } else { Vec::new() };
            if !inner.zone.queue_qos0_offline {
                let dropped = inner.queue.drop_qos0();
                self.counters.dropped(Dropped::Qos0Offline, dropped as u64);
            }
            let delay_secs = inner.will.as_ref().map(|will| will.delay_secs.min(inner.expiry_secs));
            let will_now = if delay_secs == Some(0) { inner.will.take() } else { None };
            (will_now, delay_secs.filter(|secs| *secs > 0), inner.expiry_secs, inner.epoch, left)
        };
        self.hand_on_or_keep(left, entry);
        if let Some(will) = will_now {
            self.publish_will(*will);
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
        let (subscriptions, will, info, shared, waiting) = {
            let mut inner = entry.inner.lock();
            if inner.ended {
                return;
            }
            inner.ended = true;
            inner.set_expiry(0, &self.counters.persistent_sessions);
            let is_shared = |delivery: &Delivery| delivery.ticket.is_some();
            let mut shared = inner.outbound.take_unacknowledged(is_shared);
            shared.extend(inner.queue.take_if(is_shared));
            let waiting = inner.queue.len() + inner.outbound.len();
            inner.queue = Default::default();
            inner.outbound = Default::default();
            (std::mem::take(&mut inner.subscriptions), inner.will.take(), inner.info.clone(), shared, waiting)
        };
        self.registry.remove(entry);
        for filter in subscriptions.keys() {
            self.subscribers.remove(filter, entry);
            self.forget_subscription(filter);
        }
        self.hand_on_all(shared, entry, &info, Dropped::SessionEnded);
        self.counters.dropped(Dropped::SessionEnded, waiting as u64);
        self.counters.add(Metric::SessionTerminated, 1);
        if let Some(will) = will {
            self.publish_will(*will);
        }
        self.emit_session(EventKind::SessionTerminated, &info, Some(reason));
    }

    /// Publishes a will if its client may still publish to the topic; asked again here because rights may have changed
    /// since CONNECT.
    pub(crate) fn publish_will(self: &Arc<Self>, will: Will) {
        let mut message = will.message;
        message.received_at_ms = self.now_ms();
        message.id = MessageId::next(message.received_at_ms);
        if let Some(secs) = will.publish_delay_secs {
            // The right is asked for again when the message is due.
            self.delay(message, secs);
            return;
        }
        let decision = match &message.publisher {
            Some(info) if !info.is_superuser => self.ports.authorize.authorize(info, Access::Publish, &message.topic),
            _ => Decision::Allow,
        };
        match decision {
            Decision::Allow => self.publish_will_if(true, message),
            Decision::Deny => self.publish_will_if(false, message),
            Decision::Ask(answer) => {
                let core = self.clone();
                drop(model::task::spawn("broker-will", async move {
                    let allowed = answer.await;
                    core.publish_will_if(allowed, message);
                }));
            }
        }
    }

    fn publish_will_if(&self, allowed: bool, message: Message) {
        if allowed {
            // Nobody is to be acknowledged: the admission has nobody to tell.
            drop(self.ingest(Arc::new(message)));
        } else {
            self.drop_message(&message, Dropped::PublishDenied);
        }
    }
}
