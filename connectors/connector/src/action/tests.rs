//! Delivery against scripted sinks: every policy, every kind of failure, restarts, and the counter identity under load.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};

use async_trait::async_trait;
use model::ports::Refused;
use model::{Row, Value};
use serde_json::{Value as Json, json};
use store::Kv;
use tokio::sync::Semaphore;

use super::*;
use crate::{BatchDefaults, DeadLetterFilter, DeadLetterLimits, WriteError};

/// Everything here happens within this time, or the test fails.
const LIMIT: Duration = Duration::from_secs(30);

type Script = dyn Fn(&[i64]) -> Result<(), WriteError> + Send + Sync;

/// A sink that does what a function of the row numbers says, and remembers what it confirmed.
struct Scripted {
    script: Box<Script>,
    written: Mutex<Vec<i64>>,
    batches: Mutex<Vec<usize>>,
    /// Writes wait for a permit each.
    gate: Semaphore,
    calls: AtomicUsize,
}

impl Scripted {
    fn new(script: impl Fn(&[i64]) -> Result<(), WriteError> + Send + Sync + 'static) -> Arc<Self> {
        Self::gated(Semaphore::MAX_PERMITS, script)
    }

    fn gated(permits: usize, script: impl Fn(&[i64]) -> Result<(), WriteError> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            script: Box::new(script),
            written: Mutex::default(),
            batches: Mutex::default(),
            gate: Semaphore::new(permits),
            calls: AtomicUsize::new(0),
        })
    }

    fn written(&self) -> Vec<i64> {
        self.written.lock().clone()
    }
}

fn number(record: &Record) -> i64 {
    record.row.get("n").and_then(Value::as_int).unwrap()
}

#[async_trait]
impl Sink for Scripted {
    async fn write(&self, batch: &[Record]) -> Result<(), WriteError> {
        self.gate.acquire().await.unwrap().forget();
        self.calls.fetch_add(1, Ordering::Relaxed);
        let numbers: Vec<i64> = batch.iter().map(number).collect();
        self.batches.lock().push(numbers.len());
        let result = (self.script)(&numbers);
        let failed: BTreeSet<usize> = match &result {
            Ok(()) => BTreeSet::new(),
            Err(WriteError::Batch(_)) => (0..numbers.len()).collect(),
            Err(WriteError::Rows(rows)) => rows.iter().map(|(index, _)| *index).collect(),
        };
        let confirmed = numbers.iter().enumerate().filter(|(index, _)| !failed.contains(index));
        self.written.lock().extend(confirmed.map(|(_, number)| *number));
        result
    }

    fn render(&self, _: &Record) -> Result<Json, Error> {
        Ok(Json::Null)
    }
}

struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now_ns(&self) -> i64 {
        self.0.load(Ordering::Relaxed) * 1_000_000
    }

    fn instant(&self) -> std::time::Instant {
        std::time::Instant::now()
    }
}

struct Rig {
    folder: tempfile::TempDir,
    kv: Kv,
    clock: Arc<TestClock>,
    dead_letters: DeadLetters,
}

impl Rig {
    async fn new() -> Self {
        Self::with(DeadLetterLimits::default()).await
    }

    async fn with(limits: DeadLetterLimits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let kv = Kv::open(folder.path().join("store.kv")).await.unwrap();
        let clock = Arc::new(TestClock(AtomicI64::new(1_000_000)));
        let dead_letters = DeadLetters::open(kv.clone(), limits, Arc::clone(&clock) as _).await.unwrap();
        Self { folder, kv, clock, dead_letters }
    }

    fn parts(&self, sink: Arc<dyn Sink>, settings: &Json) -> ActionParts {
        ActionParts {
            name: ActionName {
                id: Str::new("rule:1/0"),
                rule: Str::new("rule:1"),
                action: Str::new("data_to_test"),
                resource: Some(Str::new("resource:1")),
            },
            settings: ActionSettings::parse(settings.as_object().unwrap(), BatchDefaults::NATURAL).unwrap(),
            sink: Ok(sink),
            data_dir: Some(DataDir::open_read_only(self.folder.path()).unwrap()),
            dead_letters: Some(self.dead_letters.clone()),
            fallback: Vec::new(),
            clock: Arc::clone(&self.clock) as _,
        }
    }

