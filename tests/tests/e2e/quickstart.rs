//! From an MQTT publish, through SQL, into a table: the first minute.

use std::path::Path;

use serde_json::json;
use tests::server::Server;

use crate::support::{create_resource, create_rule, publish, query_until};

#[test]
fn a_published_message_becomes_a_row_of_the_lake() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]).expect("server");
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/quickstart.yaml");
    server.weir_ok(&["apply", "-f", &example.display().to_string()]).expect("apply");
    publish(&server, "sensors/a/temp", r#"{"temp":31.5}"#);
    let rows = query_until(&server, "SELECT * FROM readings", |rows| !rows.is_empty());
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["temp"], json!(31.5));
}

#[test]
fn the_table_can_be_queried_when_the_server_is_gone() {
    let folder = tempfile::tempdir().expect("folder");
    let mut server = Server::start(folder.path(), &[]).expect("server");
    let lake = create_resource(&server, "lake", &json!({}));
    create_rule(
        &server,
        r#"SELECT payload.temp AS temp, topic FROM "s/#""#,
        &json!([{"name": "data_to_lake", "params": {"$resource": lake, "table": "kept"}}]),
    );
    publish(&server, "s/1", r#"{"temp":1}"#);
    query_until(&server, "SELECT * FROM kept", |rows| rows.len() == 1);
    server.kill().expect("kill");
    let rows = query_until(&server, "SELECT temp, topic FROM kept", |rows| rows.len() == 1);
    assert_eq!(rows[0], json!({"temp": 1, "topic": "s/1"}));
}
