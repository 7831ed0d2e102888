//! Whatever is wrong is said precisely, and nothing is lost or half-done by it.

use std::fs;
use std::time::Duration;

use serde_json::json;
use tests::mqtt::Publisher;
use tests::server::Server;
use tests::services::service;

use crate::support::{PgTable, create_resource, create_rule, publish, query_until};

/// Arguments, exit code, and what stderr or stdout has to say.
#[test]
fn commands_with_mistakes_say_where_and_what() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]).expect("server");
    let inspect = r#"[{"name":"inspect"}]"#;
    let table: &[(&[&str], i32, &[&str])] = &[
        (&["rules", "create", "SELECT FROM \"t\"", inspect], 6, &["SELECT"]),
        (&["rules", "create", "SELECT nosuch(1) FROM \"t\"", inspect], 6, &["nosuch"]),
        (&["rules", "create", "SELECT * FROM \"t\"", "not json"], 6, &["JSON"]),
        (
            &["rules", "create", "SELECT * FROM \"t\"", r#"[{"name":"data_to_nowhere"}]"#],
            6,
            &["data_to_nowhere", "inspect"],
        ),
        (
            &["rules", "create", "SELECT * FROM \"t\"", r#"[{"name":"inspect","delivry":"at_least_once"}]"#],
            6,
            &["delivry", "delivery"],
        ),
        (&["resources", "create", "backend_pqsql", "-c", "{}"], 6, &["backend_pqsql", "backend_pgsql"]),
        (&["resources", "create", "web_hook", "-c", r#"{"ulr":"http://127.0.0.1:1/"}"#], 6, &["ulr", "url"]),
        (&["rules", "show", "rule:00000000"], 3, &["rule:00000000"]),
        (&["resources", "delete", "resource:00000000"], 3, &["resource:00000000"]),
        (&["rules", "frobnicate"], 2, &["frobnicate"]),
        (&["query", "SELECT * FROM nosuch"], 1, &["nosuch"]),
    ];
    for (args, code, words) in table {
        let output = server.weir(args).expect("run");
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(*code), "{args:?} said:\n{said}");
        for word in *words {
            assert!(said.contains(word), "{args:?} does not mention {word}:\n{said}");
        }
    }
    let rules = server.weir_ok(&["rules", "list", "-o", "json"]).expect("list");
    assert_eq!(rules.trim(), "[]", "a refused command leaves nothing behind");
}

#[test]
fn an_unreachable_server_has_an_exit_code_of_its_own() {
    let folder = tempfile::tempdir().expect("folder");
    let mut server = Server::start(folder.path(), &[]).expect("server");
    server.stop().expect("stop");
    let output = server.weir(&["rules", "list"]).expect("run");
    assert_eq!(output.status.code(), Some(5), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_second_server_on_the_same_folder_names_the_folder_and_the_holder() {
    let folder = tempfile::tempdir().expect("folder");
    let first = Server::start(folder.path(), &[]).expect("server");
    let other = tempfile::tempdir().expect("folder");
    std::os::unix::fs::symlink(first.data_dir(), other.path().join("data")).expect("link");
    let error = Server::start(other.path(), &[]).err().expect("the second server must not start").to_string();
    let pid = first.pid().expect("running").to_string();
    assert!(error.contains(&pid), "the holder's process id {pid} is not named:\n{error}");
}

#[test]
fn a_payload_that_is_no_json_fails_only_its_row() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]).expect("server");
    let lake = create_resource(&server, "lake", &json!({}));
    create_rule(
        &server,
        r#"SELECT payload.n AS n FROM "mixed/#""#,
        &json!([{"name": "data_to_lake", "params": {"$resource": lake, "table": "mixed"}}]),
    );
    publish(&server, "mixed/1", r#"{"n":1}"#);
    publish(&server, "mixed/1", "{no json");
    publish(&server, "mixed/1", r#"{"n":3}"#);
    let rows = query_until(&server, "SELECT n FROM mixed ORDER BY n", |rows| rows.len() == 2);
    assert_eq!(rows, [json!({"n": 1}), json!({"n": 3})]);
    let rules = server.weir_ok(&["rules", "list", "-o", "json"]).expect("list");
    assert!(rules.contains(r#""failed":1"#) || rules.contains(r#""failed": 1"#), "the failure is counted: {rules}");
}

#[test]
fn a_ten_megabyte_payload_is_refused_by_the_default_and_passes_where_allowed() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]).expect("server");
    let payload = format!(r#"{{"n":1,"pad":"{}"}}"#, "x".repeat(10 << 20));
    let mut publisher = Publisher::connect(server.mqtt(), "big").expect("connect");
    let answer = publisher.publish("big/1", payload.as_bytes(), 1).and_then(|()| publisher.wait_ack());
    assert!(answer.is_err(), "a packet past the limit must not be acknowledged");

    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[("WEIR__MQTT__PACKET_BYTES_MAX", "16MB")]).expect("server");
    let lake = create_resource(&server, "lake", &json!({}));
    create_rule(
        &server,
        r#"SELECT payload.n AS n FROM "big/#""#,
        &json!([{"name": "data_to_lake", "params": {"$resource": lake, "table": "big"}, "delivery": "at_least_once"}]),
    );
    publish(&server, "big/1", &payload);
    query_until(&server, "SELECT n FROM big", |rows| rows.len() == 1);
}

#[test]
fn a_publish_to_a_topic_with_wildcards_ends_that_connection_and_no_other() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]).expect("server");
    let mut good = Publisher::connect(server.mqtt(), "good").expect("connect");
    let mut bad = Publisher::connect(server.mqtt(), "bad").expect("connect");
    bad.publish("a/+", b"x", 1).expect("send");
    assert!(bad.wait_ack().is_err(), "a wildcard in a topic name must not be acknowledged");
    good.publish("a/b", b"x", 1).expect("send");
    assert_eq!(good.wait_ack().expect("the other connection goes on"), 1);
}

