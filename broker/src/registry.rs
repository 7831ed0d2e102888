//! Who is known: every session by client identifier, connected or not.
//!
//! Locks, in the order they may be taken: registry map → one session's `inner`. Never two sessions at once, and nothing
//! is awaited under either.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use model::ports::Refused;
use model::{ClientInfo, Message, Str};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, oneshot};

use crate::codec::{Reason, SubscribeOptions};
use crate::numbers::Count;
use crate::session::{Inbound, Outbound, Queue};
use crate::zone::Zone;

/// One session: its identity, which never changes, and its state.
pub(crate) struct Entry {
    /// Unique on this node, never reused.
    pub key: u64,
    /// Client identifier.
    pub client_id: Str,
    /// The user name that owns the session; anonymous clients are one identity too. Nobody else may take it up.
    pub owner: Option<Str>,
    connected: AtomicBool,
    /// Everything that changes. Held for moments, never over an await.
    pub inner: Mutex<Inner>,
}

/// The changing part of an [`Entry`].
pub(crate) struct Inner {
    /// The client as it last connected.
    pub info: Arc<ClientInfo>,
    /// The connection that serves the session, if any.
    pub link: Option<Arc<Link>>,
    /// The zone of the current or last connection.
    pub zone: Arc<Zone>,
    /// Waiting messages.
    pub queue: Queue,
    /// Messages in flight to the client.
    pub outbound: Outbound,
    /// QoS 2 messages in flight from the client.
    pub inbound: Inbound,
    /// Subscriptions by filter, `$share/…` included.
    pub subscriptions: BTreeMap<Str, Subscribed>,
    /// The will of the current or last connection, until it is published or void.
    pub will: Option<Box<Will>>,
    /// Admissions of QoS 2 messages whose connection ended first; the repeated PUBLISH takes them up.
    pub orphans: Vec<(u16, oneshot::Receiver<Result<(), Refused>>)>,
    /// Seconds the session lives on without connection.
    pub expiry_secs: u32,
    /// Counts connections and disconnections: a timer set for an earlier number is void.
    pub epoch: u64,
    /// The session is over; deliveries to it are void.
    pub ended: bool,
    /// When the session was created, milliseconds since the epoch.
    pub created_at_ms: i64,
    /// Messages routed to the session, for the session list.
    pub enqueued_count: u64,
    /// Messages its full queue dropped, for the session list.
    pub dropped_count: u64,
}

impl Inner {
    /// Sets how long the session lives on without connection, and keeps the number of those that do.
    pub(crate) fn set_expiry(&mut self, secs: u32, persistent: &Count) {
        match (self.expiry_secs, secs) {
            (0, 1..) => persistent.add(1),
            (1.., 0) => persistent.sub(1),
            _ => {}
        }
        self.expiry_secs = secs;
    }
}

impl Inner {
    /// Whether the queue is so full that its publishers should wait a moment.
    pub(crate) fn is_half_full(&self) -> bool {
        self.queue.len() > self.zone.queue_messages_max / 2 || self.queue.bytes() > self.zone.queue_bytes_max / 2
    }
}

/// One subscription of a session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subscribed {
    /// Options.
    pub options: SubscribeOptions,
    /// Subscription identifier.
    pub identifier: Option<u32>,
}

/// A will waiting for its occasion.
pub(crate) struct Will {
    /// What to publish; id and time are set when it is.
    pub message: Message,
    /// Will delay interval, seconds.
    pub delay_secs: u32,
    /// The will's topic began with `$delayed/<seconds>/`: how long it waits once its occasion has come.
    pub publish_delay_secs: Option<u32>,
}

/// What other tasks may touch of a connection.
pub(crate) struct Link {
    /// The client.
    pub info: Arc<ClientInfo>,
    /// Wakes the connection: messages wait, or it is to end.
    pub notify: Notify,
    /// Why somebody wants the connection to end.
    order: Mutex<Option<Reason>>,
    /// When the last packet came, milliseconds of the broker's monotonic clock.
    pub last_seen_ms: AtomicI64,
    /// Silence after which the connection ends, milliseconds; 0 = never.
    pub silence_max_ms: i64,
    /// Rings when the session's queue has shrunk below half of its bound; publishers wait for it.
    pub(crate) relief: Notify,
    /// The client did not keep up within the time publishers wait; nobody waits until it has caught up.
    pub(crate) is_slow: AtomicBool,
    /// Messages received, for the client list.
    pub received_count: AtomicU64,
    /// Messages sent, for the client list.
    pub sent_count: AtomicU64,
}

