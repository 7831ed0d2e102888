//! The management of the broker over HTTP and by the command line (manual chapters 14 and 16, §4.18).

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value as Json, json};

use crate::support::{Server, wait_for};

/// A client of MQTT 3.1.1 that has connected with a clean session.
fn client(server: &Server, client_id: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.mqtt()).expect("connect");
    stream.set_read_timeout(Some(std::time::Duration::from_secs(30))).expect("timeout");
    let mut packet = vec![0x10, 12 + client_id.len() as u8];
    packet.extend_from_slice(b"\x00\x04MQTT\x04\x02\x00\x3c");
    packet.extend_from_slice(&[0, client_id.len() as u8]);
    packet.extend_from_slice(client_id.as_bytes());
    stream.write_all(&packet).expect("send");
    let mut connack = [0; 4];
    stream.read_exact(&mut connack).expect("CONNACK");
    assert_eq!(connack, [0x20, 2, 0, 0]);
    stream
}

/// Reads a PUBLISH of QoS 0 and returns topic and payload.
fn received(stream: &mut TcpStream) -> (String, String) {
    let mut head = [0; 2];
    stream.read_exact(&mut head).expect("PUBLISH");
    assert_eq!(head[0] & 0xf6, 0x30, "a PUBLISH of QoS 0");
    let mut body = vec![0; usize::from(head[1])];
    stream.read_exact(&mut body).expect("its body");
    let topic_end = 2 + usize::from(body[1]);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    (text(&body[2..topic_end]), text(&body[topic_end..]))
}

#[test]
fn manual_16_8_publish_subscribe_and_unsubscribe_over_http() {
    let server = Server::start();
    let mut stream = client(&server, "probe");
    let post = |path: &str, body: Json| server.call("POST", &format!("/api/v3/mqtt/{path}"), &body.to_string()).1;
    let ok = json!({"code": 0});
    assert_eq!(post("subscribe", json!({"topic": "t/#", "qos": 1, "client_id": "probe"})), ok);
    assert_eq!(post("publish", json!({"topic": "t/1", "payload": "hello"})), ok);
    assert_eq!(received(&mut stream), ("t/1".to_owned(), "hello".to_owned()));
    let (status, native) = server.call(
        "POST",
        "/api/v1/publish",
        &json!({"topic": "t/2", "payload": "AAEC", "encoding": "base64"}).to_string(),
    );
    assert_eq!((status, &native["data"]), (200, &json!({"receivers": 1})));
    assert_eq!(received(&mut stream), ("t/2".to_owned(), "\u{0}\u{1}\u{2}".to_owned()));
    assert_eq!(server.weir(&["pub", "-t", "t/3", "-m", "by hand"]).1, "published to 1 subscribers\n");
    assert_eq!(received(&mut stream), ("t/3".to_owned(), "by hand".to_owned()));
    let listed = server.call("GET", "/api/v3/subscriptions/probe", "").1;
    let node = "weir@127.0.0.1";
    assert_eq!(listed["data"], json!([{"node": node, "client_id": "probe", "topic": "t/#", "qos": 1}]));
    assert_eq!(server.call("GET", "/api/v3/routes", "").1["data"], json!([{"topic": "t/#", "node": node}]));
    assert_eq!(server.call("GET", "/api/v3/routes/t%2F%23", "").1["data"], json!([{"topic": "t/#", "node": node}]));
    assert_eq!(server.call("GET", "/api/v3/routes/t/2", "").1["code"], json!(404));
    assert_eq!(post("unsubscribe", json!({"topic": "t/#", "client_id": "probe"})), ok);
    let batch = post(
        "subscribe_batch",
        json!([
            {"topic": "b/1", "client_id": "probe"}, {"topic": "b/#/x", "client_id": "probe"},
            {"topic": "b", "client_id": "nobody"}, {"topic": "b", "qos": 3, "client_id": "probe"},
        ]),
    );
    let codes: Vec<&Json> = batch["data"].as_array().expect("list").iter().map(|item| &item["code"]).collect();
    assert_eq!(codes, [&json!(0), &json!(400), &json!(404), &json!(400)], "{batch}");
    for (path, body, code, words) in [
        ("publish", json!({"topic": "t/+"}), 400, "wildcards"),
        ("publish", json!({"topic": "$SYS/brokers"}), 400, "$SYS"),
        ("publish", json!({"payload": "x"}), 400, "topic is required"),
        ("publish", json!({"topic": "t", "qos": "1"}), 400, "qos must be"),
        ("publish", json!({"topic": "t", "payload": "%", "encoding": "base64"}), 400, "base64"),
        ("unsubscribe", json!({"topic": "never", "client_id": "probe"}), 404, "not subscribed"),
        ("publish_batch", json!({}), 400, "must be a list"),
    ] {
        let refused = post(path, body);
        assert_eq!(refused["code"], json!(code), "{refused}");
        assert!(refused["message"].as_str().is_some_and(|why| why.contains(words)), "{refused}");
    }
}

