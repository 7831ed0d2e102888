//! A sequence of numbered records in segment files: the machinery under the ordered log and the disk queue.
//!
//! Everything here blocks and is called on the blocking pool only. One writer at a time (`writer`), any number of
//! readers, each with a [`Reader`] of its own; they meet in `index`, a short lock that is never held during I/O.
//!
//! Invariants:
//! - Records are numbered from 0 without gaps; a file is named by the number of its first record, so the count of a
//!   sealed file is known without reading it, and a missing record is noticed.
//! - `index.end` only passes a record after it is durable as the settings say. Readers never look behind it.
//! - A failed flush poisons the writer for good (the kernel may have dropped the pages: a second flush that succeeds
//!   proves nothing). A failed write is cut off again; if that fails too, the writer is poisoned.
//! - Damaged bytes are never changed or deleted: opening cuts only an end that was never confirmed.

mod append;
mod claim;
mod read;
mod recover;

use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::cursor::{Cursor, Marks};
use crate::error::{Error, ErrorKind};
use crate::files::{File, Files};
use crate::format::{HeaderFault, Kind, SEGMENT_HEADER_BYTES, SegmentHeader, VERSION};
use crate::metrics::Metrics;
use crate::settings::{Fsync, OnCorrupt};

pub(crate) use read::{Item, Reader};

/// What a sequence of segments needs to know.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) kind: Kind,
    pub(crate) log: u32,
    pub(crate) segment_bytes: u64,
    pub(crate) fsync: Fsync,
    pub(crate) on_corrupt: OnCorrupt,
}

/// An open sequence of segment files.
#[derive(Debug)]
pub(crate) struct Segments {
    dir: PathBuf,
    files: Arc<dyn Files>,
    config: Config,
    metrics: Metrics,
    /// The only one that writes. Held during I/O, so only the blocking pool may take it.
    writer: Mutex<Writer>,
    /// Held during I/O like `writer`.
    cursor: Mutex<Cursor>,
    /// Where everything is. Never held during I/O.
    index: Mutex<Index>,
    /// Empty once closed.
    claim: Mutex<Option<claim::Claim>>,
}

#[derive(Debug)]
struct Writer {
    file: Arc<dyn File>,
    path: PathBuf,
    salt: u32,
    /// Behind the last confirmed byte.
    pos: u64,
    /// Number of the next record.
    next: u64,
    buf: Vec<u8>,
    /// Why nothing more is written, once that is so.
    failed: Option<Error>,
}

#[derive(Debug)]
struct Index {
    /// Oldest first; the last is the one being written. Never empty.
    segments: VecDeque<Segment>,
    /// Behind the last confirmed record.
    end: u64,
    /// Everything before has been released.
    low: u64,
    /// What the cursor knew as confirmed when opening. Kept in the cursor while damage hides records, so that they are
    /// still known to be missing the next time.
    confirmed: u64,
    /// Damage that stops this sequence (`OnCorrupt::Stop`).
    damage: Option<Damage>,
}

impl Index {
    fn marks(&self) -> Marks {
        Marks { low: self.low, end: self.end.max(self.confirmed) }
    }
}

#[derive(Clone, Debug)]
struct Damage {
    /// Nothing from this record on is served.
    seq: u64,
    error: Error,
}

#[derive(Clone, Debug)]
struct Segment {
    base: u64,
    path: Arc<Path>,
    /// Confirmed bytes, header included.
    len: u64,
}

impl Segments {
    /// Behind the last confirmed record.
    pub(crate) fn end(&self) -> u64 {
        self.index.lock().end
    }

    /// The oldest record still to be served.
    pub(crate) fn low(&self) -> u64 {
        self.index.lock().low
    }

    /// The damage that stops this sequence, if any.
    pub(crate) fn damage(&self) -> Option<Error> {
        self.index.lock().damage.as_ref().map(|damage| damage.error.clone())
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Persists that everything before `low` is done with and deletes the files that hold nothing else.
    pub(crate) fn release(&self, low: u64) -> Result<(), Error> {
        if self.claim.lock().is_none() {
            // Closed: the folder may be somebody else's by now.
            return Ok(());
        }
        // Held throughout: two releases at once would both delete what only one may.
        let mut cursor = self.cursor.lock();
        let (marks, deletable) = {
            let mut index = self.index.lock();
            index.low = index.low.max(low.min(index.end));
            let done = index.segments.iter().skip(1).take_while(|next| next.base <= index.low).count();
            (index.marks(), done)
        };
        // The cursor reaches the device before a file goes, so that a file missing later is known to be missing.
        let sync = deletable > 0 && self.config.fsync == Fsync::Always;
        cursor.write(marks, sync)?;
        for _ in 0..deletable {
            let Some(segment) = self.index.lock().segments.pop_front() else { break };
            self.files
                .remove(&segment.path)
                .map_err(|e| Error::io(&segment.path, "deleting a finished segment", &e))?;
            self.metrics.segments_deleted(1);
        }
        Ok(())
    }

    /// Flushes what `Fsync::Never` left to the system, and the cursor; refuses appends; gives the folder back.
    pub(crate) fn close(&self) -> Result<(), Error> {
        let mut writer = self.writer.lock();
        let marks = self.index.lock().marks();
        if writer.failed.is_none() {
            if self.config.fsync == Fsync::Never {
                self.metrics.fsyncs(1);
                if let Err(e) = writer.file.sync_data() {
                    return Err(writer.poison(&self.metrics, "flushing", &e));
                }
            }
            writer.failed = Some(Error::new(ErrorKind::Closed, &self.dir, "closed"));
            self.cursor.lock().write(marks, true)?;
        }
        drop(self.claim.lock().take());
        Ok(())
    }
}

fn segment_path(dir: &Path, base: u64) -> PathBuf {
    dir.join(format!("{base:020}.seg"))
}

/// A number nobody outside can know, from the standard library's per-process random keys.
fn random_salt() -> u32 {
    u32::try_from(RandomState::new().build_hasher().finish() >> 32).unwrap_or_default()
}

/// The number in a segment file's name; `None` for any other file.
fn parse_segment_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg")?;
    (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok()).flatten()
}

/// Reads and checks a segment's header. `Ok(Err(()))` means damaged.
fn read_header(file: &dyn File, path: &Path, base: u64, config: &Config) -> Result<Result<u32, ()>, Error> {
    let mut bytes = [0; SEGMENT_HEADER_BYTES];
    let got = crate::files::read_full_at(file, &mut bytes, 0).map_err(|e| Error::io(path, "reading a segment", &e))?;
    match SegmentHeader::decode(bytes.get(..got).unwrap_or_default()) {
        Ok(header) if (header.kind, header.log, header.base) == (config.kind, config.log, base) => Ok(Ok(header.salt)),
        Ok(_) => Err(Error::new(ErrorKind::Corrupt, path, "this segment belongs to another log or place")
            .at(0)
            .remedy("move the file out of this folder")),
        Err(HeaderFault::Version(version)) => Err(Error::new(
            ErrorKind::Version,
            path,
            format!("format version {version}; this program knows version {VERSION}"),
        )
        .at(8)
        .remedy("use the version of the program that wrote this folder")),
        Err(HeaderFault::Damaged) => Ok(Err(())),
    }
}

/// The error for damage, with what an operator can do.
fn corrupt(path: &Path, offset: u64, context: String) -> Error {
    Error::new(ErrorKind::Corrupt, path, context).at(offset).remedy(
        "restore the file from a copy, or set on_corrupt to quarantine to keep the bytes aside and go on behind them",
    )
}
