//! What travels from a rule to a sink.

use std::sync::Arc;

use model::{Row, Str, Value};

/// One row for one action, with where it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The rule's output row.
    pub row: Row,
    /// The rule that made it.
    pub rule: Str,
    /// Unique and stable across retries and restarts: `<message or event id>/<rule>/<row index>`. Sinks that can be keyed
    /// use it for effectively-once delivery; HTTP sinks send it as `Idempotency-Key`.
    pub id: Str,
    /// When the event happened, milliseconds since the epoch; queue TTL counts from here.
    pub at_ms: i64,
    /// The original event as a map, for dead letters and replay; `None` where the queue was told not to keep it.
    pub event: Option<Arc<Value>>,
    /// Rules the event already passed by republishing, oldest first (loop protection).
    pub passed_rules: Arc<Vec<Str>>,
}
