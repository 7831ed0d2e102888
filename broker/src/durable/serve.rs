//! What the serving path does with the log: hands records in, and carries out what the state says.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::ports::{Sample, SampleKind};
use model::{ClientInfo, Message, Qos};
use tokio::sync::oneshot;

use super::record::{Attach, Publish, Receiver, Record};
use super::recover::Recovered;
use super::{Durable, Effect, Stored, Unstored};
use crate::node::{Core, Source};
use crate::numbers::Dropped;
use crate::registry::{Entry, Will};
use crate::router::RetainedLimits;
use crate::session::Delivery;

impl Core {
    /// Whether the session of this client is to be durable.
    pub(crate) fn keeps(&self, info: &ClientInfo) -> bool {
        info.session_expiry_secs > 0 && self.durable.as_ref().is_some_and(|durable| durable.sessions)
    }

    /// Hands in a record that somebody waits for. Without a log there is nothing to wait for.
    pub(crate) fn submit(&self, record: Record) -> Option<oneshot::Receiver<Stored>> {
        Some(self.durable.as_ref()?.intake.submit(record, None))
    }

    /// Hands in a record that nobody waits for.
    pub(crate) fn tell(&self, record: Record) {
        if let Some(durable) = &self.durable {
            durable.intake.tell(record);
        }
    }

    /// Hands in a record and waits until it is durable.
    pub(crate) async fn store(&self, record: Record) -> Stored {
        match self.submit(record) {
            Some(stored) => stored.await.unwrap_or(Err(Unstored::Unknown)),
            None => Ok(()),
        }
    }

    /// An exchange with the client of a durable session is over.
    pub(crate) fn note_acknowledged(&self, entry: &Entry, packet_id: u16) {
        if let Some(durable) = self.durable.as_ref().filter(|_| entry.durable) {
            durable.intake.acknowledge(entry.key, packet_id);
        }
    }

    /// Waits until everything handed in before is durable.
    pub(crate) async fn barrier(&self) -> Stored {
        self.store(Record::Tick { at_ms: self.now_ms() }).await
    }

    /// Waits until publishers may hand more in.
    pub(crate) async fn room_in_log(&self) {
        if let Some(durable) = &self.durable {
            durable.intake.room().await;
        }
    }

    /// Records that a connection has taken a durable session up.
    pub(crate) async fn store_attach(
        &self,
        entry: &Arc<Entry>,
        info: &Arc<ClientInfo>,
        window: u16,
        will: Option<Box<Will>>,
    ) -> Stored {
        match self.submit_attach(entry, info, window, will) {
            Some(stored) => stored.await.unwrap_or(Err(Unstored::Unknown)),
            None => Ok(()),
        }
    }

    /// The first half of [`Core::store_attach`].
    pub(crate) fn submit_attach(
        &self,
        entry: &Arc<Entry>,
        info: &Arc<ClientInfo>,
        window: u16,
        will: Option<Box<Will>>,
    ) -> Option<oneshot::Receiver<Stored>> {
        let durable = self.durable.as_ref()?;
        // Not whether the session was there: a connection may take over from one whose beginning the log then refuses.
        let is_new = !has_begun(entry);
        let attach = Attach {
            session: entry.key,
            is_new,
            info: info.clone(),
            at_ms: self.now_ms(),
            window,
            limits: self.queue_limits(),
            will,
        };
        let begins = is_new.then(|| entry.clone());
        Some(durable.intake.submit(Record::Attach(Box::new(attach)), begins))
    }

    /// Gives a message to a session: a durable one gets what is of QoS 1 and 2 by way of the log, with all the others in
    /// `durable`. `true`: its publishers should wait a moment.
    pub(crate) fn place(&self, entry: &Entry, delivery: Delivery, durable: &mut Vec<Receiver>) -> bool {
        if !entry.durable || delivery.qos == Qos::AtMostOnce {
            return self.deliver(entry, delivery);
        }
        let Delivery { qos, retain, identifiers, .. } = delivery;
        durable.push(Receiver { session: entry.key, qos, retain, identifiers });
        self.is_pressed(entry)
    }

    /// Writes down what durable sessions get, and what is retained. What promises nothing makes no record.
    pub(crate) fn record(
        &self,
        message: &Arc<Message>,
        receivers: Vec<Receiver>,
        source: Source,
    ) -> Option<oneshot::Receiver<Stored>> {
        let durable = self.durable.as_ref()?;
        let retained = source.retained && durable.retained;
        if receivers.is_empty() && !retained {
            if let Some(session) = source.will_of {
                self.tell(Record::WillDone { session });
            }
            return None;
        }
        let Source { from, will_of, .. } = source;
        let publish = Publish { message: message.clone(), receivers, from, will_of, retained };
        let record = Record::Publish(Box::new(publish));
        if message.qos == Qos::AtMostOnce {
            // Nobody is to be acknowledged.
            durable.intake.tell(record);
            return None;
        }
        Some(durable.intake.submit(record, None))
    }

