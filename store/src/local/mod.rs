//! The ordered log of one node: segment files with group commit, one folder per log.
//!
//! Invariants (beside those of [`OrderedLog`]):
//! - An offset is the number of a record; a batch is one record, so it is whole or not there.
//! - A retried `(writer, wseq)` is recognised among the batches still in the log, also after a restart; one too old to
//!   be remembered is refused, never written twice.

mod retries;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};

use crate::batch;
use crate::blocking::blocking;
use crate::error::{Error, ErrorKind};
use crate::files::{Files, OsFiles};
use crate::format::Kind;
use crate::lane::{Committer, Lane, submit};
use crate::log::{Batch, Durability, LogId, Offset, OrderedLog};
use crate::metrics::Metrics;
use crate::segments::{Config, Item, Reader, Segments};
use crate::settings::{Fsync, LogSettings};
use retries::{Retries, Seen};

/// How many batches a reader fetches at once; they wait in memory for the consumer.
const READ_BATCHES_MAX: usize = 256;

/// The logs of one node, in one folder. Clones share them.
#[derive(Clone, Debug)]
pub struct LocalLog {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    files: Arc<dyn Files>,
    settings: LogSettings,
    metrics: Metrics,
    /// Opened when first named. Held while one is opened, which is rare; the server names its logs at start.
    logs: tokio::sync::Mutex<BTreeMap<LogId, Arc<OneLog>>>,
}

#[derive(Debug)]
struct OneLog {
    settings: LogSettings,
    segments: Segments,
    lane: Lane<Append>,
    /// Taken by the one commit job; a lock only because the compiler cannot know that.
    retries: Mutex<Retries>,
    progress: watch::Sender<Progress>,
}

/// What tailing readers wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Progress {
    end: u64,
    closed: bool,
}

impl LocalLog {
    /// Opens the logs in the folder `dir`, creating it if needed. A log is opened, and walked through once to know its
    /// writers, when it is first named.
    pub async fn open(dir: impl Into<PathBuf>, settings: LogSettings) -> Result<Self, Error> {
        Self::open_on(Arc::new(OsFiles), dir, settings).await
    }

    /// Like [`LocalLog::open`], on another file system.
    pub async fn open_on(files: Arc<dyn Files>, dir: impl Into<PathBuf>, settings: LogSettings) -> Result<Self, Error> {
        let dir = dir.into();
        let inner = Inner { dir, files, settings, metrics: Metrics::default(), logs: tokio::sync::Mutex::default() };
        let inner = Arc::new(inner);
        let made = Arc::clone(&inner);
        blocking(move || {
            made.files
                .create_dir_all(&made.dir)
                .map_err(|e| Error::io(&made.dir, "creating the folder of the logs", &e))
        })
        .await?;
        Ok(Self { inner })
    }

    /// The counters, of all logs together.
    pub fn metrics(&self) -> Metrics {
        self.inner.metrics.clone()
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.inner.dir
    }

    /// Takes no more appends, writes what waits, ends the streams of readers. The folder may then be opened again.
    pub async fn close(&self) -> Result<(), Error> {
        let logs = std::mem::take(&mut *self.inner.logs.lock().await);
        for log in logs.into_values() {
            log.lane.close();
            let (done, committed) = oneshot::channel();
            // An append of nothing is committed behind everything submitted before it.
            submit(&log, Append { identity: None, record: Bytes::new(), _room: None, done });
            drop(committed.await);
            let closing = Arc::clone(&log);
            blocking(move || closing.segments.close()).await?;
            log.progress.send_modify(|progress| progress.closed = true);
        }
        Ok(())
    }
}