    async fn start(&self, sink: &Arc<Scripted>, settings: &Json) -> ActionHandle {
        ActionHandle::start(self.parts(Arc::clone(sink) as _, settings)).await.unwrap()
    }

    async fn letters(&self) -> Vec<(Str, String, i64)> {
        let page = self.dead_letters.list(&DeadLetterFilter::default(), None, 10_000).await.unwrap();
        let view =
            |letter: crate::DeadLetterView| (letter.id, letter.class.to_string(), letter.row["n"].as_i64().unwrap());
        page.letters.into_iter().map(view).collect()
    }

    async fn dead(&self) -> Vec<(String, i64)> {
        self.letters().await.into_iter().map(|(_, class, n)| (class, n)).collect()
    }
}

fn rows(numbers: impl IntoIterator<Item = i64>) -> Vec<Record> {
    let row = |n| Record {
        row: Row::from_pairs([("n", Value::Int(n))]),
        rule: Str::new("rule:1"),
        id: Str::from(format!("{n}/0")),
        at_ms: 1_000_000,
        event: Some(Arc::new(Value::map([("topic", Value::text("t/1"))]))),
        passed_rules: Arc::default(),
    };
    numbers.into_iter().map(row).collect()
}

async fn taken(submitted: Submitted) -> Result<(), Refused> {
    match submitted {
        Admission::Done => Ok(()),
        Admission::Pending(answer) => {
            tokio::time::timeout(LIMIT, answer).await.expect("answered in time").expect("answered")
        }
    }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(LIMIT, wait).await.is_ok(), "in time: {what}");
}

async fn settled(action: &ActionHandle) -> Counters {
    until("settled", || {
        let counters = action.counters();
        assert!(counters.balances(), "{counters:?}");
        counters.queued + counters.inflight == 0
    })
    .await;
    action.counters()
}

fn temporary() -> WriteError {
    Error::temporary(ErrorKind::Unreachable, "down").into()
}

fn permanent() -> WriteError {
    Error::permanent(ErrorKind::Rejected, "no such column").into()
}

/// Both forms of the queue.
fn forms(more: &Json) -> [Json; 2] {
    ["at_most_once", "at_least_once"].map(|delivery| {
        let mut settings = more.clone();
        settings["delivery"] = json!(delivery);
        settings["retry"] = json!({"initial": "1ms", "max": "4ms"});
        settings
    })
}

#[tokio::test]
async fn rows_arrive_in_order_in_natural_batches() {
    for settings in forms(&json!({})) {
        let rig = Rig::new().await;
        let sink = Scripted::gated(1, |_| Ok(()));
        let action = rig.start(&sink, &settings).await;
        taken(action.submit(rows(0..1))).await.unwrap();
        until("the first write holds the worker", || sink.calls.load(Ordering::Relaxed) == 1).await;
        settled(&action).await;
        for n in 1..100 {
            taken(action.submit(rows(n..n + 1))).await.unwrap();
        }
        sink.gate.add_permits(50);
        let counters = settled(&action).await;
        assert_eq!((counters.matched, counters.success), (100, 100));
        assert_eq!(sink.written(), (0..100).collect::<Vec<_>>());
        // The worker waited in its second write, with what was there then; the rest came in one batch.
        assert!(sink.batches.lock().len() <= 4, "{:?}", sink.batches.lock());
        assert_eq!(action.stop(LIMIT).await, Stopped::default());
    }
}

#[tokio::test]
async fn a_batch_waits_for_its_age_or_its_size() {
    for settings in forms(&json!({"batch": {"age_max": "1h", "records_max": 10}})) {
        let rig = Rig::new().await;
        let sink = Scripted::new(|_| Ok(()));
        let action = rig.start(&sink, &settings).await;
        for n in 0..15 {
            taken(action.submit(rows(n..n + 1))).await.unwrap();
        }
        until("a full batch", || sink.written().len() == 10).await;
        assert_eq!(action.counters().queued, 5);
        // Stopping does not wait for the age.
        assert_eq!(action.stop(LIMIT).await, Stopped::default());
        assert_eq!(sink.batches.lock().clone(), [10, 5]);
    }
}

