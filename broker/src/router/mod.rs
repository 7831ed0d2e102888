//! From a message to the sessions that want it.

mod outgoing;
mod retained;
mod subscribers;

pub use outgoing::{Envelope, Outgoing};
pub(crate) use retained::{Retained, Stored};
pub(crate) use subscribers::{Receiver, Subscribers, split_share};
