//! How rows get into the queue: at once in memory, through the appender on disk; and what happens when it is full.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use model::ports::{Admission, Refused};
use store::{ErrorKind, Queue, Rejected};
use tokio::sync::oneshot;

use super::codec::{decode_record, encode_record, record_bytes};
use super::shared::{Intake, Item, Phase, Shared, State, Waiting};
use super::undelivered::{Undelivered, hand_over};
use super::{DropReason, WhenFull};
use crate::Record;

/// Most rows that wait for room (memory) or for the disk, count; the queue's own bound if that is less.
const PENDING_RECORDS_MAX: u64 = 100_000;
/// Most bytes of them; the queue's own bound if that is less, but at least one row.
const PENDING_BYTES_MAX: u64 = 64 << 20;
/// Most rows the appender gives to the disk queue at once.
const APPEND_RECORDS_MAX: usize = 4096;
/// Most bytes of them.
const APPEND_BYTES_MAX: u64 = 4 << 20;
/// The longest record a disk queue takes, bytes.
pub(crate) const RECORD_BYTES_MAX: u32 = 64 << 20;
/// What the disk queue adds to a record, bytes, rounded up.
const FRAME_BYTES: u64 = 64;

impl Shared {
    /// See [`super::ActionHandle::submit`]. With `or_refuse`, rows are refused where the policy would drop them.
    pub(crate) fn submit(&self, mut records: Vec<Record>, or_refuse: bool) -> Admission {
        if records.is_empty() {
            return Admission::Done;
        }
        if !self.settings.keep_event {
            records.iter_mut().for_each(|record| record.event = None);
        }
        if self.queue.is_some() { self.submit_disk(records, or_refuse) } else { self.submit_memory(records, or_refuse) }
    }

    fn submit_memory(&self, records: Vec<Record>, or_refuse: bool) -> Admission {
        let measured = records.into_iter().map(|record| Item { bytes: record_bytes(&record), record });
        let (items, large): (VecDeque<Item>, VecDeque<Item>) =
            measured.partition(|item| item.bytes <= self.settings.queue.bytes_max);
        let mut state = self.state.lock();
        if state.closed {
            state.counters.refuse((items.len() + large.len()) as u64, DropReason::Stopped);
            return refused(Refused::Unavailable);
        }
        if !large.is_empty() {
            state.counters.refuse(large.len() as u64, DropReason::TooLarge);
            self.divert(&mut state, large.into_iter().map(|item| item.record), DropReason::TooLarge);
        }
        let answer = match (or_refuse, self.settings.queue.when_full) {
            (true, _) => self.push_all_or_none(&mut state, items),
            (false, WhenFull::Block) => self.push_or_wait(&mut state, items),
            (false, WhenFull::DropOldest) => self.push_over(&mut state, items),
            (false, WhenFull::DropNewest | WhenFull::DeadLetter) => self.push_what_fits(&mut state, items),
        };
        drop(state);
        self.arrivals.notify_one();
        answer
    }

    fn fits(&self, state: &State, bytes: u64) -> bool {
        let limits = &self.settings.queue;
        (state.queue.len() as u64) < limits.records_max && state.counters.queued_bytes + bytes <= limits.bytes_max
    }

    /// The row must have been counted as queued.
    fn push(state: &mut State, item: Item) {
        state.counters.queued_bytes += item.bytes;
        state.queue.push_back(item);
    }

    fn push_all_or_none(&self, state: &mut State, items: VecDeque<Item>) -> Admission {
        let (count, bytes) = (items.len() as u64, items.iter().map(|item| item.bytes).sum::<u64>());
        let limits = &self.settings.queue;
        let room = state.queue.len() as u64 + count <= limits.records_max
            && state.counters.queued_bytes + bytes <= limits.bytes_max;
        if !room || !state.waiting.is_empty() {
            state.counters.refuse(count, DropReason::QueueFull);
            return refused(Refused::QueueFull);
        }
        state.counters.matched += count;
        state.counters.queued += count;
        items.into_iter().for_each(|item| Self::push(state, item));
        Admission::Done
    }

