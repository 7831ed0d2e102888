//! Changes of rules: rows that wait on disk, resources that come late, and what happens when a change fails.

use engine::{Error, RuleSpec, Settings};
use serde_json::{Value as Json, json};

use crate::outside::{Written, registry};
use crate::server::{Server, answer, inspect, spec};

/// Actions that keep their rows on disk until there is a broker.
fn republish(topics: &[&str]) -> Json {
    let one = |topic: &&str| {
        json!({"name": "republish", "delivery": "at_least_once",
               "params": {"target_topic": topic, "payload_tmpl": "${x}"}})
    };
    topics.iter().map(one).collect()
}

/// A rule on `t` with these actions.
fn hot(sql: &str, actions: Json) -> RuleSpec {
    RuleSpec { id: Some("hot".into()), ..spec(sql, actions) }
}

async fn waiting_rows(server: &Server, count: u64) {
    for n in 0..count {
        assert_eq!(answer(server.publish("t", format!("{{\"x\":{n}}}"))).await, Ok(()));
    }
    server.until("hot", |view| view.actions.iter().all(|action| action.unavailable.is_some())).await;
}

fn published(server: &Server) -> Vec<String> {
    let messages = server.published.messages.lock();
    let mut all: Vec<String> = messages
        .iter()
        .map(|message| format!("{} {}", message.topic, String::from_utf8_lossy(&message.payload)))
        .collect();
    all.sort();
    all
}

