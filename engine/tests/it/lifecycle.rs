//! Rules are created, checked, changed, counted, stored and brought back.

use engine::{Error, RuleSpec, Settings, SourceLine};
use model::ports::{Admission, Metrics};
use model::{EventKind, Str};
use serde_json::json;

use crate::server::{Server, inspect, spec};

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_shapes_rows_and_counts() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), Settings::default()).await;
    let sql = "SELECT payload.x as x, topic FROM \"t/#\" WHERE payload.x > 1";
    let rule = server.rule(sql, inspect()).await.unwrap();
    assert!(rule.id.starts_with("rule:") && rule.id.len() == 13, "{}", rule.id);
    assert_eq!((rule.sources, rule.outputs), (vec![Str::new("t/#")], Some(vec!["x".into(), "topic".into()])));
    assert!(server.engine.tap().wants(EventKind::MessagePublish));
    assert!(!server.engine.tap().wants(EventKind::ClientConnected));
    for payload in ["{\"x\":1}", "{\"x\":2}", "no json", "{\"x\":\"a\"}", "{}"] {
        assert!(matches!(server.publish("t/a", payload), Admission::Done));
    }
    assert!(matches!(server.publish("u", "{\"x\":9}"), Admission::Done));
    let view =
        server.until(&rule.id, |view| view.metrics.passed + view.metrics.failed + view.metrics.no_result == 5).await;
    let metrics = &view.metrics;
    assert_eq!((metrics.matched, metrics.passed, metrics.failed, metrics.no_result, metrics.rows), (5, 1, 2, 2, 1));
    assert_eq!(view.failures.len(), 2);
    assert_eq!(
        (view.failures[0].class.as_str(), view.failures[0].input["payload"].as_str()),
        ("where", Some("no json"))
    );
    server.until(&rule.id, |view| view.actions[0].metrics.success == 1).await;
    let seen = server.engine.inspections(&rule.id).unwrap();
    assert_eq!((seen.len(), &seen[0].row, &seen[0].params), (1, &json!({"x": 2, "topic": "t/a"}), &json!({"a": 1})));
    let mut samples = Vec::new();
    server.engine.collect(&mut samples);
    assert!(samples.iter().any(|sample| sample.name == "rule_passed_total" && sample.value == 1.0));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_work_is_refused_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), Settings::default()).await;
    let ok = "SELECT payload.x as x FROM \"t/#\"";
    for (sql, actions, expected) in [
        ("SELEC * FROM \"t\"", inspect(), "line 1, column 1"),
        ("SELECT nope(1) as a FROM \"t\"", inspect(), "nope"),
        (ok, json!([]), "at least one action"),
        (
            ok,
            json!([{"name": "inspekt"}]),
            "actions[0].name: there is no action \"inspekt\"; known: do_nothing, inspect, republish",
        ),
        (
            ok,
            json!([{"name": "republish", "params": {"target_topic": "u", "payload_tmpl": "${y}"}}]),
            "actions[0].params.payload_tmpl: ${y} is never there: the rule's output is x",
        ),
        (ok, json!([{"name": "republish", "params": {"target_topic": "u"}}]), "payload_tmpl was not set"),
        (
            ok,
            json!([{"name": "republish", "params": {"target_topic": "t/out", "payload_tmpl": "${x}"}}]),
            "would select its own output",
        ),
        (
            ok,
            json!([{"name": "republish", "params": {"target_topic": "t/${x}", "payload_tmpl": "${x}"}}]),
            "would select its own output",
        ),
        (ok, json!([{"name": "republish", "params": {"target_topic": "u/+", "payload_tmpl": "${x}"}}]), "wildcards"),
        (
            ok,
            json!([{"name": "republish", "params": {"target_qos": 3, "target_topic": "u", "payload_tmpl": "${x}"}}]),
            "actions[0].params.target_qos",
        ),
        (
            ok,
            json!([{"name": "inspect", "delivry": "at_least_once"}]),
            "actions[0].delivry: unknown key; did you mean delivery?",
        ),
        (ok, json!([{"name": "inspect", "queue": {"bytes": 1}}]), "actions[0].queue.bytes"),
    ] {
        let error = server.rule(sql, actions).await.unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{sql}: {error:?}");
        assert!(error.to_string().contains(expected), "{sql}: {error} does not say {expected}");
    }
    assert!(server.engine.rules().is_empty());
    let narrowed = "SELECT payload.x as x FROM \"message.publish\" WHERE topic =~ 't/#'";
    let republish = json!([{"name": "republish", "params": {"target_topic": "u/${x}", "payload_tmpl": "${x}"}}]);
    server.rule(narrowed, republish).await.expect("a target outside the topic condition of WHERE is no loop");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_come_back_after_a_restart_with_their_state() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), Settings::default()).await;
    let on = server.rule("SELECT * FROM \"t/#\"", inspect()).await.unwrap();
    let off = server.rule("SELECT * FROM \"client.connected\"", inspect()).await.unwrap();
    server.engine.set_enabled(&off.id, false).await.unwrap();
    let gone = server.rule("SELECT * FROM \"x\"", inspect()).await.unwrap();
    server.engine.delete_rule(&gone.id, None).await.unwrap();
    server.stop().await;

    let server = Server::start(folder.path(), Settings::default()).await;
    assert_eq!(server.engine.rules().len(), 2);
    let again = server.engine.rule(&on.id).unwrap();
    assert_eq!((again.sql, again.created_at_ms, again.enabled), (on.sql, on.created_at_ms, true));
    assert!(!server.engine.rule(&off.id).unwrap().enabled);
    assert!(!server.engine.tap().wants(EventKind::ClientConnected));
    assert!(matches!(server.engine.rule(&gone.id), Err(Error::NotFound(_))));
    assert!(matches!(server.publish("t/1", "{}"), Admission::Done));
    server.until(&on.id, |view| view.actions[0].metrics.success == 1).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_file_owns_only_the_file_changes() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), Settings::default()).await;
    let origin = SourceLine { file: "rules.yaml".to_owned(), line: 7 };
    let given =
        RuleSpec { id: Some("hot".into()), origin: Some(origin.clone()), ..spec("SELECT * FROM \"t\"", inspect()) };
    server.engine.create_rule(given.clone()).await.unwrap();
    let by_api = spec("SELECT * FROM \"u\"", inspect());
    for error in [
        server.engine.replace_rule("hot", by_api.clone()).await.unwrap_err(),
        server.engine.delete_rule("hot", None).await.unwrap_err(),
        server.engine.set_enabled("hot", false).await.unwrap_err(),
    ] {
        assert!(matches!(error, Error::Conflict(_)) && error.to_string().contains("rules.yaml:7"), "{error}");
    }
    let error = server.engine.create_rule(given).await.unwrap_err();
    assert!(matches!(error, Error::Conflict(_)));
    let changed = RuleSpec { origin: Some(SourceLine { line: 9, ..origin }), ..by_api };
    let view = server.engine.replace_rule("hot", changed).await.unwrap();
    assert_eq!((view.sql.as_str(), view.origin.map(|origin| origin.line)), ("SELECT * FROM \"u\"", Some(9)));
    assert!(matches!(server.publish("t", "{}"), Admission::Done));
    assert!(matches!(server.publish("u", "{}"), Admission::Done));
    server.until("hot", |view| view.actions[0].metrics.success == 1 && view.metrics.matched == 1).await;
    server.engine.delete_rule("hot", Some("rules.yaml")).await.unwrap();
    assert!(server.engine.rules().is_empty());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_of_ten_megabytes_passes_and_a_bad_one_is_shown_short() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), Settings::default()).await;
    let rule = server.rule("SELECT payload.x as x FROM \"t\"", inspect()).await.unwrap();
    let filler = "a".repeat(10 << 20);
    assert!(matches!(server.publish("t", format!("{{\"filler\":\"{filler}\",\"x\":7}}")), Admission::Done));
    assert!(matches!(server.publish("t", filler), Admission::Done));
    let view = server.until(&rule.id, |view| view.metrics.passed == 1 && view.metrics.failed == 1).await;
    assert!(view.failures[0].input.to_string().len() < 4096);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_and_row_is_counted_once_under_load() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { tap_queue_events_max: 256, workers: 2, ..Settings::default() };
    let server = Server::start(folder.path(), settings).await;
    let sql = "SELECT payload.x + 1 as y FROM \"t/#\" WHERE payload.x > 0";
    let rule = server.rule(sql, serde_json::json!([{"name": "do_nothing"}])).await.unwrap();
    let total: u64 = 20_000;
    for n in 0..total {
        let payload = match n % 4 {
            0 => "{\"x\":0}".to_owned(),
            1 => "{\"x\":\"word\"}".to_owned(),
            _ => format!("{{\"x\":{n}}}"),
        };
        assert!(matches!(server.publish(&format!("t/{}", n % 7), payload), Admission::Done));
    }
    let done = |view: &engine::RuleView| {
        let m = &view.metrics;
        m.passed + m.failed + m.no_result + m.dropped == m.matched
    };
    let view = server.until(&rule.id, |view| view.metrics.matched == total && done(view)).await;
    assert_eq!(view.metrics.rows, view.metrics.passed);
    let view = server.until(&rule.id, |view| view.actions[0].metrics.success == view.metrics.rows).await;
    let action = &view.actions[0].metrics;
    assert_eq!(
        action.matched,
        action.success + action.failed + action.queued + action.inflight + action.dropped.values().sum::<u64>()
    );
    server.stop().await;
}
