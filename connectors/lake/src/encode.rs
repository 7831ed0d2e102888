//! Typed cells into Parquet files, one a partition.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Date32Builder, Float64Builder, Int64Builder, RecordBatch, StringBuilder,
    TimestampMicrosecondBuilder, new_null_array,
};
use arrow::datatypes::{Field, Schema};
use connector::{Error, ErrorKind};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use uuid::Uuid;

use crate::cast::{Cell, Kind};
use crate::commit::{remove_quietly, sync_folders};
use crate::fault::io_error;
use crate::settings::Codec;

/// A data file that is on disk and not yet in the log.
#[derive(Debug)]
pub(crate) struct Written {
    /// Path below the table's folder.
    pub(crate) relative: String,
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    pub(crate) rows: usize,
    /// Partition column to its text; `None` is null.
    pub(crate) partition: Vec<(String, Option<String>)>,
}

/// Data files that are removed again unless [`Files::keep`] is called: a commit that fails leaves nothing behind.
#[derive(Debug, Default)]
pub(crate) struct Files {
    pub(crate) written: Vec<Written>,
    kept: bool,
}

impl Files {
    /// The log refers to the files now.
    pub(crate) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        if !self.kept {
            for file in &self.written {
                remove_quietly(&file.path);
            }
        }
    }
}

/// A column of a data file.
pub(crate) struct FileColumn {
    pub(crate) name: String,
    pub(crate) kind: Kind,
}

/// Writes one file with `rows` cells by column and puts it on disk.
pub(crate) fn write_file(
    table: &Path,
    columns: &[FileColumn],
    arrays: Vec<ArrayRef>,
    partition: Vec<(String, Option<String>)>,
    codec: Codec,
) -> Result<Written, Error> {
    let fields: Vec<Field> = columns.iter().map(|column| Field::new(&column.name, column.kind.arrow(), true)).collect();
    let internal = |error: &dyn std::fmt::Display| {
        Error::permanent(ErrorKind::Internal, format!("encoding rows for {}: {error}", table.display()))
    };
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(|error| internal(&error))?;
    let folder_name = folder_of(&partition);
    let name = format!("part-{}.{}parquet", Uuid::new_v4(), suffix(codec));
    let relative = if folder_name.is_empty() { name } else { format!("{folder_name}/{name}") };
    let path = table.join(&relative);
    let folder = path.parent().unwrap_or(table);
    fs::create_dir_all(folder).map_err(|error| io_error("making the folder", folder, error))?;
    let bytes = write_parquet(&path, &batch, codec).inspect_err(|_| remove_quietly(&path))?;
    sync_folders(folder, table).inspect_err(|_| remove_quietly(&path))?;
    Ok(Written { relative, path, bytes, rows: batch.num_rows(), partition })
}

fn write_parquet(path: &Path, batch: &RecordBatch, codec: Codec) -> Result<u64, Error> {
    let failed = |error: parquet::errors::ParquetError| match error {
        parquet::errors::ParquetError::External(inner) => match inner.downcast::<std::io::Error>() {
            Ok(error) => io_error("writing", path, *error),
            Err(other) => Error::temporary(ErrorKind::Internal, format!("writing {}: {other}", path.display())),
        },
        other => Error::temporary(ErrorKind::Internal, format!("writing {}: {other}", path.display())),
    };
    let file = File::create_new(path).map_err(|error| io_error("writing", path, error))?;
    let compression = match codec {
        Codec::Zstd => Compression::ZSTD(parquet::basic::ZstdLevel::default()),
        Codec::Snappy => Compression::SNAPPY,
        Codec::None => Compression::UNCOMPRESSED,
    };
    let properties = WriterProperties::builder().set_compression(compression).set_created_by("weir".to_owned()).build();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).map_err(failed)?;
    writer.write(batch).map_err(failed)?;
    let file = writer.into_inner().map_err(failed)?;
    file.sync_all().map_err(|error| io_error("syncing", path, error))?;
    file.metadata().map(|metadata| metadata.len()).map_err(|error| io_error("reading the size of", path, error))
}

fn suffix(codec: Codec) -> &'static str {
    match codec {
        Codec::Zstd => "zstd.",
        Codec::Snappy => "snappy.",
        Codec::None => "",
    }
}

/// What may stand in a folder name as it is; everything else becomes `%XX`, as Hive does.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// Longest partition value, bytes: with three bytes for an escaped one a folder name stays within 255.
pub(crate) const PARTITION_VALUE_BYTES_MAX: usize = 64;

fn folder_of(partition: &[(String, Option<String>)]) -> String {
    let level = |(name, value): &(String, Option<String>)| {
        let value = match value {
            Some(text) if !text.is_empty() => utf8_percent_encode(text, PLAIN).to_string(),
            _ => "__HIVE_DEFAULT_PARTITION__".to_owned(),
        };
        format!("{}={value}", utf8_percent_encode(name, PLAIN))
    };
    partition.iter().map(level).collect::<Vec<_>>().join("/")
}

/// A cell as the text of a partition value; `Err` for types that make no good folders.
pub(crate) fn partition_text(cell: &Cell) -> Result<Option<String>, &'static str> {
    Ok(match cell {
        Cell::Null => None,
        Cell::Bool(b) => Some(b.to_string()),
        Cell::Long(n) => Some(n.to_string()),
        // Delta reads an empty partition value as null, so it is stored as that.
        Cell::Text(text) if text.is_empty() => None,
        Cell::Text(text) if text.len() > PARTITION_VALUE_BYTES_MAX => {
            return Err("a partition value has at most 64 bytes");
        }
        Cell::Text(text) => Some(text.as_str().to_owned()),
        Cell::Days(days) => chrono::NaiveDate::default()
            .checked_add_signed(chrono::TimeDelta::days(i64::from(*days)))
            .map(|date| date.format("%Y-%m-%d").to_string()),
        Cell::Double(_) | Cell::Binary(_) | Cell::Micros(_) => {
            return Err(
                "a table is partitioned by text, whole numbers, booleans and dates; use date(c) or hour(c) for a time",
            );
        }
    })
}

/// The cells of one column as an array.
pub(crate) fn array<'a>(kind: &Kind, cells: impl ExactSizeIterator<Item = &'a Cell>) -> ArrayRef {
    macro_rules! build {
        ($builder:expr, $cell:path) => {{
            let mut builder = $builder;
            for cell in cells {
                match cell {
                    $cell(value) => builder.append_value(value.clone()),
                    _ => builder.append_null(),
                }
            }
            Arc::new(builder.finish())
        }};
    }
    match kind {
        Kind::Bool => build!(BooleanBuilder::new(), Cell::Bool),
        Kind::Long => build!(Int64Builder::new(), Cell::Long),
        Kind::Double => build!(Float64Builder::new(), Cell::Double),
        Kind::Text => build!(StringBuilder::new(), Cell::Text),
        Kind::Binary => build!(BinaryBuilder::new(), Cell::Binary),
        Kind::Timestamp => build!(TimestampMicrosecondBuilder::new().with_timezone("UTC"), Cell::Micros),
        Kind::Date => build!(Date32Builder::new(), Cell::Days),
        Kind::Other(other) => new_null_array(other, cells.len()),
    }
}
