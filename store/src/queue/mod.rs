//! The disk queue of one action: rows wait here, across restarts, until their sink has them.
//!
//! Not here: what to do when it is full (the caller's policy), how long a record may wait (records carry their time),
//! and any retry of delivery.
//!
//! Invariants:
//! - A record whose append answered `Ok` is served until it is acknowledged, in order, also after `kill -9`.
//! - Nothing is served that was not appended. An append that failed, or whose future was dropped, may turn up after a
//!   restart: its outcome is unknown.
//! - An acknowledgement is a hint that reaches the disk soon; losing it brings the record back, nothing more.

mod append;
mod window;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{Notify, OwnedMutexGuard, oneshot};

use crate::blocking::blocking;
use crate::error::{Error, ErrorKind};
use crate::files::{Files, OsFiles};
use crate::format::{Kind, framed_len};
use crate::lane::{Lane, submit, wake};
use crate::metrics::Metrics;
use crate::segments::{Config, Item, Reader, Segments};
use crate::settings::QueueSettings;
use append::{Append, Reserved};
use window::Window;

/// A record's number in its queue. Numbers grow by one and are never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

/// An append that did not happen, with the records given back so that the caller's policy can use them.
#[derive(Debug)]
pub struct Rejected {
    /// Why: [`ErrorKind::Full`] for the queue's own bound, [`ErrorKind::DiskFull`], [`ErrorKind::Poisoned`], …
    pub error: Error,
    /// What was to be appended, complete and in order.
    pub records: Vec<Bytes>,
}

impl From<Rejected> for Error {
    fn from(rejected: Rejected) -> Self {
        rejected.error
    }
}

/// A durable first-in-first-out queue on disk. Clones share it. One folder can be open once at a time.
#[derive(Clone, Debug)]
pub struct Queue {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: QueueSettings,
    segments: Segments,
    lane: Lane<Append>,
    /// The reading place. Held across disk reads, so that records are served in order; a read whose future is dropped
    /// leaves what it fetched in `ready`.
    feed: Arc<tokio::sync::Mutex<Feed>>,
    /// Never held during I/O.
    state: Mutex<State>,
    /// Told when there may be something to read.
    changed: Notify,
}

#[derive(Debug)]
struct Feed {
    reader: Reader,
    ready: VecDeque<Item>,
}

#[derive(Debug)]
struct State {
    window: Window,
    /// Bytes of unacknowledged records and of those being appended.
    bytes: u64,
    closed: bool,
}

impl Queue {
    /// Opens the queue in the folder `dir`, creating it if needed. Everything confirmed and not acknowledged before is
    /// unread again.
    ///
    /// # Errors
    /// [`ErrorKind::Locked`] when this process has the folder open already; [`ErrorKind::Version`]. Damage is not an
    /// error here: with [`crate::OnCorrupt::Stop`] what is before it can be read, then `read` and `append` answer it.
    pub async fn open(dir: impl Into<PathBuf>, settings: QueueSettings) -> Result<Self, Error> {
        Self::open_on(Arc::new(OsFiles), dir, settings).await
    }

    /// Like [`Queue::open`], on another file system.
    pub async fn open_on(
        files: Arc<dyn Files>,
        dir: impl Into<PathBuf>,
        settings: QueueSettings,
    ) -> Result<Self, Error> {
        let dir = dir.into();
        let runtime = Handle::current();
        blocking(move || {
            let config = Config {
                kind: Kind::Queue,
                log: 0,
                segment_bytes: settings.segment_bytes,
                fsync: settings.fsync,
                on_corrupt: settings.on_corrupt,
            };
            let segments = Segments::open(&dir, files, config, Metrics::default())?;
            let low = segments.low();
            let bytes = segments.bytes_from(low)?;
            let lane = Lane::new(runtime, settings.pending_bytes_max);
            let feed = Feed { reader: Reader::new(low), ready: VecDeque::new() };
            let state = State { window: Window::new(low), bytes, closed: false };
            Ok(Self {
                inner: Arc::new(Inner {
                    settings,
                    segments,
                    lane,
                    feed: Arc::new(tokio::sync::Mutex::new(feed)),
                    state: Mutex::new(state),
                    changed: Notify::new(),
                }),
            })
        })
        .await
    }

