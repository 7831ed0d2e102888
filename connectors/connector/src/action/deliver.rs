//! One batch to the sink, until every row of it is confirmed, refused or expired.
//!
//! - A temporary error keeps the rows, in order, and tries again with backoff.
//! - A permanent error of the whole batch halves it, until the row that is to blame stands alone.
//! - A panic of the sink is a permanent error: the server goes on, and bisection finds the row that causes it.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;

use super::DropReason;
use super::group::{Finish, Group};
use super::settings::Retries;
use super::shared::Shared;
use super::undelivered::{Undelivered, hand_over};
use crate::{Error, ErrorKind, Record, Retry, WriteError};

/// Delivers the group. When this future is dropped, what is not finished is given back.
pub(crate) async fn deliver(group: Group) {
    let mut work = VecDeque::from([group]);
    while let Some(mut group) = work.pop_front() {
        expire(&mut group).await;
        if group.is_empty() {
            continue;
        }
        group.begin_attempt();
        let result = attempt(group.shared(), group.records()).await;
        match result {
            Ok(()) => group.finish(Finish::Success),
            Err(WriteError::Batch(error)) if error.is_temporary() => try_later(group, error, &mut work).await,
            Err(WriteError::Batch(error)) => refuse(group, error, &mut work).await,
            Err(WriteError::Rows(rows)) => sort_out(group, rows, &mut work).await,
        }
    }
}

/// Writes once, within the timeout, and contains a panic.
async fn attempt(shared: &Shared, records: &[Record]) -> Result<(), WriteError> {
    let sink = shared.sink()?;
    let limit = shared.settings.write_timeout;
    let write = AssertUnwindSafe(async { sink.write(records).await }).catch_unwind();
    match tokio::time::timeout(limit, write).await {
        Ok(Ok(result)) => result,
        Ok(Err(panic)) => {
            let what = panic.downcast_ref::<String>().map(String::as_str);
            let what = what.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
            Err(Error::permanent(ErrorKind::Internal, format!("the connector panicked: {what}")).into())
        }
        Err(_) => {
            let context = format!("the write was not confirmed within {limit:?} (write_timeout)");
            Err(Error::temporary(ErrorKind::Timeout, context).into())
        }
    }
}

/// Takes out the rows whose event is too old.
async fn expire(group: &mut Group) {
    let now_ms = group.shared().clock.now_ms();
    if group.flights().iter().all(|flight| now_ms < flight.expires_at_ms) {
        return;
    }
    let expired = group.extract(|_, flight| now_ms >= flight.expires_at_ms);
    let reason = DropReason::Expired;
    let why = (reason.name(), "the row was older than queue.ttl before it could be written".to_owned());
    let reasons = vec![why; expired.len()];
    end(expired, reasons, Finish::Dropped(reason)).await;
}

/// The whole batch failed for good: a row alone is to blame, a batch is halved.
async fn refuse(mut group: Group, error: Error, work: &mut VecDeque<Group>) {
    if group.len() > 1 {
        let second = group.split_half();
        work.push_front(second);
        work.push_front(group);
        return;
    }
    let reason = why(&error);
    end(group, vec![reason], Finish::Failed).await;
}

/// The listed rows failed; the service confirmed the others.
async fn sort_out(mut group: Group, rows: Vec<(usize, Error)>, work: &mut VecDeque<Group>) {
    let in_order = rows.windows(2).all(|pair| matches!(pair, [(a, _), (b, _)] if a < b));
    if !in_order || rows.last().is_some_and(|(index, _)| *index >= group.len()) {
        // Which rows were written is unknown, so none is believed to be.
        let context = "the connector reported rows that are not in the batch; this is a bug of the connector";
        return refuse(group, Error::permanent(ErrorKind::Internal, context), work).await;
    }
    let mut verdicts: Vec<Option<Retry>> = vec![None; group.len()];
    let mut reasons = Vec::new();
    let mut temporary = None;
    for (index, error) in rows {
        if let Some(verdict) = verdicts.get_mut(index) {
            *verdict = Some(error.retry);
        }
        match error.retry {
            Retry::Permanent => reasons.push(why(&error)),
            Retry::Temporary => temporary = Some(temporary.unwrap_or(error)),
        }
    }
    // `extract` asks for every row in order, so the verdicts can be walked beside it.
    let mut verdict = verdicts.iter();
    let failed = group.extract(|_, _| verdict.next() == Some(&Some(Retry::Permanent)));
    let mut verdict = verdicts.iter().filter(|verdict| **verdict != Some(Retry::Permanent));
    let later = group.extract(|_, _| verdict.next() == Some(&Some(Retry::Temporary)));
    group.finish(Finish::Success);
    end(failed, reasons, Finish::Failed).await;
    if let Some(error) = temporary {
        try_later(later, error, work).await;
    }
}

