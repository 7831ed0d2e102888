//! SUBSCRIBE from the client.

use std::sync::Arc;

use model::ports::Access;
use model::{EventKind, Message, ProtocolVersion, Str, validate_filter};

use super::Connection;
use super::end::End;
use crate::codec::{Error, Filter, Packet, Properties, Reason, RetainHandling, Suback, Subscribe, SubscribeOptions};
use crate::durable::{Record, Unstored};
use crate::numbers::{Dropped, Metric};
use crate::registry::Subscribed;
use crate::router::Outgoing;
use crate::session::Delivery;
use crate::subscribing::Added;
use crate::topics::effective_filter;
use crate::trace::Line;

/// A subscription that was not refused.
struct Wanted {
    filter: Str,
    subscribed: Subscribed,
    is_new: bool,
}

/// Why a subscription was not made.
enum Unmade {
    /// The client may not subscribe to that.
    Denied,
    /// It cannot be made.
    Refused(Reason),
}

impl Connection {
    pub(super) async fn handle_subscribe(&mut self, packet: Subscribe) -> Result<(), End> {
        if packet.filters.len() > self.core.settings.filters_per_packet_max {
            return Err(Error::with(Reason::QUOTA_EXCEEDED, "more filters than filters_per_packet_max").into());
        }
        self.core.counters.add(Metric::ClientSubscribe, packet.filters.len() as u64);
        let identifier = packet.identifier();
        let asked = packet.filters.iter().map(|Filter { filter, options }| (filter.as_str(), options.qos));
        self.core.emit_asked(EventKind::ClientSubscribe, &self.info, asked, &packet.properties);
        let mut reasons = Vec::with_capacity(packet.filters.len());
        let mut granted = Vec::new();
        let mut wanted: Vec<Wanted> = Vec::new();
        for Filter { filter, options } in packet.filters {
            let Ok(filter) = self.core.rewrites.filter(&filter, &self.info) else {
                reasons.push(Reason::TOPIC_FILTER_INVALID);
                continue;
            };
            let options = self.core.own_options(&filter, options);
            let outcome = self.subscribe_one(&filter, Subscribed { options, identifier }, &wanted).await;
            reasons.push(match outcome {
                Ok(is_new) => {
                    wanted.push(Wanted { filter, subscribed: Subscribed { options, identifier }, is_new });
                    Reason(options.qos as u8)
                }
                Err(Unmade::Denied) => {
                    self.denied()?;
                    Reason(self.core.settings.subscribe_refused_code)
                }
                Err(Unmade::Refused(reason)) => reason,
            });
        }
        if self.entry.durable && !wanted.is_empty() && !self.store_subscriptions(&wanted).await? {
            let refuse = |reason: &Reason| if reason.is_error() { *reason } else { Reason::QUOTA_EXCEEDED };
            reasons = reasons.iter().map(refuse).collect();
            wanted.clear();
        }
        for Wanted { filter, subscribed, is_new } in wanted {
            self.want_retained(&filter, subscribed, is_new);
            granted.push((filter, subscribed.options.qos as i64));
        }
        self.core.emit_subscribed(EventKind::SessionSubscribed, &self.info, &granted, &packet.properties);
        let packet_id = packet.packet_id;
        self.send(&Packet::Suback(Suback { packet_id, properties: Properties::default(), reasons }))
    }

    /// Makes the subscriptions that every client gets by connecting (manual §5.18.2), where it may have them and has not
    /// subscribed to the same filter itself.
    pub(super) async fn subscribe_by_proxy(&mut self) {
        let core = self.core.clone();
        for (template, qos) in &core.proxy_subscriptions {
            let Some(filter) = template.fill(None, &self.info).filter(|filter| validate_filter(filter).is_ok()) else {
                tracing::debug!(client_id = ?self.info.client_id, "no proxy subscription: the client has no fitting name");
                continue;
            };
            let filter = Str::from(filter);
            if self.entry.inner.lock().subscriptions.contains_key(&filter) {
                continue;
            }
            let options = self.core.own_options(&filter, SubscribeOptions::of_qos(*qos));
            let subscribed = Subscribed { options, identifier: None };
            // Not the client's wish: being denied it is no fault of its own.
            let Ok(is_new) = self.subscribe_one(&filter, subscribed, &[]).await else { continue };
            let wanted = [Wanted { filter: filter.clone(), subscribed, is_new }];
            // A client whose log is full connects all the same; the next connection makes the subscription up.
            if self.entry.durable && !self.store_subscriptions(&wanted).await.is_ok_and(|stored| stored) {
                continue;
            }
            self.want_retained(&filter, subscribed, is_new);
            let made = [(filter, *qos as i64)];
            core.emit_subscribed(EventKind::SessionSubscribed, &self.info, &made, &Properties::default());
        }
    }

