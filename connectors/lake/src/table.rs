//! One table as its writer holds it: appends batches, one commit a batch.
//!
//! Owner of the state: the table's mutex; a batch holds it from planning to commit, also when the caller has given up
//! waiting, so a write that times out never overlaps its retry. The lake's client keeps one [`TableWriter`] a table for
//! as long as it lives.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use connector::{Error, ErrorKind};
use deltalake_core::kernel::{DataType, Metadata, MetadataExt as _, StructField, StructType};
use parking_lot::Mutex as SyncMutex;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::task::JoinHandle;

use crate::append::{Append, Appended, Batch};
use crate::cast::Kind;
use crate::compact::{self, Compacted, Merge};
use crate::open::{Opened, open, snapshot, transaction};
use crate::settings::{Codec, Upkeep};
use crate::vacuum;
use crate::widen::{WIDEN_BYTES_MAX, Widened, widen};

/// Attempts to commit a batch when other writers keep coming first.
const COMMIT_ATTEMPTS_MAX: usize = 20;
/// A checkpoint is written every so many versions, so a reader reads at most that many log entries.
pub(crate) const CHECKPOINT_EVERY_VERSIONS: u64 = 100;

/// The writer of one table.
pub(crate) struct TableWriter {
    name: String,
    folder: PathBuf,
    codec: Codec,
    state: Arc<Mutex<State>>,
    /// The running checkpoint, if any; at most one.
    upkeep: SyncMutex<Option<JoinHandle<()>>>,
}

/// What the writer knows of the table.
#[derive(Default)]
pub(crate) struct State {
    /// `false` until the log has been read, and again after somebody else committed.
    pub(crate) loaded: bool,
    pub(crate) current: Option<Current>,
    /// Whole-number columns that cannot become doubles; told once, not again for each batch.
    pub(crate) fixed: BTreeSet<String>,
    /// Last transaction version by application id, as the log has it.
    pub(crate) last: HashMap<String, i64, foldhash::fast::RandomState>,
}

/// The table as of the version this writer knows.
pub(crate) struct Current {
    pub(crate) version: u64,
    pub(crate) metadata: Metadata,
    pub(crate) fields: Vec<StructField>,
    pub(crate) columns: Vec<(String, Kind)>,
}

impl From<Opened> for Current {
    fn from(opened: Opened) -> Self {
        let columns =
            opened.fields.iter().map(|(field, arrow)| (field.name.clone(), Kind::from_arrow(arrow))).collect();
        Self {
            version: opened.version,
            metadata: opened.metadata,
            fields: opened.fields.into_iter().map(|(field, _)| field).collect(),
            columns,
        }
    }
}

impl Current {
    /// The table with these columns as doubles, one version on.
    fn widened(&self, table: &str, names: &[String]) -> Result<Self, Error> {
        let internal = |error: &dyn std::fmt::Display| {
            Error::permanent(ErrorKind::Internal, format!("table {table}: making the schema: {error}"))
        };
        let mut fields = self.fields.clone();
        let mut columns = self.columns.clone();
        for (field, (name, kind)) in fields.iter_mut().zip(&mut columns).filter(|(_, (name, _))| names.contains(name)) {
            *kind = Kind::Double;
            *field = StructField::new(name.clone(), DataType::DOUBLE, true);
        }
        let schema = StructType::try_new(fields.clone()).map_err(|error| internal(&error))?;
        let metadata = self.metadata.clone().with_schema(&schema).map_err(|error| internal(&error))?;
        Ok(Self { version: self.version + 1, metadata, fields, columns })
    }
}

impl TableWriter {
    pub(crate) fn new(name: &str, folder: PathBuf, codec: Codec) -> Self {
        Self { name: name.to_owned(), folder, codec, state: Arc::default(), upkeep: SyncMutex::default() }
    }