#[tokio::test]
async fn temporary_errors_keep_rows_and_their_order() {
    for settings in forms(&json!({"batch": {"records_max": 3}})) {
        let rig = Rig::new().await;
        let calls = AtomicUsize::new(0);
        let sink =
            Scripted::new(
                move |_| if calls.fetch_add(1, Ordering::Relaxed) % 3 == 2 { Ok(()) } else { Err(temporary()) },
            );
        let action = rig.start(&sink, &settings).await;
        taken(action.submit(rows(0..20))).await.unwrap();
        let counters = settled(&action).await;
        assert_eq!((counters.success, counters.failed), (20, 0));
        assert_eq!(counters.retried, 40);
        assert_eq!(sink.written(), (0..20).collect::<Vec<_>>());
        assert_eq!(action.trouble(), None);
        assert!(rig.dead().await.is_empty());
    }
}

#[tokio::test]
async fn a_poison_row_is_found_by_halving_and_its_neighbours_arrive() {
    for settings in forms(&json!({})) {
        let rig = Rig::new().await;
        let sink = Scripted::new(|numbers| if numbers.iter().any(|n| n % 40 == 7) { Err(permanent()) } else { Ok(()) });
        let action = rig.start(&sink, &settings).await;
        taken(action.submit(rows(0..100))).await.unwrap();
        let counters = settled(&action).await;
        assert_eq!((counters.success, counters.failed, counters.dead_letters), (97, 3, 3));
        assert_eq!(sink.written(), (0..100).filter(|n| n % 40 != 7).collect::<Vec<_>>());
        assert_eq!(rig.dead().await, [7, 47, 87].map(|n| ("rejected".to_owned(), n)));
    }
}

#[tokio::test]
async fn outcomes_are_per_row() {
    for settings in forms(&json!({})) {
        let rig = Rig::new().await;
        let again = AtomicBool::new(true);
        let sink = Scripted::new(move |numbers| {
            let first = again.swap(false, Ordering::Relaxed);
            let failed: Vec<(usize, Error)> = numbers
                .iter()
                .enumerate()
                .filter_map(|(index, n)| match n {
                    2 | 5 => Some((index, Error::permanent(ErrorKind::Rejected, format!("row {n}")))),
                    3 if first => Some((index, Error::temporary(ErrorKind::Exhausted, "busy"))),
                    _ => None,
                })
                .collect();
            if failed.is_empty() { Ok(()) } else { Err(WriteError::Rows(failed)) }
        });
        let action = rig.start(&sink, &settings).await;
        taken(action.submit(rows(0..8))).await.unwrap();
        let counters = settled(&action).await;
        assert_eq!((counters.success, counters.failed, counters.retried), (6, 2, 1));
        assert_eq!(sink.written(), [0, 1, 4, 6, 7, 3]);
        assert_eq!(rig.dead().await, [2, 5].map(|n| ("rejected".to_owned(), n)));
    }
}

#[tokio::test]
async fn a_connector_that_reports_impossible_rows_loses_none() {
    let rig = Rig::new().await;
    let sink = Scripted::new(|numbers| {
        Err(WriteError::Rows(vec![(numbers.len(), Error::permanent(ErrorKind::Rejected, "?"))]))
    });
    let action = rig.start(&sink, &json!({})).await;
    taken(action.submit(rows(0..4))).await.unwrap();
    let counters = settled(&action).await;
    assert_eq!((counters.failed, counters.dead_letters), (4, 4));
}

#[tokio::test]
async fn a_panic_of_the_sink_is_contained_and_costs_only_the_row_that_causes_it() {
    let rig = Rig::new().await;
    let sink = Scripted::new(|numbers| {
        assert!(!numbers.contains(&3), "a bug at row 3");
        Ok(())
    });
    let action = rig.start(&sink, &json!({})).await;
    taken(action.submit(rows(0..8))).await.unwrap();
    let counters = settled(&action).await;
    assert_eq!((counters.success, counters.failed), (7, 1));
    let letters = rig.dead_letters.list(&DeadLetterFilter::default(), None, 10).await.unwrap().letters;
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].class.as_str(), letters[0].attempts), ("internal", 4));
    assert!(letters[0].error.contains("a bug at row 3"), "{}", letters[0].error);
    assert_eq!(letters[0].event, Some(json!({"topic": "t/1"})));
}

