//! What works without a server.

use std::fs;

use serde_json::{Value as Json, json};

use crate::support::{golden, run, weir};

#[test]
fn the_tester_prints_one_answer() {
    let table: &[(&str, &str, Json)] = &[
        (
            "SELECT payload.temp * 2 AS x FROM \"t/#\"",
            r#"{"topic":"t/1","payload":"{\"temp\":4}"}"#,
            json!({"result": "row", "rows": [{"x": 8}]}),
        ),
        ("SELECT * FROM \"a\" WHERE", "{}", json!({"result": "error", "class": "parse"})),
    ];
    for (sql, event, expected) in table {
        let (code, out, err) = run(weir(&["rules", "test", "--sql", sql, "--event", event]));
        assert_eq!((code, err.as_str()), (0, ""), "{sql}");
        let answer: Json = serde_json::from_str(&out).expect("one JSON object");
        for (key, value) in expected.as_object().expect("object") {
            assert_eq!(&answer[key], value, "{sql}: {answer}");
        }
    }
    let (code, _, err) = run(weir(&["rules", "test", "--sql", "SELECT 1", "--event", "{"]));
    assert_eq!((code, err.contains("--event is not JSON")), (6, true), "{err}");
    assert_eq!(run(weir(&["rules", "test", "--sql", "SELECT 1"])).0, 2);
}

#[test]
fn a_batch_answers_every_line_with_its_id() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("cases.jsonl");
    let line = |id: usize| {
        json!({"id": id, "sql": "SELECT payload.n AS n FROM \"t\"", "event": {"type": "message.publish", "fields": {"topic": "t", "payload": format!("{{\"n\":{id}}}")}}}).to_string()
    };
    let mut text: Vec<String> = (0..2000).map(line).collect();
    text[1000] = "not json".to_owned();
    fs::write(&file, text.join("\n")).expect("write");
    let (code, out, err) = run(weir(&["rules", "test", "--batch", file.to_str().expect("UTF-8")]));
    assert_eq!(code, 0, "{err}");
    let answers: Vec<Json> = out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(answers.len(), 2000);
    for (number, answer) in answers.iter().enumerate() {
        if number == 1000 {
            assert_eq!((&answer["id"], &answer["class"]), (&Json::Null, &json!("input")));
        } else {
            assert_eq!((&answer["id"], &answer["rows"]), (&json!(number), &json!([{"n": number}])), "{answer}");
        }
    }
}

#[test]
fn check_names_file_line_and_column() {
    let folder = tempfile::tempdir().expect("folder");
    let write = |name: &str, text: &str| {
        fs::write(folder.path().join(name), text).expect("write");
        name.to_owned()
    };
    let good =
        write("good.yaml", "rules:\n  r:\n    sql: SELECT topic FROM \"t/#\"\n    sinks:\n      - action: inspect\n");
    let bad = write(
        "bad.yaml",
        "rules:\n  r:\n    sql: |\n      SELECT uper(topic) AS t\n      FROM \"t/#\"\n    sinks:\n      - action: inspect\n",
    );
    let check = |files: &[&str]| {
        let mut command = weir(&["check"]);
        command.args(files).current_dir(folder.path());
        run(command)
    };
    let (code, out, err) = check(&[&good]);
    assert_eq!((code, out.as_str(), err.as_str()), (0, "good.yaml: ok, 1 rule, 0 tests passed\n", ""));
    let (code, out, err) = check(&[&good, &bad]);
    assert_eq!(code, 6, "{out}{err}");
    assert!(err.contains("bad.yaml:4:14: ") && err.contains("upper"), "{err}");
    let (code, _, err) = check(&["missing.yaml"]);
    assert_eq!((code, err.contains("missing.yaml")), (6, true), "{err}");
}

#[test]
fn a_query_without_server_and_data_says_what_to_do() {
    let folder = tempfile::tempdir().expect("folder");
    let mut command = weir(&["query", "SELECT 1"]);
    command.current_dir(folder.path());
    let (code, _, err) = run(command);
    assert_eq!(code, 1);
    assert!(err.contains("--data-dir"), "{err}");
}

#[test]
fn help_and_completion_are_printed() {
    let (code, out, _) = run(weir(&["--help"]));
    assert_eq!(code, 0);
    golden("help", &out);
    let (code, out, _) = run(weir(&["completion", "bash"]));
    assert_eq!((code, out.contains("weir__subcmd__rules") || out.contains("weir__rules")), (0, true));
    let (code, out, _) = run(weir(&["config", "show", "--origin"]));
    assert_eq!(code, 0);
    assert!(out.contains("mqtt.bind = 127.0.0.1:1883  # default"), "{out}");
}
