//! Reading Delta logs: what a table looks like now, for the writer and for queries.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use connector::{DataFile, Error, ErrorKind, Table, TableColumn};
use deltalake_core::kernel::{EagerSnapshot, Metadata, Snapshot, StructField};
use deltalake_core::logstore::{LogStoreRef, StorageConfig, logstore_for};
use futures::TryStreamExt as _;
use url::Url;

use crate::commit::{LOG_FOLDER, entry_path};
use crate::fault::{delta_error, io_error};

/// A table as its log has it.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) version: u64,
    pub(crate) metadata: Metadata,
    /// Every column with its Arrow type.
    pub(crate) fields: Vec<(StructField, arrow::datatypes::DataType)>,
}

/// The table in `folder`; `None` when there is no table.
pub(crate) async fn open(folder: &Path) -> Result<Option<Opened>, Error> {
    if !exists(folder)? {
        return Ok(None);
    }
    let store = log_store(folder)?;
    let snapshot = load(folder, &store).await?;
    writable(folder, &snapshot)?;
    let arrow = snapshot.arrow_schema();
    let fields =
        snapshot.schema().fields().cloned().zip(arrow.fields().iter().map(|field| field.data_type().clone())).collect();
    Ok(Some(Opened { version: snapshot.version(), metadata: snapshot.metadata().clone(), fields }))
}

/// The last transaction version that `app_id` committed to the table.
pub(crate) async fn transaction(folder: &Path, version: u64, app_id: &str) -> Result<Option<i64>, Error> {
    let store = log_store(folder)?;
    let reading = |error| delta_error("reading the log of the table", folder, error);
    let snapshot = EagerSnapshot::try_new(store.as_ref(), Some(version)).await.map_err(reading)?;
    snapshot.transaction_version(store.as_ref(), app_id).await.map_err(reading)
}

/// A snapshot of every table below `folder`, by name.
pub(crate) async fn snapshot_all(folder: &Path) -> Result<Vec<Table>, Error> {
    let mut tables = Vec::new();
    for (name, path) in table_folders(folder)? {
        match snapshot(name, &path).await {
            Ok(table) => tables.push(table),
            Err(error) if error.kind == ErrorKind::Unsupported => {
                tracing::warn!(table = %path.display(), %error, "a table is left out of the snapshot");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(tables)
}

fn table_folders(folder: &Path) -> Result<Vec<(String, PathBuf)>, Error> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_error("listing the folder", folder, error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| io_error("listing the folder", folder, error))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if crate::settings::check_table_name(name).is_ok() && exists(&path)? {
            found.push((name.to_owned(), path));
        }
    }
    found.sort();
    Ok(found)
}

/// A snapshot of the table in `folder`.
pub(crate) async fn snapshot(name: String, folder: &Path) -> Result<Table, Error> {
    let store = log_store(folder)?;
    let snapshot = load(folder, &store).await?;
    readable(folder, &snapshot)?;
    let columns = snapshot
        .arrow_schema()
        .fields()
        .iter()
        .map(|field| TableColumn { name: field.name().clone(), data_type: field.data_type().to_string() })
        .collect();
    let partition_columns = snapshot.metadata().partition_columns().to_vec();
    let files = snapshot
        .file_views(store.as_ref(), None)
        .map_ok(|view| {
            let values = view.partition_values_map();
            DataFile {
                path: folder.join(view.path().as_ref()).to_string_lossy().into_owned(),
                bytes: u64::try_from(view.size()).unwrap_or(0),
                partition: partition_columns
                    .iter()
                    .map(|name| (name.clone(), values.get(name).cloned().flatten()))
                    .collect(),
            }
        })
        .try_collect::<Vec<_>>()
        .await
        .map_err(|error| delta_error("reading the log of the table", folder, error))?;
    Ok(Table {
        name,
        location: folder.to_string_lossy().into_owned(),
        version: snapshot.version(),
        columns,
        partition_columns: partition_columns.clone(),
        files,
    })
}

/// A folder is a table once its log has an entry or a checkpoint; version 0 alone may have been cleaned up.
fn exists(folder: &Path) -> Result<bool, Error> {
    if entry_path(folder, 0).exists() {
        return Ok(true);
    }
    let log = folder.join(LOG_FOLDER);
    let entries = match std::fs::read_dir(&log) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            return Ok(false);
        }
        Err(error) => return Err(io_error("listing the folder", &log, error)),
    };
    Ok(entries
        .flatten()
        .any(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with(|c: char| c.is_ascii_digit()))))
}

async fn load(folder: &Path, store: &LogStoreRef) -> Result<Snapshot, Error> {
    Snapshot::try_new(store.as_ref(), None)
        .await
        .map_err(|error| delta_error("reading the log of the table", folder, error))
}

pub(crate) fn log_store(folder: &Path) -> Result<LogStoreRef, Error> {
    let bad = || Error::permanent(ErrorKind::Config, format!("{} is no absolute path", folder.display()));
    let url = Url::from_directory_path(folder).map_err(|()| bad())?;
    let store = logstore_for(&url, StorageConfig::default())
        .map_err(|error| delta_error("opening the table", folder, error))?;
    Ok(Arc::clone(&store))
}

/// Readers newer than version 1 may hide rows in ways that a list of files does not show (deletion vectors, renamed columns).
fn readable(folder: &Path, snapshot: &Snapshot) -> Result<(), Error> {
    let version = snapshot.protocol().min_reader_version();
    if version > 1 {
        return Err(Error::permanent(
            ErrorKind::Unsupported,
            format!("the table {} needs a Delta reader of version {version}; weir reads version 1", folder.display()),
        ));
    }
    Ok(())
}

/// Writers newer than version 2 owe the table more than appended files (constraints, generated columns, change data).
fn writable(folder: &Path, snapshot: &Snapshot) -> Result<(), Error> {
    readable(folder, snapshot)?;
    let version = snapshot.protocol().min_writer_version();
    if version > 2 {
        return Err(Error::permanent(
            ErrorKind::Unsupported,
            format!("the table {} needs a Delta writer of version {version}; weir writes version 2", folder.display()),
        ));
    }
    Ok(())
}
