//! Removing data files that the table does not refer to any more, and those that a crash left behind.
//!
//! Invariants:
//! - A file that the log refers to is never removed, nor one that was removed from the table, or written, less than the
//!   retention ago: a reader may hold a version that has it, a writer may be about to commit it.
//! - Only files named as data files are touched, only below the table's folder, and at most so many in one step.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use connector::{Error, ErrorKind, Table};
use deltalake_core::DeltaTable;
use deltalake_core::operations::vacuum::VacuumMode;

use crate::commit::{LOG_FOLDER, remove_quietly};
use crate::fault::delta_error;
use crate::open::log_store;

/// Most files removed in one step.
const FILES_PER_STEP_MAX: usize = 10_000;

/// Files that are unused for longer than `retention`, as far as the log and the clock of the file system say.
pub(crate) async fn find(folder: &Path, retention: Duration) -> Result<Vec<PathBuf>, Error> {
    if !folder.join(LOG_FOLDER).exists() {
        return Ok(Vec::new());
    }
    let retention = chrono::TimeDelta::from_std(retention)
        .map_err(|_| Error::permanent(ErrorKind::Config, "vacuum_after: longer than time itself"))?;
    let table = DeltaTable::new(log_store(folder)?);
    // The library only says which files; its own removal would commit entries of its own.
    let (_, found) = table
        .vacuum()
        .with_mode(VacuumMode::Full)
        .with_retention_period(retention)
        .with_enforce_retention_duration(false)
        .with_dry_run(true)
        .await
        .map_err(|error| delta_error("looking for unused files of the table", folder, error))?;
    let is_data = |path: &&String| {
        let file = path.rsplit('/').next().unwrap_or_default();
        file.starts_with("part-") && file.ends_with(".parquet") && !path.starts_with(LOG_FOLDER)
    };
    let data = found.files_deleted.iter().filter(is_data).take(FILES_PER_STEP_MAX);
    Ok(data.map(|path| folder.join(path)).filter(|path| path.exists()).collect())
}

/// Removes what was found, but what the table refers to now. No append of this server is under way.
pub(crate) fn remove_unused(found: &[PathBuf], table: &Table) -> usize {
    let used: BTreeSet<&Path> = table.files.iter().map(|file| Path::new(&file.path)).collect();
    let unused = found.iter().filter(|path| !used.contains(path.as_path()));
    unused.inspect(|path| remove_quietly(path)).count()
}
