//! What survives a restart, and how a server stops.

use std::time::Duration;

use serde_json::{Value as Json, json};
use tests::server::{Server, wait_for};

use crate::support::{ARRIVAL, create_resource, create_rule, publish};

#[test]
fn rules_and_resources_survive_a_restart() {
    let folder = tempfile::tempdir().expect("folder");
    let mut server = Server::start(folder.path(), &[]).expect("server");
    let hook = create_resource(
        &server,
        "web_hook",
        &json!({"url": "http://127.0.0.1:1/", "headers": {"token": "s3cret-token"}}),
    );
    let rule = create_rule(&server, r#"SELECT * FROM "t/#""#, &json!([{"name": "inspect", "params": {"a": 1}}]));
    let status = server.stop().expect("stop");
    assert!(status.success(), "a stop by SIGTERM is a success: {status}\n{}", server.log());
    server.start_again().expect("start again");
    let rules: Json =
        serde_json::from_str(&server.weir_ok(&["rules", "list", "-o", "json"]).expect("list")).expect("JSON");
    assert_eq!(rules[0]["id"], json!(rule));
    assert_eq!(rules[0]["rawsql"], json!(r#"SELECT * FROM "t/#""#));
    let shown = server.weir_ok(&["resources", "show", &hook, "-o", "json"]).expect("show");
    assert!(shown.contains("http://127.0.0.1:1/"), "{shown}");
}

#[test]
fn a_stop_leaves_undeliverable_rows_on_disk_and_the_next_start_delivers_them() {
    let folder = tempfile::tempdir().expect("folder");
    let port = tests::server::free_port().expect("port");
    let mut server = Server::start(folder.path(), &[]).expect("server");
    let hook = create_resource(&server, "web_hook", &json!({"url": format!("http://127.0.0.1:{port}/")}));
    create_rule(
        &server,
        r#"SELECT payload FROM "held/#""#,
        &json!([{"name": "data_to_webserver", "params": {"$resource": hook}, "delivery": "at_least_once"}]),
    );
    publish(&server, "held/1", "kept through the stop");
    server.stop().expect("stop");
    let receiver = std::thread::spawn(move || receive_one(port));
    server.start_again().expect("start again");
    let body =
        wait_for("the webhook's request", ARRIVAL, || receiver.is_finished().then_some(())).map(|()| receiver.join());
    let body = body.unwrap_or_else(|error| panic!("{error}\n{}", server.log())).expect("receiver");
    assert!(body.contains("kept through the stop"), "{body}");
}

/// A web server for one request: answers 200 and returns what it got. A connection that closes without a request is the
/// resource's health check.
fn receive_one(port: u16) -> String {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind(("127.0.0.1", port)).expect("bind");
    for stream in listener.incoming().take(32) {
        let mut stream = stream.expect("accept");
        stream.set_read_timeout(Some(Duration::from_secs(5))).expect("timeout");
        let mut request = Vec::new();
        let mut chunk = [0; 4096];
        while !String::from_utf8_lossy(&request).contains("kept through the stop") {
            match stream.read(&mut chunk) {
                Ok(0) | Err(_) => break,
                Ok(count) => request.extend_from_slice(&chunk[..count]),
            }
        }
        if !request.is_empty() {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").expect("answer");
            return String::from_utf8_lossy(&request).into_owned();
        }
    }
    String::new()
}