    /// Counts a message for a durable session. Whether its queue is more than half full and its client has kept up so far.
    fn is_pressed(&self, entry: &Entry) -> bool {
        let mut inner = entry.inner.lock();
        inner.enqueued_count += 1;
        let keeps_up = inner.link.as_ref().is_some_and(|link| !link.is_slow.load(Ordering::Relaxed));
        keeps_up && self.is_half_full(&inner.queue)
    }

    /// Takes a session back that never came to be.
    pub(crate) fn abandon(&self, entry: &Entry) {
        {
            let mut inner = entry.inner.lock();
            inner.ended = true;
            inner.set_expiry(0, &self.counters.persistent_sessions);
        }
        self.registry.remove(entry);
    }

    /// Does what follows from changes of the durable state.
    pub(crate) fn carry_out(&self, effects: &mut Vec<Effect>) {
        for effect in effects.drain(..) {
            match effect {
                Effect::Wake(entry) => {
                    if let Some(link) = &entry.inner.lock().link {
                        link.notify.notify_one();
                    }
                }
                Effect::Dropped(entry, delivery) => {
                    let info = {
                        let mut inner = entry.inner.lock();
                        inner.dropped_count += 1;
                        inner.info.clone()
                    };
                    self.drop_delivery(&delivery, &info, Dropped::QueueFull);
                }
                Effect::Subscribed(entry, filter, subscribed, is_new) => {
                    if is_new {
                        self.count_subscription(&filter);
                    }
                    self.subscribers.add(&filter, &entry, subscribed.options, subscribed.identifier);
                    // A session that ended meanwhile has taken its subscriptions away, and this one came after.
                    if entry.inner.lock().ended {
                        self.subscribers.remove(&filter, &entry);
                    }
                }
                Effect::Unsubscribed(entry, filter) => {
                    drop(self.subscribers.remove(&filter, &entry));
                    self.forget_subscription(&filter);
                }
                Effect::Ended(entry, waiting_count) => {
                    let subscriptions = std::mem::take(&mut entry.inner.lock().subscriptions);
                    for filter in subscriptions.keys() {
                        self.subscribers.remove(filter, &entry);
                        self.forget_subscription(filter);
                    }
                    self.counters.dropped(Dropped::SessionEnded, waiting_count as u64);
                }
            }
        }
    }

    /// Puts the retained messages of the last life back.
    pub(crate) fn adopt_retained(&self, recovered: &Recovered) {
        let mut retained = self.retained.write();
        // What was taken once is not refused because a bound was lowered meanwhile.
        let limits = RetainedLimits {
            messages_max: usize::MAX,
            bytes_max: usize::MAX,
            payload_bytes_max: usize::MAX,
            ..self.settings.retained_limits()
        };
        for message in &recovered.retained {
            retained.store(message, limits);
        }
        for (topic, message) in recovered.state.retained_changes() {
            match message {
                Some(message) => drop(retained.store(message, limits)),
                None => retained.remove(topic),
            }
        }
        retained.expire(self.now_ms());
    }
}

impl Durable {
    /// Appends everything the log has to report.
    pub(crate) fn collect(&self, now_ms: i64, out: &mut Vec<Sample>) {
        use std::sync::atomic::Ordering::Relaxed;
        let report = &self.intake.report;
        let mut one = |name, help, kind, value: u64| {
            out.push(Sample { name, help, kind, labels: Vec::new(), value: value as f64 });
        };
        let (total, gauge) = (SampleKind::Counter, SampleKind::Gauge);
        one("broker_log_appends_total", "Batches appended to the session log.", total, report.appends.load(Relaxed));
        one("broker_log_records_total", "Records appended to the session log.", total, report.records.load(Relaxed));
        one(
            "broker_log_refused_total",
            "Records refused because the session log was at its bound or the disk full.",
            total,
            report.refused_full.load(Relaxed),
        );
        one("broker_log_failures_total", "Appends and snapshots that failed.", total, report.failures.load(Relaxed));
        one(
            "broker_log_bytes",
            "Bytes of the session log that no snapshot covers.",
            gauge,
            report.log_bytes.load(Relaxed),
        );
        one(
            "broker_log_entries_since_snapshot",
            "Records of the session log that no snapshot covers.",
            gauge,
            report.log_records.load(Relaxed),
        );
        let age_ms = now_ms.unsigned_abs().saturating_sub(report.snapshot_at_ms.load(Relaxed));
        one(
            "broker_snapshot_age_seconds",
            "Time since the last snapshot of the sessions, or since the start.",
            gauge,
            age_ms / 1000,
        );
        one("broker_snapshots_total", "Snapshots of the sessions.", total, report.snapshots.load(Relaxed));
    }
}

/// Whether the log has the beginning of a durable session.
pub(crate) fn has_begun(entry: &Entry) -> bool {
    entry.inner.lock().kept.as_ref().is_some_and(|kept| kept.begun)
}

/// The session whose will the log has to strike out.
pub(crate) fn will_of(entry: &Entry) -> Option<u64> {
    entry.durable.then_some(entry.key)
}