    /// Appends `records` together, in order; resolves with the position of the first once they are durable as
    /// `settings.fsync` says. On an error none of them is in the queue. Dropping the future does not take the records
    /// back.
    ///
    /// # Errors
    /// [`ErrorKind::Full`] when `bytes_max` would be passed and [`ErrorKind::DiskFull`], both of which can pass;
    /// [`ErrorKind::Invalid`] for no records at all, a record longer than `record_bytes_max` or more than could ever
    /// fit; [`ErrorKind::Poisoned`], [`ErrorKind::Corrupt`], [`ErrorKind::Closed`] until the queue is opened again.
    pub async fn append(&self, records: Vec<Bytes>) -> Result<Position, Rejected> {
        let inner = &self.inner;
        let reserved = match inner.reserve(&records) {
            Ok(reserved) => reserved,
            Err(error) => return Err(Rejected { error, records }),
        };
        let Some(room) = inner.lane.room(reserved.bytes()).await else {
            return Err(Rejected { error: inner.closed(), records });
        };
        let (done, confirmed) = oneshot::channel();
        submit(inner, Append::new(records, reserved, Some(room), done));
        match confirmed.await {
            Ok(result) => result,
            Err(_) => Err(Rejected { error: inner.closed(), records: Vec::new() }),
        }
    }

    /// The next unread records, oldest first: at most `records_max`, and no more than `bytes_max` of them unless the
    /// first alone is longer. They are in flight until acknowledged or given back. Records given back come first and
    /// by themselves. Empty when there is nothing unread, or when `in_flight_records_max` is reached.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] at damage, again and again (see [`crate::OnCorrupt`]); [`ErrorKind::Io`].
    pub async fn read(&self, records_max: usize, bytes_max: usize) -> Result<Vec<(Position, Bytes)>, Error> {
        let mut feed = Arc::clone(&self.inner.feed).lock_owned().await;
        let again: Vec<_> = self.inner.state.lock().window.returned().take(records_max).collect();
        if !again.is_empty() {
            return self.read_again(again, bytes_max).await;
        }
        let room = self.inner.in_flight_room();
        feed = self.fetch(feed, records_max.min(room), bytes_max).await?;
        let mut out = Vec::new();
        let mut bytes = 0;
        let mut state = self.inner.state.lock();
        while let Some(item) = feed.ready.pop_front_if(|item| {
            let len = item.body_len();
            out.len() < records_max.min(room) && (out.is_empty() || bytes + len <= bytes_max)
        }) {
            bytes += item.body_len();
            if let Some(record) = state.take(item) {
                out.push(record);
            }
        }
        Ok(out)
    }

    /// Says that these records are done with, in any order. Takes effect in memory at once; reaches the disk soon
    /// after, and a crash before that only causes redelivery. Positions that are not in flight are ignored.
    pub fn ack(&self, positions: &[Position]) {
        let advanced = {
            let mut state = self.inner.state.lock();
            for position in positions {
                let bytes = state.window.ack(position.0).unwrap_or_default();
                state.bytes = state.bytes.saturating_sub(bytes);
            }
            state.window.advance()
        };
        if advanced {
            wake(&self.inner);
            // A reader may have been waiting for room in the window.
            self.inner.changed.notify_waiters();
        }
    }

    /// Gives records in flight back: they are unread again and served before newer ones.
    pub fn nack(&self, positions: &[Position]) {
        {
            let mut state = self.inner.state.lock();
            for position in positions {
                state.window.nack(position.0);
            }
        }
        self.inner.changed.notify_waiters();
    }