#[tokio::test]
async fn attempts_end_in_a_dead_letter_and_a_write_that_hangs_times_out() {
    let rig = Rig::new().await;
    let sink = Scripted::gated(0, |_| Ok(()));
    let settings = json!({"write_timeout": "5ms", "keep_event": false, "retry": {"initial": "1ms", "max": "2ms", "attempts_max": 3}});
    let action = rig.start(&sink, &settings).await;
    taken(action.submit(rows(0..2))).await.unwrap();
    let counters = settled(&action).await;
    assert_eq!((counters.failed, counters.retried), (2, 4));
    let letters = rig.dead_letters.list(&DeadLetterFilter::default(), None, 10).await.unwrap().letters;
    assert_eq!((letters[0].class.as_str(), letters[0].attempts, &letters[0].event), ("timeout", 3, &None));
}

#[tokio::test]
async fn rows_older_than_the_ttl_are_dropped_and_kept_as_dead_letters() {
    for settings in forms(&json!({"queue": {"ttl": "10s"}})) {
        let rig = Rig::new().await;
        let clock = Arc::clone(&rig.clock);
        // The clock passes the ttl while the second attempt is waited for.
        let sink = Scripted::new(move |_| {
            clock.0.fetch_add(6_000, Ordering::Relaxed);
            Err(temporary())
        });
        let action = rig.start(&sink, &settings).await;
        taken(action.submit(rows(0..3))).await.unwrap();
        let counters = settled(&action).await;
        assert_eq!((counters.dropped(DropReason::Expired), counters.failed, counters.retried), (3, 0, 3));
        assert_eq!(rig.dead().await, [0, 1, 2].map(|n| ("expired".to_owned(), n)));
    }
}

/// A queue of five rows whose worker holds row 0, then rows 1 to 8 one by one.
async fn overflow(rig: &Rig, settings: &Json, sink: &Arc<Scripted>) -> (ActionHandle, Vec<Submitted>) {
    let action = rig.start(sink, settings).await;
    taken(action.submit(rows(0..1))).await.unwrap();
    until("row 0 is in flight", || action.counters().inflight == 1).await;
    let mut answers = Vec::new();
    for n in 1..9 {
        let mut answer = action.submit(rows(n..n + 1));
        // Each row is on disk, or waits because the queue is full, before the next one comes.
        if let Admission::Pending(pending) = &mut answer
            && let Ok(result) = tokio::time::timeout(Duration::from_millis(50), pending).await
        {
            assert_eq!(result, Ok(Ok(())));
            answer = Admission::Done;
        }
        answers.push(answer);
    }
    (action, answers)
}

#[tokio::test]
async fn a_full_queue_does_what_its_policy_says() {
    // On disk the row in flight counts against records_max, in memory it does not.
    let dead = |numbers: &[i64]| numbers.iter().map(|n| ("queue_full".to_owned(), *n)).collect::<Vec<_>>();
    for (policy, memory, disk, letters) in [
        ("block", vec![0, 1, 2, 3, 4, 5, 6, 7, 8], vec![0, 1, 2, 3, 4, 5, 6, 7, 8], false),
        ("drop_oldest", vec![0, 4, 5, 6, 7, 8], vec![0, 5, 6, 7, 8], false),
        ("drop_newest", vec![0, 1, 2, 3, 4, 5], vec![0, 1, 2, 3, 4], false),
        ("dead_letter", vec![0, 1, 2, 3, 4, 5], vec![0, 1, 2, 3, 4], true),
    ] {
        let settings = forms(&json!({"queue": {"records_max": 5, "when_full": policy}}));
        for (settings, expected) in settings.iter().zip([memory, disk]) {
            let rig = Rig::new().await;
            let sink = Scripted::gated(0, |_| Ok(()));
            let (action, answers) = overflow(&rig, settings, &sink).await;
            let waiting = answers.iter().filter(|answer| matches!(answer, Admission::Pending(_))).count();
            let full = 9 - if settings["delivery"] == "at_most_once" { 6 } else { 5 };
            assert_eq!(waiting, if policy == "block" { full } else { 0 }, "{settings}");
            sink.gate.add_permits(100);
            for answer in answers {
                taken(answer).await.unwrap();
            }
            let counters = settled(&action).await;
            assert_eq!(sink.written(), expected, "{settings}");
            assert_eq!(counters.dropped(DropReason::QueueFull) as usize, 9 - expected.len());
            action.stop(LIMIT).await;
            let lost: Vec<i64> = (0..9).filter(|n| !expected.contains(n)).collect();
            assert_eq!(rig.dead().await, if letters { dead(&lost) } else { Vec::new() }, "{settings}");
        }
    }
}

