//! What a rule does with its rows: the built-in actions, those of the connectors, and the records they get.
//!
//! Built-in actions are sinks like any other: queue, retry, counters and dead letters come from the same runner.

mod builtin;
mod inspect;
mod records;
mod republish;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use connector::{ActionHandle, Delivery, WhenFull};
use model::ports::Admission;

pub(crate) use builtin::{BUILT_IN, BuiltIns, DO_NOTHING, INSPECT, REPUBLISH};
pub(crate) use inspect::Inspector;
pub(crate) use records::{of_event, records, records_of, whole};
pub(crate) use republish::{Late, check_loop, check_target, default_topic};

use crate::ActionConfig;
use crate::start::Binding;

/// One running action of a rule.
pub(crate) struct Action {
    pub(crate) config: ActionConfig,
    pub(crate) handle: ActionHandle,
    pub(crate) fallback: Vec<Action>,
    pub(crate) binding: Binding,
    /// Whether it has a sink; false while its resource is not there.
    pub(crate) bound: AtomicBool,
}

impl Action {
    /// Gives rows to the action's queue.
    pub(crate) fn submit(&self, records: Vec<connector::Record>) -> Admission {
        self.handle.submit(records)
    }

    /// Whether it promises at-least-once.
    pub(crate) fn is_durable(&self) -> bool {
        self.handle.settings().delivery == Delivery::AtLeastOnce
    }

    /// Whether it is in memory and asks for back-pressure.
    pub(crate) fn blocks(&self) -> bool {
        !self.is_durable() && self.handle.settings().queue.when_full == WhenFull::Block
    }
}

/// A sink that is given to the runner.
pub(crate) type SinkResult = Result<Arc<dyn connector::Sink>, connector::Error>;
