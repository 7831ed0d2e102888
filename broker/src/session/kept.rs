//! What a durable session has that one in memory has not.
//!
//! Invariant: what is part of the durable state changes in [`crate::durable::State::apply`] only; the rest is marked here
//! as of this process, and is as it should be after a restart when it is empty.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use model::ClientInfo;
use tokio::sync::oneshot;

use super::{Delivery, Inbound, Outbound, Queue, QueueLimits, ToSend};
use crate::durable::Stored;

/// Messages a durable session may have in flight beyond its window: as many acknowledgements may wait for the log
/// without holding up the client.
const AHEAD_MAX: usize = 1_024;
/// Bytes of topic and payload in flight beyond which nothing is taken ahead.
const AHEAD_BYTES: usize = 1 << 20;

/// The durable part of a session.
#[derive(Debug)]
pub(crate) struct Kept {
    /// The client that connected last.
    pub info: Arc<ClientInfo>,
    /// Bounds of its queue, as they were when the client connected: replay drops what was dropped.
    pub limits: QueueLimits,
    /// Unacknowledged messages the client takes.
    pub window: u16,
    /// Whether a connection has the session.
    pub attached: bool,
    /// Seconds the session lives on without connection.
    pub expiry_secs: u32,
    /// When the last one let go, milliseconds since the epoch.
    pub detached_at_ms: i64,
    /// QoS 2 messages from the client that are in the log without their PUBREL.
    pub recorded: BTreeSet<u16>,
    /// Bytes of topic and payload in flight.
    pub inflight_bytes: usize,
    /// What the last snapshot has of the session.
    pub saved: Saved,
    /// Of this process: the log has the beginning of the session.
    pub begun: bool,
    /// Of this process: messages of QoS 0.
    pub transient: Queue,
    /// Of this process: PUBRELs that may leave.
    pub pubrels: VecDeque<u16>,
    /// Of this process: the will is being published.
    pub will_claimed: bool,
    /// Of this process: retained messages on their way into the log, as long as they are.
    pub retained_lot: Option<oneshot::Receiver<Stored>>,
}

/// What the last snapshot has of a session, so that the next one writes the difference.
#[derive(Debug, Default)]
pub(crate) struct Saved {
    /// Deliveries below this number that are not in `gone` are in it.
    pub below: u64,
    /// Deliveries that are in it and over since.
    pub gone: Vec<u64>,
    /// The subscriptions in it are the present ones.
    pub subscriptions: bool,
    /// Whether the session is in the list of what the next snapshot has to write.
    pub listed: bool,
}

impl Kept {
    /// The durable part of a session that has just begun.
    pub(crate) fn new(info: Arc<ClientInfo>, limits: QueueLimits) -> Self {
        Self {
            info,
            limits,
            window: 0,
            attached: false,
            expiry_secs: 0,
            detached_at_ms: 0,
            recorded: BTreeSet::new(),
            inflight_bytes: 0,
            saved: Saved::default(),
            begun: false,
            transient: Queue::default(),
            pubrels: VecDeque::new(),
            will_claimed: false,
            retained_lot: None,
        }
    }

    /// Takes messages into flight as far as an attached session may have them there.
    pub(crate) fn fill(&mut self, queue: &mut Queue, outbound: &mut Outbound) {
        let window = usize::from(self.window);
        let ahead = |len: usize, bytes: usize| len < window + AHEAD_MAX && bytes < AHEAD_BYTES;
        while self.attached && (outbound.len() < window || ahead(outbound.len(), self.inflight_bytes)) {
            let Some(bytes) = outbound.admit(queue) else { return };
            self.inflight_bytes += bytes;
        }
    }

    /// A message has left flight.
    pub(crate) fn no_longer_in_flight(&mut self, delivery: &Delivery) {
        self.inflight_bytes = self.inflight_bytes.saturating_sub(delivery.cost_bytes());
    }

    /// The next packet for the client.
    pub(crate) fn next(&mut self, outbound: &mut Outbound, window: u16) -> Option<ToSend> {
        if let Some(packet_id) = self.pubrels.pop_front() {
            return Some(ToSend::Pubrel(packet_id));
        }
        let transient = |queue: &mut Queue| {
            queue.pop_front().map(|delivery| ToSend::Publish { delivery, packet_id: 0, dup: false })
        };
        outbound.next_unsent(window).or_else(|| transient(&mut self.transient))
    }

    /// The QoS 2 messages from the client that a new process knows to be open.
    pub(crate) fn reopen(&self, inbound: &mut Inbound) {
        for packet_id in &self.recorded {
            inbound.receive(*packet_id, usize::MAX);
        }
    }
}