    /// Writes the subscriptions of a durable session down; they count from the moment the log has them. `false`: there is
    /// no room.
    async fn store_subscriptions(&self, wanted: &[Wanted]) -> Result<bool, End> {
        let subscriptions = wanted.iter().map(|wanted| (wanted.filter.clone(), wanted.subscribed)).collect();
        match self.core.store(Record::Subscribe { session: self.entry.key, subscriptions }).await {
            Ok(()) => Ok(true),
            Err(Unstored::Full) => Ok(false),
            Err(Unstored::Unknown) => Err(End::Server(Reason::IMPLEMENTATION_SPECIFIC_ERROR)),
        }
    }

    /// Takes one subscription in, after `before` of the same packet; `true`: it is new. That of a durable session is not in
    /// force yet.
    async fn subscribe_one(&mut self, filter: &Str, subscribed: Subscribed, before: &[Wanted]) -> Result<bool, Unmade> {
        let effective = effective_filter(filter);
        if effective.split('/').count() > self.core.settings.topic_levels_max {
            return Err(Unmade::Refused(Reason::TOPIC_FILTER_INVALID));
        }
        if !self.allows(Access::Subscribe, effective).await {
            tracing::debug!(client_id = ?self.info.client_id, ?filter, "subscribe denied");
            self.core.trace(Some(&self.info), Line::Denied("subscribe", filter));
            return Err(Unmade::Denied);
        }
        if self.entry.durable {
            let coming = before.iter().map(|wanted| &wanted.filter);
            return self.core.check_subscription(&self.entry, filter, coming).map_err(Unmade::Refused);
        }
        match self.core.add_subscription(&self.entry, filter, subscribed.options, subscribed.identifier) {
            Added::New => Ok(true),
            Added::Replaced => Ok(false),
            Added::Full | Added::Ended => Err(Unmade::Refused(Reason::QUOTA_EXCEEDED)),
        }
    }

    fn want_retained(&mut self, filter: &Str, subscribed: Subscribed, is_new: bool) {
        let wants_retained = match subscribed.options.retain_handling {
            RetainHandling::Always => true,
            RetainHandling::IfNew => is_new,
            RetainHandling::Never => false,
        };
        // Shared subscriptions get no retained messages (MQTT 5.0 §4.8.2).
        if wants_retained && effective_filter(filter).len() == filter.len() {
            self.take_retained(filter, subscribed.options, subscribed.identifier);
        }
    }

    /// Puts the retained messages of `filter` on their way. They enter the queue as it has room, so that a subscription to
    /// everything does not push live messages out.
    fn take_retained(&mut self, filter: &str, options: SubscribeOptions, identifier: Option<u32>) {
        let room = self.core.settings.retained_backlog_max.saturating_sub(self.retained_backlog.len());
        let mut found: Vec<Arc<Message>> = self.core.retained_matching(filter, room.saturating_add(1));
        if found.len() > room {
            found.truncate(room);
            self.core.counters.dropped(Dropped::RetainedBacklogFull, 1);
        }
        let own = |message: &Message| {
            let publisher = message.publisher.as_ref().map(|info| info.client_id.as_str());
            options.no_local && publisher == Some(&*self.entry.client_id)
        };
        let v5 = self.version == ProtocolVersion::V5;
        let deliveries = found.into_iter().filter(|message| !own(message)).map(|message| Delivery {
            qos: message.qos.min(options.qos),
            retain: true,
            identifiers: identifier.filter(|_| v5).map(|id| Box::from([id])),
            outgoing: Arc::new(Outgoing::new(message)),
            ticket: None,
            number: 0,
        });
        self.retained_backlog.extend(deliveries);
    }
}