#[tokio::test]
async fn drop_oldest_takes_rows_that_wait_for_their_next_attempt() {
    let rig = Rig::new().await;
    let sink = Scripted::new(|_| Err(temporary()));
    let settings = json!({"delivery": "at_least_once", "queue": {"records_max": 4, "when_full": "drop_oldest"}, "retry": {"initial": "1h", "max": "1h"}});
    let action = rig.start(&sink, &settings).await;
    taken(action.submit(rows(0..4))).await.unwrap();
    until("all rows wait for their next attempt", || action.trouble().is_some()).await;
    taken(action.submit(rows(4..6))).await.unwrap();
    assert_eq!(action.counters().dropped(DropReason::QueueFull), 4);
    let up = Scripted::new(|_| Ok(()));
    action.set_sink(Ok(Arc::clone(&up) as _));
    settled(&action).await;
    assert_eq!(up.written(), [4, 5]);
}

#[tokio::test]
async fn waiting_rows_are_bounded_too() {
    let rig = Rig::new().await;
    let sink = Scripted::gated(0, |_| Ok(()));
    let action = rig
        .start(&sink, &json!({"queue": {"records_max": 2, "when_full": "block"}, "batch": {"records_max": 1}}))
        .await;
    taken(action.submit(rows(0..1))).await.unwrap();
    until("row 0 is in flight", || action.counters().inflight == 1).await;
    taken(action.submit(rows(1..3))).await.unwrap();
    let waiting = action.submit(rows(3..5));
    assert!(matches!(waiting, Admission::Pending(_)));
    assert_eq!(taken(action.submit(rows(5..6))).await, Err(Refused::QueueFull));
    sink.gate.add_permits(100);
    taken(waiting).await.unwrap();
    let counters = settled(&action).await;
    assert_eq!((counters.success, counters.dropped(DropReason::QueueFull)), (5, 1));
}