impl OrderedLog for LocalLog {
    fn append(&self, log: LogId, batch: Batch) -> BoxFuture<'_, Result<Offset, Error>> {
        Box::pin(async move {
            let log = self.inner.log(log).await?;
            let bytes = batch::encoded_len(&batch) as u64;
            if bytes > u64::from(log.settings.record_bytes_max) {
                let context =
                    format!("a batch of {bytes} bytes; record_bytes_max is {}", log.settings.record_bytes_max);
                return Err(
                    Error::new(ErrorKind::Invalid, log.segments.dir(), context).remedy("append smaller batches")
                );
            }
            let room = log.lane.room(bytes).await.ok_or_else(|| log.closed())?;
            let (done, confirmed) = oneshot::channel();
            let identity = Some((batch.writer, batch.wseq));
            submit(&log, Append { identity, record: batch::encode(&batch), _room: Some(room), done });
            confirmed.await.unwrap_or_else(|_| Err(log.closed()))
        })
    }

    fn read(&self, log: LogId, from: Offset) -> BoxStream<'static, Result<(Offset, Batch), Error>> {
        let inner = Arc::clone(&self.inner);
        let opened = async move {
            match inner.log(log).await {
                Ok(log) => tail(log, from).boxed(),
                Err(error) => futures::stream::iter([Err(error)]).boxed(),
            }
        };
        futures::stream::once(opened).flatten().boxed()
    }

    fn trim(&self, log: LogId, up_to: Offset) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            let log = self.inner.log(log).await?;
            blocking(move || log.segments.release(up_to.0)).await
        })
    }

    fn bounds(&self, log: LogId) -> BoxFuture<'_, Result<(Offset, Offset), Error>> {
        Box::pin(async move {
            let log = self.inner.log(log).await?;
            Ok((Offset(log.segments.low()), Offset(log.segments.end())))
        })
    }

    fn durability(&self) -> Durability {
        match self.inner.settings.fsync {
            Fsync::Always => Durability::Power,
            Fsync::Never => Durability::Process,
        }
    }
}

impl Inner {
    async fn log(&self, id: LogId) -> Result<Arc<OneLog>, Error> {
        let mut logs = self.logs.lock().await;
        if let Some(log) = logs.get(&id) {
            return Ok(Arc::clone(log));
        }
        let (files, settings, metrics) = (Arc::clone(&self.files), self.settings.clone(), self.metrics.clone());
        let dir = self.dir.join(format!("log-{:05}", id.0));
        let runtime = Handle::current();
        let log = Arc::new(blocking(move || OneLog::open(&dir, id, files, settings, metrics, runtime)).await?);
        logs.insert(id, Arc::clone(&log));
        Ok(log)
    }
}

impl OneLog {
    fn open(
        dir: &Path,
        id: LogId,
        files: Arc<dyn Files>,
        settings: LogSettings,
        metrics: Metrics,
        runtime: Handle,
    ) -> Result<Self, Error> {
        let config = Config {
            kind: Kind::Log,
            log: u32::from(id.0),
            segment_bytes: settings.segment_bytes,
            fsync: settings.fsync,
            on_corrupt: settings.on_corrupt,
        };
        let segments = Segments::open(dir, files, config, metrics)?;
        let mut retries = Retries::new(settings.retry_window_count, settings.writers_max);
        let mut reader = Reader::new(segments.low());
        // Damage is not an error of opening: what is before it can be read, and appends are refused.
        while let Ok(Some(item)) = segments.next_item(&mut reader) {
            if let Item::Record { seq, body, .. } = item {
                let (writer, wseq) = batch::peek(&body).map_err(|fault| not_a_batch(&segments, seq, fault))?;
                retries.record(writer, wseq, seq);
            }
        }
        let (progress, _) = watch::channel(Progress { end: segments.end(), closed: false });
        let lane = Lane::new(runtime, settings.pending_bytes_max);
        Ok(Self { settings, segments, lane, retries: Mutex::new(retries), progress })
    }

    fn closed(&self) -> Error {
        Error::new(ErrorKind::Closed, self.segments.dir(), "the log is closed")
    }

