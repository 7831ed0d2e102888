//! Runs case files (JSON lines of rule or function cases) and prints what fails: `cases FILE…`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a developer's tool: a malformed case file may stop it"
)]

use std::process::ExitCode;

use model::Value;
use serde_json::Value as Json;
use sql::catalogue::{Fill, event_from_json};
use sql::{EventView, Options, Outcome, compile, evaluate};

const NOW_MS: i64 = 1_700_000_000_000;

enum Got {
    Rows(Vec<Json>),
    NoMatch(String),
    Error(String, String),
}

fn run(sql: &str, event_type: &str, fields: &Json) -> Got {
    let plan = match compile(sql, &Options::default()) {
        Ok(plan) => plan,
        Err(diagnostics) => {
            let first = &diagnostics[0];
            return Got::Error(first.class.to_string(), first.to_string());
        }
    };
    let event = match event_from_json(event_type, fields, NOW_MS, Fill::Nothing) {
        Ok(event) => event,
        Err(message) => return Got::Error("event".into(), message),
    };
    let view = EventView::new(&event);
    match evaluate(&plan, &view) {
        Outcome::Rows(rows) => Got::Rows(rows.iter().map(|row| tagged(&row.to_value())).collect()),
        Outcome::NoMatch(reason) => Got::NoMatch(reason.explain(&plan, &view)),
        Outcome::Error(error) => Got::Error(error.class.to_string(), error.message),
    }
}

/// JSON in which bytes keep their marker.
fn tagged(value: &Value) -> Json {
    match value {
        Value::Bytes(bytes) => {
            serde_json::json!({ "$hex": bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() })
        }
        Value::List(items) => Json::Array(items.iter().map(tagged).collect()),
        Value::Map(map) => {
            Json::Object(map.iter().filter(|(_, v)| !v.is_missing()).map(|(k, v)| (k.to_string(), tagged(v))).collect())
        }
        other => other.to_json(),
    }
}

fn is_undef(json: &Json) -> bool {
    json.get("$undef").is_some()
}

fn same(expected: &Json, got: Option<&Json>, exact: bool) -> bool {
    if is_undef(expected) {
        return got.is_none_or(Json::is_null);
    }
    if expected.get("$any").is_some() {
        return true;
    }
    let Some(got) = got else { return false };
    if let Some(wanted) = expected.get("$json") {
        return got
            .as_str()
            .and_then(|text| serde_json::from_str::<Json>(text).ok())
            .is_some_and(|got| same(wanted, Some(&got), true));
    }
    match (expected, got) {
        (Json::Object(_), Json::String(text)) if expected.get("$hex").is_some() => {
            expected["$hex"].as_str() == Some(text.bytes().map(|b| format!("{b:02x}")).collect::<String>().as_str())
        }
        (Json::String(text), Json::Object(_)) if got.get("$hex").is_some() => {
            got["$hex"].as_str() == Some(text.bytes().map(|b| format!("{b:02x}")).collect::<String>().as_str())
        }
        (Json::Object(a), Json::Object(b)) => {
            a.iter().all(|(key, value)| same(value, b.get(key), true))
                && (!exact || b.keys().all(|key| a.contains_key(key)))
        }
        (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(x, y)| same(x, Some(y), exact)),
        (Json::Number(a), Json::Number(b)) => {
            let (x, y) = (a.to_string(), b.to_string());
            if x == y {
                return true;
            }
            let integer = |text: &str| !text.contains(['.', 'e', 'E']);
            if integer(&x) && integer(&y) {
                return false;
            }
            let (x, y): (f64, f64) = (x.parse().unwrap(), y.parse().unwrap());
            (x - y).abs() <= 1e-9 * x.abs().max(y.abs())
        }
        _ => expected == got,
    }
}