    /// Acknowledges up to `count` of the oldest records that are not in flight, for a policy of dropping the oldest;
    /// returns how many. Zero means that everything there is is in flight. To keep the records elsewhere use
    /// [`Queue::read`] and [`Queue::ack`].
    ///
    /// # Errors
    /// As [`Queue::read`].
    pub async fn drop_oldest(&self, count: u64) -> Result<u64, Error> {
        let mut feed = Arc::clone(&self.inner.feed).lock_owned().await;
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let mut dropped: Vec<Position> = {
            let state = self.inner.state.lock();
            state.window.returned().take(count).map(|(seq, _)| Position(seq)).collect()
        };
        let more = (count - dropped.len()).min(self.inner.in_flight_room());
        if more > 0 {
            feed = self.fetch(feed, more, usize::MAX).await?;
            let mut state = self.inner.state.lock();
            let taken = dropped.len() + more;
            while dropped.len() < taken
                && let Some(item) = feed.ready.pop_front()
            {
                dropped.extend(state.take(item).map(|(position, _)| position));
            }
        }
        self.ack(&dropped);
        Ok(dropped.len() as u64)
    }

    /// Resolves when [`Queue::read`] has something to answer: an unread record, damage, or that the queue is closed.
    pub async fn wait_nonempty(&self) {
        loop {
            let mut changed = pin!(self.inner.changed.notified());
            // Registered before the look, so that a change in between is not missed.
            changed.as_mut().enable();
            if self.inner.is_readable() {
                return;
            }
            changed.await;
        }
    }

    /// Unacknowledged records: unread and in flight.
    pub fn len_records(&self) -> u64 {
        let end = self.inner.segments.end();
        let state = self.inner.state.lock();
        end.saturating_sub(state.window.low()).saturating_sub(state.window.acked_ahead())
    }

    /// Records read and neither acknowledged nor given back.
    pub fn in_flight_records(&self) -> u64 {
        self.inner.state.lock().window.in_flight()
    }

    /// What counts against `bytes_max`: unacknowledged records and those being appended, with framing.
    pub fn len_bytes(&self) -> u64 {
        self.inner.state.lock().bytes
    }

    /// The counters.
    pub fn metrics(&self) -> Metrics {
        self.inner.segments.metrics().clone()
    }

    /// The damage that stops this queue, if any.
    pub fn damage(&self) -> Option<Error> {
        self.inner.segments.damage()
    }

    /// Takes no more appends, writes what waits, persists the acknowledgements. The folder may then be opened again.
    pub async fn close(&self) -> Result<(), Error> {
        self.inner.state.lock().closed = true;
        self.inner.lane.close();
        let (done, committed) = oneshot::channel();
        let reserved = Reserved::new(&self.inner, 0);
        // An append of nothing is committed behind everything submitted before it.
        submit(&self.inner, Append::new(Vec::new(), reserved, None, done));
        drop(committed.await);
        let inner = Arc::clone(&self.inner);
        let closed = blocking(move || {
            let low = inner.state.lock().window.low();
            inner.segments.release(low)?;
            inner.segments.close()
        })
        .await;
        self.inner.changed.notify_waiters();
        closed
    }

    /// Fetches into `feed.ready` until it holds what is asked for or there is no more. What is in memory already is
    /// taken right here; only a disk read goes to the blocking pool.
    async fn fetch(
        &self,
        mut feed: OwnedMutexGuard<Feed>,
        records: usize,
        bytes: usize,
    ) -> Result<OwnedMutexGuard<Feed>, Error> {
        if self.inner.fill(&mut feed, records, bytes, true)? {
            return Ok(feed);
        }
        let inner = Arc::clone(&self.inner);
        blocking(move || {
            inner.fill(&mut feed, records, bytes, false)?;
            Ok(feed)
        })
        .await
    }