#[test]
fn a_table_without_the_column_sends_the_row_to_the_dead_letters_and_replay_delivers_it() {
    let Some(url) = service("WEIR_TEST_PG_URL") else { return };
    let table = PgTable::create(&url, "e2e_column", "other bigint");
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]).expect("server");
    let resource = create_resource(&server, "backend_pgsql", &table.resource());
    create_rule(
        &server,
        r#"SELECT payload.n AS n FROM "col/#""#,
        &json!([{"name": "data_to_pgsql", "params": {"$resource": resource, "sql": "INSERT INTO e2e_column(n) VALUES (${n})"}}]),
    );
    publish(&server, "col/1", r#"{"n":42}"#);
    let listed = tests::server::wait_for("a dead letter", Duration::from_secs(20), || {
        let printed = server.weir_ok(&["dead-letters", "list", "-o", "json"]).ok()?;
        let letters: Vec<serde_json::Value> = serde_json::from_str(&printed).ok()?;
        letters.into_iter().next()
    })
    .unwrap_or_else(|error| panic!("{error}\n{}", server.log()));
    assert!(listed.to_string().contains("column"), "the error names the column: {listed}");
    table.sql("ALTER TABLE e2e_column ADD COLUMN n bigint");
    let id = listed["id"].as_str().expect("id").to_owned();
    server.weir_ok(&["dead-letters", "replay", &id]).expect("replay");
    tests::server::wait_for("the replayed row", Duration::from_secs(20), || {
        table.numbers().contains(&42).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}\n{}", server.log()));
}

#[test]
fn a_full_disk_refuses_the_publish_and_keeps_the_server() {
    let folder = tempfile::tempdir().expect("folder");
    let data = folder.path().join("data");
    fs::create_dir(&data).expect("folder");
    let Some(_mount) = small_disk(&data) else { return };
    let server = Server::start(folder.path(), &[]).expect("server");
    let hook = create_resource(&server, "web_hook", &json!({"url": "http://127.0.0.1:1/"}));
    create_rule(
        &server,
        r#"SELECT payload FROM "full/#""#,
        &json!([{"name": "data_to_webserver", "params": {"$resource": hook}, "delivery": "at_least_once"}]),
    );
    let payload = "x".repeat(900 << 10);
    let mut acknowledged = 0;
    let refused = (0..64).any(|number| {
        let answer = Publisher::connect(server.mqtt(), "full").and_then(|mut publisher| {
            publisher.publish("full/1", payload.as_bytes(), number).and_then(|()| publisher.wait_ack())
        });
        acknowledged += u32::from(answer.is_ok());
        answer.is_err()
    });
    assert!(refused, "{acknowledged} publishes of 900 KB were acknowledged with 24 MB of disk");
    assert!(tests::server::http_ok(server.api(), "/livez"), "the server lives on:\n{}", server.log());
    assert!(server.log().contains("space"), "the log names the full disk:\n{}", server.log());
}

/// A file system of 24 MB, unmounted when dropped. Needs root; without it the test is printed as not run.
struct Mount(std::path::PathBuf);

fn small_disk(at: &std::path::Path) -> Option<Mount> {
    let status =
        std::process::Command::new("mount").args(["-t", "tmpfs", "-o", "size=24m", "tmpfs"]).arg(at).output().ok()?;
    if status.status.success() {
        return Some(Mount(at.to_path_buf()));
    }
    eprintln!("missing: no right to mount a small file system, the full-disk test did not run here");
    None
}

impl Drop for Mount {
    fn drop(&mut self) {
        drop(std::process::Command::new("umount").arg("-l").arg(&self.0).status());
    }
}
