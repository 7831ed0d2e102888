//! What a trace says: one line an act, with every string escaped.

use std::fmt::Write as _;

use chrono::{DateTime, SecondsFormat};
use model::{ClientInfo, Message, Qos};

use crate::codec::{Kind, Packet, Publish, Reason};

/// Bytes of a payload that a line shows.
const PAYLOAD_BYTES_MAX: usize = 1024;

/// Something that happened to a client or a message.
pub(crate) enum Line<'a> {
    /// A packet came.
    Received(&'a Packet),
    /// A client asks to be let in. Its password is not looked at.
    Connect,
    /// The answer to it.
    Connack(Reason),
    /// A packet goes out.
    Sent(&'a Packet),
    /// A message goes out to the client.
    Delivered(&'a Message, Qos, u16),
    /// A message is routed to so many sessions.
    Routed(&'a Message, usize),
    /// A message goes no further, and why.
    Dropped(&'a Message, &'static str),
    /// The client may not do this with the topic.
    Denied(&'static str, &'a str),
    /// The connection is over, and why.
    Closed(&'a str),
}

impl Line<'_> {
    /// The topic it is about.
    pub(super) fn topic(&self) -> Option<&str> {
        match self {
            Self::Received(Packet::Publish(publish)) => Some(&publish.header.topic),
            Self::Delivered(message, ..) | Self::Routed(message, _) | Self::Dropped(message, _) => Some(&message.topic),
            Self::Denied(_, topic) => Some(topic),
            _ => None,
        }
    }

    /// The line, with its end.
    pub(super) fn text(&self, now_ms: i64, client: Option<&ClientInfo>, with_payload: bool) -> String {
        let time = DateTime::from_timestamp_millis(now_ms).unwrap_or_default();
        let mut text = time.to_rfc3339_opts(SecondsFormat::Millis, true);
        match client {
            Some(info) => {
                // Writing into a String cannot fail, here and below.
                _ = write!(text, " {:?}", info.client_id.as_str());
                if let Some(peer) = info.peer {
                    _ = write!(text, "@{peer}");
                }
            }
            None => text.push_str(" -"),
        }
        text.push(' ');
        self.say(&mut text, client, with_payload);
        text.push('\n');
        text
    }

    fn say(&self, text: &mut String, client: Option<&ClientInfo>, with_payload: bool) {
        _ = match self {
            Self::Received(Packet::Publish(publish)) => {
                text.push_str("RECV ");
                say_publish(text, publish);
                say_payload(text, &publish.payload, with_payload);
                Ok(())
            }
            Self::Received(packet) => write!(text, "RECV {}", said(packet)),
            Self::Connect => {
                text.push_str("RECV CONNECT");
                match client {
                    Some(info) => write!(
                        text,
                        " version={} username={:?} clean_start={} keepalive={} session_expiry={}",
                        info.version as u8,
                        info.username.as_deref().unwrap_or_default(),
                        info.clean_start,
                        info.keepalive_secs,
                        info.session_expiry_secs
                    ),
                    None => Ok(()),
                }
            }
            Self::Connack(reason) => write!(text, "SEND CONNACK {}", reason.name()),
            Self::Sent(packet) => write!(text, "SEND {}", said(packet)),
            Self::Delivered(message, qos, packet_id) => {
                _ = write!(text, "SEND PUBLISH topic={:?} qos={}", message.topic.as_str(), *qos as u8);
                _ = write!(text, " packet_id={packet_id} id={}", message.id);
                say_payload(text, &message.payload, with_payload);
                Ok(())
            }
            Self::Routed(message, receivers) => {
                let (topic, id) = (message.topic.as_str(), message.id);
                _ = write!(text, "ROUTE topic={topic:?} id={id} receivers={receivers}");
                say_payload(text, &message.payload, with_payload);
                Ok(())
            }
            Self::Dropped(message, why) => {
                write!(text, "DROP topic={:?} id={} reason={why}", message.topic.as_str(), message.id)
            }
            Self::Denied(what, topic) => write!(text, "DENY {what} topic={topic:?}"),
            Self::Closed(why) => write!(text, "CLOSE {why}"),
        };
    }
}

fn say_publish(text: &mut String, publish: &Publish) {
    let header = &publish.header;
    _ = write!(
        text,
        "PUBLISH topic={:?} qos={} retain={} dup={} packet_id={}",
        header.topic, header.qos as u8, header.retain, header.dup, header.packet_id
    );
}

fn say_payload(text: &mut String, payload: &[u8], with_payload: bool) {
    _ = write!(text, " payload_bytes={}", payload.len());
    if with_payload {
        let shown = payload.get(..PAYLOAD_BYTES_MAX).unwrap_or(payload);
        _ = write!(text, " payload=\"{}\"", shown.escape_ascii());
        if shown.len() < payload.len() {
            text.push('…');
        }
    }
}

/// A packet other than PUBLISH in a few words. The properties are left out: they are what clients make long.
fn said(packet: &Packet) -> String {
    let acknowledged =
        |kind: &str, packet_id: u16, reason: Reason| format!("{kind} packet_id={packet_id} reason={}", reason.name());
    let codes = |reasons: &[Reason]| reasons.iter().map(|reason| reason.name()).collect::<Vec<_>>().join(",");
    match packet {
        Packet::Puback(ack) => acknowledged("PUBACK", ack.packet_id, ack.reason),
        Packet::Pubrec(ack) => acknowledged("PUBREC", ack.packet_id, ack.reason),
        Packet::Pubrel(ack) => acknowledged("PUBREL", ack.packet_id, ack.reason),
        Packet::Pubcomp(ack) => acknowledged("PUBCOMP", ack.packet_id, ack.reason),
        Packet::Subscribe(subscribe) => {
            let filters: Vec<String> = subscribe
                .filters
                .iter()
                .map(|filter| format!("{:?} qos={}", filter.filter, filter.options.qos as u8))
                .collect();
            format!("SUBSCRIBE packet_id={} {}", subscribe.packet_id, filters.join(", "))
        }
        Packet::Suback(suback) => format!("SUBACK packet_id={} {}", suback.packet_id, codes(&suback.reasons)),
        Packet::Unsubscribe(unsubscribe) => {
            format!("UNSUBSCRIBE packet_id={} {:?}", unsubscribe.packet_id, unsubscribe.filters)
        }
        Packet::Unsuback(unsuback) => format!("UNSUBACK packet_id={} {}", unsuback.packet_id, codes(&unsuback.reasons)),
        Packet::Connack(connack) => {
            format!("CONNACK {} session_present={}", connack.reason.name(), connack.session_present)
        }
        Packet::Disconnect(disconnect) => format!("DISCONNECT {}", disconnect.reason.name()),
        Packet::Pingreq(_) => kind_name(Kind::Pingreq),
        Packet::Pingresp(_) => kind_name(Kind::Pingresp),
        Packet::Auth(_) => kind_name(Kind::Auth),
        Packet::Connect(_) => kind_name(Kind::Connect),
        Packet::Publish(_) => kind_name(Kind::Publish),
    }
}

fn kind_name(kind: Kind) -> String {
    format!("{kind:?}").to_ascii_uppercase()
}
