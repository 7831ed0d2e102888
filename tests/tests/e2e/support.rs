//! Small steps that several end-to-end tests share.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value as Json;
use tests::mqtt::Publisher;
use tests::server::{Server, wait_for};

/// How long a row may take from the PUBACK to the sink in these tests, at most.
pub(crate) const ARRIVAL: Duration = Duration::from_secs(30);

/// A PostgreSQL table of a test's own, dropped at the end.
pub(crate) struct PgTable {
    url: String,
    pub(crate) name: String,
}

impl PgTable {
    /// Makes `name(columns)` anew in the database at `url`.
    pub(crate) fn create(url: &str, name: &str, columns: &str) -> Self {
        let table = Self { url: url.to_owned(), name: name.to_owned() };
        table.sql(&format!("DROP TABLE IF EXISTS {name}; CREATE TABLE {name} ({columns})"));
        table
    }

    /// Runs SQL through psql and returns what it printed, unaligned, tuples only.
    pub(crate) fn sql(&self, sql: &str) -> String {
        let output = Command::new("psql").args([&self.url, "-qAtc", sql]).stdin(Stdio::null()).output().expect("psql");
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// The numbers in the column `n`.
    pub(crate) fn numbers(&self) -> BTreeSet<u64> {
        self.sql(&format!("SELECT DISTINCT n FROM {}", self.name))
            .lines()
            .filter_map(|line| line.parse().ok())
            .collect()
    }

    /// The resource configuration that reaches this database.
    pub(crate) fn resource(&self) -> Json {
        let rest = self.url.trim_start_matches("postgres://");
        let (user, rest) = rest.split_once(':').expect("user");
        let (password, rest) = rest.split_once('@').expect("password");
        let (server, database) = rest.split_once('/').expect("database");
        serde_json::json!({"server": server, "database": database, "username": user, "password": password})
    }
}

impl Drop for PgTable {
    fn drop(&mut self) {
        let sql = format!("DROP TABLE IF EXISTS {}", self.name);
        drop(Command::new("psql").args([&self.url, "-qAtc", &sql]).stdin(Stdio::null()).output());
    }
}

/// Creates a resource through the CLI and returns its id.
pub(crate) fn create_resource(server: &Server, kind: &str, config: &Json) -> String {
    let printed = server
        .weir_ok(&["resources", "create", kind, "-c", &config.to_string(), "-d", "made by a test", "-o", "json"])
        .expect("resources create");
    id_of(&printed)
}

/// Creates a rule through the CLI and returns its id.
pub(crate) fn create_rule(server: &Server, sql: &str, actions: &Json) -> String {
    let printed = server
        .weir_ok(&["rules", "create", sql, &actions.to_string(), "-d", "made by a test", "-o", "json"])
        .expect("rules create");
    id_of(&printed)
}

fn id_of(printed: &str) -> String {
    let json: Json = serde_json::from_str(printed).expect("-o json prints JSON");
    json["id"].as_str().unwrap_or_else(|| panic!("no id in {printed}")).to_owned()
}

/// Publishes one message at QoS 1 and waits for its PUBACK.
pub(crate) fn publish(server: &Server, topic: &str, payload: &str) {
    let mut publisher = Publisher::connect(server.mqtt(), "e2e-once").expect("connect");
    publisher.publish(topic, payload.as_bytes(), 1).expect("publish");
    publisher.wait_ack().expect("PUBACK");
}

/// Waits until `weir query` prints rows for which `enough` holds, and returns them.
pub(crate) fn query_until(server: &Server, sql: &str, enough: impl Fn(&[Json]) -> bool) -> Vec<Json> {
    wait_for(&format!("rows of {sql}"), ARRIVAL, || {
        let output = server.weir(&["query", sql, "-o", "json"]).ok()?;
        let rows: Vec<Json> = serde_json::from_slice(&output.stdout).ok()?;
        enough(&rows).then_some(rows)
    })
    .expect("rows")
}
