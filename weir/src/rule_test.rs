//! `weir rules test`: a rule on an event, without a server; one, or thousands from a file of JSON lines.
//!
//! Invariant: in a batch every line of input gives exactly one line of output, whatever is wrong with it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use cli::args::RuleTestArgs;
use cli::{Exit, Failure};
use engine::{TestEvent, TestOutcome};
use serde_json::{Value as Json, json};

/// The longest line of a batch, bytes: an event can be as large as an MQTT packet, four times over when escaped.
const LINE_BYTES_MAX: u64 = 1 << 30;

pub(crate) fn run(args: &RuleTestArgs, out: &mut dyn Write) -> Result<(), Failure> {
    match (&args.batch, &args.sql, &args.event) {
        (Some(path), _, _) if path == Path::new("-") => batch(&mut io::stdin().lock(), out),
        (Some(path), _, _) => {
            let file = File::open(path)
                .map_err(|error| Failure::new(Exit::Failed, format!("cannot read {}: {error}", path.display())))?;
            batch(&mut BufReader::with_capacity(1 << 16, file), out)
        }
        (None, Some(sql), Some(event)) => one(sql, &args.event_type, event, out),
        _ => Err(Failure::new(Exit::Usage, "rules test needs --sql and --event, or --batch")),
    }
}

fn one(sql: &str, event_type: &str, event: &str, out: &mut dyn Write) -> Result<(), Failure> {
    let fields: Json = serde_json::from_str(event)
        .map_err(|error| Failure::new(Exit::Invalid, format!("--event is not JSON: {error}")))?;
    if !fields.is_object() {
        return Err(Failure::new(Exit::Invalid, "--event must be a JSON object of the event's fields"));
    }
    let answer = test(sql, TestEvent { event_type: event_type.to_owned(), fields });
    // An answer is an answer, also when it says that the rule is wrong: the exit code is for the tester itself.
    Ok(writeln!(out, "{answer}")?)
}

/// One answer as JSON. A panic inside is an answer too: a tester must survive what it tests.
fn test(sql: &str, event: TestEvent) -> Json {
    let outcome = catch_unwind(AssertUnwindSafe(|| engine::test(sql, &event))).unwrap_or_else(|_| TestOutcome::Error {
        class: "internal".to_owned(),
        message: "the tester panicked on this rule and event; this is a bug in weir".to_owned(),
        span: None,
    });
    serde_json::to_value(outcome).unwrap_or_else(|error| fault(format!("the answer is no JSON: {error}")))
}

fn fault(message: String) -> Json {
    json!({"result": "error", "class": "input", "message": message})
}

fn batch(input: &mut dyn BufRead, out: &mut dyn Write) -> Result<(), Failure> {
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let count = input
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut line)
            .map_err(|error| Failure::new(Exit::Failed, format!("cannot read line {number}: {error}")))?;
        if count == 0 {
            break;
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        writeln!(out, "{}", answer(number, &line))?;
    }
    Ok(out.flush()?)
}

/// The answer to one line, its `id` first.
fn answer(number: u64, line: &[u8]) -> Json {
    let (id, answer) = match serde_json::from_slice::<Json>(line) {
        Err(error) => (Json::Null, fault(format!("line {number} is not JSON: {error}"))),
        Ok(request) => {
            let id = request.get("id").cloned().unwrap_or(Json::Null);
            (id, asked(number, &request).unwrap_or_else(fault))
        }
    };
    let mut keyed = serde_json::Map::new();
    keyed.insert("id".to_owned(), id);
    if let Json::Object(answer) = answer {
        keyed.extend(answer);
    }
    Json::Object(keyed)
}

fn asked(number: u64, request: &Json) -> Result<Json, String> {
    let sql = request
        .get("sql")
        .and_then(Json::as_str)
        .ok_or_else(|| format!("line {number}: sql is required: the rule as text"))?;
    let event = request.get("event").filter(|event| event.is_object());
    let event = event.ok_or_else(|| format!("line {number}: event is required: {{\"type\": …, \"fields\": {{…}}}}"))?;
    let event_type = match event.get("type") {
        None | Some(Json::Null) => "message.publish",
        Some(Json::String(name)) => name,
        Some(_) => return Err(format!("line {number}: event.type must be text")),
    };
    let fields = match event.get("fields") {
        None | Some(Json::Null) => json!({}),
        Some(fields @ Json::Object(_)) => fields.clone(),
        Some(_) => return Err(format!("line {number}: event.fields must be an object")),
    };
    Ok(test(sql, TestEvent { event_type: event_type.to_owned(), fields }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_batch(input: &str) -> Vec<Json> {
        let mut out = Vec::new();
        batch(&mut input.as_bytes(), &mut out).unwrap();
        String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn every_line_has_an_answer_and_a_malformed_one_stops_nothing() {
        let answers = run_batch(concat!(
            "{\"id\":1,\"sql\":\"SELECT 1 AS one FROM \\\"t\\\"\",\"event\":{\"fields\":{\"topic\":\"t\"}}}\n",
            "{not json\n",
            "\n",
            "{\"id\":\"c\",\"event\":{}}\n",
            "{\"id\":4,\"sql\":\"x\",\"event\":7}\n",
            "{\"id\":5,\"sql\":\"x\",\"event\":{\"fields\":[]}}",
        ));
        let ids: Vec<&Json> = answers.iter().map(|answer| &answer["id"]).collect();
        assert_eq!(ids, [&json!(1), &Json::Null, &json!("c"), &json!(4), &json!(5)]);
        assert_eq!(answers[0]["rows"], json!([{"one": 1}]), "{}", answers[0]);
        for wrong in &answers[1..] {
            assert_eq!((&wrong["result"], &wrong["class"]), (&json!("error"), &json!("input")), "{wrong}");
        }
        assert!(
            answers[1]["message"]
                .as_str()
                .unwrap()
                .starts_with("line 2 is not JSON: key must be a string at line 1 column 2")
        );
    }
}