    fn push_or_wait(&self, state: &mut State, mut items: VecDeque<Item>) -> Admission {
        let count = items.len() as u64;
        state.counters.matched += count;
        state.counters.queued += count;
        while state.waiting.is_empty()
            && let Some(item) = items.pop_front_if(|item| self.fits(state, item.bytes))
        {
            Self::push(state, item);
        }
        if items.is_empty() {
            return Admission::Done;
        }
        let (count, bytes) = (items.len() as u64, items.iter().map(|item| item.bytes).sum::<u64>());
        if !self.may_wait(state, count, bytes) {
            state.counters.drop_queued(count, DropReason::QueueFull);
            return refused(Refused::QueueFull);
        }
        state.pending_records += count;
        state.pending_bytes += bytes;
        let (reply, answer) = oneshot::channel();
        state.waiting.push_back(Waiting { items, reply });
        Admission::Pending(answer)
    }

    /// Whether this many more rows may wait for room. One submission may always wait, whatever its size: a bound that
    /// refuses it with nobody waiting would refuse it for ever.
    fn may_wait(&self, state: &State, count: u64, bytes: u64) -> bool {
        let limits = &self.settings.queue;
        state.pending_records == 0
            || (state.pending_records + count <= limits.records_max.min(PENDING_RECORDS_MAX)
                && state.pending_bytes + bytes <= limits.bytes_max.min(PENDING_BYTES_MAX))
    }

    fn push_over(&self, state: &mut State, items: VecDeque<Item>) -> Admission {
        let count = items.len() as u64;
        state.counters.matched += count;
        state.counters.queued += count;
        for item in items {
            while !self.fits(state, item.bytes)
                && let Some(oldest) = state.queue.pop_front()
            {
                state.counters.queued_bytes -= oldest.bytes;
                state.counters.drop_queued(1, DropReason::QueueFull);
            }
            Self::push(state, item);
        }
        Admission::Done
    }

    fn push_what_fits(&self, state: &mut State, items: VecDeque<Item>) -> Admission {
        let mut rest = Vec::new();
        for item in items {
            if self.fits(state, item.bytes) {
                state.counters.matched += 1;
                state.counters.queued += 1;
                Self::push(state, item);
            } else {
                rest.push(item.record);
            }
        }
        state.counters.refuse(rest.len() as u64, DropReason::QueueFull);
        if self.settings.queue.when_full == WhenFull::DeadLetter && !rest.is_empty() {
            self.divert(state, rest, DropReason::QueueFull);
        }
        Admission::Done
    }

    /// Lets rows that wait for room into the memory queue, as far as there is some.
    pub(crate) fn admit(&self, state: &mut State) {
        while let Some(mut first) = state.waiting.pop_front() {
            while let Some(item) = first.items.pop_front_if(|item| self.fits(state, item.bytes)) {
                state.pending_records -= 1;
                state.pending_bytes -= item.bytes;
                Self::push(state, item);
            }
            if !first.items.is_empty() {
                state.waiting.push_front(first);
                return;
            }
            // A caller that went away lost interest in the answer, not in its rows.
            first.reply.send(Ok(())).ok();
        }
    }

