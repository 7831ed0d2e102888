//! Opening: what a crash left behind is sorted into whole, torn and damaged.
//!
//! Bad bytes at the end of the last file, with no whole record behind them and never confirmed as far as the cursor
//! knows, are a torn write: they are cut and counted. Everything else is damage: bad bytes with a whole record behind
//! them, or confirmed records that are not there. Damage among records already released is of no consequence.
//!
//! With `Fsync::Never` a loss of power may take confirmed records from the end; that is what the setting means, so it
//! is logged and not treated as damage.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use super::append::{CreateFault, create_segment};
use super::claim::Claim;
use super::{Config, Damage, Index, Segment, Segments, Writer, corrupt, parse_segment_name, read_header, segment_path};
use crate::cursor::{Cursor, Marks};
use crate::error::Error;
use crate::files::{Files, OpenMode};
use crate::format::{RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES};
use crate::metrics::Metrics;
use crate::scan::{Scanner, Step};
use crate::settings::{Fsync, OnCorrupt};

impl Segments {
    /// Opens the sequence in `dir`, creating it if there is none. With [`OnCorrupt::Stop`] damage found now is not an
    /// error here: what is before it can be read, and then every read and append answers it.
    pub(crate) fn open(dir: &Path, files: Arc<dyn Files>, config: Config, metrics: Metrics) -> Result<Self, Error> {
        files.create_dir_all(dir).map_err(|e| Error::io(dir, "creating the folder of a log", &e))?;
        let claim = Claim::take(dir)?;
        if config.fsync == Fsync::Always
            && let Some(parent) = dir.parent()
        {
            files.sync_dir(parent).map_err(|e| Error::io(parent, "flushing the folder of a log", &e))?;
        }
        let mut found = find_segments(dir, &*files, &config)?;
        drop_unborn(&mut found, &*files, &metrics)?;
        let had_segments = !found.is_empty();
        let (mut cursor, marks) = Cursor::open(dir, &*files, metrics.clone())?;
        if had_segments && marks.is_none() {
            metrics.bad_cursors(1);
            tracing::warn!(path = %dir.display(), "no usable cursor; acknowledged records will come again");
        }
        let opening = Opening { dir, files: &*files, config: &config, metrics: &metrics };
        let known = marks.unwrap_or_default();
        let recovered = match found.back() {
            None => opening.recover_empty(known)?,
            Some(last) => opening.recover_last(last, known)?,
        };
        let mut index = Index {
            segments: found.into_iter().map(|found| found.segment).collect(),
            end: recovered.end,
            low: known.low.min(recovered.end),
            confirmed: if config.fsync == Fsync::Always { known.end } else { 0 },
            damage: recovered.damage,
        };
        if let Some(new) = recovered.new_segment {
            index.segments.push_back(new);
        } else if let Some(last) = index.segments.back_mut() {
            last.len = recovered.writer.pos;
        }
        opening.check_first(&mut index, marks.is_some());
        let now = index.marks();
        if index.damage.is_none() && marks != Some(now) {
            // On the device before any append: a stale cursor ahead of the log would swallow new records.
            cursor.write(now, config.fsync == Fsync::Always || known.end > now.end)?;
        }
        let mut writer = recovered.writer;
        writer.failed = index.damage.as_ref().map(|damage| damage.error.clone());
        Ok(Self {
            dir: dir.to_owned(),
            files,
            config,
            metrics,
            writer: Mutex::new(writer),
            cursor: Mutex::new(cursor),
            index: Mutex::new(index),
            claim: Mutex::new(Some(claim)),
        })
    }
}

struct Found {
    segment: Segment,
    /// `None`: the header is damaged.
    salt: Option<u32>,
}

