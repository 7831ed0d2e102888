//! Reading confirmed records in order, and what happens at a damaged one.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::{Damage, Segments, corrupt, random_salt, read_header};
use crate::error::{Error, ErrorKind};
use crate::files::{File, OpenMode, read_full_at, write_all_at};
use crate::format::{RECORD_HEADER_BYTES, RecordHeader, SEGMENT_HEADER_BYTES};
use crate::scan::{Scanner, Step};
use crate::settings::OnCorrupt;

/// The folder for damaged bytes, inside the folder of the log.
const QUARANTINE_DIR: &str = "quarantine";

/// One reader's place. It may be kept, and used again after more was appended.
#[derive(Debug)]
pub(crate) struct Reader {
    /// Number of the next record to serve.
    pub(crate) next: u64,
    place: Option<Place>,
}

#[derive(Debug)]
struct Place {
    base: u64,
    path: Arc<Path>,
    file: Arc<dyn File>,
    scanner: Scanner,
    /// Records before this number are in this file and confirmed.
    until: u64,
}

/// What a reader is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// A whole record.
    Record {
        seq: u64,
        /// Byte of its frame in its file.
        pos: u64,
        body: Bytes,
    },
    /// With quarantine: records that are damaged and were skipped, and the bytes they took.
    Lost { seq: u64, count: u64, bytes: u64 },
}

impl Item {
    /// Bytes of the body.
    pub(crate) fn body_len(&self) -> usize {
        match self {
            Self::Record { body, .. } => body.len(),
            Self::Lost { .. } => 0,
        }
    }
}

impl Reader {
    pub(crate) fn new(next: u64) -> Self {
        Self { next, place: None }
    }

    /// Whether the next record is in memory, so that serving it needs no system call.
    pub(crate) fn is_buffered(&self) -> bool {
        self.place.as_ref().is_some_and(|place| {
            self.next < place.until && place.scanner.seq == self.next && place.scanner.is_buffered()
        })
    }
}

impl Segments {
    /// Serves the next record, or `None` at the confirmed end.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] at damage that stops, again and again; [`ErrorKind::Invalid`] for a place trimmed away.
    pub(crate) fn next_item(&self, reader: &mut Reader) -> Result<Option<Item>, Error> {
        if let Some(damage) = self.index.lock().damage.as_ref().filter(|damage| damage.seq <= reader.next) {
            return Err(damage.error.clone());
        }
        loop {
            if !self.place(reader)? {
                return Ok(None);
            }
            let Some(place) = reader.place.as_mut() else { return Ok(None) };
            let seq = place.scanner.seq;
            match place.scanner.step().map_err(|e| Error::io(&place.path, "reading a segment", &e))? {
                // Before the reader's place: only walked over.
                Step::Record { .. } if seq < reader.next => {}
                Step::Record { pos, body } => {
                    reader.next = seq + 1;
                    return Ok(Some(Item::Record { seq, pos, body }));
                }
                Step::Bad | Step::End => {
                    if let Some(lost) = self.damaged(reader)? {
                        return Ok(Some(lost));
                    }
                }
            }
        }
    }

    /// Reads one record again whose place is known.
    pub(crate) fn reread(&self, seq: u64, pos: u64) -> Result<Bytes, Error> {
        let segment = {
            let index = self.index.lock();
            index.segments.iter().rev().find(|segment| segment.base <= seq).cloned()
        };
        let gone = || Error::new(ErrorKind::Invalid, self.dir(), format!("record {seq} has been released"));
        let segment = segment.ok_or_else(gone)?;
        let io = |e: std::io::Error| Error::io(&segment.path, "reading a record again", &e);
        let file = self.files.open(&segment.path, OpenMode::Read).map_err(io)?;
        let damaged = || corrupt(&segment.path, pos, format!("record {seq} is damaged"));
        let salt = read_header(&*file, &segment.path, segment.base, &self.config)?.map_err(|()| damaged())?;
        let mut head = [0; RECORD_HEADER_BYTES];
        read_full_at(&*file, &mut head, pos).map_err(io)?;
        let header = RecordHeader::decode(&head, salt).filter(|h| h.seq == seq).ok_or_else(damaged)?;
        let mut body = vec![0; header.len as usize];
        let got = read_full_at(&*file, &mut body, pos + RECORD_HEADER_BYTES as u64).map_err(io)?;
        if got == body.len() && header.fits(salt, &body) { Ok(body.into()) } else { Err(damaged()) }
    }

    /// Confirmed bytes from the record `seq` on, with framing.
    pub(crate) fn bytes_from(&self, seq: u64) -> Result<u64, Error> {
        let mut reader = Reader::new(seq);
        if !self.place(&mut reader)? {
            return Ok(0);
        }
        let Some(place) = reader.place.as_mut() else { return Ok(0) };
        let scanner = &mut place.scanner;
        let mut pos = scanner.pos;
        while scanner.seq < seq {
            let step = scanner.step().map_err(|e| Error::io(&place.path, "reading a segment", &e))?;
            let whole = matches!(step, Step::Record { .. })
                || scanner.resync(place.until).map_err(|e| Error::io(&place.path, "reading a segment", &e))?;
            if !whole || scanner.seq > seq {
                break;
            }
            pos = scanner.pos;
        }
        let index = self.index.lock();
        let here = index.segments.iter().find(|segment| segment.base == place.base);
        let later = index.segments.iter().filter(|segment| segment.base > place.base);
        Ok(here.map_or(0, |segment| segment.len.saturating_sub(pos))
            + later.map(|segment| segment.len.saturating_sub(SEGMENT_HEADER_BYTES as u64)).sum::<u64>())
    }

