//! Named, configured, health-checked connector instances: create, test, start, stop, status.
//!
//! Not here: what a connector does (its own crate), and rules (the engine registers as a user of what its rules use).
//!
//! Invariants:
//! - A stored resource survives a restart; its secrets are stored, and never returned or logged.
//! - A change is one step for everyone who looks: sinks made from a resource use its new client at their next write.
//! - The state of a resource is shown and measured; nothing is switched off because of it.
//! - What a file owns, only the file changes. What a rule uses is not deleted.

mod change;
mod entry;
mod health;
mod room;
mod sink;
mod types;

#[cfg(test)]
mod tests;

pub use entry::{Snapshot, Use};
pub use room::Resources;
pub use types::{By, Error, Origin, ResourceSpec, ResourceView, Settings, State, Status};
