//! One client's connection: the loop that reads, acts, delivers, writes and waits.
//!
//! Invariants:
//! - An idle connection holds no buffer: bytes are read into a scratch buffer of the thread, and only the incomplete end
//!   of them is kept; what is written is freed once the socket has taken it.
//! - Only this task writes to the socket. Others put messages into the session's queue and ring [`Link::notify`].
//! - What waits here is bounded: encoded bytes (`write_buffer_bytes` plus one packet), admissions (`receive_maximum`).

mod admission;
mod close;
mod connect;
mod deliver;
mod end;
mod handle_ack;
mod handle_connect;
mod handle_disconnect;
mod handle_publish;
mod handle_subscribe;
mod handle_unsubscribe;
mod inbox;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use model::{ClientInfo, ProtocolVersion, Str};
use tokio::net::TcpStream;

use self::admission::PendingAck;
use self::end::End;
use crate::codec::{Error, Kind, Packet, Pingresp, Reason};
use crate::node::Core;
use crate::numbers::Metric;
use crate::registry::{Entry, Link};
use crate::session::Delivery;
use crate::zone::Zone;

pub(crate) use self::connect::{Arrival, serve};

/// A connection after CONNACK.
struct Connection {
    core: Arc<Core>,
    zone: Arc<Zone>,
    socket: TcpStream,
    entry: Arc<Entry>,
    link: Arc<Link>,
    info: Arc<ClientInfo>,
    version: ProtocolVersion,
    /// Bytes read and not yet acted upon: part of a packet, or packets that have to wait.
    inbox: Vec<u8>,
    /// Bytes for the socket; the first `outbox_sent` of them are gone.
    outbox: Vec<u8>,
    outbox_sent: usize,
    /// Since when the socket takes nothing, monotonic milliseconds.
    stalled_since_ms: Option<i64>,
    /// Acknowledgements that wait for their admission, in the order of the publishes.
    pending: VecDeque<PendingAck>,
    /// QoS 2 messages of this connection without PUBREL; they count against the receive maximum.
    unreleased_count: usize,
    /// Topics by alias, as the client set them.
    aliases: Option<HashMap<u16, Str>>,
    /// Retained messages on their way into the queue.
    retained_backlog: VecDeque<Delivery>,
    /// Unacknowledged messages the client takes.
    window: u16,
    /// Largest packet the client takes, bytes.
    client_packet_bytes_max: usize,
}

impl Connection {
    /// Serves the client until the connection ends, and says why it did.
    async fn run(&mut self) -> End {
        loop {
            match self.turn().await {
                Ok(()) => {}
                Err(end) => return end,
            }
        }
    }

    async fn turn(&mut self) -> Result<(), End> {
        if let Some(reason) = self.link.order() {
            return Err(End::Server(reason));
        }
        // The working half has a large future. It is allocated for the time of the work, once for all the packets of a
        // turn, so that a connection that waits does not carry it.
        let goes_on = Box::pin(self.work()).await?;
        if goes_on {
            // There is more to do and room for it; other clients get their turn first.
            tokio::task::yield_now().await;
            return Ok(());
        }
        self.wait().await
    }

    /// Acts on what came, delivers what waits, writes what the socket takes. `true`: there is more to do at once.
    async fn work(&mut self) -> Result<bool, End> {
        let held = self.act_on_inbox().await?;
        self.settle_admissions()?;
        let more = self.deliver().await?;
        self.write_some()?;
        Ok((held && self.may_act()) || (more && self.outbox.is_empty()))
    }

    /// Acts on one packet.
    async fn act(&mut self, kind: Kind, flags: u8, body: &[u8]) -> Result<(), End> {
        if let Some(metric) = Metric::of_received(kind) {
            self.core.counters.add(metric, 1);
        }
        match Packet::decode(kind, flags, body, self.version)? {
            Packet::Publish(packet) => self.handle_publish(packet).await,
            Packet::Puback(packet) => self.handle_puback(&packet),
            Packet::Pubrec(packet) => self.handle_pubrec(&packet),
            Packet::Pubrel(packet) => self.handle_pubrel(&packet),
            Packet::Pubcomp(packet) => self.handle_pubcomp(&packet),
            Packet::Subscribe(packet) => self.handle_subscribe(packet).await,
            Packet::Unsubscribe(packet) => self.handle_unsubscribe(packet),
            Packet::Pingreq(_) => self.send(&Packet::Pingresp(Pingresp)),
            Packet::Disconnect(packet) => Err(self.handle_disconnect(&packet)),
            Packet::Connect(_) => Err(Error::protocol("a second CONNECT [MQTT-3.1.0-2]").into()),
            Packet::Auth(_) => Err(Error::protocol("AUTH without an authentication method [MQTT-4.12.0-6]").into()),
            Packet::Connack(_) | Packet::Suback(_) | Packet::Unsuback(_) | Packet::Pingresp(_) => {
                Err(Error::protocol("a packet that only servers send").into())
            }
        }
    }

    fn send(&mut self, packet: &Packet) -> Result<(), End> {
        self.encode(packet);
        Ok(())
    }

    /// Puts a packet into the write buffer and counts it.
    fn encode(&mut self, packet: &Packet) {
        if let Some(metric) = Metric::of_sent(packet) {
            self.core.counters.add(metric, 1);
        }
        packet.encode(&mut self.outbox, self.version);
    }

    /// Whether more packets of this client may be acted upon.
    fn may_act(&self) -> bool {
        self.outbox.len() - self.outbox_sent < self.zone.write_buffer_bytes && !self.admissions_hold_reading()
    }

    /// Waits until there is something to do.
    async fn wait(&mut self) -> Result<(), End> {
        self.release_buffers();
        let reads = self.may_act();
        let writes = !self.outbox.is_empty();
        let stalled_ms = self.stalled_since_ms.map_or(0, |since_ms| self.core.monotonic_ms() - since_ms);
        let stall_ms = self.zone.write_stall_ms.saturating_sub(stalled_ms.unsigned_abs());
        tokio::select! {
            () = self.link.notify.notified() => return Ok(()),
            () = admission::front_settled(&mut self.pending) => return Ok(()),
            ready = self.socket.readable(), if reads => ready.map_err(|_| End::SocketFailed)?,
            ready = self.socket.writable(), if writes => {
                ready.map_err(|_| End::SocketFailed)?;
                return Ok(());
            }
            // Only a client that does not read costs a timer.
            () = tokio::time::sleep(Duration::from_millis(stall_ms)), if writes => {
                return Err(End::Server(Reason::QUOTA_EXCEEDED));
            }
        }
        self.read_some()
    }

    fn release_buffers(&mut self) {
        if self.inbox.is_empty() && self.inbox.capacity() > 0 {
            self.inbox = Vec::new();
        }
        if self.outbox.is_empty() && self.outbox.capacity() > 0 {
            self.outbox = Vec::new();
        }
    }
}