/// The segment files in `dir`, oldest first.
fn find_segments(dir: &Path, files: &dyn Files, config: &Config) -> Result<VecDeque<Found>, Error> {
    let names = files.list(dir).map_err(|e| Error::io(dir, "listing the folder of a log", &e))?;
    let mut bases: Vec<u64> = names.iter().filter_map(|name| parse_segment_name(name)).collect();
    bases.sort_unstable();
    let mut found = VecDeque::with_capacity(bases.len());
    for base in bases {
        let path = segment_path(dir, base);
        let file = files.open(&path, OpenMode::Read).map_err(|e| Error::io(&path, "opening a segment", &e))?;
        let len = file.size().map_err(|e| Error::io(&path, "opening a segment", &e))?;
        let salt = read_header(&*file, &path, base, config)?.ok();
        found.push_back(Found { segment: Segment { base, path: path.into(), len }, salt });
    }
    Ok(found)
}

/// Removes a last file that a crash left without even its header: it never held a record.
fn drop_unborn(found: &mut VecDeque<Found>, files: &dyn Files, metrics: &Metrics) -> Result<(), Error> {
    let unborn = |last: &mut Found| last.salt.is_none() && last.segment.len <= SEGMENT_HEADER_BYTES as u64;
    let Some(last) = found.pop_back_if(unborn) else { return Ok(()) };
    let path = &last.segment.path;
    metrics.torn_tails(1);
    metrics.torn_bytes(last.segment.len);
    tracing::warn!(path = %path.display(), bytes = last.segment.len, "a segment file was cut short at its creation");
    files.remove(path).map_err(|e| Error::io(path, "removing an unfinished segment", &e))
}

struct Opening<'a> {
    dir: &'a Path,
    files: &'a dyn Files,
    config: &'a Config,
    metrics: &'a Metrics,
}

struct Recovered {
    writer: Writer,
    /// Behind the last record to be served.
    end: u64,
    new_segment: Option<Segment>,
    damage: Option<Damage>,
}

/// What a walk over the last file found.
struct Walk {
    /// Behind the last whole record: byte and number.
    pos: u64,
    seq: u64,
    /// The first bad place that matters: byte, number of the first record lost.
    gap: Option<(u64, u64)>,
}

