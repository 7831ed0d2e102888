//! What administrators do to clients. Each is written to the log, with the client's identifier escaped.

use std::sync::Arc;

use model::manage::ManageError;
use model::{EventKind, Qos, Str, validate_filter};

use crate::codec::{Properties, Reason, SubscribeOptions};
use crate::node::{Core, Source};
use crate::numbers::Dropped;
use crate::registry::Entry;
use crate::router::Outgoing;
use crate::session::Delivery;
use crate::subscribing::Added;
use crate::topics::{effective_filter, split_share};

impl Core {
    pub(super) fn kick(self: &Arc<Self>, client_id: &str) -> bool {
        let Some(entry) = self.registry.get(client_id) else { return false };
        tracing::info!(?client_id, "kicked by an administrator");
        let link = {
            let mut inner = entry.inner.lock();
            inner.set_expiry(0, &self.counters.persistent_sessions);
            inner.link.clone()
        };
        match link {
            Some(link) => link.end(Reason::ADMINISTRATIVE_ACTION),
            None => self.terminate(&entry, "kicked"),
        }
        true
    }

    pub(super) fn subscribe_for(&self, client_id: &str, filter: &str, qos: Qos) -> Result<(), ManageError> {
        validate_filter(filter).map_err(|error| ManageError::InvalidFilter(error.to_string()))?;
        if filter.chars().any(char::is_control) {
            return Err(ManageError::InvalidFilter("it has control characters".to_owned()));
        }
        let effective = effective_filter(filter);
        if effective.split('/').count() > self.settings.topic_levels_max {
            return Err(ManageError::InvalidFilter("it has more levels than mqtt.topic_levels_max".to_owned()));
        }
        let entry = self.registry.get(client_id).ok_or(ManageError::NoSuchClient)?;
        let (name, options) = (Str::new(filter), self.own_options(filter, SubscribeOptions::of_qos(qos)));
        match self.add_subscription(&entry, &name, options, None) {
            Added::New | Added::Replaced => {}
            Added::Full => return Err(ManageError::TooManySubscriptions),
            Added::Ended => return Err(ManageError::NoSuchClient),
        }
        tracing::info!(?client_id, ?filter, qos = qos as u8, "subscribed by an administrator");
        let info = entry.inner.lock().info.clone();
        self.emit_subscribed(EventKind::SessionSubscribed, &info, &[(name, qos as i64)], &Properties::default());
        if split_share(filter).is_none() {
            self.deliver_retained(&entry, filter, qos);
        }
        Ok(())
    }

    /// The client has no packet to hang retained messages on: they go through its queue, as far as a quarter of it goes,
    /// like those of a subscription of its own do.
    fn deliver_retained(&self, entry: &Arc<Entry>, filter: &str, qos: Qos) {
        let room = (self.settings.queue_messages_max / 4).max(1);
        let mut found = self.retained_matching(filter, room.saturating_add(1));
        if found.len() > room {
            found.truncate(room);
            self.counters.dropped(Dropped::RetainedBacklogFull, 1);
        }
        for message in found {
            let (qos, outgoing) = (message.qos.min(qos), Arc::new(Outgoing::new(message.clone())));
            let delivery = Delivery { qos, retain: true, identifiers: None, outgoing, ticket: None, number: 0 };
            let mut durable = Vec::new();
            self.place(entry, delivery, &mut durable);
            if !durable.is_empty() {
                // Nobody is acknowledged, so nobody waits for the log.
                drop(self.record(&message, durable, Source::default()));
            }
        }
    }

    pub(super) fn unsubscribe_for(&self, client_id: &str, filter: &str) -> Result<(), ManageError> {
        let entry = self.registry.get(client_id).ok_or(ManageError::NoSuchClient)?;
        let known = self.remove_subscription(&entry, filter).ok_or(ManageError::NoSuchSubscription)?;
        tracing::info!(?client_id, ?filter, "unsubscribed by an administrator");
        let info = entry.inner.lock().info.clone();
        let removed = [(Str::new(filter), known.options.qos as i64)];
        self.emit_subscribed(EventKind::SessionUnsubscribed, &info, &removed, &Properties::default());
        Ok(())
    }
}
