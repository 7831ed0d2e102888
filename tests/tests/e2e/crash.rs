//! `kill -9` at any moment loses no row whose publish was acknowledged.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use tests::mqtt::Publisher;
use tests::server::{Server, wait_for};
use tests::services::service;

use crate::support::{ARRIVAL, PgTable, create_resource, create_rule};

const ROUNDS: u64 = 6;
const WINDOW: usize = 64;
const NUMBERS_A_ROUND: u64 = 1_000_000;

/// Publishes numbers as fast as the window allows until the connection breaks; returns those that were acknowledged.
fn publish_until_killed(server: &Server, round: u64, acknowledged: &mut BTreeSet<u64>) {
    let Ok(mut publisher) = Publisher::connect(server.mqtt(), &format!("crash-{round}")) else { return };
    let mut next = round * NUMBERS_A_ROUND;
    loop {
        while publisher.in_flight() < WINDOW {
            let payload = format!(r#"{{"n":{next}}}"#);
            if publisher.publish("crash/load", payload.as_bytes(), next).is_err() {
                return;
            }
            next += 1;
        }
        match publisher.wait_ack() {
            Ok(number) => acknowledged.insert(number),
            Err(_) => return,
        };
    }
}

#[test]
fn kill_minus_nine_under_load_loses_no_acknowledged_row() {
    let Some(url) = service("WEIR_TEST_PG_URL") else { return };
    let table = PgTable::create(&url, "e2e_crash", "n bigint");
    let folder = tempfile::tempdir().expect("folder");
    let mut server = Server::start(folder.path(), &[]).expect("server");
    let resource = create_resource(&server, "backend_pgsql", &table.resource());
    create_rule(
        &server,
        r#"SELECT payload.n AS n FROM "crash/#""#,
        &json!([{
            "name": "data_to_pgsql",
            "params": {"$resource": resource, "sql": "INSERT INTO e2e_crash(n) VALUES (${n})"},
            "delivery": "at_least_once",
        }]),
    );
    let mut acknowledged = BTreeSet::new();
    for round in 0..ROUNDS {
        thread::scope(|scope| {
            let publishing = scope.spawn(|| {
                let mut mine = BTreeSet::new();
                publish_until_killed(&server, round, &mut mine);
                mine
            });
            let pid = server.pid().expect("running");
            // Moments spread over the first second of load, different in each round.
            pause(Duration::from_millis(150 + round * 137));
            std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().expect("kill");
            acknowledged.extend(publishing.join().expect("publisher"));
        });
        server.kill().expect("reap");
        server.start_again().expect("restart");
    }
    assert!(acknowledged.len() > 100, "the load was too small to mean anything: {}", acknowledged.len());
    let lost = wait_for("every acknowledged row in PostgreSQL", ARRIVAL, || {
        let there = table.numbers();
        acknowledged.is_subset(&there).then(BTreeSet::<u64>::new)
    })
    .unwrap_or_else(|_| acknowledged.difference(&table.numbers()).copied().collect());
    assert!(
        lost.is_empty(),
        "{} of {} acknowledged rows are lost: {lost:?}\n{}",
        lost.len(),
        acknowledged.len(),
        server.log()
    );
}

/// Lets the load run for a while; this is the load's duration, not a wait for something to happen.
fn pause(duration: Duration) {
    let until = Instant::now() + duration;
    while let Some(rest) = until.checked_duration_since(Instant::now()) {
        thread::sleep(rest);
    }
}
