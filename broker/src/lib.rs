//! The MQTT broker: 3.1, 3.1.1 and 5.0 over TCP, with sessions, retained messages, wills and shared subscriptions, in
//! memory and, where there is a [`Storage`], durable (`durable/mod.rs`).
//! It hands everything that happens to the event tap and never knows who listens there.
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
//! - Everything a client can grow has a bound in [`Settings`], and reaching it is counted.
//!
//! Where the standard leaves a choice: the session's owner above; an unknown packet identifier in PUBREL or PUBREC is
//! answered with success, so that a client which lost the last answer can go on; a publish that is denied is acknowledged
//! to MQTT 3 clients, which have no word for a refusal; a message that a durable queue refuses closes an MQTT 3 connection
//! without acknowledgement; control characters are refused in topics, filters, client identifiers and user names; a CONNECT
//! whose outline is broken, a remaining length of five bytes and a PING with a body are closed without a word.
//!
//! Not here yet: TLS and WebSocket listeners, retained messages on disk only, durable delayed messages. A message that a shared
//! subscription gave to a durable session stays with it; it is not handed on to another member.

mod alarms;
#[doc(hidden)]
pub mod bench_parts;
pub mod codec;
mod connection;
mod durable;
mod error;
mod events;
mod exchange;
mod handle;
mod listener;
mod manage;
mod node;
mod numbers;
mod registry;
mod router;
mod session;
mod settings;
mod subscribing;
mod sys;
mod timers;
pub mod topics;
mod trace;

pub use durable::Storage;
pub use error::Error;
pub use handle::{Broker, DelayedSummary, Handle};
pub use node::Ports;
pub use numbers::{Count, Counters, Dropped, Metric, Stat, Totals};
pub use router::DelayedCursor;
pub use settings::{Listener, ProxySubscription, QueueFull, RetainedStorage, RewriteRule, Settings, SharedStrategy};
