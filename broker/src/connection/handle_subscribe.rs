//! SUBSCRIBE from the client.

use std::sync::Arc;

use model::ports::Access;
use model::{EventKind, Message, ProtocolVersion, Str, validate_filter};

use super::Connection;
use super::end::End;
use crate::codec::{Error, Filter, Packet, Properties, Reason, RetainHandling, Suback, Subscribe, SubscribeOptions};
use crate::numbers::{Dropped, Metric};
use crate::router::Outgoing;
use crate::session::Delivery;
use crate::subscribing::Added;
use crate::topics::effective_filter;

impl Connection {
    pub(super) async fn handle_subscribe(&mut self, packet: Subscribe) -> Result<(), End> {
        if packet.filters.len() > self.zone.filters_per_packet_max {
            return Err(Error::with(Reason::QUOTA_EXCEEDED, "more filters than filters_per_packet_max").into());
        }
        self.core.counters.add(Metric::ClientSubscribe, packet.filters.len() as u64);
        let identifier = packet.identifier();
        let mut reasons = Vec::with_capacity(packet.filters.len());
        let mut granted = Vec::new();
        for Filter { filter, options } in packet.filters {
            let Ok(filter) = self.core.rewrites.filter(&filter, &self.info) else {
                reasons.push(Reason::TOPIC_FILTER_INVALID);
                continue;
            };
            let reason = self.subscribe_one(&filter, options, identifier).await;
            if !reason.is_error() {
                granted.push((filter, i64::from(reason.0)));
            }
            reasons.push(reason);
        }
        self.core.emit_subscriptions(EventKind::ClientSubscribe, EventKind::SessionSubscribed, &self.info, &granted);
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
            let reason = self.subscribe_one(&filter, SubscribeOptions::of_qos(*qos), None).await;
            if !reason.is_error() {
                core.emit_subscribed(&self.info, &filter, i64::from(reason.0));
            }
        }
    }

    async fn subscribe_one(&mut self, filter: &Str, mut options: SubscribeOptions, identifier: Option<u32>) -> Reason {
        options.qos = options.qos.min(self.zone.qos_max);
        let effective = effective_filter(filter);
        let is_shared = effective.len() < filter.len();
        if let Some(reason) = self.zone.refuses(is_shared, effective) {
            return reason;
        }
        if !self.core.allows(&self.info, Access::Subscribe, effective).await {
            tracing::debug!(client_id = ?self.info.client_id, ?filter, "subscribe denied");
            return Reason(self.zone.subscribe_refused_code);
        }
        let is_new = match self.core.add_subscription(&self.entry, filter, options, identifier) {
            Added::New => true,
            Added::Replaced => false,
            Added::Full | Added::Ended => return Reason::QUOTA_EXCEEDED,
        };
        let wants_retained = match options.retain_handling {
            RetainHandling::Always => true,
            RetainHandling::IfNew => is_new,
            RetainHandling::Never => false,
        };
        // Shared subscriptions get no retained messages (MQTT 5.0 §4.8.2).
        if wants_retained && !is_shared {
            self.take_retained(filter, options, identifier);
        }
        Reason(options.qos as u8)
    }

    /// Puts the retained messages of `filter` on their way. They enter the queue as it has room, so that a subscription to
    /// everything does not push live messages out.
    fn take_retained(&mut self, filter: &str, options: SubscribeOptions, identifier: Option<u32>) {
        let room = self.zone.retained_backlog_max.saturating_sub(self.retained_backlog.len());
        let mut found: Vec<Arc<Message>> = self.core.retained.read().matching(filter, room.saturating_add(1));
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
        });
        self.retained_backlog.extend(deliveries);
    }
}