impl Link {
    /// A link of a connection that has just been accepted.
    pub(crate) fn new(info: Arc<ClientInfo>, now_ms: i64, silence_max_ms: i64) -> Self {
        Self {
            info,
            notify: Notify::new(),
            order: Mutex::new(None),
            last_seen_ms: AtomicI64::new(now_ms),
            silence_max_ms,
            relief: Notify::new(),
            is_slow: AtomicBool::new(false),
            received_count: AtomicU64::new(0),
            sent_count: AtomicU64::new(0),
        }
    }

    /// Asks the connection to end; the first order wins.
    pub(crate) fn end(&self, reason: Reason) {
        self.order.lock().get_or_insert(reason);
        self.notify.notify_one();
    }

    /// The order, if there is one.
    pub(crate) fn order(&self) -> Option<Reason> {
        *self.order.lock()
    }
}

impl Entry {
    /// A new session without connection.
    pub(crate) fn new(key: u64, info: Arc<ClientInfo>, zone: Arc<Zone>, created_at_ms: i64) -> Self {
        Self {
            key,
            client_id: info.client_id.clone(),
            owner: info.username.clone(),
            connected: AtomicBool::new(false),
            inner: Mutex::new(Inner {
                info,
                link: None,
                zone,
                queue: Queue::default(),
                outbound: Outbound::default(),
                inbound: Inbound::default(),
                subscriptions: BTreeMap::new(),
                will: None,
                orphans: Vec::new(),
                expiry_secs: 0,
                epoch: 0,
                ended: false,
                created_at_ms,
                enqueued_count: 0,
                dropped_count: 0,
            }),
        }
    }

    /// Whether a connection serves the session; a moment's truth.
    pub(crate) fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    /// Ties a connection to the session. The former one must have been detached.
    pub(crate) fn attach(&self, inner: &mut Inner, link: Arc<Link>, zone: Arc<Zone>) {
        inner.zone = zone;
        inner.info = link.info.clone();
        inner.link = Some(link);
        inner.epoch += 1;
        self.connected.store(true, Ordering::Relaxed);
    }

    /// Unties `link`. `false` when another connection has the session by now.
    pub(crate) fn detach(&self, inner: &mut Inner, link: &Arc<Link>) -> bool {
        if !inner.link.as_ref().is_some_and(|current| Arc::ptr_eq(current, link)) {
            return false;
        }
        inner.link = None;
        inner.epoch += 1;
        self.connected.store(false, Ordering::Relaxed);
        true
    }
}

/// All sessions of the node.
#[derive(Default)]
pub(crate) struct Registry {
    sessions: RwLock<BTreeMap<Str, Arc<Entry>>>,
}

impl Registry {
    /// Number of sessions.
    pub(crate) fn len(&self) -> usize {
        self.sessions.read().len()
    }

    /// The session of a client identifier.
    pub(crate) fn get(&self, client_id: &str) -> Option<Arc<Entry>> {
        self.sessions.read().get(client_id).cloned()
    }

    /// The session of `info`'s client, created by `create` when there is none. `Err` when there are `sessions_max` already.
    pub(crate) fn get_or_insert(
        &self,
        client_id: &Str,
        sessions_max: usize,
        create: impl FnOnce() -> Arc<Entry>,
    ) -> Result<(Arc<Entry>, bool), Full> {
        let mut sessions = self.sessions.write();
        if let Some(known) = sessions.get(client_id) {
            return Ok((known.clone(), false));
        }
        if sessions.len() >= sessions_max {
            return Err(Full);
        }
        let entry = create();
        sessions.insert(client_id.clone(), entry.clone());
        Ok((entry, true))
    }

    /// Forgets `entry`, unless its client identifier belongs to a newer session by now.
    pub(crate) fn remove(&self, entry: &Entry) {
        let mut sessions = self.sessions.write();
        if sessions.get(&entry.client_id).is_some_and(|known| known.key == entry.key) {
            sessions.remove(&entry.client_id);
        }
    }

    /// At most `limit` sessions in the order of their client identifiers, after `after`.
    pub(crate) fn page(&self, after: Option<&str>, limit: usize) -> Vec<Arc<Entry>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.sessions
            .read()
            .range::<str, _>((from, Bound::Unbounded))
            .take(limit)
            .map(|(_, entry)| entry.clone())
            .collect()
    }
}

/// The bound `sessions_max` is reached.
#[derive(Debug)]
pub(crate) struct Full;
