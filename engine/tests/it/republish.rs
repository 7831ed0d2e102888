//! Republishing: what is published, and that nothing runs in a circle.

use engine::Settings;
use model::{Origin, Qos};
use serde_json::json;

use crate::server::{Server, inspect};

#[tokio::test(flavor = "multi_thread")]
async fn a_row_becomes_a_message_that_other_rules_select() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), Settings::default()).await;
    let republish = json!([{"name": "republish", "params": {"target_topic": "hot/${x}", "payload_tmpl": "x is ${x}", "retain": true}}]);
    let first = server.rule("SELECT payload.x as x FROM \"t/#\"", republish).await.unwrap();
    let second = server.rule("SELECT payload, topic FROM \"hot/#\"", inspect()).await.unwrap();
    drop(server.publish("t/1", "{\"x\":5}"));
    server.until(&second.id, |view| view.actions[0].metrics.success == 1).await;
    let seen = server.engine.inspections(&second.id).unwrap();
    assert_eq!(seen[0].row, json!({"payload": "x is 5", "topic": "hot/5"}));
    let messages = server.published.messages.lock().clone();
    assert_eq!((messages.len(), messages[0].retain, messages[0].qos), (1, true, Qos::AtLeastOnce));
    assert_eq!(messages[0].origin, Origin::Rules(std::sync::Arc::new(vec![first.id])));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_circle_of_two_rules_ends_after_one_round() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), Settings::default()).await;
    let to =
        |topic: &str| json!([{"name": "republish", "params": {"target_topic": topic, "payload_tmpl": "${payload}"}}]);
    let ping = server.rule("SELECT payload FROM \"ping\"", to("pong")).await.unwrap();
    let pong = server.rule("SELECT payload FROM \"pong\"", to("ping")).await.unwrap();
    drop(server.publish("ping", "x"));
    let view = server.until(&ping.id, |view| view.actions[0].metrics.failed == 1).await;
    assert_eq!((view.metrics.matched, view.actions[0].metrics.success), (2, 1));
    assert_eq!(server.engine.rule(&pong.id).unwrap().metrics.matched, 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_longer_than_the_bound_ends() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), Settings { republish_hops_max: 3, ..Settings::default() }).await;
    let mut last = None;
    for n in 0..5 {
        let sql = format!("SELECT payload FROM \"c/{n}\"");
        let actions = json!([{"name": "republish", "params": {"target_topic": format!("c/{}", n + 1), "payload_tmpl": "${payload}"}}]);
        last = Some(server.rule(&sql, actions).await.unwrap().id);
        if n == 3 {
            let refused = last.clone().unwrap();
            drop(server.publish("c/0", "x"));
            // Rules 0 to 2 republish; rule 3 would be the fourth.
            server.until(&refused, |view| view.actions[0].metrics.failed == 1).await;
        }
    }
    assert_eq!(server.engine.rule(&last.unwrap()).unwrap().metrics.matched, 0);
    assert_eq!(server.published.messages.lock().len(), 3);
    server.stop().await;
}
