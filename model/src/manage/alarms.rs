//! Alarms: conditions that a person should know of while they last.

use serde::Serialize;

use crate::{Str, Value};

/// A condition that begins.
#[derive(Clone, Debug)]
pub struct Alarm {
    /// Name; there is one alarm of a name at a time.
    pub name: Str,
    /// What to tell a person.
    pub message: String,
    /// Facts about it.
    pub details: Vec<(&'static str, Value)>,
}

/// An alarm as lists show it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AlarmView {
    /// Name.
    pub name: Str,
    /// What to tell a person.
    pub message: String,
    /// Facts, as they were when it began.
    pub details: serde_json::Value,
    /// When it began, milliseconds since the epoch.
    pub activated_at_ms: i64,
    /// When it was over, milliseconds since the epoch; `None` while it lasts.
    pub deactivated_at_ms: Option<i64>,
}

/// Where alarms are raised and read. Raising one that lasts, and ending one that does not, does nothing.
pub trait Alarms: Send + Sync + 'static {
    /// The condition holds. `true`: it is new.
    fn activate(&self, alarm: Alarm) -> bool;
    /// The condition is over. `true`: it had lasted until now.
    fn deactivate(&self, name: &str) -> bool;
    /// The alarms that last, by name.
    fn present(&self) -> Vec<AlarmView>;
    /// Those that are over, the latest first; bounded, the oldest are forgotten.
    fn history(&self) -> Vec<AlarmView>;
    /// Forgets those that are over.
    fn clear_history(&self);
}