fn rule_case(case: &Json) -> Result<(), String> {
    let event = &case["event"];
    let got = run(case["sql"].as_str().unwrap(), event["type"].as_str().unwrap(), &event["fields"]);
    let expected = &case["expected"];
    let how = expected["match"].as_str().unwrap_or("exact");
    let value = &expected["value"];
    match (expected["kind"].as_str().unwrap(), got) {
        ("row", Got::Rows(rows)) if rows.len() == 1 => {
            let good = match how {
                "any_value" => rows[0].as_object().unwrap().values().any(|got| same(value, Some(got), true)),
                _ => same(value, Some(&rows[0]), how == "exact"),
            };
            if good { Ok(()) } else { Err(format!("got row {}", rows[0])) }
        }
        ("rows", Got::Rows(rows)) => {
            let wanted = value.as_array().unwrap();
            if wanted.len() == rows.len()
                && wanted.iter().zip(&rows).all(|(want, got)| same(want, Some(got), how == "exact"))
            {
                Ok(())
            } else {
                Err(format!("got rows {rows:?}"))
            }
        }
        ("no_match", Got::NoMatch(_)) => Ok(()),
        ("error", Got::Error(class, message)) => match expected["class"].as_str() {
            Some(wanted) if wanted != class => Err(format!("got class {class}: {message}")),
            _ => Ok(()),
        },
        (_, Got::Rows(rows)) => Err(format!("got rows {}", Json::Array(rows))),
        (_, Got::NoMatch(reason)) => Err(format!("got no match: {reason}")),
        (_, Got::Error(class, message)) => Err(format!("got error {class}: {message}")),
    }
}

fn argument(arg: &Json, fields: &mut serde_json::Map<String, Json>) -> String {
    if let Some(call) = arg.get("$call").and_then(Json::as_array) {
        let args: Vec<String> = call[1..].iter().map(|arg| argument(arg, fields)).collect();
        return format!("{}({})", call[0].as_str().unwrap(), args.join(", "));
    }
    let name = format!("arg{}", fields.len());
    fields.insert(name.clone(), arg.clone());
    name
}

fn function_case(case: &Json) -> Result<(), String> {
    let mut fields = case.get("ctx").and_then(Json::as_object).cloned().unwrap_or_default();
    let args: Vec<String> = case["args"].as_array().unwrap().iter().map(|arg| argument(arg, &mut fields)).collect();
    let func = case["func"].as_str().unwrap();
    let call = if matches!(func, "+" | "-" | "*" | "/") {
        format!("{} {func} {}", args[0], args[1])
    } else {
        format!("{func}({})", args.join(", "))
    };
    let expected = &case["expected"];
    let got = run(
        &format!("SELECT {call} AS r FROM \"$events/client_connected\""),
        "client.connected",
        &Json::Object(fields),
    );
    match got {
        Got::Error(_, message) => {
            if expected.get("$error").is_some()
                && !message.contains("not built")
                && !message.contains("there is no function")
            {
                Ok(())
            } else {
                Err(format!("error: {message}"))
            }
        }
        Got::NoMatch(reason) => Err(reason),
        Got::Rows(rows) => {
            if expected.get("$error").is_some() {
                return Err(format!("should fail, got {}", rows[0]));
            }
            let got = rows[0].get("r");
            let unordered = case.get("unordered").is_some();
            let (mut want, mut have) = (expected.clone(), got.cloned());
            if unordered && let (Some(a), Some(Json::Array(b))) = (want.as_array_mut(), have.as_mut()) {
                a.sort_by_key(Json::to_string);
                b.sort_by_key(Json::to_string);
            }
            if same(&want, have.as_ref(), true) { Ok(()) } else { Err(format!("got {}", have.unwrap_or(Json::Null))) }
        }
    }
}

fn main() -> ExitCode {
    let mut failed = 0;
    for path in std::env::args().skip(1) {
        let text = std::fs::read_to_string(&path).expect("a readable case file");
        let (mut passed, mut total) = (0, 0);
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let case: Json = serde_json::from_str(line).expect("a JSON line");
            total += 1;
            let result = if case.get("func").is_some() { function_case(&case) } else { rule_case(&case) };
            match result {
                Ok(()) => passed += 1,
                Err(why) => {
                    failed += 1;
                    let what = if case.get("func").is_some() {
                        format!("{} {}", case["func"], case["args"])
                    } else {
                        case["sql"].to_string()
                    };
                    println!(
                        "FAIL {} {what}\n     want {}\n     {}",
                        case["id"],
                        case["expected"],
                        why.replace('\n', "\n     ")
                    );
                }
            }
        }
        println!("{path}: {passed} of {total}");
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