/// Folders of disk queues.
fn queues(folder: &std::path::Path) -> Vec<String> {
    let Ok(found) = std::fs::read_dir(folder.join("queues")) else { return Vec::new() };
    let mut names: Vec<String> = found.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

const X: &str = "SELECT payload.x as x FROM \"t\"";

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_replaced_rule_that_wait_on_disk_are_delivered_by_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start_without_broker(folder.path(), Settings::default()).await;
    server.engine.create_rule(hot(X, republish(&["old/a", "old/b"]))).await.unwrap();
    waiting_rows(&server, 3).await;
    assert_eq!(queues(folder.path()), ["hot%2F0", "hot%2F1"]);
    let view = server.engine.replace_rule("hot", hot(X, republish(&["new/a"]))).await.unwrap();
    let action = &view.actions[0].metrics;
    assert_eq!((view.metrics.matched, action.queued + action.inflight), (3, 3), "the numbers go on");
    assert_eq!(queues(folder.path()), ["hot%2F0"], "the queue of the action that is gone is gone");
    waiting_rows(&server, 1).await;
    server.connect();
    server.until("hot", |view| view.actions[0].metrics.success == 4).await;
    assert_eq!(published(&server), ["new/a 0", "new/a 0", "new/a 1", "new/a 2"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_that_are_taken_back_lose_no_row_and_leave_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start_without_broker(folder.path(), Settings::default()).await;
    server.engine.create_rule(hot(X, republish(&["a", "b"]))).await.unwrap();
    let off = server.rule("SELECT * FROM \"u\"", inspect()).await.unwrap();
    server.engine.set_enabled(&off.id, false).await.unwrap();
    waiting_rows(&server, 2).await;

    let mut change = server.engine.transaction().await;
    change.replace("hot", hot("SELECT 7 as x FROM \"t\"", republish(&["c"]))).await.unwrap();
    change.delete(&off.id, None).await.unwrap();
    let more = RuleSpec { id: Some("more".into()), ..spec("SELECT 1 as x FROM \"n\"", republish(&["m"])) };
    change.create(more).await.unwrap();
    assert_eq!(answer(server.publish("t", "{\"x\":9}")).await, Ok(()));
    change.delete("hot", None).await.unwrap();
    assert!(server.engine.rule("hot").is_err());
    assert_eq!(change.take_back().await, Vec::<String>::new());

    let view = server.engine.rule("hot").unwrap();
    assert_eq!((view.sql.as_str(), view.actions.len(), view.metrics.matched), (X, 2, 3));
    assert!(!server.engine.rule(&off.id).unwrap().enabled);
    assert!(server.engine.rule("more").is_err());
    assert_eq!(queues(folder.path()), ["hot%2F0", "hot%2F1"]);
    server.connect();
    let done = |metrics: &engine::ActionMetrics| metrics.success == metrics.matched;
    server.until("hot", |view| view.actions.iter().all(|action| done(&action.metrics))).await;
    // The row that the changed rule promised meanwhile is delivered too, by the action that has its queue.
    assert_eq!(published(&server), ["a 0", "a 1", "a 7", "b 0", "b 1"]);
    server.stop().await;

    let server = Server::start(folder.path(), Settings::default()).await;
    assert_eq!(server.engine.rules().len(), 2, "the store has it too");
    assert_eq!(server.engine.rule("hot").unwrap().sql, X);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_that_are_kept_delete_the_queues_of_what_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start_without_broker(folder.path(), Settings::default()).await;
    server.engine.create_rule(hot(X, republish(&["a"]))).await.unwrap();
    waiting_rows(&server, 1).await;
    let mut change = server.engine.transaction().await;
    change.delete("hot", None).await.unwrap();
    assert_eq!(queues(folder.path()), ["hot%2F0"], "not before it is kept");
    change.keep().await;
    assert_eq!(queues(folder.path()), Vec::<String>::new());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_whose_successor_cannot_be_started_or_stored_runs_on() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), Settings::default()).await;
    server.engine.create_rule(hot(X, inspect())).await.unwrap();
    // A file in the place of the queue's folder: the new action cannot be started.
    std::fs::create_dir_all(folder.path().join("queues")).unwrap();
    std::fs::write(folder.path().join("queues/hot%2F0"), "").unwrap();
    let error = server.engine.replace_rule("hot", hot(X, republish(&["a"]))).await.unwrap_err();
    assert!(matches!(&error, Error::Unavailable(why) if why.contains("cannot be started")), "{error:?}");
    drop(server.publish("t", "{\"x\":1}"));
    let view = server.until("hot", |view| view.actions[0].metrics.success == 1).await;
    assert_eq!(view.actions[0].name, "inspect");

    server.kv.close().await.unwrap();
    let error = server.engine.replace_rule("hot", hot("SELECT 1 as x FROM \"t\"", inspect())).await.unwrap_err();
    assert!(error.to_string().contains("cannot be stored"), "{error}");
    drop(server.publish("t", "{\"x\":2}"));
    // The action was started anew, so it counts from nothing.
    server.until("hot", |view| view.actions[0].metrics.success == 1).await;
    assert_eq!(server.engine.inspections("hot").unwrap()[0].row, json!({"x": 2}));
    let error = server.engine.create_rule(spec(X, republish(&["a"]))).await.unwrap_err();
    assert!(error.to_string().contains("cannot be stored"), "{error}");
    assert_eq!(server.engine.rules().len(), 1);
    server.engine.stop(std::time::Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_is_bound_to_its_resource_when_that_comes_late() {
    let folder = tempfile::tempdir().unwrap();
    let written = Written::default();
    let server = Server::start_with(folder.path(), Settings::default(), registry(&written)).await;
    let list = || serde_json::from_value::<resources::ResourceSpec>(json!({"id": "out", "type": "list"})).unwrap();
    server.resources.create(list()).await.unwrap();
    let actions = json!([{"name": "data_to_list", "delivery": "at_least_once", "params": {"$resource": "out"}}]);
    server.engine.create_rule(hot(X, actions)).await.unwrap();
    server.stop().await;

    // A store from which the resource is gone, as after a restore of an older copy.
    let kv = store::Kv::open(store::DataDir::open(folder.path()).unwrap().kv_path()).await.unwrap();
    kv.delete("resources", b"out".to_vec()).await.unwrap();
    kv.close().await.unwrap();

    let server = Server::start_with(folder.path(), Settings::default(), registry(&written)).await;
    assert_eq!(answer(server.publish("t", "{\"x\":1}")).await, Ok(()), "the row is safe on disk");
    let view = server.until("hot", |view| view.actions[0].unavailable.is_some()).await;
    assert!(view.actions[0].unavailable.as_ref().unwrap().contains("there is no resource out"), "{view:?}");
    server.resources.create(list()).await.unwrap();
    server.until("hot", |view| view.actions[0].metrics.success == 1).await;
    assert_eq!(*written.lock(), [json!({"x": 1})]);
    assert_eq!(server.resources.get("out").unwrap().used_by, ["hot"]);
    server.engine.delete_rule("hot", None).await.unwrap();
    server.resources.delete("out", resources::By::Api).await.expect("nothing uses it any more");
    server.stop().await;
}
