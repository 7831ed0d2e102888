//! The SQL tester: one statement, one simulated event, no server. The CLI, the API and the YAML tests share it.

use serde::Serialize;
use serde_json::Value as Json;

/// A simulated event.
#[derive(Clone, Debug)]
pub struct TestEvent {
    /// `message.publish`, `client.connected`, … in any spelling the FROM clause takes.
    pub event_type: String,
    /// Its fields as JSON; `{"$hex": "…"}` is bytes, `{"$undef": true}` is missing.
    pub fields: Json,
}

/// What came out.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum TestOutcome {
    /// Rows; missing columns are left out, bytes that are no text are `{"$hex": "…"}`.
    Row {
        /// At least one.
        rows: Vec<Json>,
    },
    /// No row, and why.
    NoMatch {
        /// Which FROM did not match, or which WHERE conjunct was false with the values it saw.
        reason: String,
    },
    /// It failed.
    Error {
        /// `parse`, `plan`, `event`, `select`, `where`, `foreach`, `incase`, …
        class: String,
        /// What went wrong.
        message: String,
        /// Byte offsets into the SQL text.
        #[serde(skip_serializing_if = "Option::is_none")]
        span: Option<[usize; 2]>,
    },
}

/// One action's request as it would be sent for one row.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rendered {
    /// Index into the rule's actions.
    pub action: usize,
    /// Its name.
    pub name: String,
    /// Index into the rows.
    pub row: usize,
    /// The request, or null when it could not be rendered.
    pub request: Json,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Tests one SQL statement against one event. Needs no server.
pub fn test(_sql: &str, _event: &TestEvent) -> TestOutcome {
    TestOutcome::Error { class: "internal".to_owned(), message: "the tester is in a later commit".to_owned(), span: None }
}