#[test]
fn manual_16_3_to_16_12_nodes_numbers_and_listeners() {
    let server = Server::start();
    let _probe = client(&server, "probe");
    let get = |path: &str| server.call("GET", path, "").1["data"].clone();
    let node = "weir@127.0.0.1";
    let broker = get("/api/v3/brokers");
    assert_eq!((&broker[0]["node"], &broker[0]["node_status"]), (&json!(node), &json!("Running")));
    assert!(broker[0]["uptime"].as_str().is_some_and(|uptime| uptime.ends_with("seconds")), "{broker}");
    let one = get(&format!("/api/v3/nodes/{node}"));
    assert_eq!((&one["name"], &one["connections"]), (&json!(node), &json!(1)));
    assert!(one.get("otp_release").is_none(), "what this server has not is not shown: {one}");
    assert_eq!(server.call("GET", "/api/v3/nodes/other", "").1["code"], json!(404));
    let stats = get(&format!("/api/v3/nodes/{node}/stats"));
    assert_eq!((&stats["connections/count"], &stats["sessions/max"]), (&json!(1), &json!(1)), "{stats}");
    assert_eq!(get("/api/v3/stats")[0]["stats"]["connections/count"], json!(1));
    let metrics = get("/api/v3/metrics");
    assert_eq!((&metrics[0]["node"], &metrics[0]["metrics"]["packets/connect"]), (&json!(node), &json!(1)));
    assert_eq!(get("/api/v1/metrics")["packets.connect"], json!(1), "the native names have dots");
    let listeners = get("/api/v3/listeners");
    assert_eq!(listeners[0]["listeners"][0]["listen_on"], json!(server.mqtt()), "{listeners}");
    let (_, text, _) = server.weir(&["ctl", "broker", "stats"]);
    assert!(text.contains("connections/count     : 1\n") && text.contains("sessions/persistent/max : 0\n"), "{text}");
    let (_, text, _) = server.weir(&["ctl", "broker"]);
    assert!(text.starts_with("sysdescr   : ") && text.lines().count() == 4, "{text}");
    let (_, text, _) = server.weir(&["ctl", "listeners"]);
    assert!(text.contains(&format!(":{}\n  max_conns", server.mqtt())), "{text}");
    let (_, text, _) = server.weir(&["broker", "metrics"]);
    assert!(text.contains("packets.connect "), "{text}");
}

#[test]
fn lists_go_on_by_cursor_and_look_on_the_server() {
    let server = Server::start();
    let streams: Vec<TcpStream> = (0..5).map(|n| client(&server, &format!("c{n}"))).collect();
    for n in 0..5 {
        let (code, _, err) = server.weir(&["subscriptions", "add", &format!("c{n}"), &format!("t/{}", n % 2), "1"]);
        assert_eq!(code, 0, "{err}");
    }
    let mut seen = Vec::new();
    let mut path = "/api/v1/clients?limit=2".to_owned();
    loop {
        let (status, page) = server.call("GET", &path, "");
        assert_eq!(status, 200, "{page}");
        seen.extend(page["data"].as_array().expect("list").iter().map(|one| one["client_id"].clone()));
        match page["next"].as_str() {
            Some(next) => path = format!("/api/v1/clients?limit=2&after={next}"),
            None => break,
        }
    }
    assert_eq!(json!(seen), json!(["c0", "c1", "c2", "c3", "c4"]));
    let (_, page) = server.call("GET", "/api/v3/connections?_page=2&_limit=3", "");
    assert_eq!(
        (&page["data"][0]["client_id"], &page["meta"]),
        (&json!("c3"), &json!({"page": 2, "limit": 3, "count": 5}))
    );
    for (query, status, words) in [
        ("address=there", 400, "address must be an IP address"),
        ("limit=0", 400, "limit must be"),
        ("connected=perhaps", 400, "connected must be"),
    ] {
        let (got, refused) = server.call("GET", &format!("/api/v1/clients?{query}"), "");
        assert_eq!(got, status, "{refused}");
        assert!(refused["detail"].as_str().is_some_and(|why| why.contains(words)), "{refused}");
    }
    let said = |args: &[&str]| server.weir(args).1;
    assert_eq!(said(&["clients", "list", "--like", "3", "-o", "name"]), "c3\n");
    assert_eq!(said(&["sessions", "list", "--limit", "2", "-o", "name"]), "c0\nc1\n");
    assert_eq!(said(&["ctl", "subscriptions", "show", "c1"]), "c1 -> t/1:1\n");
    assert_eq!(said(&["subscriptions", "list", "--matches", "t/1", "-o", "json"]).matches("\"client_id\"").count(), 2);
    assert_eq!(said(&["ctl", "routes", "list"]), "t/0 -> weir@127.0.0.1\nt/1 -> weir@127.0.0.1\n");
    assert_eq!(said(&["topics", "list", "-o", "name"]), "t/0\nt/1\n");
    assert_eq!(server.weir(&["routes", "show", "t/9"]).0, 3);
    assert!(
        said(&["ctl", "sessions", "show", "c1"])
            .starts_with("Session(c1, clean_start=true, expiry_interval=0, subscriptions_count=1, max_inflight=32")
    );
    assert!(
        said(&["ctl", "clients", "show", "c1"])
            .starts_with("Connection(c1, clean_start=true, username=undefined, peername=127.0.0.1:")
    );
    assert_eq!(said(&["subscriptions", "del", "c1", "t/1"]), "ok\n");
    assert_eq!(server.weir(&["subscriptions", "del", "c1", "t/1"]).0, 3);
    assert_eq!(said(&["clients", "kick", "c1"]), "ok\n");
    wait_for("the session's end", || {
        (server.call("GET", "/api/v3/sessions/c1", "").1["code"] == json!(404)).then_some(())
    });
    assert!(server.log().contains("kicked by an administrator"), "actions are in the log");
    drop(streams);
}

