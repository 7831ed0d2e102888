//! The end of a connection: the last word, the lingering close, and what becomes of the session.

use std::time::Duration;

use model::ProtocolVersion;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::Connection;
use super::admission::{Answer, PendingAck};
use super::end::End;
use super::inbox::try_read;
use crate::codec::{Disconnect, Packet, Reason};
use crate::numbers::Metric;

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
        let (reason, code) = end.event();
        self.core.emit_disconnected(&self.info, reason, code);
        if let End::Fault(error) = end {
            self.core.counters.protocol_errors.add(1);
            tracing::debug!(client_id = ?self.info.client_id, %error, "connection ended for an error of the client");
        }
        if let Some(reason) = end.told().filter(|_| self.version == ProtocolVersion::V5) {
            self.encode(&Packet::Disconnect(Disconnect::new(reason)));
        }
        let Self { zone, socket, outbox, outbox_sent, .. } = *self;
        match end {
            End::PeerClosed | End::SocketFailed => {}
            _ => {
                let linger = Duration::from_millis(zone.linger_ms);
                say_and_close(socket, outbox.get(outbox_sent..).unwrap_or_default(), linger).await;
            }
        }
    }

    /// QoS 2 messages whose admission is still open: the client will repeat the PUBLISH on its next connection, and must
    /// neither be published twice nor be acknowledged before the admission is done.
    fn hand_over_admissions(&mut self) {
        let mut inner = self.entry.inner.lock();
        for PendingAck { packet_id, qos, answer } in self.pending.drain(..) {
            if qos != model::Qos::ExactlyOnce {
                continue;
            }
            match answer {
                Answer::Waiting(receiver) => inner.orphans.push((packet_id, receiver)),
                Answer::Admitted(Ok(())) => {}
                Answer::Admitted(Err(_)) => {
                    inner.inbound.release(packet_id);
                }
                Answer::Reason(reason) => {
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
