//! The small file beside the segments that says how far everything is acknowledged (or trimmed).
//!
//! Two slots are written in turn, each with a generation and a CRC, so a write that is cut short leaves the other
//! slot. A lost or stale cursor never loses a record: it only brings acknowledged ones back.
//!
//! ```text
//! slot, at byte 0 and 512:  magic[8] version:u16 zero:u16 generation:u64 low:u64 end:u64 crc:u32
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, ErrorKind};
use crate::files::{File, Files, OpenMode, read_full_at, write_all_at};
use crate::format::{u16_at, u32_at, u64_at};
use crate::metrics::Metrics;

/// The file's name in the folder of its log.
pub(crate) const CURSOR_FILE: &str = "cursor";

const MAGIC: [u8; 8] = *b"weircur\0";
const VERSION: u16 = 1;
const SLOT_BYTES: usize = 40;
/// The slots lie in different sectors.
const SLOT_OFFSETS: [u64; 2] = [0, 512];

/// What the file says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks {
    /// Every record before this one is done with.
    pub(crate) low: u64,
    /// Every record before this one had been confirmed when the file was written.
    pub(crate) end: u64,
}

/// The open cursor file.
#[derive(Debug)]
pub(crate) struct Cursor {
    path: PathBuf,
    file: Arc<dyn File>,
    generation: u64,
    metrics: Metrics,
}

impl Cursor {
    /// Opens or creates the cursor of the log in `dir`. `None` for the marks means that there are none to be trusted.
    ///
    /// # Errors
    /// [`ErrorKind::Version`] for a cursor of another format; an unreadable one is counted, not an error.
    pub(crate) fn open(dir: &Path, files: &dyn Files, metrics: Metrics) -> Result<(Self, Option<Marks>), Error> {
        let path = dir.join(CURSOR_FILE);
        let file = files.open(&path, OpenMode::Create).map_err(|e| Error::io(&path, "opening the cursor", &e))?;
        let mut newest: Option<(u64, Marks)> = None;
        let mut damaged = 0;
        for offset in SLOT_OFFSETS {
            let mut slot = [0; SLOT_BYTES];
            let got =
                read_full_at(&*file, &mut slot, offset).map_err(|e| Error::io(&path, "reading the cursor", &e))?;
            match decode(slot.get(..got).unwrap_or_default()) {
                Slot::Empty => {}
                Slot::Damaged => damaged += 1,
                Slot::Version(version) => {
                    return Err(Error::new(
                        ErrorKind::Version,
                        path,
                        format!("format version {version}; this program knows version {VERSION}"),
                    )
                    .at(offset)
                    .remedy("use the version of the program that wrote this folder"));
                }
                Slot::Whole(generation, marks) if newest.is_none_or(|(known, _)| known < generation) => {
                    newest = Some((generation, marks));
                }
                Slot::Whole(..) => {}
            }
        }
        if damaged > 0 {
            metrics.bad_cursors(1);
            tracing::warn!(path = %path.display(), fallback = newest.is_some(), "damaged cursor; acknowledged records may come again");
        }
        let generation = newest.map_or(0, |(generation, _)| generation);
        Ok((Self { path, file, generation, metrics }, newest.map(|(_, marks)| marks)))
    }

    /// Writes the marks into the older slot; with `sync` they are on the device when this returns.
    pub(crate) fn write(&mut self, marks: Marks, sync: bool) -> Result<(), Error> {
        let generation = self.generation + 1;
        let offset = SLOT_OFFSETS.get((generation % 2) as usize).copied().unwrap_or_default();
        let written = write_all_at(&*self.file, &encode(generation, marks), offset).and_then(|()| {
            if sync {
                self.metrics.fsyncs(1);
                self.file.sync_data()?;
            }
            Ok(())
        });
        match written {
            Ok(()) => {
                self.generation = generation;
                Ok(())
            }
            Err(e) => {
                self.metrics.cursor_writes_failed(1);
                Err(Error::io(&self.path, "writing the cursor", &e).at(offset))
            }
        }
    }
}

enum Slot {
    Empty,
    Damaged,
    Version(u16),
    Whole(u64, Marks),
}

fn encode(generation: u64, marks: Marks) -> Vec<u8> {
    let mut slot = Vec::with_capacity(SLOT_BYTES);
    slot.extend_from_slice(&MAGIC);
    slot.extend_from_slice(&VERSION.to_le_bytes());
    slot.extend_from_slice(&[0; 2]);
    slot.extend_from_slice(&generation.to_le_bytes());
    slot.extend_from_slice(&marks.low.to_le_bytes());
    slot.extend_from_slice(&marks.end.to_le_bytes());
    let crc = crc32fast::hash(&slot);
    slot.extend_from_slice(&crc.to_le_bytes());
    slot
}

fn decode(slot: &[u8]) -> Slot {
    if slot.iter().all(|byte| *byte == 0) {
        return Slot::Empty;
    }
    decode_whole(slot).unwrap_or(Slot::Damaged)
}

fn decode_whole(slot: &[u8]) -> Option<Slot> {
    let covered = slot.get(..SLOT_BYTES - 4)?;
    if covered.get(..8)? != MAGIC || u32_at(slot, SLOT_BYTES - 4)? != crc32fast::hash(covered) {
        return None;
    }
    let version = u16_at(slot, 8)?;
    if version != VERSION {
        return Some(Slot::Version(version));
    }
    Some(Slot::Whole(u64_at(slot, 12)?, Marks { low: u64_at(slot, 20)?, end: u64_at(slot, 28)? }))
}
