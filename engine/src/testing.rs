//! The SQL tester: one statement, one simulated event, no server. The CLI, the API and the YAML tests share it.

use std::sync::Arc;

use connector::{Record, Sink};
use model::{Clock, Event, Row, Str, SystemClock};
use serde::Serialize;
use serde_json::Value as Json;
use sql::catalogue::{Fill, event_from_json};
use sql::{EventView, Outcome};

use crate::check::compile;
use crate::show::tester_json;
use crate::{ActionConfig, Diagnostic, Engine, OnDecodeError, RuleSpec};

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

/// Tests one SQL statement against one event. Needs no server; fields that are not given are missing.
pub fn test(sql: &str, event: &TestEvent) -> TestOutcome {
    match run(sql, None, event) {
        Ok((_, rows)) => TestOutcome::Row { rows: rows.iter().map(row_json).collect() },
        Err(outcome) => outcome,
    }
}

/// The rows, with the event they came from.
fn run(sql: &str, on_decode_error: Option<OnDecodeError>, event: &TestEvent) -> Result<(Event, Vec<Row>), TestOutcome> {
    let plan = compile(sql, on_decode_error).map_err(|found| of_diagnostics(&found))?;
    let event = event_from_json(&event.event_type, &event.fields, SystemClock.now_ms(), Fill::Nothing)
        .map_err(|message| TestOutcome::Error { class: "event".to_owned(), message, span: None })?;
    let view = EventView::new(&event);
    let rows = match sql::evaluate(&plan, &view) {
        Outcome::Rows(rows) if rows.is_empty() => {
            return Err(TestOutcome::NoMatch { reason: sql::explain_no_rows(&plan) });
        }
        Outcome::Rows(rows) => rows,
        Outcome::NoMatch(reason) => return Err(TestOutcome::NoMatch { reason: reason.explain(&plan, &view) }),
        Outcome::Error(error) => {
            let span = Some([error.span.range().start, error.span.range().end]).filter(|[start, end]| start < end);
            return Err(TestOutcome::Error { class: error.class.name().to_owned(), message: error.message, span });
        }
    };
    Ok((event, rows))
}

fn of_diagnostics(found: &[Diagnostic]) -> TestOutcome {
    let messages: Vec<String> = found
        .iter()
        .map(|fault| match &fault.hint {
            Some(hint) => format!("{} ({hint})", fault.message),
            None => fault.message.clone(),
        })
        .collect();
    TestOutcome::Error {
        class: found.first().map_or("plan", |fault| fault.class).to_owned(),
        message: messages.join("; "),
        span: found.first().and_then(|fault| fault.span),
    }
}

fn row_json(row: &Row) -> Json {
    Json::Object(row.iter().map(|(name, value)| (name.as_str().to_owned(), tester_json(value))).collect())
}

impl Engine {
    /// The SQL tester with each action's request by dry run: nothing is sent. An action that cannot be rendered says
    /// why and does not change the rows.
    pub async fn test_rule(&self, spec: &RuleSpec, event: &TestEvent) -> (TestOutcome, Vec<Rendered>) {
        let (event, rows) = match run(&spec.sql, spec.on_decode_error, event) {
            Ok(found) => found,
            Err(outcome) => return (outcome, Vec::new()),
        };
        let shown = rows.iter().map(row_json).collect();
        let mut rendered = Vec::new();
        for (place, config) in spec.actions.iter().enumerate() {
            let sink = self.dry_sink(place, config, spec);
            for (row, values) in rows.iter().enumerate() {
                let record = Record {
                    row: values.clone(),
                    rule: spec.id.clone().unwrap_or_else(|| Str::new("rule:test")),
                    id: format!("test/{row}").into(),
                    at_ms: event.at_ms,
                    event: None,
                    passed_rules: Arc::default(),
                };
                let request = match &sink {
                    Ok(sink) => sink.render(&record).map_err(|error| error.to_string()),
                    Err(why) => Err(why.clone()),
                };
                let (request, error) = match request {
                    Ok(request) => (request, None),
                    Err(why) => (Json::Null, Some(why)),
                };
                rendered.push(Rendered { action: place, name: config.name.clone(), row, request, error });
            }
        }
        (TestOutcome::Row { rows: shown }, rendered)
    }

    /// A sink for rendering, made as for a real rule and given no queue.
    fn dry_sink(&self, place: usize, config: &ActionConfig, spec: &RuleSpec) -> Result<Arc<dyn Sink>, String> {
        let one = RuleSpec { actions: vec![config.clone()], ..spec.clone() };
        let mut checked = self.checker().rule(&one).map_err(|faults| {
            let shown: Vec<String> = faults.iter().map(ToString::to_string).collect();
            shown.join("; ").replace("actions[0]", &format!("actions[{place}]"))
        })?;
        let action = checked.actions.pop().ok_or("there is no action")?;
        self.starter().dry(action).map_err(|error| error.to_string())
    }
}
