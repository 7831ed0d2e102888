//! Merging small files: a table that gets a few rows a second has a file a second, and a query opens each of them.
//!
//! Invariants:
//! - The rows are the same before and after: one entry removes the small files and adds the merged one, and says that
//!   no data changed.
//! - The small files stay on disk, for readers of earlier versions, until vacuum removes them.
//! - A crash at any instant leaves the table as it was, and at most one file that nothing refers to.
//! - One step is bounded in files and bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::compute::concat;
use connector::{DataFile, Error, ErrorKind};
use deltalake_core::kernel::{Action as Entry, CommitInfo};
use model::{Clock as _, SystemClock};

use crate::cast::Kind;
use crate::commit::{self, Outcome};
use crate::encode::{FileColumn, Files, write_file};
use crate::settings::{Codec, Upkeep};
use crate::widen::{read, remove};

/// Most files merged in one step.
const FILES_PER_STEP_MAX: usize = 1_000;

/// How an attempt to commit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compacted {
    Done,
    /// Somebody else committed first.
    Conflict,
}

/// The small files of the partition that has most of them; `None` when no partition has enough.
pub(crate) fn choose(files: &[DataFile], upkeep: Upkeep) -> Option<Vec<DataFile>> {
    let mut partitions: BTreeMap<&[(String, Option<String>)], Vec<&DataFile>> = BTreeMap::new();
    for file in files.iter().filter(|file| file.bytes < upkeep.small_bytes) {
        partitions.entry(&file.partition).or_default().push(file);
    }
    let many = partitions.into_values().filter(|files| files.len() >= upkeep.files_min.max(2));
    let mut chosen = many.max_by_key(Vec::len)?;
    chosen.sort_by(|a, b| a.path.cmp(&b.path));
    let mut bytes = 0;
    let fitting = chosen.into_iter().take(FILES_PER_STEP_MAX).take_while(|file| {
        bytes += file.bytes;
        bytes <= upkeep.step_bytes()
    });
    let fitting: Vec<DataFile> = fitting.cloned().collect();
    (fitting.len() > 1).then_some(fitting)
}

/// A merged file on disk, and the files whose rows it holds. Removed again unless it is committed.
pub(crate) struct Merge {
    merged: parking_lot::Mutex<Files>,
    small: Vec<DataFile>,
}

impl Merge {
    /// Reads the small files and writes the merged one. `None` when a column has two types in them: such files stay as
    /// they are.
    pub(crate) fn write(table: &Path, small: Vec<DataFile>, codec: Codec) -> Result<Option<Self>, Error> {
        let batches = small.iter().map(|file| read(Path::new(&file.path))).collect::<Result<Vec<_>, _>>()?;
        let Some((columns, arrays)) = merged(&batches)? else { return Ok(None) };
        let partition = small.first().map(|file| file.partition.clone()).unwrap_or_default();
        let mut files = Files::default();
        files.written.push(write_file(table, &columns, arrays, partition, codec)?);
        Ok(Some(Self { merged: parking_lot::Mutex::new(files), small }))
    }

    /// Whether the table still has every small file.
    pub(crate) fn still_there(&self, files: &[DataFile]) -> bool {
        let paths: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
        self.small.iter().all(|file| paths.contains(file.path.as_str()))
    }

    /// Puts the merged file in the place of the small ones, as `version`.
    pub(crate) fn commit(&self, table: &Path, version: u64) -> Result<Compacted, Error> {
        let now = SystemClock.now_ms();
        let mut merged = self.merged.lock();
        let info = CommitInfo {
            timestamp: Some(now),
            operation: Some("OPTIMIZE".to_owned()),
            operation_parameters: Some([("files".to_owned(), self.small.len().into())].into()),
            is_blind_append: Some(false),
            engine_info: Some(format!("weir/{}", env!("CARGO_PKG_VERSION"))),
            ..CommitInfo::default()
        };
        let mut entries = vec![Entry::CommitInfo(info)];
        entries.extend(self.small.iter().map(|file| remove(table, file, now)));
        entries.extend(merged.written.iter().map(|file| Entry::Add(file.to_add(now, false))));
        let lines = commit::lines(&entries)?.join("\n");
        match commit::commit(table, version, &lines)? {
            Outcome::Conflict => Ok(Compacted::Conflict),
            Outcome::Committed => {
                std::mem::take(&mut *merged).keep();
                Ok(Compacted::Done)
            }
        }
    }
}

/// Columns of a file and their values.
type Columns = (Vec<FileColumn>, Vec<ArrayRef>);

/// The columns of all batches, in the order in which they first come, with null where a file has no such column.
fn merged(batches: &[RecordBatch]) -> Result<Option<Columns>, Error> {
    let mut fields: Vec<arrow::datatypes::FieldRef> = Vec::new();
    for batch in batches {
        for field in batch.schema().fields() {
            match fields.iter().find(|known| known.name() == field.name()) {
                Some(known) if known.data_type() == field.data_type() => {}
                Some(_) => return Ok(None),
                None => fields.push(Arc::clone(field)),
            }
        }
    }
    let mut columns = Vec::new();
    let mut arrays = Vec::new();
    for field in &fields {
        let kind = Kind::from_arrow(field.data_type());
        if matches!(kind, Kind::Other(_)) {
            // Written by somebody else; what weir has no name for it does not rewrite.
            return Ok(None);
        }
        let parts: Vec<ArrayRef> = batches
            .iter()
            .map(|batch| {
                let nulls = || new_null_array(field.data_type(), batch.num_rows());
                batch.column_by_name(field.name()).map_or_else(nulls, Arc::clone)
            })
            .collect();
        let parts: Vec<&dyn arrow::array::Array> = parts.iter().map(AsRef::as_ref).collect();
        let array = concat(&parts).map_err(|error| {
            Error::permanent(ErrorKind::Internal, format!("merging the column {}: {error}", field.name()))
        })?;
        columns.push(FileColumn { name: field.name().clone(), kind });
        arrays.push(array);
    }
    Ok(Some((columns, arrays)))
}
