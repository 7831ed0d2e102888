//! Answers publishers once every queue that has to has taken the rows of their events.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::join_all;
use model::ports::{Admission, Refused};
use tokio::sync::oneshot;

use super::queue::Answer;

/// One batch of rows given to one action, and the jobs (by their index in the batch of events) it holds rows of.
pub(crate) struct Submission {
    pub(crate) pending: oneshot::Receiver<Result<(), Refused>>,
    /// Indices of the events whose rows these are.
    pub(crate) events: Vec<usize>,
    /// The action promises at-least-once: a refusal is the publisher's.
    pub(crate) durable: bool,
    /// Counts the rule's batches that wait for room.
    pub(crate) congestion: Option<Congestion>,
}

/// Raises a rule's congestion while it lives.
pub(crate) struct Congestion(Arc<AtomicUsize>);

impl Congestion {
    pub(crate) fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Congestion {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Keeps the receiver of an admission that is not done yet.
pub(crate) fn pending(admission: Admission) -> Option<oneshot::Receiver<Result<(), Refused>>> {
    match admission {
        Admission::Done => None,
        Admission::Pending(receiver) => Some(receiver),
    }
}

/// Waits for the submissions of one batch and answers the publishers (by event index).
pub(crate) async fn settle(submissions: Vec<Submission>, answers: Vec<(usize, Answer)>) {
    let results = join_all(submissions.into_iter().map(|submission| async move {
        let result = submission.pending.await.unwrap_or(Err(Refused::Unavailable));
        drop(submission.congestion);
        (submission.events, submission.durable, result)
    }))
    .await;
    for (event, answer) in answers {
        let refused = results
            .iter()
            .filter(|(events, durable, _)| *durable && events.binary_search(&event).is_ok())
            .find_map(|(_, _, result)| result.clone().err());
        // The publisher may be gone; then nobody needs the answer.
        drop(answer.send(refused.map_or(Ok(()), Err)));
    }
}
