//! The rule engine: plans and compiles SQL rules, runs them over broker events, and routes rows to actions.
//!
//! The way in is [`Engine`]. The broker hands events to [`Engine::tap`]; the rule index finds the rules they
//! concern; workers evaluate them in natural micro-batches and give the rows to action queues.
//!
//! Invariants:
//! - The engine knows no broker, no HTTP and no concrete outside system: it meets them through `model::ports` and
//!   the connector contract.
//! - This is the only room that names `datafusion`.
//! - Rules never run in the publisher's task.
//! - A row that fails marks itself as failed; it never fails its batch, and never the rule.

mod actions;
mod change;
mod check;
mod engine;
mod error;
mod evaluator;
mod letters;
pub mod query;
mod rates;
mod rule;
mod run;
mod settings;
mod show;
mod spec;
mod start;
mod stored;
mod testing;
mod vector;
mod view;

pub use change::Transaction;
pub use check::{PlannedResources, built_in_actions, check_built_in};
pub use engine::{Deps, Engine};
pub use error::{Diagnostic, Error};
pub use evaluator::{Evaluator, Form};
pub use settings::Settings;
pub use spec::{ActionConfig, OnDecodeError, RuleSpec, SourceLine};
pub use testing::{Rendered, TestEvent, TestOutcome, test};
pub use view::{ActionInfo, ActionMetrics, ActionView, Failure, Inspection, RuleMetrics, RuleView};
