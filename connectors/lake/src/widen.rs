//! Turns whole-number columns into doubles by rewriting the files that have them, in one commit.
//!
//! The protocol version weir writes has no change of a column's type in place. The first reading of a sensor is often a
//! whole number, so this usually happens in the first minutes of a table, when it is small.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray as _, Float64Array, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::Int64Type;
use connector::{DataFile, Error, ErrorKind};
use deltalake_core::kernel::{Action as Entry, Add, CommitInfo, Metadata, Remove};
use model::{Clock as _, SystemClock};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::cast::{DOUBLE_EXACT_MAX, Kind};
use crate::commit::{self, Outcome};
use crate::encode::{FileColumn, Files, Written, write_file};
use crate::fault::io_error;
use crate::settings::Codec;

/// Largest table that is rewritten, bytes of its files.
pub(crate) const WIDEN_BYTES_MAX: u64 = 256 << 20;

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Widened {
    Done,
    /// An integer of a column has no exact double: the column keeps its type.
    Inexact,
    /// Somebody else committed first.
    Conflict,
}

/// Rewrites `files` with `columns` as doubles and commits `metadata` as `version`.
pub(crate) fn widen(
    table: &Path,
    files: &[DataFile],
    columns: &[String],
    metadata: &Metadata,
    version: u64,
    codec: Codec,
) -> Result<Widened, Error> {
    let mut written = Files::default();
    let mut removed = Vec::new();
    for file in files {
        let batch = read(Path::new(&file.path))?;
        if !columns.iter().any(|column| batch.schema().field_with_name(column).is_ok()) {
            continue;
        }
        let Some(arrays) = doubles(&batch, columns) else { return Ok(Widened::Inexact) };
        let schema = batch.schema();
        let fields: Vec<FileColumn> = schema
            .fields()
            .iter()
            .zip(&arrays)
            .map(|(field, array)| FileColumn { name: field.name().clone(), kind: Kind::from_arrow(array.data_type()) })
            .collect();
        written.written.push(write_file(table, &fields, arrays, file.partition.clone(), codec)?);
        removed.push(file);
    }
    let entry = entry(table, &written.written, &removed, columns, metadata)?;
    match commit::commit(table, version, &entry)? {
        Outcome::Conflict => Ok(Widened::Conflict),
        Outcome::Committed => {
            written.keep();
            Ok(Widened::Done)
        }
    }
}

/// A whole file; one is at most a batch of rows.
pub(crate) fn read(path: &Path) -> Result<RecordBatch, Error> {
    let failed = |error: &dyn std::fmt::Display| {
        Error::temporary(ErrorKind::Protocol, format!("reading {}: {error}", path.display()))
    };
    let file = File::open(path).map_err(|error| io_error("reading", path, error))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .and_then(ParquetRecordBatchReaderBuilder::build)
        .map_err(|error| failed(&error))?;
    let schema = arrow::array::RecordBatchReader::schema(&reader);
    let batches = reader.collect::<Result<Vec<_>, _>>().map_err(|error| failed(&error))?;
    concat_batches(&schema, &batches).map_err(|error| failed(&error))
}

fn doubles(batch: &RecordBatch, columns: &[String]) -> Option<Vec<ArrayRef>> {
    let exact = |n: i64| (-DOUBLE_EXACT_MAX..=DOUBLE_EXACT_MAX).contains(&n);
    let schema = batch.schema();
    schema
        .fields()
        .iter()
        .zip(batch.columns())
        .map(|(field, array)| {
            if !columns.contains(field.name()) || *array.data_type() != arrow::datatypes::DataType::Int64 {
                return Some(Arc::clone(array));
            }
            let whole = array.as_primitive::<Int64Type>();
            if !whole.iter().flatten().all(exact) {
                return None;
            }
            let array: Float64Array = whole.iter().map(|n| n.map(|n| n as f64)).collect();
            Some(Arc::new(array) as ArrayRef)
        })
        .collect()
}

fn entry(
    table: &Path,
    written: &[Written],
    removed: &[&DataFile],
    columns: &[String],
    metadata: &Metadata,
) -> Result<String, Error> {
    let now = SystemClock.now_ms();
    let info = CommitInfo {
        timestamp: Some(now),
        operation: Some("CHANGE COLUMN".to_owned()),
        operation_parameters: Some(
            [("columns".to_owned(), columns.join(", ").into()), ("type".to_owned(), "double".into())].into(),
        ),
        engine_info: Some(format!("weir/{}", env!("CARGO_PKG_VERSION"))),
        ..CommitInfo::default()
    };
    let mut entries = vec![Entry::CommitInfo(info), Entry::Metadata(metadata.clone())];
    entries.extend(removed.iter().map(|file| remove(table, file, now)));
    entries.extend(written.iter().map(|file| Entry::Add(file.to_add(now, false))));
    commit::lines(&entries).map(|lines| lines.join("\n"))
}

/// A file that leaves the table although its rows stay.
pub(crate) fn remove(table: &Path, file: &DataFile, now_ms: i64) -> Entry {
    let relative = Path::new(&file.path).strip_prefix(table).unwrap_or_else(|_| Path::new(&file.path));
    Entry::Remove(Remove {
        path: relative.to_string_lossy().into_owned(),
        data_change: false,
        deletion_timestamp: Some(now_ms),
        extended_file_metadata: Some(true),
        partition_values: Some(file.partition.iter().cloned().collect()),
        size: i64::try_from(file.bytes).ok(),
        ..Remove::default()
    })
}

impl Written {
    /// The file as the log lists it.
    pub(crate) fn to_add(&self, now_ms: i64, data_change: bool) -> Add {
        Add {
            path: self.relative.clone(),
            partition_values: self.partition.iter().cloned().collect(),
            size: i64::try_from(self.bytes).unwrap_or(i64::MAX),
            modification_time: now_ms,
            data_change,
            stats: Some(format!("{{\"numRecords\":{}}}", self.rows)),
            ..Add::default()
        }
    }
}
