//! `on_decode_error: dead_letter`: an undecodable event is kept, and given to the rule again when somebody asks.

use connector::DeadLetterFilter;
use engine::{OnDecodeError, RuleSpec, Settings};
use model::Str;
use model::ports::Refused;
use serde_json::json;

use crate::server::{Server, answer, inspect, spec};

fn rule(sql: &str, policy: OnDecodeError, delivery: &str) -> RuleSpec {
    let actions = json!([{"name": "inspect", "delivery": delivery}]);
    RuleSpec { id: Some("hot".into()), on_decode_error: Some(policy), ..spec(sql, actions) }
}

const X: &str = "SELECT payload.x as x, topic, id FROM \"t/#\"";

async fn letters(server: &Server) -> Vec<connector::DeadLetterView> {
    let all = DeadLetterFilter::default();
    server.engine.dead_letters().unwrap().list(&all, None, 100).await.unwrap().letters
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undecodable_event_becomes_a_dead_letter_before_its_publisher_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), Settings::default()).await;
    server.engine.create_rule(rule(X, OnDecodeError::DeadLetter, "at_least_once")).await.unwrap();
    for (payload, kept) in [("{\"x\":1}", 0), ("no json", 1), ("{\"x\":2}", 1), ("\u{1}", 2)] {
        assert_eq!(answer(server.publish("t/1", payload)).await, Ok(()));
        assert_eq!(letters(&server).await.len(), kept, "{payload:?}");
    }
    let letter = letters(&server).await.remove(0);
    assert_eq!(
        (letter.class.as_str(), letter.rule.as_str(), letter.action.as_str()),
        ("undecodable", "hot", "hot/decode")
    );
    assert!(letter.error.contains("no JSON"), "{letter:?}");
    let event = letter.event.unwrap();
    assert_eq!((&event["payload"], &event["topic"]), (&json!("no json"), &json!("t/1")));
    assert!(letter.record.ends_with("/hot"), "{}", letter.record);
    let view = server.engine.rule("hot").unwrap();
    assert_eq!((view.metrics.failed, view.metrics.passed, view.metrics.dead_letters_lost), (2, 2, 0));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_is_replayed_by_the_rule_as_it_is_then() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), Settings::default()).await;
    server.engine.create_rule(rule(X, OnDecodeError::DeadLetter, "at_least_once")).await.unwrap();
    let text = r#"{"x":"broken"#;
    assert_eq!(answer(server.publish("t/1", text)).await, Ok(()));
    let ids: Vec<Str> = letters(&server).await.into_iter().map(|letter| letter.id).collect();
    let dead = server.engine.dead_letters().unwrap().clone();
    let refused = dead.replay(&ids).await.remove(0).1.unwrap_err();
    assert!(refused.to_string().contains("cannot evaluate the event as it is now"), "{refused}");
    assert_eq!(letters(&server).await.len(), 1, "and no second letter");

    let elsewhere = rule("SELECT * FROM \"u\"", OnDecodeError::DeadLetter, "at_least_once");
    server.engine.replace_rule("hot", elsewhere).await.unwrap();
    let refused = dead.replay(&ids).await.remove(0).1.unwrap_err();
    assert!(refused.to_string().contains("gives no row for the event"), "{refused}");

    let repaired = "SELECT topic, id, payload as raw FROM \"t/#\"";
    server.engine.replace_rule("hot", rule(repaired, OnDecodeError::Fail, "at_least_once")).await.unwrap();
    dead.replay(&ids).await.remove(0).1.unwrap();
    assert!(letters(&server).await.is_empty());
    server.until("hot", |view| view.actions[0].metrics.success == 1).await;
    let seen = server.engine.inspections("hot").unwrap();
    assert_eq!((&seen[0].row["raw"], &seen[0].row["topic"]), (&json!(text), &json!("t/1")));
    let m = server.engine.rule("hot").unwrap().metrics;
    assert_eq!(m.matched, m.passed + m.failed + m.no_result + m.dropped);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_outlive_a_restart_and_their_rule() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), Settings::default()).await;
    server.engine.create_rule(rule(X, OnDecodeError::DeadLetter, "at_most_once")).await.unwrap();
    drop(server.publish("t/1", "no json"));
    server.until("hot", |view| view.metrics.failed == 1).await;
    let end = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    while letters(&server).await.is_empty() {
        assert!(tokio::time::Instant::now() < end, "the letter never came");
        tokio::task::yield_now().await;
    }
    server.stop().await;

    let server = Server::start(folder.path(), Settings::default()).await;
    let dead = server.engine.dead_letters().unwrap().clone();
    let ids: Vec<Str> = letters(&server).await.into_iter().map(|letter| letter.id).collect();
    server.engine.delete_rule("hot", None).await.unwrap();
    let refused = dead.replay(&ids).await.remove(0).1.unwrap_err();
    assert!(refused.to_string().contains("hot/decode of dead letter"), "{refused}");
    let again = "SELECT topic FROM \"t/#\"";
    server.engine.create_rule(rule(again, OnDecodeError::Null, "at_most_once")).await.unwrap();
    dead.replay(&ids).await.remove(0).1.unwrap();
    assert!(letters(&server).await.is_empty());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_cannot_be_kept_refuses_the_publisher_and_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), Settings::default()).await;
    server.engine.create_rule(rule(X, OnDecodeError::DeadLetter, "at_least_once")).await.unwrap();
    server.rule(X, inspect()).await.unwrap();
    server.kv.close().await.unwrap();
    assert_eq!(answer(server.publish("t/1", "no json")).await, Err(Refused::Unavailable));
    assert_eq!(server.engine.rule("hot").unwrap().metrics.dead_letters_lost, 1);
    server.engine.stop(std::time::Duration::from_secs(1)).await;
}
