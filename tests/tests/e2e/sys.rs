//! `$SYS` and lists as a real client and an operator see them: `mosquitto_sub` reads the tree, hundreds of clients page.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use serde_json::Value as Json;
use tests::mqtt::Publisher;
use tests::server::Server;

/// What `mosquitto_sub` prints for a filter until `count` messages have come: payloads by topic.
fn tree(server: &Server, filter: &str, count: usize) -> BTreeMap<String, String> {
    let port = server.mqtt().port().to_string();
    let output = Command::new("mosquitto_sub")
        .args(["-p", &port, "-t", filter, "-v", "-C", &count.to_string(), "-W", "30"])
        .stdin(Stdio::null())
        .output()
        .expect("mosquitto_sub");
    let text = String::from_utf8_lossy(&output.stdout);
    // No topic that the tests ask for has a blank.
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(topic, rest)| (topic.to_owned(), rest.to_owned()))
        .collect()
}

#[test]
fn manual_4_17_mosquitto_sub_reads_both_trees_at_once() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]).expect("server");
    let mut publisher = Publisher::connect(server.mqtt(), "publisher").expect("connect");
    publisher.publish("t", b"x", 1).expect("publish");
    publisher.wait_ack().expect("PUBACK");
    let node = "$SYS/brokers/weir@127.0.0.1";
    // The interval is a minute: what comes now comes because the client subscribes.
    let said = tree(&server, &format!("{node}/metrics/messages/#"), 17);
    assert_eq!(said[&format!("{node}/metrics/messages/qos1/received")], "1", "{said:?}");
    assert_eq!(said[&format!("{node}/metrics/messages/dropped")], "1", "nobody subscribes to t");
    let said = tree(&server, "$SYS/broker/clients/+", 6);
    // The publisher and this mosquitto_sub; the one before may not be gone yet.
    assert!(["2", "3"].contains(&said["$SYS/broker/clients/connected"].as_str()), "{said:?}");
    let said = tree(&server, "$SYS/brokers", 1);
    assert_eq!(said["$SYS/brokers"], "weir@127.0.0.1");
}

#[test]
fn hundreds_of_clients_are_listed_and_found() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]).expect("server");
    let clients: Vec<Publisher> =
        (0..500).map(|n| Publisher::connect(server.mqtt(), &format!("device-{n:04}")).expect("connect")).collect();
    let names = server.weir_ok(&["clients", "list", "-o", "name"]).expect("list");
    assert_eq!((names.lines().count(), names.lines().last()), (500, Some("device-0499")));
    let one = server.weir_ok(&["clients", "list", "--like", "-0377", "-o", "json"]).expect("list");
    let one: Json = serde_json::from_str(&one).expect("JSON");
    assert_eq!((one.as_array().map(Vec::len), one[0]["client_id"].as_str()), (Some(1), Some("device-0377")));
    server.weir_ok(&["clients", "kick", "device-0377"]).expect("kick");
    drop(clients);
}
