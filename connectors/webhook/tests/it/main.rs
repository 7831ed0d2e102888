//! The connector against a real HTTP server on loopback: the conformance menu, statuses, URLs, headers, bodies.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking, also in its helpers")]

mod server;

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use connector::{Client, Config, Connector, Error, ErrorKind, Record, Sink, WriteError};
use model::{Row, Str, Value};
use serde_json::{Value as Json, json};
use server::Server;
use testkit::{Case, Harness, Written};

async fn open(settings: &Json) -> Result<Arc<dyn Client>, Error> {
    let connector = webhook::connector();
    connector.open(&Config::parse(connector.spec().fields, settings).expect("settings")).await
}

fn sink(client: &dyn Client, params: &Json) -> Result<Arc<dyn Sink>, Error> {
    let action = &webhook::settings::SPEC.actions[0];
    client.sink(action, &Config::parse(action.params, params).expect("params"))
}

fn record(id: &str, row: Row) -> Record {
    Record { row, rule: Str::new("rule:1"), id: Str::new(id), at_ms: 0, event: None, passed_rules: Arc::default() }
}

fn row(pairs: &[(&str, Value)]) -> Row {
    Row::from_pairs(pairs.iter().map(|(name, value)| (*name, value.clone())))
}

#[async_trait]
impl Harness for Server {
    fn connector(&self) -> Arc<dyn Connector> {
        webhook::connector()
    }

    fn settings(&self) -> Json {
        self.settings_at(self.address).expect("settings")
    }

    fn settings_at(&self, address: SocketAddr) -> Option<Json> {
        Some(json!({ "url": format!("http://{address}/rows") }))
    }

    fn action(&self) -> &'static str {
        "data_to_webserver"
    }

    fn params(&self, destination: &str) -> Json {
        json!({ "path": format!("/{destination}") })
    }

    async fn prepare(&self, _destination: &str) -> Result<(), String> {
        Ok(())
    }

    async fn read(&self, destination: &str) -> Result<Vec<Written>, String> {
        let path = format!("/rows/{destination}");
        let requests = self.requests();
        let here = requests.iter().filter(|request| request.path == path && request.status == 204);
        here.map(|request| {
            let row: Json = serde_json::from_slice(&request.body).map_err(|error| error.to_string())?;
            let data = row["data"].as_str().map(|hex| {
                let digits: Vec<u32> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
                digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).expect("a byte")).collect()
            });
            Ok(Written { id: row["id"].as_i64().ok_or("no id")?, text: row["text"].as_str().map(str::to_owned), data })
        })
        .collect()
    }

    fn bad_row(&self, id: i64) -> Option<Row> {
        Some(row(&[("id", Value::Int(id)), ("text", Value::text("forbidden"))]))
    }

    fn can_restart(&self) -> bool {
        true
    }

    async fn stop_service(&self) -> Result<(), String> {
        self.stop();
        Ok(())
    }

    async fn start_service(&self) -> Result<(), String> {
        self.start();
        Ok(())
    }
}

/// Everything a sink can claim except bad credentials: the check sends no request, so it cannot see them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conformance() {
    let server = Server::new();
    let claimed: Vec<Case> = Case::SINK.into_iter().filter(|case| *case != Case::CheckBadCredentials).collect();
    testkit::run(&server, &claimed).await;
}

