//! UNSUBSCRIBE from the client.

use model::{EventKind, Str};

use super::Connection;
use super::end::End;
use crate::codec::{Error, Packet, Properties, Reason, Unsuback, Unsubscribe};
use crate::numbers::Metric;
use crate::topics::BadTopic;

impl Connection {
    pub(super) fn handle_unsubscribe(&mut self, packet: Unsubscribe) -> Result<(), End> {
        if packet.filters.len() > self.zone.filters_per_packet_max {
            return Err(Error::with(Reason::QUOTA_EXCEEDED, "more filters than filters_per_packet_max").into());
        }
        self.core.counters.add(Metric::ClientUnsubscribe, packet.filters.len() as u64);
        let mut reasons = Vec::with_capacity(packet.filters.len());
        let mut removed = Vec::new();
        for filter in packet.filters {
            // The client names what it subscribed to; the session knows what that became.
            let filter = self.core.rewrites.filter(&filter, &self.info).unwrap_or_else(|BadTopic| Str::from(filter));
            let reason = match self.core.remove_subscription(&self.entry, &filter) {
                Some(subscribed) => {
                    removed.push((filter, subscribed.options.qos as i64));
                    Reason::SUCCESS
                }
                None => Reason::NO_SUBSCRIPTION_EXISTED,
            };
            reasons.push(reason);
        }
        self.core.emit_subscriptions(
            EventKind::ClientUnsubscribe,
            EventKind::SessionUnsubscribed,
            &self.info,
            &removed,
        );
        let packet_id = packet.packet_id;
        self.send(&Packet::Unsuback(Unsuback { packet_id, properties: Properties::default(), reasons }))
    }
}
