//! What the engine shows of its rules: plain data for the API, the CLI and the pipelines.

use std::collections::BTreeMap;

use connector::Field;
use model::Str;
use serde::Serialize;
use serde_json::Value as Json;

use crate::{OnDecodeError, SourceLine};

/// A rule and its numbers.
#[derive(Clone, Debug, Serialize)]
pub struct RuleView {
    /// Id, such as `rule:9a6a725d`.
    pub id: Str,
    /// The SQL text as it was given.
    pub sql: String,
    /// Free text.
    pub description: String,
    /// Whether it selects anything.
    pub enabled: bool,
    /// What its FROM clause names, as written there: event names and topic filters.
    #[serde(rename = "for")]
    pub sources: Vec<Str>,
    /// Names of the output columns, where they are known without an event.
    pub outputs: Option<Vec<Str>>,
    /// Its actions.
    pub actions: Vec<ActionView>,
    /// What happens when a path looks into a payload that cannot be decoded; `None` = the default of its form.
    pub on_decode_error: Option<OnDecodeError>,
    /// The file that owns it.
    pub origin: Option<SourceLine>,
    /// When it was created, milliseconds since the epoch.
    pub created_at_ms: i64,
    /// Its numbers since the start.
    pub metrics: RuleMetrics,
    /// The last failures, newest last.
    pub failures: Vec<Failure>,
}

/// An action of a rule and its numbers.
#[derive(Clone, Debug, Serialize)]
pub struct ActionView {
    /// Id, unique in the engine: `<rule id>/<index>`.
    pub id: Str,
    /// Name such as `data_to_pgsql`.
    pub name: String,
    /// Parameters; secrets masked.
    pub params: Json,
    /// Delivery and queue settings as they were given.
    pub settings: Json,
    /// The resource it is bound to.
    pub resource: Option<Str>,
    /// Why it cannot work now, where it cannot: rows wait in its queue meanwhile.
    pub unavailable: Option<String>,
    /// Its numbers since the start.
    pub metrics: ActionMetrics,
    /// Actions that get what this one could not deliver.
    pub fallback: Vec<ActionView>,
}

/// Counters of one rule.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RuleMetrics {
    /// Events the rule looked at: its FROM clause matched.
    pub matched: u64,
    /// Events that gave at least one row.
    pub passed: u64,
    /// Events that gave no row because of an error, or none although WHERE was true: the next two together.
    pub failed: u64,
    /// Events whose evaluation failed.
    #[serde(rename = "failed.exception")]
    pub failed_exception: u64,
    /// Events that gave no row: WHERE was not true, or the collection was empty.
    pub no_result: u64,
    /// Events not looked at because the rule's worker queue was full (at_most_once only).
    pub dropped: u64,
    /// Rows produced.
    pub rows: u64,
    /// Undecodable events that should have become dead letters and could not be kept.
    pub dead_letters_lost: u64,
    /// Events matched in the last second.
    #[serde(rename = "matched.rate")]
    pub rate: f64,
    /// The highest rate seen.
    #[serde(rename = "matched.rate.max")]
    pub rate_max: f64,
    /// Mean rate over the last five minutes, events a second.
    #[serde(rename = "matched.rate.last5m")]
    pub rate_last_5m: f64,
}

/// Counters of one action: `matched = success + failed + inflight + queued + Σ dropped` at every instant.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ActionMetrics {
    /// Rows given to the action.
    pub matched: u64,
    /// Rows the outside confirmed.
    pub success: u64,
    /// Rows finally refused.
    pub failed: u64,
    /// Attempts beyond the first.
    pub retried: u64,
    /// Rows dropped, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// Rows waiting.
    pub queued: u64,
    /// Rows being written.
    pub inflight: u64,
}

/// One failed evaluation.
#[derive(Clone, Debug, Serialize)]
pub struct Failure {
    /// When, milliseconds since the epoch.
    pub at_ms: i64,
    /// Which step: `select`, `where`, `foreach`, `incase`, `decode`, …
    pub class: String,
    /// What went wrong.
    pub message: String,
    /// The event, cut to a bounded size.
    pub input: Json,
}

/// An action that rules can use.
#[derive(Clone, Debug)]
pub struct ActionInfo {
    /// Name such as `republish`.
    pub name: &'static str,
    /// Title.
    pub title: &'static str,
    /// One sentence.
    pub description: &'static str,
    /// The application that provides it, as the 3.4.5 CLI prints it: `emqx_rule_engine`, `emqx_backend_pgsql`, …
    pub app: &'static str,
    /// Event it is for: `$any` or `message.publish` (manual §7.3.1).
    pub for_event: &'static str,
    /// Resource types it can be bound to; empty for built-in ones.
    pub types: Vec<&'static str>,
    /// Parameters.
    pub params: &'static [Field],
}

/// One row that went through an `inspect` action.
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    /// When, milliseconds since the epoch.
    pub at_ms: i64,
    /// Rule id.
    pub rule: Str,
    /// The row.
    pub row: Json,
    /// The event it came from, where it was kept.
    pub event: Option<Json>,
    /// The action's parameters.
    pub params: Json,
}