    /// Makes sure that the reader stands in the file that holds its next record; false if that is not confirmed yet.
    fn place(&self, reader: &mut Reader) -> Result<bool, Error> {
        if reader.place.as_ref().is_some_and(|place| reader.next < place.until) {
            return Ok(true);
        }
        let (segment, until) = {
            let index = self.index.lock();
            if reader.next >= index.end {
                return Ok(false);
            }
            let at = index.segments.partition_point(|segment| segment.base <= reader.next);
            let until = index.segments.get(at).map_or(index.end, |next| next.base.min(index.end));
            (at.checked_sub(1).and_then(|at| index.segments.get(at)).cloned(), until)
        };
        let Some(segment) = segment else {
            let context = format!("record {} has been trimmed away", reader.next);
            return Err(Error::new(ErrorKind::Invalid, self.dir(), context).remedy("read from the first offset kept"));
        };
        match &mut reader.place {
            Some(place) if place.base == segment.base => {
                place.until = until;
                place.scanner.limit = segment.len;
            }
            place => {
                let file = self
                    .files
                    .open(&segment.path, OpenMode::Read)
                    .map_err(|e| Error::io(&segment.path, "opening a segment", &e))?;
                let header = read_header(&*file, &segment.path, segment.base, &self.config)?;
                // A damaged header leaves no salt to check records with. Any other salt makes the whole file one damage;
                // a random one, so that no payload can pass for records.
                let salt = header.unwrap_or_else(|()| random_salt());
                let start = SEGMENT_HEADER_BYTES as u64;
                let scanner = Scanner::new(Arc::clone(&file), salt, start, segment.base, segment.len);
                *place = Some(Place { base: segment.base, path: segment.path, file, scanner, until });
            }
        }
        Ok(true)
    }

    /// The reader stands before bytes that should be a record and are not. Damage among released records is stepped
    /// over; otherwise the policy decides.
    fn damaged(&self, reader: &mut Reader) -> Result<Option<Item>, Error> {
        let Some(place) = reader.place.as_mut() else { return Ok(None) };
        let (pos, seq, limit) = (place.scanner.pos, place.scanner.seq, place.scanner.limit);
        let found = place.scanner.resync(place.until).map_err(|e| Error::io(&place.path, "reading a segment", &e))?;
        let (next_pos, next_seq) = if found { (place.scanner.pos, place.scanner.seq) } else { (limit, place.until) };
        if !found {
            place.scanner.pos = limit.max(pos);
            place.scanner.seq = place.until;
        }
        let first_lost = seq.max(reader.next);
        if next_seq <= first_lost {
            return Ok(None);
        }
        let count = next_seq - first_lost;
        let what = format!("{count} record(s) from number {first_lost} on are not what was written");
        if self.config.on_corrupt == OnCorrupt::Stop {
            let error = corrupt(&place.path, pos, what);
            reader.place = None;
            let mut index = self.index.lock();
            if index.damage.is_none() {
                index.damage = Some(Damage { seq: first_lost, error: error.clone() });
                self.metrics.corrupt_records(count);
                tracing::error!(%error, "damaged log");
            }
            return Err(error);
        }
        let bytes = next_pos.saturating_sub(pos);
        let kept = quarantine(self, place, pos, bytes)?;
        self.metrics.corrupt_records(count);
        tracing::error!(
            path = %place.path.display(), offset = pos, bytes, records = count, kept = %kept,
            "damaged records were put aside and skipped: {what}"
        );
        reader.next = next_seq;
        Ok(Some(Item::Lost { seq: first_lost, count, bytes }))
    }
}

/// Copies damaged bytes into the quarantine folder; returns the copy's path for the log.
fn quarantine(segments: &Segments, place: &Place, pos: u64, bytes: u64) -> Result<String, Error> {
    let dir = segments.dir.join(QUARANTINE_DIR);
    let path = dir.join(format!("{:020}-{pos}.bad", place.base));
    let copy = || -> std::io::Result<()> {
        segments.files.create_dir_all(&dir)?;
        let mut damaged = vec![0; usize::try_from(bytes).unwrap_or(usize::MAX)];
        let got = read_full_at(&*place.file, &mut damaged, pos)?;
        let file = segments.files.open(&path, OpenMode::Create)?;
        write_all_at(&*file, damaged.get(..got).unwrap_or_default(), 0)?;
        file.sync_data()?;
        segments.files.sync_dir(&dir)
    };
    copy().map_err(|e| Error::io(&path, "putting damaged bytes aside", &e))?;
    Ok(path.display().to_string())
}