#[tokio::test]
async fn a_row_larger_than_the_queue_becomes_a_dead_letter() {
    for settings in forms(&json!({"queue": {"bytes_max": 2000, "when_full": "block"}})) {
        let rig = Rig::new().await;
        let sink = Scripted::new(|_| Ok(()));
        let action = rig.start(&sink, &settings).await;
        let mut batch = rows(0..3);
        batch[1].row = Row::from_pairs([("n", Value::Int(1)), ("text", Value::text("x".repeat(3000)))]);
        taken(action.submit(batch)).await.unwrap();
        // More at once than the queue may hold, each small enough: they go through one after the other.
        taken(action.submit(rows(3..60))).await.unwrap();
        let counters = settled(&action).await;
        assert_eq!((counters.dropped(DropReason::TooLarge), counters.success), (1, 59), "{settings}");
        until("the dead letter is kept", || action.counters().dead_letters == 1).await;
        assert_eq!(rig.dead().await, [("too_large".to_owned(), 1)]);
        assert_eq!(sink.written(), (0..60).filter(|n| *n != 1).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_disk_queue_keeps_its_rows_over_a_restart_and_counts_them() {
    let rig = Rig::new().await;
    let down = Scripted::new(|numbers| if numbers.contains(&0) { Ok(()) } else { Err(temporary()) });
    let settings = json!({"delivery": "at_least_once", "batch": {"records_max": 10}});
    let action = rig.start(&down, &settings).await;
    taken(action.submit(rows(0..1))).await.unwrap();
    settled(&action).await;
    taken(action.submit(rows(1..100))).await.unwrap();
    assert_eq!(action.stop(Duration::from_millis(1)).await, Stopped { kept: 99, dropped: 0 });
    let counters = action.counters();
    assert_eq!((counters.queued, counters.inflight), (99, 0));
    assert!(counters.balances(), "{counters:?}");
    assert_eq!(taken(action.submit(rows(200..201))).await, Err(Refused::Unavailable));
    drop(action);

    let up = Scripted::new(|_| Ok(()));
    let action = rig.start(&up, &settings).await;
    let counters = settled(&action).await;
    assert_eq!((counters.matched, counters.recovered, counters.success), (99, 99, 99));
    assert_eq!(up.written(), (1..100).collect::<Vec<_>>());
    assert_eq!(action.stop(LIMIT).await, Stopped::default());
}

#[tokio::test]
async fn stopping_counts_what_a_memory_queue_loses() {
    let rig = Rig::new().await;
    let sink = Scripted::gated(0, |_| Ok(()));
    let action = rig
        .start(&sink, &json!({"queue": {"records_max": 5, "when_full": "block"}, "batch": {"records_max": 2}}))
        .await;
    taken(action.submit(rows(0..2))).await.unwrap();
    until("rows are in flight", || action.counters().inflight == 2).await;
    let waiting = action.submit(rows(2..10));
    assert_eq!(action.stop(Duration::from_millis(1)).await, Stopped { kept: 0, dropped: 10 });
    let counters = action.counters();
    assert_eq!((counters.matched, counters.dropped(DropReason::Stopped)), (10, 10));
    assert!(counters.balances(), "{counters:?}");
    let Admission::Pending(waiting) = waiting else { panic!("there was no room for all") };
    assert!(waiting.await.is_err());
}

#[tokio::test]
async fn a_removed_action_leaves_no_queue() {
    let rig = Rig::new().await;
    let settings = json!({"delivery": "at_least_once"});
    let action = rig.start(&Scripted::new(|_| Err(temporary())), &settings).await;
    taken(action.submit(rows(0..7))).await.unwrap();
    assert_eq!(action.remove().await, Stopped { kept: 0, dropped: 7 });
    assert!(action.counters().balances());
    let action = rig.start(&Scripted::new(|_| Ok(())), &settings).await;
    assert_eq!(action.counters(), Counters::default());
}

#[tokio::test]
async fn without_a_sink_rows_wait_and_a_new_sink_wakes_them() {
    let rig = Rig::new().await;
    let sink = Scripted::new(|_| Ok(()));
    let mut parts = rig.parts(Arc::clone(&sink) as _, &json!({"retry": {"initial": "1h", "max": "1h"}}));
    parts.sink = Err(Error::permanent(ErrorKind::NotFound, "resource:1 is stopped"));
    let action = ActionHandle::start(parts).await.unwrap();
    taken(action.submit(rows(0..3))).await.unwrap();
    until("trouble is told", || action.trouble().is_some_and(|why| why.contains("resource:1 is stopped"))).await;
    action.set_sink(Ok(Arc::clone(&sink) as _));
    assert_eq!(settled(&action).await.success, 3);
    assert_eq!(action.trouble(), None);
}

#[tokio::test]
async fn a_fallback_gets_what_could_not_be_delivered_instead_of_the_dead_letters() {
    let rig = Rig::new().await;
    let spare = Scripted::new(|_| Ok(()));
    let fallback = rig.start(&spare, &json!({})).await;
    let mut parts = rig.parts(Scripted::new(|_| Err(permanent())), &json!({}));
    parts.fallback = vec![fallback.clone()];
    let action = ActionHandle::start(parts).await.unwrap();
    taken(action.submit(rows(0..3))).await.unwrap();
    let counters = settled(&action).await;
    assert_eq!((counters.failed, counters.fallback, counters.dead_letters), (3, 3, 0));
    settled(&fallback).await;
    assert_eq!(spare.written(), [0, 1, 2]);
    fallback.stop(LIMIT).await;
    taken(action.submit(rows(3..4))).await.unwrap();
    settled(&action).await;
    assert_eq!(rig.dead().await, [("rejected".to_owned(), 3)]);
}

#[tokio::test]
async fn dead_letters_are_replayed_once_they_are_queued_again() {
    for settings in forms(
        &json!({"queue": {"records_max": 2, "when_full": "drop_newest", "ttl": "10s"}, "batch": {"records_max": 1}}),
    ) {
        let rig = Rig::new().await;
        let action = rig.start(&Scripted::new(|_| Err(permanent())), &settings).await;
        for n in 0..4 {
            taken(action.submit(rows(n..n + 1))).await.unwrap();
            settled(&action).await;
        }
        let letters = rig.letters().await;
        assert_eq!(letters.len(), 4);
        assert_eq!(rig.dead_letters.show(&letters[2].0).await.unwrap().row, json!({"n": 2}));

        // The letters outlive a restart, and the rows are older than the ttl by now.
        rig.clock.0.fetch_add(60_000, Ordering::Relaxed);
        let again =
            DeadLetters::open(rig.kv.clone(), DeadLetterLimits::default(), Arc::clone(&rig.clock) as _).await.unwrap();
        assert_eq!(again.len(), 4);

        let sink = Scripted::gated(0, |_| Ok(()));
        action.set_sink(Ok(Arc::clone(&sink) as _));
        let ids: Vec<Str> = letters.iter().map(|(id, ..)| id.clone()).collect();
        let results = rig.dead_letters.replay(&ids).await;
        let replayed = results.iter().filter(|(_, result)| result.is_ok()).count();
        // The queue has room for two, and in memory the worker holds one besides.
        assert!((2..=3).contains(&replayed), "{results:?}");
        let refused = results.iter().filter_map(|(_, result)| result.as_ref().err());
        assert!(refused.into_iter().all(|error| error.kind == ErrorKind::Exhausted));
        assert_eq!(rig.dead_letters.len(), 4 - replayed);
        sink.gate.add_permits(100);
        settled(&action).await;
        assert_eq!(rig.dead_letters.replay_all(&DeadLetterFilter::default()).await.unwrap(), 4 - replayed as u64);
        settled(&action).await;
        assert_eq!(sink.written(), [0, 1, 2, 3]);
        assert!(rig.dead_letters.is_empty());
        action.stop(LIMIT).await;
    }
}

#[tokio::test]
async fn a_letter_of_an_action_that_is_gone_stays() {
    let rig = Rig::new().await;
    let action = rig.start(&Scripted::new(|_| Err(permanent())), &json!({})).await;
    taken(action.submit(rows(0..1))).await.unwrap();
    settled(&action).await;
    action.stop(LIMIT).await;
    drop(action);
    let (id, ..) = rig.letters().await.remove(0);
    let error = rig.dead_letters.replay(std::slice::from_ref(&id)).await.remove(0).1.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert_eq!(rig.dead_letters.len(), 1);
    let other = DeadLetterFilter { rule: Some(Str::new("rule:2")), action: None };
    assert_eq!(rig.dead_letters.drop_all(&other).await.unwrap(), 0);
    assert_eq!(rig.dead_letters.drop_letters(&[id, Str::new("nothing")]).await.unwrap(), 1);
    assert!(rig.dead_letters.is_empty());
}

#[tokio::test]
async fn the_oldest_dead_letters_make_room() {
    for limits in
        [DeadLetterLimits { count_max: 10, bytes_max: 1 << 20 }, DeadLetterLimits { count_max: 1000, bytes_max: 2400 }]
    {
        let rig = Rig::with(limits).await;
        let action = rig.start(&Scripted::new(|_| Err(permanent())), &json!({})).await;
        for n in 0..30 {
            taken(action.submit(rows(n..n + 1))).await.unwrap();
        }
        settled(&action).await;
        let kept = rig.dead().await;
        assert!(!kept.is_empty() && kept.len() <= 10, "{kept:?}");
        assert_eq!(kept.last().unwrap().1, 29);
        let mut samples = Vec::new();
        rig.dead_letters.collect(&mut samples);
        let evicted = samples.iter().find(|sample| sample.name == "dead_letters_evicted_total").unwrap().value;
        assert_eq!(evicted as usize, 30 - kept.len());
        let page = rig.dead_letters.list(&DeadLetterFilter::default(), None, 3).await.unwrap();
        let rest = rig.dead_letters.list(&DeadLetterFilter::default(), page.next.as_deref(), 100).await.unwrap();
        assert_eq!((page.letters.len() + rest.letters.len(), rest.next), (kept.len(), None));
    }
}

/// A sink that does everything wrong a sink can do, by a seed.
fn hostile(seed: u64) -> Arc<Scripted> {
    let random = Mutex::new(fastrand::Rng::with_seed(seed));
    Scripted::new(move |numbers| {
        let mut random = random.lock();
        match random.u8(..10) {
            0 => Err(temporary()),
            1 => Err(permanent()),
            2 => Err(Error::temporary(ErrorKind::Timeout, "late").into()),
            3 => panic!("hostile"),
            4 => Err(WriteError::Rows(vec![(numbers.len() + 1, Error::permanent(ErrorKind::Rejected, "?"))])),
            5 | 6 => {
                let error = |permanent: bool| {
                    if permanent {
                        Error::permanent(ErrorKind::Rejected, "r")
                    } else {
                        Error::temporary(ErrorKind::Exhausted, "e")
                    }
                };
                let rows: Vec<_> = (0..numbers.len()).filter(|_| random.u8(..4) == 0).collect();
                Err(WriteError::Rows(rows.into_iter().map(|index| (index, error(random.bool()))).collect()))
            }
            _ => Ok(()),
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_counters_add_up_at_every_instant_under_load_and_no_row_is_lost() {
    for (seed, settings) in (1..).zip([
        json!({"concurrency_max": 1, "queue": {"when_full": "block", "records_max": 50}}),
        json!({"concurrency_max": 4, "queue": {"when_full": "drop_oldest", "records_max": 50}}),
        json!({"concurrency_max": 4, "queue": {"when_full": "dead_letter", "records_max": 50}, "delivery": "at_least_once"}),
        json!({"concurrency_max": 3, "queue": {"when_full": "drop_oldest", "records_max": 50}, "delivery": "at_least_once"}),
        json!({"concurrency_max": 2, "queue": {"when_full": "block"}, "delivery": "at_least_once"}),
    ]) {
        let rig = Rig::new().await;
        let sink = hostile(seed);
        let mut settings = settings;
        settings["batch"] = json!({"records_max": 16});
        settings["retry"] = json!({"initial": "1ms", "max": "2ms", "attempts_max": 20});
        let action = rig.start(&sink, &settings).await;
        let done = Arc::new(AtomicBool::new(false));
        let watcher = std::thread::spawn({
            let (action, done) = (action.clone(), Arc::clone(&done));
            move || {
                let mut looks = 0_u64;
                while !done.load(Ordering::Relaxed) {
                    let counters = action.counters();
                    assert!(counters.balances(), "{counters:?}");
                    looks += 1;
                    std::thread::yield_now();
                }
                looks
            }
        });
        let mut answers = std::collections::VecDeque::new();
        for first in (0..1_000).step_by(10) {
            answers.push_back(action.submit(rows(first..first + 10)));
            // A few sources at once; more than a queue's worth of waiting rows would be refused.
            if answers.len() > 3
                && let Some(answer) = answers.pop_front()
            {
                taken(answer).await.unwrap();
            }
        }
        for answer in answers {
            taken(answer).await.unwrap();
        }
        let counters = settled(&action).await;
        done.store(true, Ordering::Relaxed);
        assert!(watcher.join().expect("the identity held") > 0);
        assert_eq!(counters.matched, 1_000);
        // Every row was confirmed, is a dead letter, or was dropped by the policy.
        let confirmed: BTreeSet<i64> = sink.written().into_iter().collect();
        let dead: BTreeSet<i64> = rig.dead().await.into_iter().map(|(_, n)| n).collect();
        let gone = (0..1_000).filter(|n| !confirmed.contains(n) && !dead.contains(n)).count() as u64;
        assert!(gone <= counters.dropped(DropReason::QueueFull), "{settings}: {gone} rows are gone, {counters:?}");
        if settings["queue"]["when_full"] != "drop_oldest" {
            assert_eq!(gone, 0, "{settings}");
        }
        action.stop(LIMIT).await;
    }
}

#[tokio::test]
async fn numbers_are_labelled() {
    let rig = Rig::new().await;
    let action = rig.start(&Scripted::new(|_| Ok(())), &json!({})).await;
    taken(action.submit(rows(0..3))).await.unwrap();
    settled(&action).await;
    let mut samples = Vec::new();
    action.collect(&mut samples);
    let success = samples.iter().find(|sample| sample.name == "action_success_total").unwrap();
    assert_eq!(success.value, 3.0);
    let labels =
        [("rule", "rule:1"), ("action", "rule:1/0"), ("resource", "resource:1")].map(|(k, v)| (k, Str::new(v)));
    assert_eq!(success.labels, labels);
    let reasons: Vec<&Str> = samples
        .iter()
        .filter(|sample| sample.name == "action_dropped_total")
        .map(|sample| &sample.labels[3].1)
        .collect();
    assert_eq!(reasons, DropReason::ALL.iter().map(|reason| reason.name()).collect::<Vec<_>>());
}
