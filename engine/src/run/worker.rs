//! One worker: takes whatever is ready, evaluates it, hands the rows to the actions. It never waits to fill a batch.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use sql::{Class, Outcome, Reason, RowError};

use super::admission::{Congestion, Submission, pending, settle};
use super::batch::{self, Compiled, Evaluate, RuleOutcomes};
use super::queue::{Answer, Job, Queue};
use crate::actions::records;
use crate::rule::{Rule, add};

/// Bounds of a worker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Most events evaluated together.
    pub(crate) batch_events_max: usize,
    /// Failures a rule remembers.
    pub(crate) failures_kept: usize,
}

/// Runs until the queue is closed and empty.
pub(crate) async fn run(queue: Arc<Queue>, limits: Limits) {
    let mut jobs = Vec::new();
    while queue.take(limits.batch_events_max, &mut jobs).await {
        // Panics of the language are contained row by row. One anywhere else must cost one batch, not the worker; the
        // publishers that wait are told no, because their answers are dropped.
        let batch = std::mem::take(&mut jobs);
        let done = catch_unwind(AssertUnwindSafe(|| work(batch, limits, &Compiled)));
        match done {
            Ok((submissions, answers)) if submissions.is_empty() => {
                for (_, answer) in answers {
                    drop(answer.send(Ok(())));
                }
            }
            Ok((submissions, answers)) => {
                drop(model::task::spawn("engine-admission", settle(submissions, answers)));
            }
            Err(_) => {
                tracing::error!(task = "engine-worker", "a worker panicked; its batch was lost and the engine goes on")
            }
        }
        // A batch is CPU work: other tasks of this thread get their turn between two of them.
        tokio::task::yield_now().await;
    }
}

/// One batch: evaluate, count, submit in the order of the events.
fn work(jobs: Vec<Job>, limits: Limits, by: &impl Evaluate) -> (Vec<Submission>, Vec<(usize, Answer)>) {
    let (mut events, mut answers) = (Vec::with_capacity(jobs.len()), Vec::new());
    for (index, job) in jobs.into_iter().enumerate() {
        answers.extend(job.answer.map(|answer| (index, answer)));
        events.push((job.event, job.set));
    }
    let by_rule = batch::evaluate(&events, by);
    let mut submissions = Vec::new();
    for outcomes in by_rule {
        submit(&events, outcomes, limits, &mut submissions);
    }
    (submissions, answers)
}

/// Counts the outcomes of one rule and gives its rows to its actions.
fn submit(events: &batch::Events, outcomes: RuleOutcomes, limits: Limits, submissions: &mut Vec<Submission>) {
    let RuleOutcomes { rule, mut of_events } = outcomes;
    of_events.sort_by_key(|(event, _)| *event);
    let (mut passed, mut no_result, mut rows_count) = (0, 0, 0);
    let (mut all, mut sources, mut undecodable) = (Vec::new(), Vec::new(), Vec::new());
    for (index, outcome) in of_events {
        let Some((event, _)) = events.get(index) else { continue };
        match outcome {
            Outcome::Rows(rows) if rows.is_empty() => no_result += 1,
            Outcome::Rows(rows) => {
                passed += 1;
                rows_count += rows.len() as u64;
                sources.push(index);
                records(&rule, event, rows, &mut all);
            }
            Outcome::NoMatch(Reason::From | Reason::Where(_)) => no_result += 1,
            Outcome::Error(error) => {
                failed(&rule, event, &error, limits);
                if error.undecodable && rule.letters.is_some() {
                    undecodable.push((index, error.message));
                }
            }
        }
    }
    if let Some(letters) = &rule.letters {
        submissions.extend(letters.keep(&rule, events, undecodable));
    }
    add(&rule.metrics.passed, passed);
    add(&rule.metrics.no_result, no_result);
    add(&rule.metrics.rows, rows_count);
    if all.is_empty() {
        return;
    }
    let count = rule.actions.len();
    for (place, action) in rule.actions.iter().enumerate() {
        // The last action takes the rows; only further ones need a copy.
        let rows = if place + 1 == count { std::mem::take(&mut all) } else { all.clone() };
        if let Some(pending) = pending(action.submit(rows)) {
            submissions.push(Submission {
                pending,
                events: sources.clone(),
                durable: action.is_durable(),
                congestion: action.blocks().then(|| Congestion::new(&rule.congestion)),
            });
        }
    }
}

fn failed(rule: &Rule, event: &model::Event, error: &RowError, limits: Limits) {
    rule.failed(event, error, limits.failures_kept);
    if error.class == Class::Internal && !rule.metrics.panicked.swap(true, Ordering::Relaxed) {
        // Once: a publisher could repeat the message as often as he likes.
        tracing::error!(rule = %rule.id, error = %error.message, "a row failed by a fault of weir; please report it");
    }
    tracing::debug!(rule = %rule.id, class = error.class.name(), error = %error.message, "a row failed");
}

#[cfg(test)]
#[path = "worker_tests.rs"]
mod tests;
