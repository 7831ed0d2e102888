//! UNSUBSCRIBE from the client.

use model::{EventKind, Str};

use super::Connection;
use super::end::End;
use crate::codec::{Error, Packet, Properties, Reason, Unsuback, Unsubscribe};
use crate::durable::Record;
use crate::numbers::Metric;
use crate::topics::BadTopic;

impl Connection {
    pub(super) async fn handle_unsubscribe(&mut self, packet: Unsubscribe) -> Result<(), End> {
        if packet.filters.len() > self.core.settings.filters_per_packet_max {
            return Err(Error::with(Reason::QUOTA_EXCEEDED, "more filters than filters_per_packet_max").into());
        }
        self.core.counters.add(Metric::ClientUnsubscribe, packet.filters.len() as u64);
        // The QoS of what is unsubscribed is the session's to know; the packet says none.
        let asked = packet.filters.iter().map(|filter| (filter.as_str(), model::Qos::AtMostOnce));
        self.core.emit_asked(EventKind::ClientUnsubscribe, &self.info, asked, &packet.properties);
        let mut reasons = Vec::with_capacity(packet.filters.len());
        let mut removed = Vec::new();
        for filter in packet.filters {
            // The client names what it subscribed to; the session knows what that became.
            let filter = self.core.rewrites.filter(&filter, &self.info).unwrap_or_else(|BadTopic| Str::from(filter));
            // A durable session has it until the log says otherwise.
            let known = match self.entry.durable {
                true => self.entry.inner.lock().subscriptions.get(filter.as_str()).copied(),
                false => self.core.remove_subscription(&self.entry, &filter),
            };
            let reason = match known {
                Some(subscribed) => {
                    removed.push((filter, subscribed.options.qos as i64));
                    Reason::SUCCESS
                }
                None => Reason::NO_SUBSCRIPTION_EXISTED,
            };
            reasons.push(reason);
        }
        if self.entry.durable && !removed.is_empty() {
            let filters = removed.iter().map(|(filter, _)| filter.clone()).collect();
            let stored = self.core.store(Record::Unsubscribe { session: self.entry.key, filters }).await;
            // It ends something, so only an unknown outcome can keep it from the log.
            stored.map_err(|_| End::Server(Reason::IMPLEMENTATION_SPECIFIC_ERROR))?;
        }
        self.core.emit_subscribed(EventKind::SessionUnsubscribed, &self.info, &removed, &packet.properties);
        let packet_id = packet.packet_id;
        self.send(&Packet::Unsuback(Unsuback { packet_id, properties: Properties::default(), reasons }))
    }
}