impl Opening<'_> {
    /// There is no segment: a new log, or one whose files are gone.
    fn recover_empty(&self, known: Marks) -> Result<Recovered, Error> {
        let (writer, segment) = self.new_segment(known.end.max(known.low))?;
        let end = writer.next;
        let lost = known.end.saturating_sub(known.low);
        if lost == 0 {
            return Ok(Recovered { writer, end, new_segment: Some(segment), damage: None });
        }
        let error = corrupt(self.dir, 0, format!("every segment file is missing; {lost} record(s) were in them"));
        let damage = self.judge(known.low, lost, error);
        let end = if damage.is_some() { known.low } else { end };
        Ok(Recovered { writer, end, new_segment: Some(segment), damage })
    }

    fn recover_last(&self, last: &Found, known: Marks) -> Result<Recovered, Error> {
        let path = &last.segment.path;
        let file = self.files.open(path, OpenMode::Write).map_err(|e| Error::io(path, "opening a segment", &e))?;
        let mut walk = match last.salt {
            Some(salt) => {
                let start = SEGMENT_HEADER_BYTES as u64;
                let mut scanner = Scanner::new(Arc::clone(&file), salt, start, last.segment.base, last.segment.len);
                walk(&mut scanner, known.low).map_err(|e| Error::io(path, "reading a segment", &e))?
            }
            // Without the header nothing in the file can be checked.
            None => Walk { pos: last.segment.len, seq: last.segment.base + 1, gap: Some((0, last.segment.base)) },
        };
        let confirmed = if self.config.fsync == Fsync::Always { known.end.max(known.low) } else { 0 };
        if walk.seq < confirmed && known.low < confirmed {
            walk.gap.get_or_insert_with(|| (walk.pos, walk.seq.max(known.low)));
        } else if walk.seq < known.end && self.config.fsync == Fsync::Never {
            let lost = known.end - walk.seq;
            tracing::warn!(path = %path.display(), lost, "records at the end were never flushed and are gone");
        }
        let next = walk.seq.max(confirmed);
        let writer = |pos, failed| Writer {
            file: Arc::clone(&file),
            path: path.to_path_buf(),
            salt: last.salt.unwrap_or_default(),
            pos,
            next,
            buf: Vec::new(),
            failed,
        };
        if let Some((offset, seq)) = walk.gap {
            let lost = next.saturating_sub(seq);
            let error = corrupt(path, offset, format!("records from number {seq} on are not what was written"));
            if let Some(damage) = self.judge(seq, lost, error) {
                return Ok(Recovered {
                    end: seq,
                    writer: writer(last.segment.len, None),
                    new_segment: None,
                    damage: Some(damage),
                });
            }
        }
        if walk.gap.is_some() || next > walk.seq {
            let (writer, segment) = self.new_segment(next)?;
            return Ok(Recovered { writer, end: next, new_segment: Some(segment), damage: None });
        }
        self.cut(last, &*file, walk.pos)?;
        Ok(Recovered { end: next, writer: writer(walk.pos, None), new_segment: None, damage: None })
    }

    /// Cuts a torn end off the last file.
    fn cut(&self, last: &Found, file: &dyn crate::files::File, pos: u64) -> Result<(), Error> {
        let bytes = last.segment.len.saturating_sub(pos);
        if bytes == 0 {
            return Ok(());
        }
        let path = &last.segment.path;
        self.metrics.torn_tails(1);
        self.metrics.torn_bytes(bytes);
        tracing::warn!(path = %path.display(), offset = pos, bytes, "the last write was torn and has been cut off");
        let cut = file.set_len(pos).and_then(|()| match self.config.fsync {
            Fsync::Always => {
                self.metrics.fsyncs(1);
                file.sync_data()
            }
            Fsync::Never => Ok(()),
        });
        cut.map_err(|e| Error::io(path, "cutting a torn end", &e).at(pos))
    }

    /// With `Stop` damage is kept as what every later call answers; with `Quarantine` the reader will come to it.
    fn judge(&self, seq: u64, lost: u64, error: Error) -> Option<Damage> {
        tracing::error!(%error, policy = ?self.config.on_corrupt, "damaged log");
        if self.config.on_corrupt == OnCorrupt::Quarantine {
            return None;
        }
        self.metrics.corrupt_records(lost);
        Some(Damage { seq, error })
    }

    /// Notices that the oldest files are missing, which only a cursor that can be trusted tells.
    fn check_first(&self, index: &mut Index, trusted: bool) {
        let Some(first) = index.segments.front().map(|segment| segment.base) else { return };
        if first <= index.low || index.damage.is_some() {
            return;
        }
        if trusted && self.config.fsync == Fsync::Always {
            let lost = first - index.low;
            let context = format!("the segment files of records {} to {} are missing", index.low, first - 1);
            index.damage = self.judge(index.low, lost, corrupt(self.dir, 0, context));
            if index.damage.is_some() {
                index.end = index.low;
                return;
            }
            self.metrics.corrupt_records(lost);
        }
        index.low = first;
    }

    fn new_segment(&self, base: u64) -> Result<(Writer, Segment), Error> {
        let writer = create_segment(self.dir, self.files, self.config, self.metrics, base).map_err(|e| match e {
            CreateFault::Write(error) => error,
            CreateFault::Sync(path, e) => Error::io(&path, "flushing a new segment", &e),
        })?;
        let segment = Segment { base, path: writer.path.as_path().into(), len: writer.pos };
        Ok((writer, segment))
    }
}

/// Walks to the end of a file. Bad places whose records are all released (before `low`) do not matter.
fn walk(scanner: &mut Scanner, low: u64) -> std::io::Result<Walk> {
    let mut gap = None;
    loop {
        let (pos, seq) = (scanner.pos, scanner.seq);
        match scanner.step()? {
            Step::Record { .. } => {}
            Step::End => return Ok(Walk { pos, seq, gap }),
            Step::Bad => {
                // A file cannot hold more records than headers fit, so a higher number is none of its own.
                let records_max = (scanner.limit - pos) / RECORD_HEADER_BYTES as u64;
                if !scanner.resync(seq.saturating_add(records_max).saturating_add(1))? {
                    return Ok(Walk { pos, seq, gap });
                }
                if scanner.seq > low && gap.is_none() {
                    gap = Some((pos, seq.max(low)));
                }
            }
        }
    }
}