    /// Reads records given back a second time.
    async fn read_again(&self, places: Vec<(u64, u64)>, bytes_max: usize) -> Result<Vec<(Position, Bytes)>, Error> {
        let inner = Arc::clone(&self.inner);
        let mut records = blocking(move || {
            let mut records = Vec::with_capacity(places.len());
            let mut bytes = 0;
            for (seq, pos) in places {
                let body = inner.segments.reread(seq, pos)?;
                bytes += body.len();
                if bytes > bytes_max && !records.is_empty() {
                    break;
                }
                records.push((Position(seq), body));
            }
            Ok(records)
        })
        .await?;
        let mut state = self.inner.state.lock();
        // Some may have been acknowledged meanwhile.
        records.retain(|(position, _)| state.window.take_returned(position.0));
        Ok(records)
    }
}

impl Inner {
    /// Checks `records` against the limits and sets their bytes aside.
    fn reserve(self: &Arc<Self>, records: &[Bytes]) -> Result<Reserved, Error> {
        let settings = &self.settings;
        let invalid =
            |context: String, remedy| Err(Error::new(ErrorKind::Invalid, self.segments.dir(), context).remedy(remedy));
        if records.is_empty() {
            return invalid("an append of no records".to_owned(), "append at least one");
        }
        if let Some(long) = records.iter().find(|record| record.len() as u64 > u64::from(settings.record_bytes_max)) {
            let context =
                format!("a record of {} bytes; record_bytes_max is {}", long.len(), settings.record_bytes_max);
            return invalid(context, "raise record_bytes_max");
        }
        let bytes: u64 = records.iter().map(|record| framed_len(record.len())).sum();
        if bytes > settings.bytes_max {
            let context = format!("{bytes} bytes at once; bytes_max is {}", settings.bytes_max);
            return invalid(context, "raise bytes_max or append less at once");
        }
        let mut state = self.state.lock();
        if state.closed {
            return Err(self.closed());
        }
        if state.bytes + bytes > settings.bytes_max {
            self.segments.metrics().full(1);
            let context =
                format!("the queue holds {} of bytes_max {} and {bytes} more came", state.bytes, settings.bytes_max);
            return Err(Error::new(ErrorKind::Full, self.segments.dir(), context)
                .remedy("wait for the sink, raise bytes_max, or choose a policy that drops"));
        }
        state.bytes += bytes;
        Ok(Reserved::new(self, bytes))
    }

    /// Fetches items; with `memory_only` it stops before a system call and answers false if more could be had.
    fn fill(&self, feed: &mut Feed, records: usize, bytes_max: usize, memory_only: bool) -> Result<bool, Error> {
        let mut bytes: usize = feed.ready.iter().map(Item::body_len).sum();
        while feed.ready.len() < records && (feed.ready.is_empty() || bytes < bytes_max) {
            if memory_only && !feed.reader.is_buffered() {
                return Ok(feed.reader.next >= self.segments.end() && self.segments.damage().is_none());
            }
            match self.segments.next_item(&mut feed.reader) {
                Ok(Some(item)) => {
                    bytes += item.body_len();
                    feed.ready.push_back(item);
                }
                Ok(None) => break,
                // What is whole is served first; the error comes again on the next call.
                Err(_) if !feed.ready.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn in_flight_room(&self) -> usize {
        self.settings.in_flight_records_max.saturating_sub(self.state.lock().window.span())
    }

    fn is_readable(&self) -> bool {
        let (end, damaged) = (self.segments.end(), self.segments.damage().is_some());
        let state = self.state.lock();
        let unread = end > state.window.unread() && state.window.span() < self.settings.in_flight_records_max;
        unread || damaged || state.closed || state.window.has_returned()
    }

    fn closed(&self) -> Error {
        Error::new(ErrorKind::Closed, self.segments.dir(), "the queue is closed")
    }
}

impl State {
    /// Puts an item into the window; a record is then in flight and returned.
    fn take(&mut self, item: Item) -> Option<(Position, Bytes)> {
        match item {
            Item::Record { seq, pos, body } => {
                self.window.push(pos, framed_len(body.len()));
                Some((Position(seq), body))
            }
            Item::Lost { count, bytes, .. } => {
                for _ in 0..count {
                    self.window.push_done();
                }
                self.bytes = self.bytes.saturating_sub(bytes);
                None
            }
        }
    }
}