    /// The table.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Appends the batch and returns the rows that do not fit, by index into the write. `Err` = nothing was written.
    pub(crate) async fn append(&self, batch: Arc<Batch>) -> Result<Vec<(usize, Error)>, Error> {
        let app_id = format!("weir/{}/{:016x}", batch.rule, batch.action.fingerprint);
        let mut state = Arc::clone(&self.state).lock_owned().await;
        for _ in 0..COMMIT_ATTEMPTS_MAX {
            self.load(&mut state, &app_id).await?;
            let work = Append {
                name: self.name.clone(),
                folder: self.folder.clone(),
                codec: self.codec,
                app_id: app_id.clone(),
                batch: Arc::clone(&batch),
            };
            let (back, result) = tokio::task::spawn_blocking(move || {
                let result = work.run(&mut state);
                (state, result)
            })
            .await
            .map_err(|error| {
                Error::temporary(ErrorKind::Internal, format!("writing table {} broke off", self.name))
                    .with_source(error)
            })?;
            state = back;
            match result? {
                Appended::Done { failed, version } => {
                    if version.is_some_and(|version| version > 0 && version.is_multiple_of(CHECKPOINT_EVERY_VERSIONS)) {
                        self.checkpoint(version.unwrap_or_default());
                    }
                    return Ok(failed);
                }
                Appended::Conflict => state.loaded = false,
                Appended::Widen(columns) => state = self.widen(state, columns).await?,
            }
        }
        Err(Error::temporary(
            ErrorKind::Exhausted,
            format!("table {}: {COMMIT_ATTEMPTS_MAX} attempts to commit met other writers", self.name),
        ))
    }

    /// Waits for work in the background.
    pub(crate) async fn close(&self) {
        let running = self.upkeep.lock().take();
        if let Some(running) = running
            && let Err(error) = running.await
        {
            tracing::warn!(table = self.name, %error, "the checkpoint broke off");
        }
    }

    async fn load(&self, state: &mut State, app_id: &str) -> Result<(), Error> {
        if !state.loaded {
            state.last.clear();
            state.current = open(&self.folder).await?.map(Current::from);
            state.loaded = true;
        }
        if let Some(current) = &state.current
            && !state.last.contains_key(app_id)
            && let Some(version) = transaction(&self.folder, current.version, app_id).await?
        {
            state.last.insert(app_id.to_owned(), version);
        }
        Ok(())
    }

    /// Makes doubles of whole-number columns where that is possible; otherwise notes that it is not.
    async fn widen(
        &self,
        mut state: OwnedMutexGuard<State>,
        columns: Vec<String>,
    ) -> Result<OwnedMutexGuard<State>, Error> {
        let table = snapshot(self.name.clone(), &self.folder).await?;
        let Some(current) = state.current.as_ref().filter(|current| current.version == table.version) else {
            state.loaded = false;
            return Ok(state);
        };
        let bytes: u64 = table.files.iter().map(|file| file.bytes).sum();
        if bytes > WIDEN_BYTES_MAX {
            tracing::warn!(
                table = self.name,
                ?columns,
                bytes,
                "the columns stay bigint: the table is too large to be rewritten"
            );
            state.fixed.extend(columns);
            return Ok(state);
        }
        let next = current.widened(&self.name, &columns)?;
        let (folder, codec, names, metadata, version) =
            (self.folder.clone(), self.codec, columns.clone(), next.metadata.clone(), next.version);
        let work = move || widen(&folder, &table.files, &names, &metadata, version, codec);
        let broke_off = |error| {
            Error::temporary(ErrorKind::Internal, format!("rewriting table {} broke off", self.name)).with_source(error)
        };
        match tokio::task::spawn_blocking(work).await.map_err(broke_off)?? {
            Widened::Done => {
                tracing::info!(table = self.name, ?columns, bytes, "rewrote the table: the columns are doubles now");
                state.current = Some(next);
            }
            Widened::Inexact => state.fixed.extend(columns),
            Widened::Conflict => state.loaded = false,
        }
        Ok(state)
    }

    /// One bounded step of upkeep: merges the small files of one partition where there are many, or, when there is
    /// nothing to merge, removes files that nothing refers to any more. Whether there may be more to do.
    pub(crate) async fn upkeep(&self, upkeep: Upkeep) -> Result<bool, Error> {
        if self.compact(upkeep).await? {
            return Ok(true);
        }
        if let Some(retention) = upkeep.vacuum_after {
            self.vacuum(retention).await?;
        }
        Ok(false)
    }

