//! The tests of a pipeline: simulated events through the same evaluation the engine uses, rows compared.

use engine::{TestEvent, TestOutcome};
use serde::Serialize;
use serde_json::Value as Json;

use crate::pipeline::{Expect, Pipeline, Rule, Test};
use crate::problem::Place;

/// How one test went.
#[derive(Clone, Debug, Serialize)]
pub struct TestReport {
    /// Its name.
    pub name: String,
    /// Where it stands.
    #[serde(flatten)]
    pub place: Place,
    /// What was not as expected; empty when it passed.
    pub failures: Vec<Failure>,
}

/// One expectation that was not met.
#[derive(Clone, Debug, Serialize)]
pub struct Failure {
    /// The rule or sink.
    pub target: String,
    /// Where the expectation stands.
    #[serde(flatten)]
    pub place: Place,
    /// Rows that should have come.
    pub expected: Vec<Json>,
    /// Rows that came.
    pub got: Vec<Json>,
    /// Why rows are missing: what each input that gave none said, and failed evaluations.
    pub reasons: Vec<String>,
}

/// Runs every test.
pub(crate) fn run_tests(pipeline: &Pipeline) -> Vec<TestReport> {
    pipeline
        .tests
        .iter()
        .map(|test| TestReport {
            name: test.name.clone(),
            place: test.at,
            failures: test.expect.iter().filter_map(|expect| run(pipeline, test, expect)).collect(),
        })
        .collect()
}

fn run(pipeline: &Pipeline, test: &Test, expect: &Expect) -> Option<Failure> {
    let feeds = |rule: &&Rule| {
        rule.name == expect.target || rule.sinks.iter().any(|sink| sink.name.as_deref() == Some(&expect.target))
    };
    let mut got = Vec::new();
    let mut reasons = Vec::new();
    for (index, input) in test.inputs.iter().enumerate() {
        for rule in pipeline.rules.iter().filter(|rule| rule.enabled).filter(feeds) {
            let event = TestEvent { event_type: input.event.clone(), fields: input.fields.clone() };
            match engine::test(&rule.sql, &event) {
                TestOutcome::Row { rows } => got.extend(rows),
                TestOutcome::NoMatch { reason } => {
                    reasons.push(format!("input {}, rule {}: no row: {reason}", index + 1, rule.name))
                }
                TestOutcome::Error { class, message, .. } => {
                    reasons.push(format!("input {}, rule {}: {class} failed: {message}", index + 1, rule.name));
                }
            }
        }
    }
    let same =
        got.len() == expect.rows.len() && got.iter().zip(&expect.rows).all(|(got, expected)| matches(expected, got));
    (!same).then(|| Failure {
        target: expect.target.clone(),
        place: expect.at,
        expected: expect.rows.clone(),
        got,
        reasons,
    })
}

/// Whether a value is as expected: numbers by value (1 is 1.0), maps in any order, `{$any: true}` anything.
fn matches(expected: &Json, got: &Json) -> bool {
    match (expected, got) {
        (Json::Object(pattern), _) if pattern.len() == 1 && pattern.get("$any") == Some(&Json::Bool(true)) => true,
        (Json::Number(a), Json::Number(b)) => a == b || same_number(&a.to_string(), &b.to_string()),
        (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| matches(a, b)),
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| matches(a, b)))
        }
        _ => expected == got,
    }
}

/// Whole numbers compare by their digits, so that 2^53 and its neighbours differ; others as doubles.
fn same_number(a: &str, b: &str) -> bool {
    let whole = |text: &str| !text.contains(['.', 'e', 'E']);
    if whole(a) && whole(b) {
        return false;
    }
    match (a.parse::<f64>(), b.parse::<f64>()) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rows_are_compared_by_value() {
        for (expected, got, same) in [
            (json!({"a": 1}), json!({"a": 1.0}), true),
            (json!({"a": 31.50}), json!({"a": 31.5}), true),
            (json!({"a": 9007199254740992_i64}), json!({"a": 9007199254740993_i64}), false),
            (json!({"a": 1, "b": null}), json!({"b": null, "a": 1}), true),
            (json!({"a": 1}), json!({"a": 1, "b": 2}), false),
            (json!({"a": "1"}), json!({"a": 1}), false),
            (json!({"a": {"$any": true}}), json!({"a": [1]}), true),
            (json!([1, [2]]), json!([1, [2.0]]), true),
        ] {
            assert_eq!(matches(&expected, &got), same, "{expected} {got}");
        }
    }
}
