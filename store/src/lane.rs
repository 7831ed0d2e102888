//! Group commit: what is submitted while the disk is busy is written together the next time.
//!
//! There is no thread of its own and no timer. The first submission starts one job on the runtime's blocking pool; the
//! job takes everything that waits, commits it as one group, and goes on until nothing waits. So an idle log costs
//! nothing, a lone append waits for nobody, and under load the groups grow by themselves.
//!
//! Invariant: per lane at most one job runs, so groups are written in the order of submission.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What a lane works for.
pub(crate) trait Committer: Send + Sync + 'static {
    /// One thing submitted.
    type Item: Send + 'static;
    /// The lane itself.
    fn lane(&self) -> &Lane<Self::Item>;
    /// Commits a group; blocks. `group` is in the order of submission and never empty.
    fn commit(&self, group: Vec<Self::Item>);
    /// Work that was asked for with [`wake`]; blocks.
    fn tidy(&self);
}

/// The waiting line of one log or queue.
#[derive(Debug)]
pub(crate) struct Lane<I> {
    runtime: Handle,
    /// Bytes that may wait.
    room: Arc<Semaphore>,
    room_max: u32,
    state: Mutex<State<I>>,
}

#[derive(Debug)]
struct State<I> {
    waiting: Vec<I>,
    tidy: bool,
    running: bool,
}

impl<I> Lane<I> {
    /// A lane whose jobs run on the blocking pool of `runtime`.
    pub(crate) fn new(runtime: Handle, pending_bytes_max: u32) -> Self {
        let room_max = pending_bytes_max.max(1);
        let room = Arc::new(Semaphore::new(room_max as usize));
        Self { runtime, room, room_max, state: Mutex::new(State { waiting: Vec::new(), tidy: false, running: false }) }
    }

    /// Waits until `bytes` may be submitted; in the order of calls. What is larger than the bound takes all of it.
    /// `None` after [`Lane::close`].
    pub(crate) async fn room(&self, bytes: u64) -> Option<OwnedSemaphorePermit> {
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.room_max);
        Arc::clone(&self.room).acquire_many_owned(permits).await.ok()
    }

    /// Lets nothing more in. What has been submitted is still committed.
    pub(crate) fn close(&self) {
        self.room.close();
    }
}

/// Submits one thing. The permit goes back when the item is dropped, so it belongs inside the item.
pub(crate) fn submit<C: Committer>(owner: &Arc<C>, item: C::Item) {
    let mut state = owner.lane().state.lock();
    state.waiting.push(item);
    start(owner, state);
}

/// Has [`Committer::tidy`] called soon.
pub(crate) fn wake<C: Committer>(owner: &Arc<C>) {
    let mut state = owner.lane().state.lock();
    state.tidy = true;
    start(owner, state);
}

fn start<C: Committer>(owner: &Arc<C>, mut state: parking_lot::MutexGuard<'_, State<C::Item>>) {
    if std::mem::replace(&mut state.running, true) {
        return;
    }
    drop(state);
    let job = Arc::clone(owner);
    // The job reports through its items; there is nothing in its handle.
    drop(owner.lane().runtime.spawn_blocking(move || drain(&*job)));
}

fn drain<C: Committer>(owner: &C) {
    let stopped = Stopped(owner);
    loop {
        let (group, tidy) = {
            let mut state = owner.lane().state.lock();
            let group = std::mem::take(&mut state.waiting);
            let tidy = std::mem::take(&mut state.tidy);
            if group.is_empty() && !tidy {
                state.running = false;
                break;
            }
            (group, tidy)
        };
        if !group.is_empty() {
            owner.commit(group);
        }
        if tidy {
            owner.tidy();
        }
    }
    std::mem::forget(stopped);
}

/// If a commit panics, the items in hand are dropped (their callers learn that) and the lane can be started again.
struct Stopped<'a, C: Committer>(&'a C);

impl<C: Committer> Drop for Stopped<'_, C> {
    fn drop(&mut self) {
        self.0.lane().state.lock().running = false;
        tracing::error!("a commit panicked");
    }
}
