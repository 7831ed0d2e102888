//! The HTTP API in the shapes of manual §7.3.2, over a real socket.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value as Json, json};

use crate::support::{Server, wait_for};

#[test]
fn every_path_but_the_probes_wants_credentials() {
    let server = Server::start();
    for path in ["/api/v3/rules", "/api/v3/nothing", "/metrics", "/", "/status/", "/api/v1/query"] {
        let (status, head, _) = server.plain(path);
        assert_eq!(status, 401, "{path}");
        assert!(head.contains("www-authenticate: basic"), "{head}");
        assert!(head.contains("x-content-type-options: nosniff") && head.contains("cache-control: no-store"), "{head}");
    }
    for wrong in ["Basic YWRtaW46cHVibGlj", "Basic %", "Bearer x", ""] {
        assert_eq!(server.request("GET", "/api/v3/rules", "", Some(wrong)).0, 401, "{wrong}");
    }
    assert_eq!(server.call("GET", "/api/v3/nothing", "").0, 404);
    assert_eq!(server.call("PATCH", "/api/v3/rules", "").0, 405);
}

#[test]
fn manual_7_3_2_create_query_list_and_delete_a_rule() {
    let server = Server::start();
    let body = json!({"rawsql": "select * from \"message.publish\"", "actions": [{"name": "inspect", "params": {"a": 1}}], "description": "test-rule"});
    let (status, made) = server.call("POST", "/api/v3/rules", &body.to_string());
    assert_eq!((status, &made["code"]), (200, &json!(0)), "{made}");
    let id = made["data"]["id"].as_str().expect("id").to_owned();
    assert!(id.strip_prefix("rule:").is_some_and(|hex| hex.len() == 8), "{id}");
    let (_, shown) = server.call("GET", &format!("/api/v3/rules/{id}"), "");
    for (key, value) in [
        ("for", json!("message.publish")),
        ("rawsql", json!("select * from \"message.publish\"")),
        ("description", json!("test-rule")),
        ("enabled", json!(true)),
    ] {
        assert_eq!(shown["data"][key], value, "{shown}");
    }
    assert_eq!(
        (&shown["data"]["actions"][0]["name"], &shown["data"]["actions"][0]["params"]),
        (&json!("inspect"), &json!({"a": 1}))
    );
    let (_, list) = server.call("GET", "/api/v3/rules", "");
    assert_eq!((list["data"].as_array().map(Vec::len), list.get("meta")), (Some(1), None));
    let (_, page) = server.call("GET", "/api/v3/rules?_page=2&_limit=1", "");
    assert_eq!((&page["data"], &page["meta"]), (&json!([]), &json!({"page": 2, "limit": 1, "count": 1})));
    let (_, off) = server.call("PUT", &format!("/api/v3/rules/{id}"), "{\"enabled\":false}");
    assert_eq!(off["data"]["enabled"], json!(false), "{off}");
    assert_eq!(server.call("DELETE", &format!("/api/v3/rules/{id}"), ""), (200, json!({"code": 0})));
    let (status, gone) = server.call("GET", &format!("/api/v3/rules/{id}"), "");
    assert_eq!((status, &gone["code"]), (200, &json!(404)), "{gone}");
}

#[test]
fn manual_14_18_the_long_form_must_agree_with_its_sql() {
    let server = Server::start();
    let body = |event: &str| {
        json!({"name": "test1", "for": event, "rawsql": "select * from \"t/a\"", "actions": [{"name": "built_in:inspect_action", "params": {}}]}).to_string()
    };
    let (_, made) = server.call("POST", "/api/v3/rules", &body("message.publish"));
    assert!(made["data"]["id"].as_str().is_some_and(|id| id.starts_with("test1:")), "{made}");
    assert_eq!((&made["data"]["enabled"], &made["data"]["actions"][0]["name"]), (&json!(true), &json!("inspect")));
    let (_, refused) = server.call("POST", "/api/v3/rules", &body("client.connected"));
    assert_eq!(refused["code"], json!(400));
    assert!(
        refused["message"].as_str().is_some_and(|why| why.contains("client.connected") && why.contains("t/a")),
        "{refused}"
    );
    assert_eq!(
        server.call("GET", "/api/v3/rules", "").1["data"].as_array().map(Vec::len),
        Some(1),
        "nothing half-done is left"
    );
}

