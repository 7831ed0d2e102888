//! `delivery: at_least_once`: the publisher is answered when the rows are on disk, and not before.

use engine::Settings;
use model::ports::{Admission, Refused};
use serde_json::json;

use crate::server::{Server, answer, inspect};

fn durable() -> serde_json::Value {
    json!([{"name": "inspect", "delivery": "at_least_once"}])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_comes_with_the_row_on_disk_and_the_row_survives() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), Settings::default()).await;
    let rule = server.rule("SELECT payload.x as x FROM \"t\"", durable()).await.unwrap();
    let admissions: Vec<Admission> = (0..100).map(|n| server.publish("t", format!("{{\"x\":{n}}}"))).collect();
    for admission in admissions {
        assert!(matches!(admission, Admission::Pending(_)));
        assert_eq!(answer(admission).await, Ok(()));
    }
    let view = server.engine.rule(&rule.id).unwrap();
    assert_eq!(view.actions[0].metrics.matched, 100, "every answered row is in the queue or beyond it");
    server.until(&rule.id, |view| view.actions[0].metrics.success == 100).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_without_rows_is_answered_too() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), Settings::default()).await;
    let rule = server.rule("SELECT payload.x as x FROM \"t\" WHERE payload.x > 5", durable()).await.unwrap();
    server.rule("SELECT * FROM \"t\"", inspect()).await.unwrap();
    for payload in ["{\"x\":1}", "no json"] {
        assert_eq!(answer(server.publish("t", payload)).await, Ok(()), "{payload}");
    }
    let view = server.engine.rule(&rule.id).unwrap();
    assert_eq!((view.metrics.no_result, view.metrics.failed), (1, 1));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_engine_refuses_promises_and_takes_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), Settings::default()).await;
    server.rule("SELECT * FROM \"safe\"", durable()).await.unwrap();
    let loose = server.rule("SELECT * FROM \"loose\"", inspect()).await.unwrap();
    server.engine.stop(std::time::Duration::from_secs(5)).await;
    assert_eq!(answer(server.publish("safe", "{}")).await, Err(Refused::Unavailable));
    assert!(matches!(server.publish("loose", "{}"), Admission::Done));
    assert_eq!(server.engine.rule(&loose.id).unwrap().metrics.dropped, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_on_disk_are_delivered_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start_without_broker(folder.path(), Settings::default()).await;
    let params = json!({"target_topic": "out/${x}", "payload_tmpl": "${x}"});
    let republish = json!([{"name": "republish", "delivery": "at_least_once", "params": params}]);
    let rule = server.rule("SELECT payload.x as x FROM \"t\"", republish).await.unwrap();
    for n in 0..10 {
        assert_eq!(answer(server.publish("t", format!("{{\"x\":{n}}}"))).await, Ok(()));
    }
    // Without a broker nothing confirms them, so they are still there.
    let view = server.until(&rule.id, |view| view.actions[0].unavailable.is_some()).await;
    assert_eq!((view.actions[0].metrics.matched, view.actions[0].metrics.success), (10, 0));
    server.stop_within(std::time::Duration::from_millis(100)).await;

    let server = Server::start(folder.path(), Settings::default()).await;
    server.until(&rule.id, |view| view.actions[0].metrics.success == 10).await;
    let topics: Vec<String> =
        server.published.messages.lock().iter().map(|message| message.topic.to_string()).collect();
    assert_eq!(topics, (0..10).map(|n| format!("out/{n}")).collect::<Vec<_>>(), "in their order");
    server.stop().await;
}
