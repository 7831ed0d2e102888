//! The ports through which rooms that do not know each other meet. The binary connects them.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::oneshot;

use crate::{ClientInfo, Event, EventKind, Message, Str};

/// A boxed future, for ports that only sometimes have to wait.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;

/// Where the broker hands over everything that happens. The engine implements it.
pub trait EventTap: Send + Sync + 'static {
    /// Whether anybody is interested in this kind at all; lets the broker skip building the event.
    fn wants(&self, kind: EventKind) -> bool;

    /// Hands over one event. Never blocks. Events of one client are handed over in order.
    ///
    /// For a PUBLISH of QoS 1 or 2 the acknowledgement (PUBACK, PUBREC) may leave only after the admission is done:
    /// that is how `delivery: at_least_once` keeps its promise. For QoS 0, a pending admission is back-pressure:
    /// the broker stops reading from that publisher until it is done.
    fn emit(&self, event: Event) -> Admission;
}

/// The answer of [`EventTap::emit`].
#[must_use = "a pending admission decides when, and whether, the publisher is acknowledged"]
#[derive(Debug)]
pub enum Admission {
    /// Nothing more to wait for.
    Done,
    /// Wait for the answer before acknowledging. A dropped sender counts as [`Refused::Unavailable`].
    Pending(oneshot::Receiver<Result<(), Refused>>),
}

/// Why a message was not taken into the durable queue of a rule that promises at-least-once.
/// The publisher is then not acknowledged as accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The queue is at its bound; MQTT 5 reason 0x97 (Quota exceeded).
    QueueFull,
    /// The disk could not take it, or the server is stopping; MQTT 5 reason 0x83 (Implementation specific error).
    Unavailable,
}

/// A tap that wants nothing; for a broker without rules.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTap;

impl EventTap for NoTap {
    fn wants(&self, _: EventKind) -> bool {
        false
    }
    fn emit(&self, _: Event) -> Admission {
        Admission::Done
    }
}

/// Publishes into the broker from inside the server: republish actions, the API, the CLI.
#[async_trait]
pub trait Publish: Send + Sync + 'static {
    /// Routes the message to every matching subscriber and to the tap. Returns the number of subscribers it was
    /// routed to, after any durable admission is done.
    async fn publish(&self, message: Message) -> Result<usize, PublishError>;
}

/// Why an internal publish failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublishError {
    /// The topic is not a valid topic name, or is reserved.
    InvalidTopic(String),
    /// A rule that promises at-least-once could not take it.
    Refused(Refused),
    /// The broker is stopping.
    Closed,
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidTopic(why) => write!(f, "cannot publish: {why}"),
            Self::Refused(Refused::QueueFull) => f.write_str("a durable queue is full"),
            Self::Refused(Refused::Unavailable) => f.write_str("a durable queue is not available"),
            Self::Closed => f.write_str("the broker is stopping"),
        }
    }
}

impl std::error::Error for PublishError {}

/// What a CONNECT claims.
#[derive(Clone, Debug)]
pub struct Login {
    /// The client as it will be known; `username` is what it claims.
    pub client: Arc<ClientInfo>,
    /// The password, if any. Never logged.
    pub password: Option<Bytes>,
}

/// The verdict on a [`Login`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Let in.
    Allow {
        /// Skip access control for this client.
        superuser: bool,
    },
    /// CONNACK 0x86 / 4: bad user name or password.
    BadCredentials,
    /// CONNACK 0x87 / 5: not authorized.
    NotAuthorized,
    /// CONNACK 0x88 / 3: the authentication server cannot be asked.
    Unavailable,
}

/// Decides who may connect.
#[async_trait]
pub trait Authenticate: Send + Sync + 'static {
    /// Judges one login. Must not take longer than the broker's handshake timeout.
    async fn authenticate(&self, login: Login) -> Verdict;

    /// Whether the client is banned (CONNACK 0x8A / 5). Asked before its password is looked at, and again once an exchange
    /// has told its name.
    fn is_banned(&self, _client: &ClientInfo) -> bool {
        false
    }

    /// The client was accepted by CONNACK, or its connection has ended. Whoever does that too often, by the measure of
    /// its zone, may be banned for a while.
    fn state_changed(&self, _client: &ClientInfo, _measure: Flapping) {}

    /// Begins an enhanced authentication (MQTT 5.0 §4.12). `None`: no such method (CONNACK 0x8C).
    fn exchange(&self, _client: &ClientInfo, _method: &str) -> Option<Box<dyn Exchange>> {
        None
    }
}

