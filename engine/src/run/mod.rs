//! The run path: tap → rule index → bounded queue of a worker → evaluation in natural micro-batches → actions.
//!
//! Rules never run in the publisher's task: the tap only finds the rules and queues the event. Events of one client go
//! to one worker, so they stay in order.

mod admission;
mod batch;
mod index;
mod queue;
mod set;
mod tap;
mod worker;

pub(crate) use admission::Submission;
pub(crate) use batch::Events;
pub(crate) use index::Index;
pub(crate) use queue::{Queue, payload_bytes};
pub(crate) use tap::Tap;
pub(crate) use worker::{Limits, run as run_worker};

#[cfg(test)]
mod index_tests;