/// The rows stay, and are tried again after a pause; those that had all their attempts end here.
async fn try_later(mut group: Group, error: Error, work: &mut VecDeque<Group>) {
    let attempts_max = group.shared().settings.retry.attempts_max.unwrap_or(u32::MAX);
    let spent = group.extract(|_, flight| flight.attempts >= attempts_max);
    let reasons = vec![why(&error); spent.len()];
    end(spent, reasons, Finish::Failed).await;
    if group.is_empty() {
        return;
    }
    let shared = std::sync::Arc::clone(group.shared());
    shared.state.lock().trouble = Some(error.to_string());
    if wait(&shared, pause(&group, fastrand::f64())).await {
        work.push_front(group);
    } else {
        group.finish(Finish::Dropped(DropReason::QueueFull));
    }
}

/// How long the group waits: its backoff, and not longer than its first row lives.
fn pause(group: &Group, random: f64) -> Duration {
    let shared = group.shared();
    let wait = backoff(&shared.settings.retry, group.attempts(), random);
    let now_ms = shared.clock.now_ms();
    let expires_at_ms = group.flights().iter().map(|flight| flight.expires_at_ms).min().unwrap_or(i64::MAX);
    wait.min(Duration::from_millis(expires_at_ms.saturating_sub(now_ms).max(0).unsigned_abs()))
}

/// The wait after `attempts` attempts; `random` is from 0 to 1.
fn backoff(retry: &Retries, attempts: u32, random: f64) -> Duration {
    let grown = retry.initial.as_secs_f64() * retry.multiplier.powf(f64::from(attempts.saturating_sub(1)));
    let capped = grown.min(retry.max.as_secs_f64());
    Duration::try_from_secs_f64(capped * (1.0 - retry.jitter * random)).unwrap_or(retry.max)
}

/// Waits that long, or until there is a new sink. `false`: the queue is full and asks these rows, the oldest, to go.
async fn wait(shared: &Shared, pause: Duration) -> bool {
    let mut nudged = std::pin::pin!(shared.nudge.notified());
    nudged.as_mut().enable();
    let waiting = Waiting::new(shared);
    tokio::select! {
        () = tokio::time::sleep(pause) => {}
        () = nudged => {}
    }
    !waiting.leave()
}

/// Counts a group that waits for its next attempt.
struct Waiting<'a>(&'a Shared);

impl<'a> Waiting<'a> {
    fn new(shared: &'a Shared) -> Self {
        shared.state.lock().backing_off += 1;
        Self(shared)
    }

    /// Ends the wait; whether this group was asked to make room. Both under one lock, so that a request that counted on
    /// this group finds it.
    fn leave(self) -> bool {
        let mut state = self.0.state.lock();
        state.backing_off = state.backing_off.saturating_sub(1);
        let shed = std::mem::take(&mut state.shed);
        drop(state);
        std::mem::forget(self);
        shed
    }
}

impl Drop for Waiting<'_> {
    /// The group was given back while it waited.
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.backing_off = state.backing_off.saturating_sub(1);
        state.shed &= state.backing_off > 0;
    }
}

/// The rows end here: fallback or dead letter first, then the counters, then the disk queue forgets them.
async fn end(group: Group, reasons: Vec<(&'static str, String)>, finish: Finish) {
    if group.is_empty() {
        return;
    }
    let last_at_ms = group.shared().clock.now_ms();
    let rows = group.records().iter().zip(group.flights()).zip(reasons);
    let rows = rows
        .map(|((record, flight), (class, message))| Undelivered {
            record: record.clone(),
            class,
            message,
            attempts: flight.attempts,
            first_at_ms: if flight.attempts == 0 { last_at_ms } else { flight.first_at_ms },
            last_at_ms,
        })
        .collect();
    hand_over(group.shared(), rows).await;
    group.finish(finish);
}

fn why(error: &Error) -> (&'static str, String) {
    (error.kind.name(), error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_grows_to_its_bound_and_jitter_only_shortens() {
        let retry = Retries {
            initial: Duration::from_millis(100),
            max: Duration::from_secs(1),
            multiplier: 2.0,
            jitter: 0.5,
            attempts_max: None,
        };
        for (attempts, random, millis) in [
            (1, 0.0, 100),
            (2, 0.0, 200),
            (4, 0.0, 800),
            (5, 0.0, 1000),
            (u32::MAX, 0.0, 1000),
            (1, 1.0, 50),
            (5, 0.5, 750),
        ] {
            assert_eq!(backoff(&retry, attempts, random).as_millis(), millis, "{attempts} attempts, random {random}");
        }
    }
}
