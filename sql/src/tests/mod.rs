//! Tests of the language by rule: each file is a table of texts and what they must give.

use serde_json::{Value as Json, json};

use crate::catalogue::{Fill, event_from_json};
use crate::{EventView, Options, Outcome, Plan, compile, evaluate};

mod diagnostics;
mod edges;
mod events;
mod foreach;
mod function_page;
mod functions;
mod jq;
mod plans;
mod properties;
mod publish;
mod select;
mod state;
mod values;

/// The time of all test events.
const NOW_MS: i64 = 1_700_000_000_123;

fn plan(sql: &str) -> Plan {
    match compile(sql, &Options::default()) {
        Ok(plan) => plan,
        Err(diagnostics) => panic!("{sql}\n{}", diagnostics[0]),
    }
}

/// What a rule gives, in one line: the rows as JSON, `no match: …`, or `class error: …`.
fn run(sql: &str, event_type: &str, fields: &Json) -> String {
    let plan = match compile(sql, &Options::default()) {
        Ok(plan) => plan,
        Err(diagnostics) => return format!("{} error: {}", diagnostics[0].class, diagnostics[0].message),
    };
    let event = event_from_json(event_type, fields, NOW_MS, Fill::Nothing).unwrap();
    let view = EventView::new(&event);
    match evaluate(&plan, &view) {
        Outcome::Rows(rows) => rows.iter().map(|row| row.to_json().to_string()).collect::<Vec<_>>().join(" "),
        Outcome::NoMatch(reason) => format!("no match: {}", reason.explain(&plan, &view)),
        Outcome::Error(error) => format!("{} error: {}", error.class, error.message),
    }
}

/// Runs over a publish on t/a with this payload; `expected` is the whole answer, or its beginning when it ends in `…`.
fn check(sql: &str, payload: &str, expected: &str) {
    let got = run(sql, "message.publish", &json!({"topic": "t/a", "qos": 1, "clientid": "c1", "payload": payload}));
    compare(sql, &got, expected);
}

fn compare(what: &str, got: &str, expected: &str) {
    match expected.strip_suffix('…') {
        Some(start) => assert!(got.starts_with(start), "{what}\n  got  {got}\n  want {expected}"),
        None => assert_eq!(got, expected, "{what}"),
    }
}

/// `SELECT expr AS r` over a payload.
fn value(expr: &str, payload: &str, expected: &str) {
    let got = run(
        &format!("SELECT {expr} AS r FROM \"t/#\""),
        "message.publish",
        &json!({"topic": "t/a", "qos": 1, "payload": payload}),
    );
    let got = got.strip_prefix("{\"r\":").and_then(|rest| rest.strip_suffix('}')).unwrap_or(&got);
    compare(expr, got, expected);
}