    /// Removes unused files. They are looked for beside the appends; what an append was about to commit meanwhile is in
    /// use when its turn is over.
    async fn vacuum(&self, retention: Duration) -> Result<(), Error> {
        let found = vacuum::find(&self.folder, retention).await?;
        if found.is_empty() {
            return Ok(());
        }
        let _turn = self.state.lock().await;
        let table = snapshot(self.name.clone(), &self.folder).await?;
        let removed = tokio::task::spawn_blocking(move || vacuum::remove_unused(&found, &table)).await;
        let removed = removed.map_err(|error| {
            Error::temporary(ErrorKind::Internal, "removing unused files broke off").with_source(error)
        })?;
        tracing::info!(table = self.name, files = removed, "removed unused files");
        Ok(())
    }

    /// Merges small files of one partition in one commit. The files are read and written beside the appends; only the
    /// commit takes their turn.
    async fn compact(&self, upkeep: Upkeep) -> Result<bool, Error> {
        if upkeep.files_min == 0 {
            return Ok(false);
        }
        let table = match snapshot(self.name.clone(), &self.folder).await {
            Ok(table) => table,
            // No row was written yet.
            Err(_) if !self.folder.exists() => return Ok(false),
            Err(error) => return Err(error),
        };
        let Some(small) = compact::choose(&table.files, upkeep) else { return Ok(false) };
        let (count, folder, codec) = (small.len(), self.folder.clone(), self.codec);
        let broke_off = |error| {
            Error::temporary(ErrorKind::Internal, format!("merging files of table {} broke off", self.name))
                .with_source(error)
        };
        let merge = tokio::task::spawn_blocking(move || Merge::write(&folder, small, codec));
        let Some(merge) = merge.await.map_err(broke_off)?? else { return Ok(false) };
        let merge = Arc::new(merge);
        for _ in 0..COMMIT_ATTEMPTS_MAX {
            let mut state = Arc::clone(&self.state).lock_owned().await;
            let now = snapshot(self.name.clone(), &self.folder).await?;
            if !merge.still_there(&now.files) {
                tracing::info!(table = self.name, "files to be merged were removed by somebody else");
                return Ok(false);
            }
            let (version, commit) = (now.version + 1, Arc::clone(&merge));
            let folder = self.folder.clone();
            let done = tokio::task::spawn_blocking(move || commit.commit(&folder, version));
            if done.await.map_err(broke_off)?? == Compacted::Done {
                tracing::debug!(table = self.name, files = count, version, "merged small files");
                match state.current.as_mut().filter(|current| current.version + 1 == version) {
                    Some(current) => current.version = version,
                    None => state.loaded = false,
                }
                if version.is_multiple_of(CHECKPOINT_EVERY_VERSIONS) {
                    self.checkpoint(version);
                }
                return Ok(true);
            }
            state.loaded = false;
        }
        Ok(false)
    }

    /// Writes a checkpoint in the background. A checkpoint only saves readers time, so a failure is logged, not returned.
    fn checkpoint(&self, version: u64) {
        let mut running = self.upkeep.lock();
        if running.as_ref().is_some_and(|running| !running.is_finished()) {
            return;
        }
        let folder = self.folder.clone();
        *running = Some(model::task::spawn("lake-checkpoint", async move {
            let Ok(url) = url::Url::from_directory_path(&folder) else { return };
            let result = deltalake_core::checkpoints::create_checkpoint_from_table_url_and_cleanup(
                url,
                version,
                Some(true),
                None,
            )
            .await;
            if let Err(error) = result {
                tracing::warn!(table = %folder.display(), version, %error, "a checkpoint of the table's log failed; the next one comes later");
            }
        }));
    }
}

/// The folder of a table within the lake.
pub(crate) fn folder_of(lake: &Path, table: &str) -> PathBuf {
    lake.join(table)
}
