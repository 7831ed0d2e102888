//! The SQL tester's answers, to the letter, and the dry run of actions.

use engine::{Settings, TestEvent, TestOutcome, test};
use serde_json::{Value as Json, json};

use crate::server::{Server, spec};

fn event(fields: Json) -> TestEvent {
    TestEvent { event_type: "message.publish".to_owned(), fields }
}

fn check(sql: &str, fields: Json, expected: &Json) {
    let outcome = serde_json::to_value(test(sql, &event(fields))).unwrap();
    assert_eq!(&outcome, expected, "{sql}");
}

#[test]
fn rows_are_json_without_missing_and_with_marked_bytes() {
    let sql = "SELECT payload.x as x, payload.nope as gone, topic FROM \"t/#\"";
    check(
        sql,
        json!({"topic": "t/a", "payload": "{\"x\":31.5}"}),
        &json!({"result": "row", "rows": [{"x": 31.5, "topic": "t/a"}]}),
    );
    let sql = "SELECT payload as p FROM \"t/#\"";
    check(
        sql,
        json!({"topic": "t/a", "payload": {"$hex": "ff00"}}),
        &json!({"result": "row", "rows": [{"p": {"$hex": "FF00"}}]}),
    );
}

#[test]
fn nothing_comes_with_its_reason_and_errors_with_class_and_place() {
    let no_match = |sql: &str, fields: Json, says: &str| match test(sql, &event(fields)) {
        TestOutcome::NoMatch { reason } => assert!(reason.contains(says), "{sql}: {reason}"),
        other => panic!("{sql}: {other:?}"),
    };
    no_match("SELECT * FROM \"u\"", json!({"topic": "t"}), "u");
    no_match("SELECT * FROM \"t\" WHERE qos = 2", json!({"topic": "t", "qos": 1}), "qos");
    no_match("FOREACH payload.l FROM \"t\"", json!({"topic": "t", "payload": "{\"l\":[]}"}), "empty");
    for (sql, class) in [
        ("SELECT FROM", "parse"),
        ("SELECT nope(1) as a FROM \"t\"", "select"),
        ("SELECT payload.x / 0 as a FROM \"t\"", "select"),
        ("SELECT 1 as a FROM \"t\" WHERE payload.x - 'a' > 1", "where"),
    ] {
        match test(sql, &event(json!({"topic": "t", "payload": "{\"x\":1}"}))) {
            TestOutcome::Error { class: found, span, .. } => {
                assert_eq!(found, class, "{sql}");
                assert!(
                    span.is_some_and(|[start, end]| start < end && end <= sql.len()) || class == "parse",
                    "{sql}: {span:?}"
                );
            }
            other => panic!("{sql}: {other:?}"),
        }
    }
    let unknown = TestEvent { event_type: "nope".to_owned(), fields: json!({}) };
    assert!(matches!(test("SELECT * FROM \"t\"", &unknown), TestOutcome::Error { class, .. } if class == "event"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_renders_each_action_and_sends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), Settings::default()).await;
    let actions = json!([
        {"name": "republish", "params": {"target_topic": "out/${x}", "payload_tmpl": "${x}", "target_qos": 1}},
        {"name": "republish", "params": {"target_topic": "out/${nope}", "payload_tmpl": "${x}"}},
    ]);
    let rule = spec("SELECT payload.x as x FROM \"t\"", actions);
    let (outcome, rendered) =
        server.engine.test_rule(&rule, &event(json!({"topic": "t", "payload": "{\"x\":3}"}))).await;
    assert_eq!(outcome, TestOutcome::Row { rows: vec![json!({"x": 3})] });
    assert_eq!(rendered[0].request, json!({"topic": "out/3", "qos": 1, "retain": false, "payload": "3"}));
    assert!(
        rendered[1].error.as_ref().is_some_and(|error| error.contains("actions[1].params.target_topic")),
        "{rendered:?}"
    );
    assert!(server.published.messages.lock().is_empty());
    server.stop().await;
}