    fn fetch(&self, reader: &mut Reader, out: &mut Vec<(u64, Bytes)>) -> Result<(), Error> {
        while out.len() < READ_BATCHES_MAX && (out.is_empty() || reader.is_buffered()) {
            match self.segments.next_item(reader) {
                Ok(Some(Item::Record { seq, body, .. })) => out.push((seq, body)),
                Ok(Some(Item::Lost { .. })) => {}
                Ok(None) => break,
                // What is whole is served first; the error comes again on the next call.
                Err(_) if !out.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn not_a_batch(segments: &Segments, seq: u64, fault: batch::Fault) -> Error {
    match fault {
        batch::Fault::Version(version) => {
            Error::new(ErrorKind::Version, segments.dir(), format!("the batch at offset {seq} has version {version}"))
                .remedy("use the version of the program that wrote this folder")
        }
        batch::Fault::Malformed => {
            Error::new(ErrorKind::Corrupt, segments.dir(), format!("the record at offset {seq} is not a batch"))
        }
    }
}

/// A reader that follows the log.
struct Tail {
    log: Arc<OneLog>,
    progress: watch::Receiver<Progress>,
    reader: Reader,
    ready: std::vec::IntoIter<(u64, Bytes)>,
    failed: bool,
}

fn tail(log: Arc<OneLog>, from: Offset) -> impl futures::Stream<Item = Result<(Offset, Batch), Error>> + Send {
    let progress = log.progress.subscribe();
    let tail = Tail { log, progress, reader: Reader::new(from.0), ready: Vec::new().into_iter(), failed: false };
    futures::stream::unfold(tail, |mut tail| async move {
        let item = tail.next().await?;
        tail.failed = item.is_err();
        Some((item, tail))
    })
}

impl Tail {
    async fn next(&mut self) -> Option<Result<(Offset, Batch), Error>> {
        if self.failed {
            return None;
        }
        loop {
            if let Some((seq, record)) = self.ready.next() {
                let batch = batch::decode(&record).map_err(|fault| not_a_batch(&self.log.segments, seq, fault));
                return Some(batch.map(|batch| (Offset(seq), batch)));
            }
            if self.reader.next < self.log.segments.low() {
                let context = format!("offset {} has been trimmed away", self.reader.next);
                let error = Error::new(ErrorKind::Invalid, self.log.segments.dir(), context);
                return Some(Err(error.remedy("read from the first offset kept")));
            }
            let seen = *self.progress.borrow_and_update();
            let log = Arc::clone(&self.log);
            let mut reader = std::mem::replace(&mut self.reader, Reader::new(0));
            let fetched = blocking(move || {
                let mut out = Vec::new();
                log.fetch(&mut reader, &mut out)?;
                Ok((reader, out))
            })
            .await;
            match fetched {
                Ok((reader, out)) => {
                    self.reader = reader;
                    self.ready = out.into_iter();
                }
                Err(error) => return Some(Err(error)),
            }
            if self.ready.len() == 0 {
                if seen.closed {
                    return None;
                }
                // Marked as seen before the fetch, so an append since then is not waited for.
                self.progress.changed().await.ok()?;
            }
        }
    }
}

/// One append on its way to the disk.
#[derive(Debug)]
struct Append {
    /// `None` for the append of nothing that marks the end.
    identity: Option<(crate::log::WriterId, u64)>,
    record: Bytes,
    /// Room in the lane, given back with the append.
    _room: Option<OwnedSemaphorePermit>,
    done: oneshot::Sender<Result<Offset, Error>>,
}

/// Where a batch of the group in hand ends up.
enum Place {
    /// The n-th new record of this group.
    New(u64),
    Known(u64),
    Refused,
}

impl Committer for OneLog {
    type Item = Append;

    fn lane(&self) -> &Lane<Append> {
        &self.lane
    }

    fn commit(&self, group: Vec<Append>) {
        let mut retries = self.retries.lock();
        let mut fresh: BTreeMap<(crate::log::WriterId, u64), u64> = BTreeMap::new();
        let mut bodies = Vec::new();
        let mut places = Vec::with_capacity(group.len());
        for append in &group {
            let Some((writer, wseq)) = append.identity else {
                places.push(Place::Refused);
                continue;
            };
            places.push(match (retries.look(writer, wseq), fresh.get(&(writer, wseq))) {
                (Seen::At(offset), _) => Place::Known(offset),
                (Seen::Forgotten, _) => Place::Refused,
                (Seen::New, Some(nth)) => Place::New(*nth),
                (Seen::New, None) => {
                    let nth = bodies.len() as u64;
                    fresh.insert((writer, wseq), nth);
                    bodies.push(&append.record);
                    Place::New(nth)
                }
            });
        }
        let metrics = self.segments.metrics();
        metrics.appends(bodies.len() as u64);
        let identified = group.iter().filter(|append| append.identity.is_some()).count();
        metrics.append_duplicates((identified - bodies.len()) as u64);
        let result = match bodies.is_empty() {
            true => Ok(self.segments.end()),
            false => self.segments.append(bodies.iter().copied()),
        };
        if let Ok(first) = result {
            for ((writer, wseq), nth) in fresh {
                retries.record(writer, wseq, first + nth);
            }
            let end = self.segments.end();
            self.progress.send_modify(|progress| progress.end = end);
        }
        drop(retries);
        for (append, place) in group.into_iter().zip(places) {
            let answer = match place {
                Place::New(nth) => result.as_ref().map(|first| Offset(first + nth)).map_err(Error::clone),
                Place::Known(offset) => Ok(Offset(offset)),
                Place::Refused => Err(Error::new(
                    ErrorKind::Invalid,
                    self.segments.dir(),
                    "this number of this writer is too old to tell whether it is in the log",
                )
                .remedy("raise retry_window_count, or retry sooner")),
            };
            // A caller that went away has lost interest, not the batch.
            append.done.send(answer).ok();
        }
    }

    fn tidy(&self) {}
}