    fn submit_disk(&self, records: Vec<Record>, or_refuse: bool) -> Admission {
        let limit = self.settings.queue.bytes_max.saturating_sub(FRAME_BYTES).min(u64::from(RECORD_BYTES_MAX));
        let (mut rows, mut large, mut bytes) = (Vec::with_capacity(records.len()), Vec::new(), 0);
        for record in records {
            let mut row = Vec::with_capacity(256);
            encode_record(&record, &mut row);
            if row.len() as u64 > limit {
                large.push(record);
            } else {
                bytes += row.len() as u64;
                rows.push(Bytes::from(row));
            }
        }
        let count = rows.len() as u64;
        let mut state = self.state.lock();
        if state.closed {
            state.counters.refuse(count + large.len() as u64, DropReason::Stopped);
            return refused(Refused::Unavailable);
        }
        if !large.is_empty() {
            state.counters.refuse(large.len() as u64, DropReason::TooLarge);
            self.divert(&mut state, large, DropReason::TooLarge);
        }
        if rows.is_empty() {
            return Admission::Done;
        }
        if !self.may_wait(&state, count, bytes) {
            state.counters.refuse(count, DropReason::QueueFull);
            return refused(Refused::QueueFull);
        }
        state.counters.matched += count;
        state.counters.queued += count;
        state.pending_records += count;
        state.pending_bytes += bytes;
        let (reply, answer) = oneshot::channel();
        state.intake.push_back(Intake { rows, bytes, or_refuse, reply });
        drop(state);
        self.intake.notify_one();
        Admission::Pending(answer)
    }

    /// Drops queued rows and counts them.
    fn drop_queued(&self, rows: u64, reason: DropReason) {
        self.state.lock().counters.drop_queued(rows, reason);
    }

    /// The next submissions for the disk, as one append; `None` when there are none.
    fn take_intake(&self) -> Option<Vec<Intake>> {
        let mut state = self.state.lock();
        let mut taken: Vec<Intake> = Vec::new();
        let (mut rows, mut bytes) = (0, 0);
        while let Some(next) = state.intake.pop_front_if(|next| {
            taken.first().is_none_or(|first| {
                first.or_refuse == next.or_refuse
                    && rows + next.rows.len() <= APPEND_RECORDS_MAX
                    && bytes + next.bytes <= APPEND_BYTES_MAX
            })
        }) {
            rows += next.rows.len();
            bytes += next.bytes;
            taken.push(next);
        }
        state.intake_busy = !taken.is_empty();
        state.pending_records -= rows as u64;
        state.pending_bytes -= bytes;
        (!taken.is_empty()).then_some(taken)
    }
}

fn refused(why: Refused) -> Admission {
    let (reply, answer) = oneshot::channel();
    reply.send(Err(why)).ok();
    Admission::Pending(answer)
}

/// The task that puts submitted rows on disk, in order. While one append is flushed, the next ones gather.
pub(crate) async fn append_loop(shared: Arc<Shared>, queue: Queue) {
    loop {
        let Some(group) = shared.take_intake() else {
            // The worker may wait for this to end its drain.
            shared.arrivals.notify_one();
            if shared.phase() == Phase::Halted {
                return;
            }
            shared.intake.notified().await;
            continue;
        };
        let or_refuse = group.first().is_some_and(|first| first.or_refuse);
        let (rows, replies): (Vec<Vec<Bytes>>, Vec<_>) = group.into_iter().map(|next| (next.rows, next.reply)).unzip();
        let result = Appender { shared: &shared, queue: &queue, or_refuse }.append(rows.concat()).await;
        for reply in replies {
            reply.send(result.clone()).ok();
        }
        shared.arrivals.notify_one();
    }
}

struct Appender<'a> {
    shared: &'a Shared,
    queue: &'a Queue,
    or_refuse: bool,
}

