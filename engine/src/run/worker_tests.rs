//! A worker whose evaluation panics, and the tap when queues are full.

use std::sync::Arc;

use model::ports::{Admission, EventTap, Refused};
use model::{Body, Event, EventKind, Message, MessageId, Origin, Qos};
use parking_lot::RwLock;
use sql::{Decoded, EventView, Outcome};

use super::*;
use crate::run::batch::Compiled;
use crate::run::set::RuleSet;
use crate::run::{Index, Tap};
use crate::vector::VECTOR_ROWS_MIN;

const LIMITS: Limits = Limits { batch_events_max: 512, failures_kept: 4 };

fn event(payload: &str) -> Event {
    let message = Message {
        id: MessageId::next(1),
        topic: "t/1".into(),
        payload: bytes::Bytes::copy_from_slice(payload.as_bytes()),
        qos: Qos::AtLeastOnce,
        retain: false,
        dup: false,
        publisher: None,
        properties: None,
        received_at_ms: 1,
        origin: Origin::Client,
    };
    Event { kind: EventKind::MessagePublish, at_ms: 1, node: "n".into(), body: Body::Publish(Arc::new(message)) }
}

/// Which step panics on the payload `boom`.
#[derive(Clone, Copy, PartialEq)]
enum Step {
    Extract,
    Columns,
    Row,
}

