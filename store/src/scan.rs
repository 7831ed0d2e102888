//! Walks over the records of one segment file: the next whole record, or the fact that there is none here.
//!
//! Not here: what to do about a bad record (segments/read.rs, segments/recover.rs).

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use crate::files::{File, read_full_at};
use crate::format::{RECORD_HEADER_BYTES, RecordHeader};

/// How much is read at once; records of one read share its memory.
const CHUNK_BYTES: usize = 256 * 1024;

/// What is at the scanner's place.
#[derive(Debug)]
pub(crate) enum Step {
    /// A whole record with the expected number; the scanner is behind it now.
    Record {
        /// Where it begins in the file.
        pos: u64,
        /// Its body; shares memory with its neighbours.
        body: Bytes,
    },
    /// Bytes that are not the expected record; the scanner has not moved.
    Bad,
    /// Nothing: the limit is reached.
    End,
}

/// A place in a segment file.
#[derive(Debug)]
pub(crate) struct Scanner {
    file: Arc<dyn File>,
    salt: u32,
    /// Next byte to look at.
    pub(crate) pos: u64,
    /// Number of the record expected there.
    pub(crate) seq: u64,
    /// Bytes from here on are not looked at.
    pub(crate) limit: u64,
    chunk: Bytes,
    chunk_pos: u64,
}

impl Scanner {
    pub(crate) fn new(file: Arc<dyn File>, salt: u32, pos: u64, seq: u64, limit: u64) -> Self {
        Self { file, salt, pos, seq, limit, chunk: Bytes::new(), chunk_pos: 0 }
    }

    /// Takes the next record. Reads from the file only when the chunk in memory is used up.
    pub(crate) fn step(&mut self) -> io::Result<Step> {
        if self.pos >= self.limit {
            return Ok(Step::End);
        }
        let start = self.pos;
        let Some(body) = self.whole_record_at(start, |seq, expected| seq == expected)? else {
            return Ok(Step::Bad);
        };
        self.pos += body.1.len() as u64 + RECORD_HEADER_BYTES as u64;
        self.seq += 1;
        Ok(Step::Record { pos: start, body: body.1 })
    }

    /// Whether the next [`Scanner::step`] needs no system call, as far as can be told from the header in memory.
    pub(crate) fn is_buffered(&self) -> bool {
        let Some(head) = self.buffered(self.pos, RECORD_HEADER_BYTES) else { return false };
        RecordHeader::decode(&head, self.salt)
            .is_some_and(|h| self.buffered(self.pos, RECORD_HEADER_BYTES + h.len as usize).is_some())
    }

    /// Moves to the first whole record behind this place whose number is above the expected one and below `seq_end`;
    /// false, and not moved, if there is none before the limit.
    pub(crate) fn resync(&mut self, seq_end: u64) -> io::Result<bool> {
        let expected = self.seq;
        let plausible = |seq: u64, _| seq > expected && seq < seq_end;
        let mut pos = self.pos + 1;
        while pos + RECORD_HEADER_BYTES as u64 <= self.limit {
            let Some(window) = self.bytes_at(pos, RECORD_HEADER_BYTES)? else { return Ok(false) };
            if RecordHeader::peek_seq(&window).is_some_and(|seq| plausible(seq, 0))
                && let Some((seq, _)) = self.whole_record_at(pos, plausible)?
            {
                self.pos = pos;
                self.seq = seq;
                return Ok(true);
            }
            pos += 1;
        }
        Ok(false)
    }

    fn whole_record_at(&mut self, pos: u64, accept: impl Fn(u64, u64) -> bool) -> io::Result<Option<(u64, Bytes)>> {
        let Some(head) = self.bytes_at(pos, RECORD_HEADER_BYTES)? else { return Ok(None) };
        let Some(header) = RecordHeader::decode(&head, self.salt) else { return Ok(None) };
        if !accept(header.seq, self.seq) {
            return Ok(None);
        }
        let Some(body) = self.bytes_at(pos + RECORD_HEADER_BYTES as u64, header.len as usize)? else {
            return Ok(None);
        };
        Ok(header.fits(self.salt, &body).then_some((header.seq, body)))
    }

    /// `len` bytes at `pos`, or `None` if the limit or the file ends before.
    fn bytes_at(&mut self, pos: u64, len: usize) -> io::Result<Option<Bytes>> {
        if pos + len as u64 > self.limit {
            return Ok(None);
        }
        if let Some(bytes) = self.buffered(pos, len) {
            return Ok(Some(bytes));
        }
        let room = usize::try_from(self.limit - pos).unwrap_or(usize::MAX);
        let mut buf = vec![0; len.max(CHUNK_BYTES).min(room)];
        let got = read_full_at(&*self.file, &mut buf, pos)?;
        buf.truncate(got);
        self.chunk = Bytes::from(buf);
        self.chunk_pos = pos;
        Ok(self.buffered(pos, len))
    }

    fn buffered(&self, pos: u64, len: usize) -> Option<Bytes> {
        let start = usize::try_from(pos.checked_sub(self.chunk_pos)?).ok()?;
        let end = start.checked_add(len)?;
        (end <= self.chunk.len()).then(|| self.chunk.slice(start..end))
    }
}