#[tokio::test]
async fn manual_8_16_2_resource_posts_the_row_with_its_header() {
    let server = Server::new();
    let settings = json!({ "url": format!("http://{}", server.address), "headers": { "token": "axfw34y235wrq234t4ersgw4t" }, "method": "POST" });
    let client = open(&settings).await.expect("open");
    let sink = sink(client.as_ref(), &json!({})).expect("sink");
    let steven = record(
        "m1/0",
        row(&[("u", Value::text("Steven")), ("payload", Value::text("hello")), ("gone", Value::Missing)]),
    );
    sink.write(std::slice::from_ref(&steven)).await.expect("write");
    let request = &server.requests()[0];
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/"));
    assert_eq!(request.body, br#"{"u":"Steven","payload":"hello"}"#);
    for (name, value) in
        [("token", "axfw34y235wrq234t4ersgw4t"), ("content-type", "application/json"), ("idempotency-key", "m1/0")]
    {
        assert_eq!(request.header(name), Some(value), "{name}");
    }
    let rendered = sink.render(&steven).expect("render");
    assert_eq!(rendered["headers"]["token"], "******", "a credential is not shown");
    assert_eq!(
        (&rendered["method"], &rendered["body"]),
        (&json!("POST"), &json!(r#"{"u":"Steven","payload":"hello"}"#))
    );
    client.close().await;
}

#[tokio::test]
async fn a_value_stays_in_its_place_in_the_url() {
    let server = Server::new();
    let client = open(&json!({ "url": format!("http://{}/in/${{site}}", server.address) })).await.expect("open");
    let sink = sink(client.as_ref(), &json!({ "path": "/x?q=${q}", "method": "GET" })).expect("sink");
    let good = |site: &str, q: &str| record("1/0", row(&[("site", Value::text(site)), ("q", Value::text(q))]));
    sink.write(&[good("a/../b?c#d", "1&r=2 ü")]).await.expect("write");
    let request = &server.requests()[0];
    assert_eq!(request.path, "/in/a%2F..%2Fb%3Fc%23d/x");
    assert_eq!(request.query, "q=1%26r%3D2%20%C3%BC");
    assert!(request.body.is_empty() && request.header("content-type").is_none(), "GET has no body");
    for bad in [good("..", "x"), good(".", "x"), good("", "x"), record("1/0", row(&[("q", Value::Int(1))]))] {
        let Err(WriteError::Rows(failed)) = sink.write(std::slice::from_ref(&bad)).await else {
            panic!("sent: {bad:?}")
        };
        assert!(failed[0].1.kind == ErrorKind::Rejected && !failed[0].1.is_temporary(), "{failed:?}");
    }
    assert_eq!(server.requests().len(), 1);
    client.close().await;
    for (url, words) in [
        ("http://${host}/", "must be literal"),
        ("http://a.example:${port}/x", "must be literal"),
        ("ftp://a.example/", "http or https"),
        ("http://user:pw@a.example/", "username and password"),
    ] {
        let error = open(&json!({ "url": url })).await.err().unwrap_or_else(|| panic!("{url} was taken"));
        assert!(error.kind == ErrorKind::Config && error.context.contains(words), "{url}: {error}");
        assert!(!error.to_string().contains(":pw"), "{error}");
    }
}

#[tokio::test]
async fn a_header_value_cannot_begin_another_header() {
    let server = Server::new();
    let client = open(&json!({ "url": server.url("/"), "headers": { "x-name": "${name}" } })).await.expect("open");
    let sink = sink(client.as_ref(), &json!({})).expect("sink");
    let named = |name: &str| record("1/0", row(&[("name", Value::text(name))]));
    let Err(WriteError::Rows(failed)) = sink.write(&[named("ok"), named("a\r\nevil: 1"), named("last")]).await else {
        panic!("sent")
    };
    assert_eq!((failed.len(), failed[0].0, failed[0].1.kind), (1, 1, ErrorKind::Rejected));
    let names: Vec<Option<String>> =
        server.requests().iter().map(|request| request.header("x-name").map(str::to_owned)).collect();
    assert_eq!(names, [Some("ok".to_owned()), Some("last".to_owned())]);
    client.close().await;
    let error = open(&json!({ "url": server.url("/"), "headers": { "bad name": "x" } }))
        .await
        .err()
        .expect("a bad header name");
    assert!(error.context.contains("no header name"), "{error}");
}

/// The server answers `/status/N` with N.
#[tokio::test]
async fn the_status_decides_for_each_row() {
    let server = Server::new();
    let client = open(&json!({ "url": server.url("/status/${code}") })).await.expect("open");
    let sink = sink(client.as_ref(), &json!({})).expect("sink");
    let coded = |code: i64| record("1/0", row(&[("code", Value::Int(code))]));
    // A permanent refusal lets the next rows pass; a temporary one holds them back, so that none overtakes it.
    let Err(WriteError::Rows(failed)) = sink.write(&[coded(200), coded(400), coded(201), coded(500), coded(202)]).await
    else {
        panic!()
    };
    let seen: Vec<(usize, bool)> = failed.iter().map(|(index, error)| (*index, error.is_temporary())).collect();
    assert_eq!(seen, [(1, false), (3, true), (4, true)]);
    assert_eq!(server.requests().len(), 4, "the last row was not sent");
    // A redirect is not followed.
    let Err(WriteError::Rows(failed)) = sink.write(&[coded(302)]).await else { panic!() };
    assert!(!failed[0].1.is_temporary() && failed[0].1.context.contains("follow_redirects"), "{failed:?}");
    assert_eq!(server.requests().len(), 5);
    // Retry-After: the next write does not reach the server.
    let Err(WriteError::Rows(_)) = sink.write(&[coded(429)]).await else { panic!() };
    let Err(WriteError::Rows(failed)) = sink.write(&[coded(200)]).await else { panic!("sent while asked to wait") };
    assert!(failed[0].1.is_temporary() && failed[0].1.context.contains("Retry-After"), "{failed:?}");
    assert_eq!(server.requests().len(), 6);
    client.close().await;
}

#[tokio::test]
async fn bodies_credentials_and_batches() {
    let server = Server::new();
    let client = open(&json!({ "url": server.url("/a"), "bearer_token": "s3cret" })).await.expect("open");
    let values =
        row(&[("t", Value::Float(21.5)), ("s", Value::text("say \"hi\"")), ("raw", Value::Bytes(vec![0, 255].into()))]);
    for (body, expect) in [
        (
            r#"{"t": ${t}, "s": ${s}, "both": "<${s}>"}"#,
            br#"{"t": 21.5, "s": "say \"hi\"", "both": "<say \"hi\">"}"#.as_slice(),
        ),
        ("${raw}", &[0, 255]),
        ("t=${t}", b"t=21.5"),
    ] {
        let sink = sink(client.as_ref(), &json!({ "body": body, "method": "PUT" })).expect("sink");
        sink.write(&[record("1/0", values.clone())]).await.expect("write");
        let requests = server.requests();
        let request = requests.last().expect("a request");
        assert_eq!(request.body, expect, "{body}");
        assert_eq!((request.method.as_str(), request.header("authorization")), ("PUT", Some("Bearer s3cret")));
        assert!(!sink.render(&record("1/0", values.clone())).expect("render").to_string().contains("s3cret"));
    }
    let array = sink(client.as_ref(), &json!({ "batch": "json_array", "body": "${v}" })).expect("sink");
    let rows: Vec<Record> = [Value::Int(1), Value::text("{\"a\":2}"), Value::text("not json"), Value::Int(4)]
        .into_iter()
        .map(|v| record("1/0", row(&[("v", v)])))
        .collect();
    let Err(WriteError::Rows(failed)) = array.write(&rows).await else { panic!("one row is no JSON") };
    assert_eq!((failed.len(), failed[0].0), (1, 2));
    assert_eq!(server.requests().last().expect("a request").body, br#"[1,{"a":2},4]"#);
    for params in [json!({ "batch": "json_array", "path": "/${v}" }), json!({ "batch": "json_array", "method": "GET" })]
    {
        let error = sink(client.as_ref(), &params).err().unwrap_or_else(|| panic!("{params} was taken"));
        assert!(error.kind == ErrorKind::Config && error.context.contains("json_array"), "{error}");
    }
    client.close().await;
}

/// A plain server speaks no TLS; an authority that cannot be read is a mistake in the settings.
#[tokio::test]
async fn https_to_a_server_without_tls_is_an_error() {
    let server = Server::new();
    let client = open(&json!({ "url": format!("https://{}/", server.address) })).await.expect("open");
    let error = client.check().await.expect_err("no TLS there");
    assert!(error.is_temporary() && error.kind == ErrorKind::Unreachable, "{error}");
    client.close().await;
    let error =
        open(&json!({ "url": "https://a.example/", "ca_file": "/nonexistent.pem" })).await.err().expect("no such file");
    assert!(error.kind == ErrorKind::Config && error.context.contains("/nonexistent.pem"), "{error}");
}

#[test]
fn the_example_of_the_readme_is_valid() {
    testkit::check_readme(&webhook::settings::SPEC, include_str!("../../README.md"));
}
