//! Bytes from the socket to packets, and bytes to the socket.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::sync::atomic::Ordering;

use super::Connection;
use super::end::End;
use crate::codec::{Error, Reason, frame};
use crate::numbers::Metric;

/// One read takes at most this much. The buffer belongs to the thread, not to the connection.
const SCRATCH_BYTES: usize = 64 << 10;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH_BYTES]);
}

/// Reads what is there into `inbox`. `Ok(0)`: the socket was not ready after all.
pub(super) fn try_read(socket: &tokio::net::TcpStream, inbox: &mut Vec<u8>) -> Result<usize, End> {
    SCRATCH.with_borrow_mut(|scratch| match socket.try_read(scratch) {
        Ok(0) => Err(End::PeerClosed),
        Ok(count) => {
            inbox.extend_from_slice(scratch.get(..count).unwrap_or_default());
            Ok(count)
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        Err(_) => Err(End::SocketFailed),
    })
}

impl Connection {
    /// Takes what the socket has.
    pub(super) fn read_some(&mut self) -> Result<(), End> {
        let count = try_read(&self.socket, &mut self.inbox)?;
        if count > 0 {
            self.core.counters.add(Metric::BytesReceived, count as u64);
        }
        Ok(())
    }

    /// Acts on the complete packets in the inbox, as long as the client may be served. `true`: packets are left because
    /// it may not.
    pub(super) async fn act_on_inbox(&mut self) -> Result<bool, End> {
        if self.inbox.is_empty() {
            return Ok(false);
        }
        // The inbox leaves `self` for the time being so that handlers may borrow all of it.
        let inbox = std::mem::take(&mut self.inbox);
        let mut done = 0;
        let mut outcome = Ok(true);
        while outcome.is_ok() && self.may_act() {
            let rest = inbox.get(done..).unwrap_or_default();
            let found = match frame(rest) {
                Ok(Some(found)) => found,
                Ok(None) => {
                    outcome = Ok(false);
                    break;
                }
                Err(error) => return Err(error.into()),
            };
            if found.total_len() > self.zone.packet_bytes_max {
                return Err(Error::with(
                    Reason::PACKET_TOO_LARGE,
                    "a packet above the maximum packet size [MQTT-3.1.2-24]",
                )
                .into());
            }
            let Some(body) = rest.get(found.header_len..found.total_len()) else {
                outcome = Ok(false);
                break;
            };
            self.link.last_seen_ms.store(self.core.monotonic_ms(), Ordering::Relaxed);
            outcome = self.act(found.kind, found.flags, body).await.map(|()| true);
            done += found.total_len();
        }
        self.inbox = inbox;
        self.inbox.drain(..done);
        outcome
    }

    /// Gives the socket what it takes.
    pub(super) fn write_some(&mut self) -> Result<(), End> {
        while let Some(rest) = self.outbox.get(self.outbox_sent..).filter(|rest| !rest.is_empty()) {
            match self.socket.try_write(rest) {
                Ok(count) => {
                    self.core.counters.add(Metric::BytesSent, count as u64);
                    self.outbox_sent += count;
                    self.stalled_since_ms = None;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.stalled_since_ms = self.stalled_since_ms.or_else(|| Some(self.core.monotonic_ms()));
                    return Ok(());
                }
                Err(_) => return Err(End::SocketFailed),
            }
        }
        self.outbox.clear();
        self.outbox_sent = 0;
        Ok(())
    }
}