struct Faulty(&'static [Step]);

fn is_boom(view: &EventView<'_>) -> bool {
    matches!(&view.event().body, Body::Publish(message) if message.payload.starts_with(b"{\"boom\""))
}

impl Evaluate for Faulty {
    fn extract(&self, view: &EventView<'_>, set: &RuleSet) -> Decoded {
        assert!(!self.0.contains(&Step::Extract) || !is_boom(view), "extract");
        Compiled.extract(view, set)
    }

    fn columns(&self, rule: &Rule, views: &[EventView<'_>], decoded: &[Decoded], slots: &[usize]) -> Vec<Outcome> {
        assert!(!self.0.contains(&Step::Columns) || !views.iter().any(is_boom), "columns");
        Compiled.columns(rule, views, decoded, slots)
    }

    fn row(&self, rule: &Rule, view: &EventView<'_>, decoded: &Decoded, slots: &[usize]) -> Outcome {
        assert!(!self.0.contains(&Step::Row) || !is_boom(view) || &*rule.id != "a", "row");
        Compiled.row(rule, view, decoded, slots)
    }
}

#[test]
fn a_panic_fails_the_row_that_caused_it_and_no_other() {
    let sql = "SELECT payload.x + 1 as y FROM \"t/#\" WHERE payload.x > 0";
    // Steps that panic; failures of rule a and of rule b.
    for (steps, failed) in [
        (&[Step::Row][..], [1, 0]),
        (&[Step::Columns, Step::Row][..], [1, 0]),
        (&[Step::Columns][..], [0, 0]),
        (&[Step::Extract][..], [1, 1]),
    ] {
        for count in [2, VECTOR_ROWS_MIN + 3] {
            let rules = [Rule::bare("a", sql), Rule::bare("b", sql)];
            let set = Arc::new(RuleSet::new(rules.iter().cloned()));
            let mut answers = Vec::new();
            let jobs = (0..count).map(|n| {
                let (sender, receiver) = tokio::sync::oneshot::channel();
                answers.push(receiver);
                let payload = if n == 1 { "{\"boom\":1,\"x\":1}" } else { "{\"x\":1}" };
                Job { event: event(payload), set: Arc::clone(&set), answer: Some(sender) }
            });
            let jobs: Vec<Job> = jobs.collect();
            let (submissions, kept) = work(jobs, LIMITS, &Faulty(steps));
            assert!(submissions.is_empty());
            assert_eq!(kept.len(), count, "every publisher has an answer");
            for (rule, mut failed) in rules.iter().zip(failed) {
                // Row by row nothing calls the vectorised form, and with it nothing calls the other.
                if steps == [Step::Row] && count > 2 {
                    failed = 0;
                }
                let metrics = rule.metrics.view();
                let seen = (metrics.passed, metrics.failed_exception, metrics.no_result);
                assert_eq!(seen, (count as u64 - failed, failed, 0), "{} of {count}", rule.id);
                if failed == 1 {
                    let failures = rule.metrics.failures();
                    assert_eq!((failures.len(), failures[0].class.as_str()), (1, "internal"));
                    assert!(failures[0].message.contains("panicked"), "{}", failures[0].message);
                    assert!(failures[0].input["payload"].as_str().is_some_and(|input| input.contains("boom")));
                }
            }
        }
    }
}

/// A tap over one queue of two events (and two more of those who wait), with these rules on `t/#`.
fn tap(rules: &[Arc<Rule>]) -> (Tap, Arc<Queue>) {
    let mut index = Index::default();
    rules.iter().for_each(|rule| index.insert(Arc::clone(rule)));
    let queue = Arc::new(Queue::new(2, 1 << 20));
    (Tap::new(Arc::new(RwLock::new(index)), vec![Arc::clone(&queue)]), queue)
}

/// What the publisher of the next event sees at once.
fn emit(tap: &Tap) -> &'static str {
    match tap.emit(event("{}")) {
        Admission::Done => "done",
        Admission::Pending(mut answer) => match answer.try_recv() {
            Err(tokio::sync::oneshot::error::TryRecvError::Empty) => "waits",
            Ok(Err(Refused::QueueFull)) => "full",
            Ok(Err(Refused::Unavailable)) => "unavailable",
            other => panic!("{other:?}"),
        },
    }
}

fn rule(id: &str, durable: bool, blocks: bool) -> Arc<Rule> {
    Rule::promising(id, "SELECT topic FROM \"t/#\"", durable, blocks)
}

fn numbers(rule: &Rule) -> (u64, u64) {
    let metrics = rule.metrics.view();
    (metrics.matched, metrics.dropped)
}

#[test]
fn a_full_queue_drops_and_counts_what_promises_nothing() {
    let plain = rule("plain", false, false);
    let (tap, queue) = tap(std::slice::from_ref(&plain));
    assert_eq!([emit(&tap), emit(&tap), emit(&tap), emit(&tap)], ["done"; 4]);
    assert_eq!((queue.len(), numbers(&plain)), (2, (4, 2)));
}

#[test]
fn a_full_queue_makes_publishers_of_a_promise_wait_and_then_refuses_them() {
    let durable = rule("durable", true, false);
    let (tap, queue) = tap(std::slice::from_ref(&durable));
    let seen: Vec<_> = (0..5).map(|_| emit(&tap)).collect();
    assert_eq!(seen, ["waits", "waits", "waits", "waits", "full"]);
    assert_eq!((queue.len(), numbers(&durable)), (4, (5, 1)));
    queue.close();
    assert_eq!(emit(&tap), "unavailable");
    assert_eq!(numbers(&durable), (6, 2));
}

#[test]
fn a_full_queue_holds_back_publishers_for_rules_that_block_and_drops_for_the_others() {
    let (blocking, plain) = (rule("blocking", false, true), rule("plain", false, false));
    let (tap, queue) = tap(&[Arc::clone(&blocking), Arc::clone(&plain)]);
    let seen: Vec<_> = (0..5).map(|_| emit(&tap)).collect();
    assert_eq!(seen, ["done", "done", "waits", "waits", "done"]);
    assert_eq!(queue.len(), 4);
    assert_eq!((numbers(&blocking), numbers(&plain)), ((5, 1), (5, 3)), "twice the bound is too much for all");
    let mut jobs = Vec::new();
    let taken = futures::executor::block_on(queue.take(9, &mut jobs));
    let concerned: Vec<usize> = jobs.iter().map(|job| job.set.rules.len()).collect();
    assert_eq!((taken, concerned), (true, vec![2, 2, 1, 1]));
    queue.close();
    assert_eq!(emit(&tap), "done", "nothing was promised");
}

#[test]
fn a_congested_rule_makes_publishers_wait_while_there_is_room() {
    let blocking = rule("blocking", false, true);
    let (tap, _queue) = tap(std::slice::from_ref(&blocking));
    let congestion = Congestion::new(&blocking.congestion);
    assert_eq!(emit(&tap), "waits");
    drop(congestion);
    assert_eq!(emit(&tap), "done");
}

#[test]
fn bytes_fill_a_queue_too() {
    let plain = rule("plain", false, false);
    let mut index = Index::default();
    index.insert(Arc::clone(&plain));
    let queue = Arc::new(Queue::new(100, 3));
    let tap = Tap::new(Arc::new(RwLock::new(index)), vec![Arc::clone(&queue)]);
    assert_eq!([emit(&tap), emit(&tap), emit(&tap)], ["done"; 3]);
    assert_eq!((queue.len(), numbers(&plain)), (2, (3, 1)));
}