#[test]
fn manual_14_15_traces_by_command_and_download() {
    let server = Server::start();
    let ok = |args: &[&str]| {
        let (code, out, err) = server.weir(args);
        assert_eq!(code, 0, "{args:?}: {out}{err}");
        out
    };
    assert_eq!(
        ok(&["trace", "start", "client", "probe", "log/clientid_trace.log", "debug"]),
        "trace client probe successfully\n"
    );
    ok(&["trace", "start", "topic", "t/#", "of-topic", "--payload", "--minutes", "5"]);
    let stream = client(&server, "probe");
    assert_eq!(
        ok(&["ctl", "trace", "list"]).lines().next(),
        Some("Trace(client_id=probe, level=debug, destination=\"clientid_trace.log\")")
    );
    ok(&["pub", "-t", "t/1", "-m", "seen"]);
    assert_eq!(ok(&["trace", "stop", "client", "probe"]), "stop tracing client probe successfully\n");
    let text = ok(&["trace", "show", "clientid_trace"]);
    assert!(text.contains("RECV CONNECT") && text.contains("SEND CONNACK success"), "{text}");
    ok(&["trace", "stop", "of-topic"]);
    let text = ok(&["trace", "show", "of-topic"]);
    assert!(text.contains("ROUTE topic=\"t/1\"") && text.contains("payload=\"seen\""), "{text}");
    assert!(server.data_dir().join("trace/of-topic.log").is_file());
    let refused: &[(&[&str], i32)] = &[
        (&["trace", "start", "client", "x", "of-topic"], 4),
        (&["trace", "start", "client", "x", "..log"], 6),
        (&["trace", "stop", "client", "nobody"], 3),
        (&["trace", "show", "nothing"], 3),
        (&["trace", "start", "planet", "x", "y"], 2),
    ];
    for (args, code) in refused {
        let (got, out, err) = server.weir(args);
        assert_eq!(got, *code, "{args:?}: {out}{err}");
    }
    ok(&["trace", "delete", "of-topic"]);
    assert!(!server.data_dir().join("trace/of-topic.log").exists());
    drop(stream);
}

#[test]
fn alarms_are_listed_cleared_and_remembered() {
    let server = Server::start_with(&[("WEIR__MQTT__RETAINED_MESSAGES_MAX", "1")]);
    let (_, empty) = server.call("GET", "/api/v3/alarms/present", "");
    assert_eq!(empty["data"][0]["node"], json!("weir@127.0.0.1"), "{empty}");
    server.call("POST", "/api/v3/mqtt/publish", &json!({"topic": "kept", "payload": "x", "retain": true}).to_string());
    let named =
        |list: &Json| list.as_array().is_some_and(|list| list.iter().any(|one| one["name"] == "retained_near_max"));
    wait_for("the alarm", || named(&server.call("GET", "/api/v1/alarms", "").1["data"]).then_some(()));
    assert!(server.weir(&["alarms", "list", "-o", "name"]).1.contains("retained_near_max\n"));
    // An empty payload takes the message away, and the alarm with it.
    server.call("POST", "/api/v3/mqtt/publish", &json!({"topic": "kept", "retain": true}).to_string());
    wait_for("its end", || named(&server.call("GET", "/api/v1/alarms/history", "").1["data"]).then_some(()));
    let (_, past) = server.call("GET", "/api/v3/alarms/history/weir@127.0.0.1", "");
    assert!(
        past["data"].as_array().is_some_and(|list| list.iter().any(|one| one["id"] == "retained_near_max")),
        "{past}"
    );
    assert_eq!(server.weir(&["alarms", "clear", "retained_near_max"]).0, 3, "it is over");
    assert_eq!(server.weir(&["alarms", "history", "--clear"]).1, "ok\n");
    assert_eq!(server.call("GET", "/api/v1/alarms/history", "").1["data"], json!([]));
}
