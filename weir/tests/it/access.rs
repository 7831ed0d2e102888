//! Access control over the API: bans, users and rules, in the shapes of version 3 and of the native API.

use serde_json::{Value as Json, json};

use crate::support::Server;

/// One request with what its answer has to be: HTTP status, `code` (version 3 only), a pointer and the value there.
type Row<'a> = (&'a str, &'a str, Json, u16, i64, &'a str, Json);

fn play(server: &Server, table: &[Row<'_>]) {
    for (method, path, body, status, code, pointer, expected) in table {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (got, answer) = server.call(method, path, &body);
        assert_eq!(got, *status, "{method} {path} {body}: {answer}");
        if path.starts_with("/api/v3") {
            assert_eq!(answer["code"], *code, "{method} {path} {body}: {answer}");
        }
        let found = answer.pointer(pointer).unwrap_or(&Json::Null);
        let matches = match (found.as_str(), expected.as_str()) {
            (Some(found), Some(words)) => found.contains(words),
            _ => found == expected,
        };
        assert!(matches, "{method} {path} {body}: {pointer} is {found}, not {expected}");
        assert!(!answer.to_string().contains("hunter2"), "a password in an answer: {answer}");
    }
}

#[test]
fn bans_in_version_3() {
    let server = Server::start();
    let nothing = || Json::Null;
    let until = json!({"who": "bad", "as": "client_id", "reason": "noise", "until": 4_000_000_000_i64});
    let described = json!({"who": "bad", "as": "username", "desc": "too"});
    let network = json!({"who": "10.1.2.3/16", "as": "ip_address"});
    let (no_address, no_kind) = (json!({"who": "x", "as": "ip_address"}), json!({"who": "x", "as": "topic"}));
    let (nobody, past) = (json!({"as": "username"}), json!({"who": "x", "until": 1}));
    play(
        &server,
        &[
            ("GET", "/api/v3/banned/", nothing(), 200, 0, "/data", json!([])),
            ("POST", "/api/v3/banned/", until, 200, 0, "/data/until", json!(4_000_000_000_i64)),
            ("POST", "/api/v3/banned", described, 200, 0, "/data/reason", json!("too")),
            ("POST", "/api/v3/banned", network, 200, 0, "/data/who", json!("10.1.0.0/16")),
            ("POST", "/api/v3/banned", no_address, 200, 400, "/message", json!("no address")),
            ("POST", "/api/v3/banned", no_kind, 200, 400, "/message", json!("client_id, username")),
            ("POST", "/api/v3/banned", nobody, 200, 400, "/message", json!("who is required")),
            ("POST", "/api/v3/banned", past, 200, 400, "/message", json!("in the past")),
            ("GET", "/api/v3/banned", nothing(), 200, 0, "/data/0/by", json!("admin")),
            ("DELETE", "/api/v3/banned/bad", nothing(), 200, 400, "/message", json!("?as=")),
            ("DELETE", "/api/v3/banned/bad?as=username", nothing(), 200, 0, "", json!({"code": 0})),
            ("DELETE", "/api/v3/banned/bad", nothing(), 200, 0, "", json!({"code": 0})),
            ("DELETE", "/api/v3/banned/bad", nothing(), 200, 404, "/message", json!("bad")),
        ],
    );
}

#[test]
fn bans_natively() {
    let server = Server::start();
    let network = json!({"who": "10.1.2.3/16", "as": "ip_address"});
    let (minute, both) = (json!({"who": "c", "for_secs": 60}), json!({"who": "c", "for_secs": 60, "until": 1}));
    play(
        &server,
        &[
            ("POST", "/api/v1/banned", network, 200, 0, "/data/who", json!("10.1.0.0/16")),
            ("GET", "/api/v1/banned", Json::Null, 200, 0, "/data/0/as", json!("ip_address")),
            ("DELETE", "/api/v1/banned/ip_address/10.1.0.0%2F16", Json::Null, 200, 0, "/data", json!({})),
            ("POST", "/api/v1/banned", minute, 200, 0, "/data/ended_connections", json!(0)),
            ("POST", "/api/v1/banned", both, 400, 0, "/detail", json!("not both")),
        ],
    );
}

#[test]
fn manual_9_6_and_9_7_users_in_version_3_and_natively() {
    let server = Server::start();
    let nothing = Json::Null;
    let ann = json!({"username": "ann", "password": "hunter2"});
    play(
        &server,
        &[
            ("POST", "/api/v3/auth_username", ann.clone(), 200, 0, "", json!({"code": 0})),
            ("POST", "/api/v3/auth_username", ann, 200, 409, "/message", json!("exists")),
            (
                "POST",
                "/api/v3/auth_username",
                json!({"username": "bob"}),
                200,
                400,
                "/message",
                json!("password is required"),
            ),
            ("GET", "/api/v3/auth_username", nothing.clone(), 200, 0, "/data", json!(["ann"])),
            (
                "GET",
                "/api/v3/auth_username/ann",
                nothing.clone(),
                200,
                0,
                "/data",
                json!({"username": "ann", "is_superuser": false}),
            ),
            (
                "PUT",
                "/api/v3/auth_username/ann",
                json!({"password": "hunter22", "is_superuser": true}),
                200,
                0,
                "",
                json!({"code": 0}),
            ),
            ("GET", "/api/v1/users/username/ann", nothing.clone(), 200, 0, "/data/is_superuser", json!(true)),
            (
                "POST",
                "/api/v3/auth_clientid",
                json!({"clientid": "dev:1", "password": "hunter2"}),
                200,
                0,
                "",
                json!({"code": 0}),
            ),
            ("GET", "/api/v1/users/client_id", nothing.clone(), 200, 0, "/data/0/name", json!("dev:1")),
            ("GET", "/api/v1/users/client_id?after=dev:1", nothing.clone(), 200, 0, "/data", json!([])),
            ("GET", "/api/v1/users/shoe_size", nothing.clone(), 404, 0, "/detail", json!("username and client_id")),
            ("DELETE", "/api/v3/auth_username/ann", nothing.clone(), 200, 0, "", json!({"code": 0})),
            ("DELETE", "/api/v3/auth_username/ann", nothing.clone(), 200, 404, "/message", json!("ann")),
            ("GET", "/api/v1/acl", nothing.clone(), 200, 0, "/data/source", json!("built-in")),
            ("POST", "/api/v1/acl/reload", nothing, 200, 0, "/data/version", json!(2)),
        ],
    );
    assert!(!server.log().contains("hunter2"), "a password in the log");
}
