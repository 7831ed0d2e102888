//! The MQTT broker: 3.1, 3.1.1 and 5.0 over TCP, with sessions, retained messages, wills and shared subscriptions in
//! memory. It hands everything that happens to the event tap and never knows who listens there.
//!
//! ```text
//! socket → listener → connection ── codec ──▶ handle_*.rs ──▶ node::Core ─┬─▶ event tap (model::ports)
//!                          ▲                                              └─▶ router → sessions
//!                          └────────────── session queue ◀────────────────────────────┘
//! ```
//!
//! Invariants:
//! - Nothing here knows SQL, rules, connectors or HTTP.
//! - A connection task is the only writer of its socket. Others append to the session's queue and wake it.
//! - Every edge over which a message is delivered asks the authorizer: publish, subscribe, will (twice), live, retained
//!   and queued delivery, and the subscriptions of a resumed session.
//! - A session belongs to the user name it was created with. The same client identifier under another name is refused
//!   (0x85, return code 2 before MQTT 5) and does not touch the session.
//! - Everything a client can grow has a bound in [`Settings`] or in its [`Zone`], and reaching it is counted.
//!
//! Where the standard leaves a choice: the session's owner above; an unknown packet identifier in PUBREL or PUBREC is
//! answered with success, so that a client which lost the last answer can go on; a publish that is denied is acknowledged
//! to MQTT 3 clients, which have no word for a refusal; a message that a durable queue refuses closes an MQTT 3 connection
//! without acknowledgement; control characters are refused in topics, filters, client identifiers and user names.
//!
//! Not here yet: TLS and WebSocket listeners, durable sessions and retained messages (delayed messages too are
//! in memory), `$SYS`, enhanced authentication (a CONNECT with an authentication method is refused with 0x8C), outgoing topic
//! aliases.

pub mod codec;
mod connection;
mod error;
mod events;
mod handle;
mod listener;
mod node;
mod numbers;
mod registry;
mod router;
mod session;
mod settings;
mod subscribing;
mod timers;
pub mod topics;
mod zone;

pub use error::Error;
pub use handle::{Broker, ClientSummary, DelayedSummary, Handle, SubscriptionSummary};
pub use node::Ports;
pub use numbers::{Count, Counters, Dropped, Metric, Stat, Totals};
pub use router::DelayedCursor;
pub use settings::{Listener, ProxySubscription, QueueFull, RewriteRule, Settings, SharedStrategy};
pub use zone::{Flapping, Rate, Zone};

/// Parts that benches measure on their own; not for other rooms.
#[doc(hidden)]
pub mod bench_parts {
    pub use crate::router::{Envelope, Outgoing};
}
