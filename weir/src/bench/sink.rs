//! What a sink under test has to offer, so that a run needs to know no system.

use async_trait::async_trait;
use cli::{ApiClient, Failure};
use serde_json::{Value as Json, json};

/// A row that came back: when it was published and when the sink had it, microseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) sent_us: i64,
    /// `None` when the time could not be found; the row is there all the same.
    pub(super) confirmed_us: Option<i64>,
}

/// A system that rows are measured into.
#[async_trait]
pub(super) trait Sink: Send {
    /// Its name in the output.
    fn name(&self) -> &'static str;

    /// What the reader should know of it: version, durability, and how the time of a row is found.
    fn about(&self) -> Json;

    /// Makes the table `table` ready and returns the action that writes into it.
    async fn prepare(&mut self, api: &ApiClient, table: &str) -> Result<Json, Failure>;

    /// Every row of `table` as the system itself has it now. `None` when the system keeps nothing.
    async fn rows(&mut self, table: &str) -> Result<Option<Vec<Row>>, Failure>;

    /// Takes `table` away.
    async fn clean(&mut self, table: &str);
}

/// No system at all: the action that only counts. What is left is the broker, the rule and the queue.
pub(super) struct NoSink;

#[async_trait]
impl Sink for NoSink {
    fn name(&self) -> &'static str {
        "none"
    }

    fn about(&self) -> Json {
        json!({"action": "do_nothing", "row_confirmed": "never, there is no table"})
    }

    async fn prepare(&mut self, _api: &ApiClient, _table: &str) -> Result<Json, Failure> {
        Ok(json!({"name": "do_nothing", "params": {}}))
    }

    async fn rows(&mut self, _table: &str) -> Result<Option<Vec<Row>>, Failure> {
        Ok(None)
    }

    async fn clean(&mut self, _table: &str) {}
}
