//! The list of metrics (manual §4.17.4, §14.3.2), with the names later versions added for deliveries, clients and sessions.
//!
//! A row is a name in its parts, a line of help and, where the number follows from others, how. What follows is never
//! counted: a PUBLISH costs one addition for its QoS, and `messages.received`, `packets.publish.received` and
//! `packets.received` are sums of it.

use super::{Dropped, Totals};

macro_rules! metrics {
    ($( $variant:ident [$first:ident $($rest:ident)*] $help:literal $(= $derived:expr)?; )*) => {
        /// A number that only grows.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Metric { $( #[doc = $help] $variant ),* }

        impl Metric {
            /// Every metric, in the order of the lists.
            pub const ALL: &'static [Self] = &[ $( Self::$variant ),* ];

            /// The name, such as `packets.publish.received`. The manual writes it with slashes.
            pub fn name(self) -> &'static str {
                match self { $( Self::$variant => concat!(stringify!($first) $(, ".", stringify!($rest))*) ),* }
            }

            /// The name in `/metrics`.
            pub(crate) fn family(self) -> &'static str {
                match self { $(
                    Self::$variant => concat!("broker_", stringify!($first) $(, "_", stringify!($rest))*, "_total")
                ),* }
            }

            /// One line for people.
            pub fn help(self) -> &'static str {
                match self { $( Self::$variant => $help ),* }
            }

            /// The value, where it follows from others.
            pub(super) fn derived(self, totals: &Totals) -> Option<u64> {
                let derive: Option<fn(&Totals) -> u64> = match self { $( Self::$variant => metrics!(@derive $($derived)?) ),* };
                derive.map(|derive| derive(totals))
            }
        }
    };
    (@derive) => { None };
    (@derive $derived:expr) => { Some($derived) };
}

metrics! {
    BytesReceived [bytes received] "Bytes from clients.";
    BytesSent [bytes sent] "Bytes to clients.";
    PacketsReceived [packets received] "Packets from clients." = |n| n.sum(RECEIVED) + n.get(Metric::MessagesReceived);
    PacketsSent [packets sent] "Packets to clients." = |n| n.sum(SENT) + n.get(Metric::MessagesSent);
    PacketsConnect [packets connect] "CONNECT packets received.";
    PacketsConnack [packets connack] "CONNACK packets sent.";
    PacketsPublishReceived [packets publish received] "PUBLISH packets received." = |n| n.get(Metric::MessagesReceived);
    PacketsPublishSent [packets publish sent] "PUBLISH packets sent." = |n| n.get(Metric::MessagesSent);
    PacketsPubackReceived [packets puback received] "PUBACK packets received.";
    PacketsPubackSent [packets puback sent] "PUBACK packets sent.";
    PacketsPubackMissed [packets puback missed] "PUBACK packets received for nothing that was in flight.";
    PacketsPubrecReceived [packets pubrec received] "PUBREC packets received.";
    PacketsPubrecSent [packets pubrec sent] "PUBREC packets sent.";
    PacketsPubrecMissed [packets pubrec missed] "PUBREC packets received for nothing that was in flight.";
    PacketsPubrelReceived [packets pubrel received] "PUBREL packets received.";
    PacketsPubrelSent [packets pubrel sent] "PUBREL packets sent.";
    PacketsPubrelMissed [packets pubrel missed] "PUBREL packets received for nothing that was open.";
    PacketsPubcompReceived [packets pubcomp received] "PUBCOMP packets received.";
    PacketsPubcompSent [packets pubcomp sent] "PUBCOMP packets sent.";
    PacketsPubcompMissed [packets pubcomp missed] "PUBCOMP packets received for nothing that was in flight.";
    PacketsSubscribe [packets subscribe] "SUBSCRIBE packets received.";
    PacketsSuback [packets suback] "SUBACK packets sent.";
    PacketsUnsubscribe [packets unsubscribe] "UNSUBSCRIBE packets received.";
    PacketsUnsuback [packets unsuback] "UNSUBACK packets sent.";
    PacketsPingreq [packets pingreq] "PINGREQ packets received.";
    PacketsPingresp [packets pingresp] "PINGRESP packets sent.";
    PacketsDisconnectReceived [packets disconnect received] "DISCONNECT packets received.";
    PacketsDisconnectSent [packets disconnect sent] "DISCONNECT packets sent.";
    PacketsAuth [packets auth] "AUTH packets received.";
    PacketsAuthSent [packets auth sent] "AUTH packets sent.";
    MessagesReceived [messages received] "Messages from clients." = |n| n.sum(MESSAGES_RECEIVED);
    MessagesSent [messages sent] "Messages to clients." = |n| n.sum(MESSAGES_SENT);
    MessagesQos0Received [messages qos0 received] "Messages of QoS 0 from clients.";
    MessagesQos0Sent [messages qos0 sent] "Messages of QoS 0 to clients.";
    MessagesQos1Received [messages qos1 received] "Messages of QoS 1 from clients.";
    MessagesQos1Sent [messages qos1 sent] "Messages of QoS 1 to clients.";
    MessagesQos2Received [messages qos2 received] "Messages of QoS 2 from clients.";
    MessagesQos2Sent [messages qos2 sent] "Messages of QoS 2 to clients.";
    MessagesQos2Expired [messages qos2 expired] "Messages of QoS 2 that expired while they waited.";
    MessagesQos2Dropped [messages qos2 dropped] "Messages of QoS 2 that were dropped, by whichever reason.";
    MessagesBytesReceived [messages bytes received] "Bytes of payload in messages from clients.";
    MessagesBytesSent [messages bytes sent] "Bytes of payload in messages to clients.";
    MessagesRetained [messages retained] "Messages kept as retained.";
    MessagesExpired [messages expired] "Messages that expired while they waited." = |n| n.dropped(Dropped::Expired);
    MessagesDelayed [messages delayed] "Messages taken in to be published later.";
    MessagesForward [messages forward] "Messages forwarded to other nodes; there are none yet.";
    MessagesDropped [messages dropped] "Messages that did not reach the broker, nobody, or not a subscriber." = |n| n.dropped_all();
    DeliveryDropped [delivery dropped] "Messages dropped on the way to one subscriber." = |n| n.dropped_deliveries();
    DeliveryDroppedQueueFull [delivery dropped queue_full] "Dropped at a session's full queue." = |n| n.dropped(Dropped::QueueFull);
    DeliveryDroppedTooLarge [delivery dropped too_large] "Dropped as larger than the client accepts." = |n| n.dropped(Dropped::TooLarge);
    DeliveryDroppedQos0 [delivery dropped qos0_msg] "Dropped as QoS 0 for a session without connection." = |n| n.dropped(Dropped::Qos0Offline);
    DeliveryDroppedExpired [delivery dropped expired] "Dropped as expired." = |n| n.dropped(Dropped::Expired);
    DeliverySharedHandedOn [delivery shared handed_on] "Messages of shared subscriptions that went from one member to another.";
    ClientConnect [client connect] "CONNECTs acted upon." = |n| n.get(Metric::PacketsConnect);
    ClientConnack [client connack] "CONNECTs answered." = |n| n.get(Metric::PacketsConnack);
    ClientConnected [client connected] "Clients accepted.";
    ClientDisconnected [client disconnected] "Clients gone.";
    ClientSubscribe [client subscribe] "Filters that clients asked to subscribe to.";
    ClientAclDeny [client acl deny] "Publishes and subscriptions of clients that were denied.";
    ClientUnsubscribe [client unsubscribe] "Filters that clients asked to unsubscribe from.";
    SubscriptionsRevoked [subscriptions revoked] "Subscriptions removed because they were no longer allowed.";
    SessionCreated [session created] "Sessions begun.";
    SessionResumed [session resumed] "Sessions taken up again.";
    SessionTakeovered [session takeovered] "Connections ended because their client connected anew.";
    SessionDiscarded [session discarded] "Sessions ended by a clean start.";
    SessionTerminated [session terminated] "Sessions ended, by whichever reason.";
}

