//! The nouns every room shares: topics, messages, events, dynamic values, clients, the clock and the
//! ports through which the broker and the engine meet.
//!
//! Invariants:
//! - No I/O happens here: no sockets, no files. (`tokio` is used only for task spawning and one-shot replies.)
//! - Nothing here knows Arrow, SQL text, HTTP or any outside system.
//! - Broker and engine never import each other; whatever passes between them is a type of this crate.

pub mod client;
pub mod clock;
pub mod codec;
pub mod event;
pub mod manage;
pub mod message;
pub mod ports;
pub mod row;
pub mod task;
pub mod topic;
pub mod value;

pub use client::{ClientInfo, ProtocolVersion};
pub use clock::{Clock, SystemClock};
pub use event::{Body, Event, EventKind};
pub use message::{Message, MessageId, Origin, PublishProperties, Qos};
pub use row::Row;
pub use topic::{TopicError, filter_matches, validate_filter, validate_topic};
pub use value::{Map, Str, Value};
