//! `kill -9` at random moments: whatever was confirmed and not acknowledged is served again, in order, and nothing else.
//!
//! This file is its own child: started with `child FOLDER FIRST` it appends, reads and acknowledges for ever and writes a
//! line to its output for each confirmed append and *before* each acknowledgement. The parent kills it somewhere in
//! between, opens the queue itself, and compares. `harness = false`, because of the child.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use store::{Position, Queue, QueueSettings};

const ROUNDS: u32 = 20;
const APPENDERS: usize = 6;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    match args.get(1).map(String::as_str) {
        Some("child") => runtime.block_on(child(Path::new(&args[2]), args[3].parse().expect("a number"))),
        // A runner that lists tests, or asks for one by another name.
        Some("--list") => {}
        _ => runtime.block_on(parent()),
    }
}

fn settings() -> QueueSettings {
    QueueSettings { segment_bytes: 4096, ..QueueSettings::default() }
}

/// A body that can only come from here: its number, stretched to a length that depends on it.
fn body(n: u64) -> Bytes {
    let text = format!("<{n}>");
    Bytes::from(text.repeat(1 + (n % 37) as usize))
}

fn number(body: &Bytes) -> Option<u64> {
    let text = std::str::from_utf8(body).ok()?;
    let n = text.strip_prefix('<')?.split('>').next()?.parse().ok()?;
    (self::body(n) == *body).then_some(n)
}

fn say(line: &str) {
    // One write per line: the parent sees whole lines or none.
    std::io::stdout().lock().write_all(format!("{line}\n").as_bytes()).expect("the parent listens");
}

async fn child(dir: &Path, first: u64) {
    let queue = Queue::open(dir, settings()).await.expect("open");
    let next = Arc::new(AtomicU64::new(first));
    let mut tasks = Vec::new();
    for appender in 0..APPENDERS {
        let (queue, next) = (queue.clone(), Arc::clone(&next));
        tasks.push(model::task::spawn("appender", async move {
            loop {
                let count = 1 + appender as u64 % 3;
                let from = next.fetch_add(count, Ordering::Relaxed);
                let position = queue.append((from..from + count).map(body).collect()).await.expect("append");
                for n in 0..count {
                    say(&format!("confirmed {} {}", position.0 + n, from + n));
                }
            }
        }));
    }
    loop {
        queue.wait_nonempty().await;
        let mut records = queue.read(20, 100_000).await.expect("read");
        // Two of three, newest first, so that acknowledgements are out of order and the mark lags.
        records.retain(|(position, _)| position.0 % 3 != 0 || fastrand::bool());
        records.reverse();
        for (position, _) in &records {
            say(&format!("done {}", position.0));
        }
        queue.ack(&records.iter().map(|(position, _)| *position).collect::<Vec<Position>>());
    }
}

async fn parent() {
    let dir = tempfile::tempdir().expect("a folder");
    // What must be served: number by position.
    let mut owed: BTreeMap<u64, u64> = BTreeMap::new();
    let mut next = 0;
    let mut confirmed_count = 0;
    for round in 0..ROUNDS {
        let killed_after = 1 + fastrand::u64(..400);
        let (confirmed, done, appended_max) = run_and_kill(dir.path(), next, killed_after);
        confirmed_count += confirmed.len();
        owed.extend(&confirmed);
        let queue = Queue::open(dir.path(), settings()).await.expect("open after the kill");
        assert_eq!(queue.metrics().snapshot().corrupt_records, 0, "round {round}");
        let mut served: Vec<(u64, u64)> = Vec::new();
        loop {
            let records = queue.read(100, 1 << 20).await.expect("read");
            if records.is_empty() {
                break;
            }
            for (position, body) in records {
                let n = number(&body).unwrap_or_else(|| panic!("round {round}: invented {body:?}"));
                served.push((position.0, n));
            }
        }
        assert!(served.is_sorted_by(|a, b| a.0 < b.0), "round {round}: out of order");
        for (position, n) in &served {
            assert!(owed.get(position).is_none_or(|known| known == n), "round {round}: position {position} is {n}");
            next = next.max(n + 1);
        }
        let served: BTreeMap<u64, u64> = served.into_iter().collect();
        for (position, n) in &owed {
            let excused = done.contains(position);
            assert!(excused || served.get(position) == Some(n), "round {round}: {n} at {position} is lost");
        }
        // From now on everything that is there is owed, the unconfirmed included: it has been served.
        owed = served;
        next = next.max(appended_max + 1);
        queue.close().await.expect("close");
    }
    assert!(confirmed_count >= ROUNDS as usize, "the children confirmed only {confirmed_count}");
    say(&format!("crash test: {ROUNDS} kills, {confirmed_count} confirmed records, none lost"));
}

/// Runs a child until it said `lines` lines and a random while longer. Returns what it confirmed (number by position), what
/// it was about to acknowledge, and the highest number seen.
fn run_and_kill(dir: &Path, first: u64, lines: u64) -> (BTreeMap<u64, u64>, Vec<u64>, u64) {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .arg("child")
        .arg(dir)
        .arg(first.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child");
    let mut output = BufReader::new(child.stdout.take().expect("its output")).lines();
    let mut said: Vec<String> = output.by_ref().take(lines as usize).map(|line| line.expect("a line")).collect();
    assert_eq!(said.len() as u64, lines, "the child ended by itself");
    std::thread::sleep(Duration::from_micros(fastrand::u64(..20_000)));
    child.kill().expect("SIGKILL");
    child.wait().expect("its end");
    said.extend(output.map(|line| line.expect("a line")));
    let (mut confirmed, mut done, mut highest) = (BTreeMap::new(), Vec::new(), first);
    for line in said {
        let words: Vec<&str> = line.split(' ').collect();
        let at = |n: usize| words[n].parse::<u64>().expect("a number");
        match words[0] {
            "confirmed" => {
                confirmed.insert(at(1), at(2));
                highest = highest.max(at(2));
            }
            "done" => done.push(at(1)),
            other => panic!("the child said {other}"),
        }
    }
    (confirmed, done, highest)
}
