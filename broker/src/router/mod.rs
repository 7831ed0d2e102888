//! From a message to the sessions that want it.

mod delayed;
mod dispatch;
mod group;
mod outgoing;
mod retained;
mod subscribers;

pub use delayed::DelayedCursor;
pub(crate) use delayed::{Delayed, run as run_delayed};
pub(crate) use group::Ticket;
pub use outgoing::{Alias, Envelope, Outgoing};
pub(crate) use retained::{Retained, RetainedLimits, Stored};
pub(crate) use subscribers::Subscribers;
