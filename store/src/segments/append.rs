//! Writing: a group of records, one flush, and the beginning of a new file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::{Segment, Segments, Writer, random_salt, segment_path};
use crate::error::{Error, ErrorKind};
use crate::files::{File, Files, OpenMode, write_all_at};
use crate::format::{SEGMENT_HEADER_BYTES, SegmentHeader, push_record};
use crate::metrics::Metrics;
use crate::segments::Config;
use crate::settings::Fsync;

/// The write buffer is given back above this size, so that one large group does not hold memory for ever.
const BUF_KEEP_BYTES: usize = 1024 * 1024;

impl Segments {
    /// Writes `bodies` as one group and makes it durable. Returns the number of the first. On an error none of them is
    /// served by this process; after a crash some may turn up, as the outcome of a failed append is unknown.
    pub(crate) fn append<'a>(&self, bodies: impl Iterator<Item = &'a Bytes>) -> Result<u64, Error> {
        if let Some(damage) = self.damage() {
            return Err(damage);
        }
        let mut writer = self.writer.lock();
        if let Some(error) = &writer.failed {
            return Err(error.clone());
        }
        if writer.pos >= self.config.segment_bytes.max(SEGMENT_HEADER_BYTES as u64 + 1) {
            self.roll(&mut writer)?;
        }
        let first = writer.next;
        let mut buf = std::mem::take(&mut writer.buf);
        buf.clear();
        let mut next = first;
        for body in bodies {
            push_record(&mut buf, writer.salt, next, body);
            next += 1;
        }
        let result = self.write_group(&mut writer, &buf);
        let written = buf.len() as u64;
        if buf.capacity() <= BUF_KEEP_BYTES {
            writer.buf = buf;
        }
        result?;
        writer.pos += written;
        writer.next = next;
        self.metrics.append_records(next - first);
        self.metrics.append_bytes(written);
        let mut index = self.index.lock();
        index.end = writer.next;
        if let Some(active) = index.segments.back_mut() {
            active.len = writer.pos;
        }
        Ok(first)
    }

    fn write_group(&self, writer: &mut Writer, buf: &[u8]) -> Result<(), Error> {
        if let Err(e) = write_all_at(&*writer.file, buf, writer.pos) {
            let error = Error::io(&writer.path, "appending", &e).at(writer.pos);
            self.metrics.write_failures(1);
            // A part of the group may be there: cut it, or a later group would lie behind garbage.
            if let Err(cut) = writer.file.set_len(writer.pos) {
                return Err(writer.poison(&self.metrics, &format!("after a failed write ({e}), cutting it off"), &cut));
            }
            // Only a full disk is known to be harmless; after an I/O error nothing about this file is certain.
            if error.kind != ErrorKind::DiskFull {
                return Err(writer.poison(&self.metrics, "appending", &e));
            }
            return Err(error);
        }
        if self.config.fsync == Fsync::Always {
            self.metrics.fsyncs(1);
            if let Err(e) = writer.file.sync_data() {
                return Err(writer.poison(&self.metrics, "flushing", &e));
            }
        }
        Ok(())
    }

    /// Begins a new segment file at the next number.
    fn roll(&self, writer: &mut Writer) -> Result<(), Error> {
        let base = writer.next;
        match create_segment(&self.dir, &*self.files, &self.config, &self.metrics, base) {
            Ok(created) => {
                self.index.lock().segments.push_back(Segment {
                    base,
                    path: created.path.as_path().into(),
                    len: SEGMENT_HEADER_BYTES as u64,
                });
                *writer = created;
                Ok(())
            }
            Err(CreateFault::Write(error)) => {
                self.metrics.write_failures(1);
                Err(error)
            }
            Err(CreateFault::Sync(path, e)) => {
                writer.path = path;
                Err(writer.poison(&self.metrics, "flushing a new segment", &e))
            }
        }
    }
}

impl Writer {
    /// Refuses everything from now on. Returns the error for the append that found out.
    pub(super) fn poison(&mut self, metrics: &Metrics, doing: &str, error: &std::io::Error) -> Error {
        metrics.write_failures(1);
        let poisoned = Error::new(ErrorKind::Poisoned, &self.path, format!("{doing}: {error}"))
            .at(self.pos)
            .remedy("check the disk, then restart the server; what was confirmed before is kept");
        tracing::error!(error = %poisoned, "a log takes no more appends");
        self.failed = Some(poisoned.clone());
        poisoned
    }
}

pub(super) enum CreateFault {
    /// Nothing is there that matters; it can be tried again.
    Write(Error),
    /// A flush failed, so what is on the device is not known.
    Sync(PathBuf, std::io::Error),
}

/// Creates the segment file for the records from `base` on, with its header on the device.
pub(super) fn create_segment(
    dir: &Path,
    files: &dyn Files,
    config: &Config,
    metrics: &Metrics,
    base: u64,
) -> Result<Writer, CreateFault> {
    let path = segment_path(dir, base);
    let fail = |doing: &str, e: std::io::Error| CreateFault::Write(Error::io(&path, doing, &e));
    let file: Arc<dyn File> = files.open(&path, OpenMode::Create).map_err(|e| fail("creating a segment", e))?;
    // What an earlier attempt on a full disk left behind is at most a header; anything longer holds records.
    if file.size().map_err(|e| fail("creating a segment", e))? > SEGMENT_HEADER_BYTES as u64 {
        return Err(CreateFault::Write(Error::new(
            ErrorKind::Corrupt,
            path,
            "a new segment would overwrite one that holds records",
        )));
    }
    let salt = random_salt();
    let header = SegmentHeader { kind: config.kind, log: config.log, base, salt }.encode();
    write_all_at(&*file, &header, 0).map_err(|e| fail("creating a segment", e))?;
    if config.fsync == Fsync::Always {
        metrics.fsyncs(1);
        file.sync_data().and_then(|()| files.sync_dir(dir)).map_err(|e| CreateFault::Sync(path.clone(), e))?;
    }
    Ok(Writer { file, path, salt, pos: SEGMENT_HEADER_BYTES as u64, next: base, buf: Vec::new(), failed: None })
}
