//! The lake as a resource: one client a folder, one writer a table.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use connector::{ActionSpec, Client, Config, Connector, Error, ErrorKind, Sink, Spec, Table, Tables};
use parking_lot::Mutex;

use crate::fault::io_error;
use crate::settings::{Action, Codec, SPEC, Settings};
use crate::sink::LakeSink;
use crate::table::{TableWriter, folder_of};
use crate::upkeep::Keeper;

/// Tables one lake may have open for writing; a template that makes more names is refused.
const TABLES_MAX: usize = 1_000;

/// The connector.
pub(crate) struct Lake;

#[async_trait]
impl Connector for Lake {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    async fn open(&self, config: &Config) -> Result<Arc<dyn Client>, Error> {
        let settings = Settings::new(config)?;
        let upkeep = settings.upkeep;
        let writers = Arc::new(Writers::new(settings));
        let keeper = Mutex::new(Some(Keeper::start(&writers, upkeep)));
        Ok(Arc::new(LakeClient { writers, keeper }))
    }
}

struct LakeClient {
    writers: Arc<Writers>,
    /// Taken by the close.
    keeper: Mutex<Option<Keeper>>,
}

#[async_trait]
impl Client for LakeClient {
    /// Whether the folder, or the nearest folder above it that is there, takes files. Leaves nothing behind.
    async fn check(&self) -> Result<(), Error> {
        let folder = self.writers.folder.clone();
        tokio::task::spawn_blocking(move || check_writable(&folder)).await.map_err(|error| {
            Error::temporary(ErrorKind::Internal, "checking the folder broke off").with_source(error)
        })?
    }

    fn sink(&self, _action: &'static ActionSpec, params: &Config) -> Result<Arc<dyn Sink>, Error> {
        Ok(Arc::new(LakeSink::new(Arc::clone(&self.writers), Action::new(params)?)))
    }

    fn tables(&self) -> Option<Arc<dyn Tables>> {
        Some(Arc::new(LakeTables { folder: self.writers.folder.clone() }))
    }

    async fn close(&self) {
        let keeper = self.keeper.lock().take();
        if let Some(keeper) = keeper {
            keeper.stop().await;
        }
        let writers: Vec<_> = self.writers.open.lock().drain().map(|(_, writer)| writer).collect();
        for writer in writers {
            writer.close().await;
        }
    }
}

/// The writers of a lake, by table; shared by its sinks, so that two rules on one table take turns instead of conflicting.
pub(crate) struct Writers {
    pub(crate) folder: PathBuf,
    codec: Codec,
    open: Mutex<HashMap<String, Arc<TableWriter>, foldhash::fast::RandomState>>,
}

impl Writers {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { folder: settings.folder, codec: settings.codec, open: Mutex::default() }
    }

    /// The tables that were written to.
    pub(crate) fn all(&self) -> Vec<Arc<TableWriter>> {
        self.open.lock().values().cloned().collect()
    }

    pub(crate) fn get(&self, table: &str) -> Result<Arc<TableWriter>, Error> {
        let mut open = self.open.lock();
        if let Some(writer) = open.get(table) {
            return Ok(Arc::clone(writer));
        }
        if open.len() >= TABLES_MAX {
            return Err(Error::permanent(
                ErrorKind::Rejected,
                format!(
                    "table {table} would be one more than {TABLES_MAX}, the most a lake writes to; put the varying part into partition_by"
                ),
            ));
        }
        let writer = Arc::new(TableWriter::new(table, folder_of(&self.folder, table), self.codec));
        open.insert(table.to_owned(), Arc::clone(&writer));
        Ok(writer)
    }
}

struct LakeTables {
    folder: PathBuf,
}

#[async_trait]
impl Tables for LakeTables {
    async fn snapshot(&self) -> Result<Vec<Table>, Error> {
        crate::tables(&self.folder).await
    }
}

fn check_writable(folder: &Path) -> Result<(), Error> {
    let mut standing = folder;
    while !standing.exists() {
        match standing.parent() {
            Some(parent) => standing = parent,
            None => break,
        }
    }
    let probe = standing.join(format!(".weir-check-{}", uuid::Uuid::new_v4().simple()));
    fs::create_dir(&probe).map_err(|error| io_error("the lake cannot write to", standing, error))?;
    fs::remove_dir(&probe).map_err(|error| io_error("the lake cannot remove from", standing, error))
}