impl Appender<'_> {
    /// Appends rows that are counted as queued; those that do not get there are counted as dropped.
    async fn append(&self, rows: Vec<Bytes>) -> Result<(), Refused> {
        let mut rest = rows;
        let mut take = rest.len();
        while !rest.is_empty() {
            let tail = rest.split_off(take.min(rest.len()));
            let count = rest.len();
            let Rejected { error, mut records } = match self.try_append(rest).await {
                Ok(()) => {
                    rest = tail;
                    take = rest.len();
                    continue;
                }
                Err(rejected) => rejected,
            };
            if records.len() != count {
                // The store is going down and did not give them back.
                return Err(self.unavailable((count + tail.len()) as u64, &error));
            }
            records.extend(tail);
            rest = records;
            match error.kind {
                ErrorKind::Full | ErrorKind::Invalid if count > 1 && self.halve(error.kind) => take = count / 2,
                ErrorKind::Full => {
                    rest = self.full(rest, count, &error).await?;
                    take = rest.len();
                }
                ErrorKind::Invalid => {
                    self.too_large(rest.remove(0)).await;
                    take = rest.len();
                }
                _ => return Err(self.unavailable(rest.len() as u64, &error)),
            }
        }
        Ok(())
    }

    /// Whether a smaller append is tried first: dropping the oldest makes room for the whole.
    fn halve(&self, kind: ErrorKind) -> bool {
        kind == ErrorKind::Invalid || self.or_refuse || self.shared.settings.queue.when_full != WhenFull::DropOldest
    }

    async fn try_append(&self, rows: Vec<Bytes>) -> Result<(), Rejected> {
        if self.queue.len_records() + rows.len() as u64 > self.shared.settings.queue.records_max {
            let context = "the queue is at queue.records_max";
            return Err(Rejected { error: store::Error::new(ErrorKind::Full, "", context), records: rows });
        }
        self.queue.append(rows).await.map(|_| ())
    }

    /// The queue has no room for the first `count` of `rest`; gives what is to be tried again.
    async fn full(&self, rest: Vec<Bytes>, count: usize, error: &store::Error) -> Result<Vec<Bytes>, Refused> {
        let rows = rest.len() as u64;
        if self.or_refuse {
            self.shared.drop_queued(rows, DropReason::QueueFull);
            return Err(Refused::QueueFull);
        }
        match self.shared.settings.queue.when_full {
            WhenFull::Block => self.wait_for_room(rows, error).await?,
            WhenFull::DropOldest => self.make_room(count as u64, rows, error).await?,
            WhenFull::DropNewest => {
                self.shared.drop_queued(rows, DropReason::QueueFull);
                return Ok(Vec::new());
            }
            WhenFull::DeadLetter => {
                self.dead_letter(&rest, DropReason::QueueFull).await;
                return Ok(Vec::new());
            }
        }
        Ok(rest)
    }

    async fn wait_for_room(&self, rows: u64, error: &store::Error) -> Result<(), Refused> {
        if self.shared.phase() == Phase::Halted {
            return Err(self.unavailable(rows, error));
        }
        self.shared.room.notified().await;
        Ok(())
    }

    /// Drops the oldest rows that are not being written; if all are, asks a group that waits for its next attempt to
    /// go, or waits for the write to end.
    async fn make_room(&self, count: u64, rows: u64, error: &store::Error) -> Result<(), Refused> {
        match self.queue.drop_oldest(count).await {
            Ok(0) => {}
            Ok(dropped) => {
                self.shared.drop_queued(dropped, DropReason::QueueFull);
                return Ok(());
            }
            Err(error) => return Err(self.unavailable(rows, &error)),
        }
        {
            let mut state = self.shared.state.lock();
            state.shed = state.backing_off > 0;
        }
        self.shared.nudge.notify_waiters();
        self.wait_for_room(rows, error).await
    }

    async fn too_large(&self, row: Bytes) {
        self.dead_letter(&[row], DropReason::TooLarge).await;
    }

    async fn dead_letter(&self, rows: &[Bytes], reason: DropReason) {
        let now_ms = self.shared.clock.now_ms();
        // They were encoded a moment ago, so they decode.
        let records = rows.iter().filter_map(|row| decode_record(&mut row.as_ref()).ok());
        hand_over(self.shared, records.map(|record| Undelivered::refused(record, reason, now_ms)).collect()).await;
        self.shared.drop_queued(rows.len() as u64, reason);
    }

    fn unavailable(&self, rows: u64, error: &store::Error) -> Refused {
        tracing::error!(action = %self.shared.name.id, rows, %error, "the disk queue takes no rows; their source was told");
        self.shared.drop_queued(rows, DropReason::Unavailable);
        Refused::Unavailable
    }
}