#[test]
fn manual_7_3_2_resources_hide_their_secrets() {
    let server = Server::start();
    let config = json!({"url": "http://127.0.0.1:1/", "method": "POST"});
    let (_, made) = server.call(
        "POST",
        "/api/v3/resources",
        &json!({"type": "web_hook", "config": config, "description": "web hook resource-1"}).to_string(),
    );
    assert_eq!(
        (&made["code"], &made["data"]["type"], &made["data"]["config"]["url"]),
        (&json!(0), &json!("web_hook"), &config["url"]),
        "{made}"
    );
    let id = made["data"]["id"].as_str().expect("id").to_owned();
    let (_, pg) = server.call(
        "POST",
        "/api/v3/resources",
        &json!({"type": "backend_pgsql", "config": {"server": "127.0.0.1:1", "database": "d", "username": "u", "password": "hunter2"}}).to_string(),
    );
    assert_eq!(pg["data"]["config"]["password"], json!("******"), "{pg}");
    let (_, all) = server.call("GET", "/api/v3/resources", "");
    assert!(!all.to_string().contains("hunter2") && !server.log().contains("hunter2"));
    let (_, of_type) = server.call("GET", "/api/v3/resource_types/web_hook/resources", "");
    assert_eq!(of_type["data"].as_array().map(Vec::len), Some(1));
    let (_, status) = server.call("GET", &format!("/api/v3/resource_status/{id}"), "");
    assert!(status["data"]["is_alive"].is_boolean(), "{status}");
    let (_, tested) = server.call(
        "POST",
        "/api/v3/resources",
        &json!({"test": true, "type": "web_hook", "config": config}).to_string(),
    );
    assert_eq!(tested["code"], json!(500), "nobody listens there: {tested}");
    assert_eq!(server.call("DELETE", &format!("/api/v3/resources/{id}"), ""), (200, json!({"code": 0})));
}

#[test]
fn the_tester_answers_rows_reasons_and_places() {
    let server = Server::start();
    let test = |sql: &str, ctx: Json| {
        server.call("POST", "/api/v3/rules", &json!({"test": true, "rawsql": sql, "ctx": ctx}).to_string()).1
    };
    let row = test("SELECT payload.temp * 2 AS x FROM \"t/#\"", json!({"topic": "t/1", "payload": "{\"temp\":4}"}));
    assert_eq!((&row["code"], &row["data"]), (&json!(0), &json!({"result": "row", "rows": [{"x": 8}]})), "{row}");
    let none = test("SELECT * FROM \"t/#\" WHERE topic = 'x'", json!({"topic": "t/1"}));
    assert_eq!((&none["code"], &none["data"]["result"]), (&json!(404), &json!("no_match")), "{none}");
    let wrong = test("SELECT FROM", json!({}));
    assert_eq!(
        (&wrong["code"], &wrong["data"]["result"], &wrong["data"]["class"]),
        (&json!(400), &json!("error"), &json!("parse")),
        "{wrong}"
    );
}

