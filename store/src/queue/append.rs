//! An append on its way to the disk, the room it holds meanwhile, and the commit of a group of them.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{Inner, Position, Rejected};
use crate::error::Error;
use crate::lane::{Committer, Lane};

/// One append on its way to the disk.
#[derive(Debug)]
pub(super) struct Append {
    records: Vec<Bytes>,
    reserved: Reserved,
    /// Room in the lane, given back with the append.
    _room: Option<OwnedSemaphorePermit>,
    done: Option<oneshot::Sender<Result<Position, Rejected>>>,
}

impl Append {
    pub(super) fn new(
        records: Vec<Bytes>,
        reserved: Reserved,
        room: Option<OwnedSemaphorePermit>,
        done: oneshot::Sender<Result<Position, Rejected>>,
    ) -> Self {
        Self { records, reserved, _room: room, done: Some(done) }
    }

    fn finish(mut self, result: Result<Position, Error>) {
        self.reserved.kept = result.is_ok();
        self.answer(result);
    }

    /// A caller that went away has lost interest, not the record; so a failed send is nothing.
    fn answer(&mut self, result: Result<Position, Error>) {
        // Before the answer, so that a caller who tries again at once finds the room it had.
        self.reserved.give_back();
        let records = std::mem::take(&mut self.records);
        if let Some(done) = self.done.take() {
            done.send(result.map_err(|error| Rejected { error, records })).ok();
        }
    }
}

impl Drop for Append {
    /// An append that is dropped without an answer (a panic in a commit) gives its records back.
    fn drop(&mut self) {
        if self.done.is_some() {
            let error = self.reserved.inner.closed();
            self.answer(Err(error));
        }
    }
}

/// Bytes counted against the bound; given back unless the append succeeded.
#[derive(Debug)]
pub(super) struct Reserved {
    inner: Arc<Inner>,
    bytes: u64,
    kept: bool,
}

impl Reserved {
    /// The caller has added `bytes` to the state already.
    pub(super) fn new(inner: &Arc<Inner>, bytes: u64) -> Self {
        Self { inner: Arc::clone(inner), bytes, kept: false }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    fn give_back(&mut self) {
        if !std::mem::replace(&mut self.kept, true) {
            let mut state = self.inner.state.lock();
            state.bytes = state.bytes.saturating_sub(self.bytes);
        }
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.give_back();
    }
}

impl Committer for Inner {
    type Item = Append;

    fn lane(&self) -> &Lane<Append> {
        &self.lane
    }

    fn commit(&self, group: Vec<Append>) {
        let bodies = group.iter().flat_map(|append| &append.records);
        let result =
            if bodies.clone().next().is_some() { self.segments.append(bodies) } else { Ok(self.segments.end()) };
        let mut next = result.as_ref().copied().unwrap_or_default();
        for append in group {
            if !append.records.is_empty() {
                self.segments.metrics().appends(1);
            }
            let first = next;
            next += append.records.len() as u64;
            append.finish(result.as_ref().map(|_| Position(first)).map_err(Error::clone));
        }
        self.changed.notify_waiters();
    }

    fn tidy(&self) {
        let low = self.state.lock().window.low();
        if let Err(error) = self.segments.release(low) {
            tracing::warn!(%error, "acknowledgements are not on disk; they will be tried again with the next ones");
        }
    }
}