const MESSAGES_RECEIVED: &[Metric] =
    &[Metric::MessagesQos0Received, Metric::MessagesQos1Received, Metric::MessagesQos2Received];
const MESSAGES_SENT: &[Metric] = &[Metric::MessagesQos0Sent, Metric::MessagesQos1Sent, Metric::MessagesQos2Sent];

/// Every packet from clients but PUBLISH.
const RECEIVED: &[Metric] = &[
    Metric::PacketsConnect,
    Metric::PacketsPubackReceived,
    Metric::PacketsPubrecReceived,
    Metric::PacketsPubrelReceived,
    Metric::PacketsPubcompReceived,
    Metric::PacketsSubscribe,
    Metric::PacketsUnsubscribe,
    Metric::PacketsPingreq,
    Metric::PacketsDisconnectReceived,
    Metric::PacketsAuth,
];

/// Every packet to clients but PUBLISH.
const SENT: &[Metric] = &[
    Metric::PacketsConnack,
    Metric::PacketsPubackSent,
    Metric::PacketsPubrecSent,
    Metric::PacketsPubrelSent,
    Metric::PacketsPubcompSent,
    Metric::PacketsSuback,
    Metric::PacketsUnsuback,
    Metric::PacketsPingresp,
    Metric::PacketsDisconnectSent,
    Metric::PacketsAuthSent,
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn manual_4_17_4_every_name_of_the_manual_is_here_once() {
        let names: Vec<&str> = Metric::ALL.iter().map(|metric| metric.name()).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        let manual = "bytes/received bytes/sent packets/received packets/sent packets/connect packets/connack \
            packets/publish/received packets/publish/sent packets/puback/received packets/puback/sent packets/puback/missed \
            packets/pubrec/received packets/pubrec/sent packets/pubrec/missed packets/pubrel/received packets/pubrel/sent \
            packets/pubrel/missed packets/pubcomp/received packets/pubcomp/sent packets/pubcomp/missed packets/subscribe \
            packets/suback packets/unsubscribe packets/unsuback packets/pingreq packets/pingresp packets/disconnect/received \
            packets/disconnect/sent packets/auth messages/received messages/sent messages/expired messages/retained \
            messages/dropped messages/forward messages/qos0/received messages/qos0/sent messages/qos1/received \
            messages/qos1/sent messages/qos2/received messages/qos2/sent messages/qos2/expired messages/qos2/dropped";
        for name in manual.split_whitespace() {
            assert!(names.contains(&name.replace('/', ".").as_str()), "{name}");
        }
    }

    #[test]
    fn metrics_speak_prometheus() {
        assert_eq!(Metric::PacketsPublishReceived.family(), "broker_packets_publish_received_total");
    }
}