/// Method, path, body, and what the refusal says.
#[test]
fn refusals_say_what_is_wrong() {
    let server = Server::start_with(&[("WEIR__API__BODY_BYTES_MAX", "64KB")]);
    let table: &[(&str, &str, &str, i64, &str)] = &[
        ("POST", "/api/v3/rules", "{\n \"rawsql\": }", 400, "line 2 column 12"),
        ("POST", "/api/v3/rules", "[]", 400, "must be a JSON object"),
        ("POST", "/api/v3/rules", "{}", 400, "rawsql is required"),
        ("POST", "/api/v3/rules", r#"{"rawsql":"select 1","actions":{}}"#, 400, "actions must be a list"),
        ("POST", "/api/v3/rules", r#"{"rawsql":"x","actions":[{"nam":"inspect"}]}"#, 400, "actions[0]"),
        ("POST", "/api/v3/rules", r#"{"rawsq":"x","actions":[]}"#, 400, "unknown key \"rawsq\""),
        (
            "POST",
            "/api/v3/rules",
            r#"{"rawsql":"select uper(topic) from \"t\"","actions":[{"name":"inspect"}]}"#,
            400,
            "upper",
        ),
        ("DELETE", "/api/v3/rules/rule:00000000", "", 404, "rule:00000000"),
        ("GET", "/api/v3/actions/nothing", "", 404, "nothing"),
        ("GET", "/api/v3/resource_types/nothing", "", 404, "web_hook"),
        ("POST", "/api/v3/resources", r#"{"type":"web_hok","config":{}}"#, 400, "web_hook"),
        ("POST", "/api/v3/resources", r#"{"type":"web_hook","config":{"ulr":"http://a/"}}"#, 400, "url"),
        ("DELETE", "/api/v3/connections/nobody", "", 404, "nobody"),
        ("GET", "/api/v3/rules?_page=0", "", 400, "_page"),
    ];
    for (method, path, body, code, words) in table {
        let (status, answer) = server.call(method, path, body);
        assert_eq!((status, &answer["code"]), (200, &json!(code)), "{method} {path} {body}: {answer}");
        assert!(answer["message"].as_str().is_some_and(|message| message.contains(words)), "{method} {path}: {answer}");
    }
    let (_, large) = server.call("POST", "/api/v3/rules", &format!("\"{}\"", "x".repeat(70 << 10)));
    assert_eq!(large["code"], json!(413), "{large}");
    let (status, problem) = server.call("POST", "/api/v1/query", r#"{"sql":"DROP TABLE x"}"#);
    assert_eq!((status, &problem["status"]), (400, &json!(400)), "{problem}");
}

#[test]
fn actions_types_events_and_metrics_are_listed() {
    let server = Server::start();
    let (_, actions) = server.call("GET", "/api/v3/actions", "");
    let names: Vec<&str> =
        actions["data"].as_array().expect("list").iter().filter_map(|action| action["name"].as_str()).collect();
    for name in
        ["inspect", "republish", "do_nothing", "data_to_webserver", "data_to_pgsql", "data_to_kafka", "data_to_lake"]
    {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    let (_, inspect) = server.call("GET", "/api/v3/actions/inspect", "");
    assert_eq!(
        (&inspect["data"]["app"], &inspect["data"]["for"]),
        (&json!("emqx_rule_engine"), &json!("$any")),
        "{inspect}"
    );
    let (_, types) = server.call("GET", "/api/v3/resource_types/web_hook", "");
    assert_eq!(
        (&types["data"]["name"], &types["data"]["provider"]),
        (&json!("web_hook"), &json!("emqx_web_hook")),
        "{types}"
    );
    let (_, events) = server.call("GET", "/api/v3/rule_events", "");
    let publish = events["data"]
        .as_array()
        .expect("list")
        .iter()
        .find(|event| event["event"] == json!("message.publish"))
        .expect("message.publish");
    assert!(publish["columns"].as_array().is_some_and(|columns| columns.contains(&json!("topic"))), "{publish}");
}

#[test]
fn a_connected_client_is_listed_and_can_be_disconnected() {
    let server = Server::start();
    let mut stream = TcpStream::connect(server.mqtt()).expect("connect");
    // CONNECT of MQTT 3.1.1, clean session, keep alive 60 s, client id "probe".
    stream.write_all(b"\x10\x11\x00\x04MQTT\x04\x02\x00\x3c\x00\x05probe").expect("send");
    let mut connack = [0; 4];
    stream.read_exact(&mut connack).expect("CONNACK");
    assert_eq!(connack, [0x20, 2, 0, 0]);
    let listed = wait_for("the client in the list", || {
        server.call("GET", "/api/v3/connections", "").1["data"].as_array()?.first().cloned()
    });
    for (key, value) in [
        ("client_id", json!("probe")),
        ("proto_ver", json!(4)),
        ("keepalive", json!(60)),
        ("ipaddress", json!("127.0.0.1")),
    ] {
        assert_eq!(listed[key], value, "{listed}");
    }
    assert_eq!(server.weir(&["clients", "list", "-o", "name"]).1, "probe\n");
    assert_eq!(server.call("DELETE", "/api/v3/connections/probe", ""), (200, json!({"code": 0})));
    assert_eq!(stream.read(&mut connack).expect("the end of the connection"), 0);
    assert_eq!(server.call("GET", "/api/v3/connections/probe", "").1["code"], json!(404));
}

#[test]
fn metrics_are_in_the_prometheus_text_format() {
    let server = Server::start();
    server.call(
        "POST",
        "/api/v3/rules",
        &json!({"rawsql": "SELECT * FROM \"t\"", "actions": [{"name": "inspect"}]}).to_string(),
    );
    let key = std::fs::read_to_string(server.data_dir().join("api-credentials.json")).expect("key");
    let key: Json = serde_json::from_str(&key).expect("JSON");
    let key = format!("{}:{}", key["app_id"].as_str().expect("id"), key["app_secret"].as_str().expect("secret"));
    let key = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, key);
    let (status, head, body) = server.request("GET", "/metrics", "", Some(&format!("Basic {key}")));
    assert_eq!(status, 200);
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    assert!(body.contains("# TYPE weir_rule_matched_total counter\nweir_rule_matched_total{rule=\"rule:"), "{body}");
    let mut helped = std::collections::BTreeSet::new();
    for line in body.lines().filter_map(|line| line.strip_prefix("# HELP ")) {
        assert!(helped.insert(line.split(' ').next()), "a family is announced once: {line}");
    }
    for line in body.lines().filter(|line| !line.starts_with('#')) {
        let (_, value) = line.rsplit_once(' ').expect("a value");
        value.parse::<f64>().unwrap_or_else(|_| panic!("{line}"));
    }
}
