//! The end of a connection: the last word, the lingering close, and what becomes of the session.

use std::time::Duration;

use model::ProtocolVersion;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::Connection;
use super::admission::{Answer, PendingAck};
use super::end::End;
use super::inbox::try_read;
use crate::codec::{Disconnect, Packet, Property, Reason};
use crate::durable::Record;
use crate::numbers::Metric;
use crate::trace::Line;

/// Bytes that a lingering close throws away before it gives up on the client.
const DRAIN_BYTES_MAX: usize = 16 << 20;

impl Connection {
    /// Ends the connection.
    pub(super) async fn finish(mut self: Box<Self>, end: End) {
        let mut end = end;
        if end == End::Server(Reason::SERVER_SHUTTING_DOWN) {
            // What was accepted is acknowledged before the server goes; the caller has the deadline.
            if let Err(refused) = self.finish_admissions().await {
                end = refused;
            }
        }
        self.hand_over_admissions();
        self.core.connection_ended(&self.entry, &self.link, end.voids_will());
        self.core.counters.add(Metric::ClientDisconnected, 1);
        self.core.state_changed(&self.info);
        let (reason, code) = end.event();
        self.core.trace(Some(&self.info), Line::Closed(reason));
        self.core.emit_disconnected(&self.info, reason, code, self.farewell.as_deref());
        self.core.announce_disconnected(&self.info, reason);
        if end == End::Server(Reason::QUOTA_EXCEEDED) {
            let facts = serde_json::json!({"clientid": self.info.client_id, "ts": self.core.now_ms() / 1000});
            self.core.announce_sysmon("busy_port", &facts);
        }
        if let End::Fault(error) = end {
            self.core.counters.protocol_errors.add(1);
            tracing::debug!(client_id = ?self.info.client_id, %error, "connection ended for an error of the client");
        }
        if let Some(last_word) = self.last_word(end) {
            self.encode(&Packet::Disconnect(last_word));
        }
        let Self { core, socket, outbox, outbox_sent, .. } = *self;
        match end {
            End::PeerClosed | End::SocketFailed => {}
            _ => {
                let linger = Duration::from_millis(core.settings.linger_ms);
                say_and_close(socket, outbox.get(outbox_sent..).unwrap_or_default(), linger).await;
            }
        }
    }

    /// The DISCONNECT that says why, for a client that understands one.
    fn last_word(&self, end: End) -> Option<Disconnect> {
        let reason = end.told().filter(|_| self.version == ProtocolVersion::V5)?;
        let settings = &self.core.settings;
        let mut last_word = Disconnect::new(reason);
        if reason == Reason::SERVER_SHUTTING_DOWN && !settings.server_reference.is_empty() {
            last_word.reason = Reason::USE_ANOTHER_SERVER;
            last_word.properties.0.push(Property::ServerReference(settings.server_reference.as_str().into()));
        }
        if let End::Fault(error) = end
            && settings.reason_strings
        {
            last_word.properties.0.push(Property::ReasonString(error.what.into()));
        }
        // What explains must not make the packet larger than the client takes [MQTT-3.14.2-3].
        let mut bytes = Vec::new();
        last_word.encode(&mut bytes, self.version);
        if bytes.len() > self.client_packet_bytes_max { Some(Disconnect::new(reason)) } else { Some(last_word) }
    }

    /// QoS 2 messages whose admission is still open: the client will repeat the PUBLISH on its next connection, and must
    /// neither be published twice nor be acknowledged before the admission is done.
    fn hand_over_admissions(&mut self) {
        let mut inner = self.entry.inner.lock();
        for PendingAck { packet_id, qos, is_release, answer } in self.pending.drain(..) {
            if qos != model::Qos::ExactlyOnce || is_release {
                continue;
            }
            match answer {
                Answer::Waiting(waits) => inner.orphans.push((packet_id, waits)),
                Answer::Taken(Ok(())) => {}
                Answer::Taken(Err(_)) => {
                    inner.inbound.release(packet_id);
                    if inner.kept.as_ref().is_some_and(|kept| kept.recorded.contains(&packet_id)) {
                        self.core.tell(Record::Released { session: self.entry.key, packet_id });
                    }
                }
                Answer::Recorded(_, reason) | Answer::Reason(reason) => {
                    if reason.is_error() {
                        inner.inbound.release(packet_id);
                    }
                }
            }
        }
    }
}

/// Writes the last bytes, closes the sending side and reads until the client closes too: a close with unread input would
/// reset the connection, and the client would never see why.
pub(super) async fn say_and_close(mut socket: TcpStream, last: &[u8], linger: Duration) {
    let closing = async {
        if socket.write_all(last).await.is_err() || socket.shutdown().await.is_err() {
            return;
        }
        let mut drained = 0;
        let mut thrown_away = Vec::new();
        while drained < DRAIN_BYTES_MAX && socket.readable().await.is_ok() {
            let Ok(count) = try_read(&socket, &mut thrown_away) else { return };
            drained += count;
            thrown_away.clear();
        }
    };
    // A client that does not take the hint within the time is cut off; there is nobody left to tell.
    drop(tokio::time::timeout(linger, closing).await);
}
