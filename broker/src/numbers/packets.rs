//! Which metric a packet counts in. PUBLISH is counted by its QoS, where it is handled.

use model::Qos;

use super::Metric;
use crate::codec::{Kind, Packet};

impl Metric {
    /// The metric of a packet from a client.
    pub(crate) fn of_received(kind: Kind) -> Option<Self> {
        Some(match kind {
            Kind::Connect => Self::PacketsConnect,
            Kind::Puback => Self::PacketsPubackReceived,
            Kind::Pubrec => Self::PacketsPubrecReceived,
            Kind::Pubrel => Self::PacketsPubrelReceived,
            Kind::Pubcomp => Self::PacketsPubcompReceived,
            Kind::Subscribe => Self::PacketsSubscribe,
            Kind::Unsubscribe => Self::PacketsUnsubscribe,
            Kind::Pingreq => Self::PacketsPingreq,
            Kind::Disconnect => Self::PacketsDisconnectReceived,
            Kind::Auth => Self::PacketsAuth,
            Kind::Publish | Kind::Connack | Kind::Suback | Kind::Unsuback | Kind::Pingresp => return None,
        })
    }

    /// The metric of a packet to a client.
    pub(crate) fn of_sent(packet: &Packet) -> Option<Self> {
        Some(match packet {
            Packet::Connack(_) => Self::PacketsConnack,
            Packet::Puback(_) => Self::PacketsPubackSent,
            Packet::Pubrec(_) => Self::PacketsPubrecSent,
            Packet::Pubrel(_) => Self::PacketsPubrelSent,
            Packet::Pubcomp(_) => Self::PacketsPubcompSent,
            Packet::Suback(_) => Self::PacketsSuback,
            Packet::Unsuback(_) => Self::PacketsUnsuback,
            Packet::Pingresp(_) => Self::PacketsPingresp,
            Packet::Disconnect(_) => Self::PacketsDisconnectSent,
            Packet::Auth(_) => Self::PacketsAuthSent,
            Packet::Connect(_)
            | Packet::Publish(_)
            | Packet::Subscribe(_)
            | Packet::Unsubscribe(_)
            | Packet::Pingreq(_) => return None,
        })
    }

    /// The metric of a message from a client.
    pub(crate) fn of_received_message(qos: Qos) -> Self {
        match qos {
            Qos::AtMostOnce => Self::MessagesQos0Received,
            Qos::AtLeastOnce => Self::MessagesQos1Received,
            Qos::ExactlyOnce => Self::MessagesQos2Received,
        }
    }

    /// The metric of a message to a client.
    pub(crate) fn of_sent_message(qos: Qos) -> Self {
        match qos {
            Qos::AtMostOnce => Self::MessagesQos0Sent,
            Qos::AtLeastOnce => Self::MessagesQos1Sent,
            Qos::ExactlyOnce => Self::MessagesQos2Sent,
        }
    }
}
