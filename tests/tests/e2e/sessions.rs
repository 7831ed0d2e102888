//! `kill -9` in a loop under QoS 1 and 2 load: what a publisher saw acknowledged reaches persistent subscribers, online and
//! offline, at QoS 2 exactly once, and sessions are there again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tests::server::Server;
use tests::session::{Event, Session};

const ROUNDS: u64 = 6;
const WINDOW: usize = 32;
const MESSAGES_MAX: u64 = 60_000;
/// How long the end may take.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// How often the application got each number, by QoS.
type Counts = BTreeMap<(u64, u8), u32>;

/// Publishes numbers, at QoS 1 and 2 by turns, until the connection breaks.
fn publish(publisher: &mut Session, next: &mut u64, acknowledged: &mut BTreeSet<u64>) {
    if publisher.connect().is_err() {
        return;
    }
    loop {
        while publisher.outgoing_count() < WINDOW && *next < MESSAGES_MAX {
            *next += 1;
            let qos = 1 + u8::from(next.is_multiple_of(2));
            if publisher.publish("load/x", *next, qos).is_err() {
                return;
            }
        }
        match publisher.poll(POLL) {
            Ok(events) => acknowledged.extend(events.iter().flatten().filter_map(|event| match event {
                Event::Acknowledged(number) => Some(*number),
                Event::Delivered(..) => None,
            })),
            Err(_) => return,
        }
    }
}

fn count(events: Vec<Event>, counts: &mut Counts) {
    for event in events {
        if let Event::Delivered(number, qos) = event {
            *counts.entry((number, qos)).or_default() += 1;
        }
    }
}

/// Receives until the connection breaks, or, once `done` says so, until nothing has come for a while.
fn receive(subscriber: &mut Session, counts: &mut Counts, done: &AtomicBool) {
    if subscriber.connect().is_err() {
        return;
    }
    let mut quiet = 0;
    while quiet < 20 {
        match subscriber.poll(POLL) {
            Ok(None) => quiet += u32::from(done.load(Ordering::Relaxed)),
            Ok(Some(events)) => {
                quiet = 0;
                count(events, counts);
            }
            Err(_) => return,
        }
    }
}

fn check(name: &str, counts: &Counts, acknowledged: &BTreeSet<u64>, log: &str) {
    let lost: Vec<_> = acknowledged
        .iter()
        .filter(|number| !counts.contains_key(&(**number, 1 + u8::from(number.is_multiple_of(2)))))
        .collect();
    assert!(lost.is_empty(), "{name}: {} of {} are lost: {lost:?}\n{log}", lost.len(), acknowledged.len());
    let twice: Vec<_> = counts.iter().filter(|((_, qos), count)| *qos == 2 && **count > 1).collect();
    assert!(twice.is_empty(), "{name}: delivered more than once at QoS 2: {twice:?}\n{log}");
}

#[test]
fn kill_minus_nine_under_load_keeps_persistent_sessions() {
    let folder = tempfile::tempdir().expect("folder");
    let roomy = [("WEIR__MQTT__QUEUE_MESSAGES_MAX", "1000000"), ("WEIR__MQTT__QUEUE_BYTES_MAX", "256MB")];
    let mut server = Server::start(folder.path(), &roomy).expect("server");
    let mut sessions = ["online", "offline"].map(|client_id| Session::new(server.mqtt(), client_id));
    for session in &mut sessions {
        assert!(!session.connect().expect("connected"), "a new session");
        session.subscribe("load/#", 2).expect("subscribed");
    }
    let [mut online, offline] = sessions;
    // Its connection breaks and it stays away.
    drop(offline);
    let mut offline = Session::new(server.mqtt(), "offline");
    let mut publisher = Session::new(server.mqtt(), "publisher");
    let (mut next, mut acknowledged, mut got) = (0, BTreeSet::new(), Counts::new());
    let never = AtomicBool::new(false);
    for round in 0..ROUNDS {
        thread::scope(|scope| {
            scope.spawn(|| publish(&mut publisher, &mut next, &mut acknowledged));
            scope.spawn(|| receive(&mut online, &mut got, &never));
            // Moments spread over the first second of load, different in each round.
            pause(Duration::from_millis(200 + round * 137));
            let pid = server.pid().expect("running");
            std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().expect("kill");
        });
        server.kill().expect("reap");
        server.start_again().expect("restart");
    }
    assert!(acknowledged.len() > 100, "the load was too small to mean anything: {}", acknowledged.len());
    // The publisher gets every answer it still wants, the subscribers everything that waits.
    assert!(publisher.connect().expect("connected"), "the publisher's session is there");
    let started = Instant::now();
    while publisher.outgoing_count() > 0 {
        assert!(started.elapsed() < PATIENCE, "{} exchanges never end", publisher.outgoing_count());
        for event in publisher.poll(POLL).expect("answers").into_iter().flatten() {
            if let Event::Acknowledged(number) = event {
                acknowledged.insert(number);
            }
        }
    }
    let done = AtomicBool::new(true);
    receive(&mut online, &mut got, &done);
    check("online", &got, &acknowledged, &server.log());
    let mut waited = Counts::new();
    receive(&mut offline, &mut waited, &done);
    check("offline", &waited, &acknowledged, &server.log());
    assert!(server.weir_ok(&["clients", "list"]).is_ok());
}

/// Lets the load run for a while; this is the load's duration, not a wait for something to happen.
fn pause(duration: Duration) {
    let until = Instant::now() + duration;
    while let Some(rest) = until.checked_duration_since(Instant::now()) {
        thread::sleep(rest);
    }
}