/// When a client counts as flapping, and for how long it is banned (manual §5.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flapping {
    /// Connects and disconnects ...
    pub changes_max: u32,
    /// ... within this time, seconds.
    pub window_secs: u32,
    /// How long the ban lasts, seconds.
    pub ban_secs: u32,
}

/// One enhanced authentication: the client's data in, the server's data out, until it is decided.
#[async_trait]
pub trait Exchange: Send + Sync + 'static {
    /// Takes the client's next data; empty where it sent none.
    async fn step(&mut self, data: Bytes) -> Step;
}

/// The server's side of one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// AUTH 0x18 with this data; the client has to go on.
    Continue(Bytes),
    /// The client is who it says it is.
    Done {
        /// The user name that was proven.
        username: Str,
        /// Skip access control for this client.
        superuser: bool,
        /// The server's last data, for CONNACK or AUTH.
        data: Bytes,
    },
    /// It is not, or the method failed.
    Refused(Verdict),
}

/// The connected clients, as access control needs them. The broker implements it.
pub trait LiveClients: Send + Sync + 'static {
    /// Rights have changed: asks the authorizer again about the subscriptions of every connected client, and takes away
    /// what is no longer allowed. Returns before that is done.
    fn recheck(&self);
    /// Ends the connections of the clients that `is_meant` names (0x98 Administrative action) and returns how many.
    /// Their sessions go on.
    fn end(&self, is_meant: &dyn Fn(&ClientInfo) -> bool) -> usize;
}

/// What a client wants to do with a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Publish to a topic name (also wills, at CONNECT and again when the will is sent).
    Publish,
    /// Subscribe to a filter (also when a session is resumed).
    Subscribe,
    /// Receive a message on a topic name (live, retained, shared or from a queue).
    Receive,
}

/// The answer of an authorizer: at once where it can.
pub enum Decision {
    /// Allowed.
    Allow,
    /// Denied.
    Deny,
    /// Somebody has to be asked; `true` allows.
    Ask(BoxFuture<bool>),
}

/// Decides who may publish, subscribe and receive. Every delivery edge asks it.
pub trait Authorize: Send + Sync + 'static {
    /// Judges one access. `topic` is the effective topic: after rewriting, without `$share/<group>/`.
    fn authorize(&self, client: &ClientInfo, access: Access, topic: &str) -> Decision;

    /// Changes whenever answers given before may no longer hold.
    fn version(&self) -> u64 {
        0
    }

    /// Whether an answer costs more than a look into a small table. Then connections remember answers for a while.
    fn is_costly(&self) -> bool {
        false
    }
}

/// Lets everybody in as an ordinary client; meant for loopback listeners.
#[derive(Clone, Copy, Debug, Default)]
pub struct AllowAnonymous;

#[async_trait]
impl Authenticate for AllowAnonymous {
    async fn authenticate(&self, _: Login) -> Verdict {
        Verdict::Allow { superuser: false }
    }
}

/// Allows every access except publishing to `$`-topics, which belong to the server.
#[derive(Clone, Copy, Debug, Default)]
pub struct AllowAll;

impl Authorize for AllowAll {
    fn authorize(&self, _: &ClientInfo, access: Access, topic: &str) -> Decision {
        if access == Access::Publish && topic.starts_with('$') { Decision::Deny } else { Decision::Allow }
    }
}

/// A named number for `/metrics`: rooms that count hand their counters over in this form.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Prometheus metric name without the `weir_` prefix, such as `rule_matched_total`.
    pub name: &'static str,
    /// One line of help.
    pub help: &'static str,
    /// Counter or gauge.
    pub kind: SampleKind,
    /// Label pairs; only rule, action, resource, listener, reason, qos, state.
    pub labels: Vec<(&'static str, Str)>,
    /// The value.
    pub value: f64,
}

/// What a [`Sample`] measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleKind {
    /// Only goes up.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// A room that can be asked for its numbers.
pub trait Metrics: Send + Sync + 'static {
    /// Appends the current numbers to `out`.
    fn collect(&self, out: &mut Vec<Sample>);
}
