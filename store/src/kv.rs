//! The embedded key-value store: named tables of byte keys and values, and batches over several tables that happen as
//! a whole. For what must survive a restart and is small: rules, resources, users, dead letters.
//!
//! Writes that wait at the same time share one transaction and so one flush, as in the logs.
//!
//! Invariants: a write that answered `Ok` is on the device; a batch is never half there; the engine underneath
//! (docs/decisions/0002-embedded-store.md) appears in no signature.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;
use redb::{Database, ReadableDatabase, TableDefinition, TableError};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::blocking::blocking;
use crate::error::{Error, ErrorKind};
use crate::lane::{Committer, Lane, submit};

/// The longest key, bytes.
pub const KEY_BYTES_MAX: usize = 64 * 1024;
/// The longest value, bytes.
pub const VALUE_BYTES_MAX: usize = 256 * 1024 * 1024;

/// An open store. Clones share it.
#[derive(Clone)]
pub struct Kv {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    /// Empty once closed. Users hold it for reading, also those that write: the engine orders them itself.
    db: RwLock<Option<Database>>,
    lane: Lane<Write>,
}

/// One batch on its way to the disk.
struct Write {
    batch: WriteBatch,
    /// Room in the lane, given back with the write.
    _room: Option<OwnedSemaphorePermit>,
    done: oneshot::Sender<Result<(), Error>>,
}

/// Bound on the batches waiting in memory, bytes; at the bound a write waits.
const PENDING_BYTES_MAX: u32 = 8 * 1024 * 1024;

/// Changes that happen together or not at all, in the order they were added.
#[derive(Clone, Debug, Default)]
pub struct WriteBatch {
    ops: Vec<Op>,
}

#[derive(Clone, Debug)]
struct Op {
    table: String,
    key: Bytes,
    /// `None` deletes.
    value: Option<Bytes>,
}

impl Op {
    fn bytes(&self) -> usize {
        self.table.len() + self.key.len() + self.value.as_ref().map_or(0, Bytes::len)
    }
}

impl WriteBatch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `key` of `table`.
    pub fn put(&mut self, table: &str, key: impl Into<Bytes>, value: impl Into<Bytes>) -> &mut Self {
        self.ops.push(Op { table: table.to_owned(), key: key.into(), value: Some(value.into()) });
        self
    }

    /// Removes `key` of `table`; no error if it is not there.
    pub fn delete(&mut self, table: &str, key: impl Into<Bytes>) -> &mut Self {
        self.ops.push(Op { table: table.to_owned(), key: key.into(), value: None });
        self
    }

    /// How many changes it has.
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }
}

impl Kv {
    /// Opens the store in the file `path`, creating it if needed.
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        let lane = Lane::new(Handle::current(), PENDING_BYTES_MAX);
        blocking(move || {
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent).map_err(|e| Error::io(parent, "creating the folder", &e))?;
            }
            // Rules and resources hold secrets: nobody but the server's own user may read them.
            let private = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
            private.map_err(|e| Error::io(&path, "creating the file", &e))?;
            let db = Database::create(&path).map_err(|e| engine_error(&path, "opening", e.into()))?;
            Ok(Self { inner: Arc::new(Inner { path, db: RwLock::new(Some(db)), lane }) })
        })
        .await
    }

    /// The value of `key` in `table`; `None` if the key, or the table, is not there.
    pub async fn get(&self, table: &str, key: &[u8]) -> Result<Option<Bytes>, Error> {
        let (inner, table, key) = (Arc::clone(&self.inner), table.to_owned(), key.to_vec());
        blocking(move || inner.with("reading", |db| get(db, &table, &key))).await
    }

    /// Sets `key` of `table` and resolves when that is durable.
    pub async fn put(&self, table: &str, key: impl Into<Bytes>, value: impl Into<Bytes>) -> Result<(), Error> {
        let mut batch = WriteBatch::new();
        batch.put(table, key, value);
        self.write(batch).await
    }

    /// Removes `key` of `table` and resolves when that is durable.
    pub async fn delete(&self, table: &str, key: impl Into<Bytes>) -> Result<(), Error> {
        let mut batch = WriteBatch::new();
        batch.delete(table, key);
        self.write(batch).await
    }

    /// Applies `batch` as a whole and resolves when it is durable.
    pub async fn write(&self, batch: WriteBatch) -> Result<(), Error> {
        if let Some(op) = batch.ops.iter().find(|op| {
            op.key.len() > KEY_BYTES_MAX || op.value.as_ref().is_some_and(|value| value.len() > VALUE_BYTES_MAX)
        }) {
            let context = format!("a key or value for table {} is too long", op.table);
            return Err(Error::new(ErrorKind::Invalid, &self.inner.path, context)
                .remedy("keys are up to 64 KiB, values up to 256 MiB"));
        }
        let closed = || self.inner.closed();
        let bytes: usize = batch.ops.iter().map(Op::bytes).sum();
        let room = self.inner.lane.room(bytes as u64).await.ok_or_else(closed)?;
        let (done, committed) = oneshot::channel();
        submit(&self.inner, Write { batch, _room: Some(room), done });
        committed.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Every key of `table` that begins with `prefix`, with its value, in the order of the keys.
    pub async fn scan(&self, table: &str, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>, Error> {
        self.scan_page(table, prefix, None, usize::MAX).await
    }

    /// Like [`Kv::scan`], at most `limit` of them, those behind the key `after`.
    pub async fn scan_page(
        &self,
        table: &str,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, Error> {
        let inner = Arc::clone(&self.inner);
        let (table, prefix, after) = (table.to_owned(), prefix.to_vec(), after.map(<[u8]>::to_vec));
        blocking(move || inner.with("scanning", |db| scan(db, &table, &prefix, after.as_deref(), limit))).await
    }

    /// Takes no more writes, commits those that wait, and lets go of the file. Only then may it be opened again.
    pub async fn close(&self) -> Result<(), Error> {
        self.inner.lane.close();
        let (done, committed) = oneshot::channel();
        // A write of nothing is committed behind everything submitted before it.
        submit(&self.inner, Write { batch: WriteBatch::new(), _room: None, done });
        // Whether it could be committed does not matter: it is nothing.
        drop(committed.await);
        let inner = Arc::clone(&self.inner);
        blocking(move || {
            drop(inner.db.write().take());
            Ok(())
        })
        .await
    }

    /// The store's file.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }
}

impl Inner {
    fn with<T>(&self, doing: &str, work: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, Error> {
        match &*self.db.read() {
            Some(db) => work(db).map_err(|e| engine_error(&self.path, doing, e)),
            None => Err(self.closed()),
        }
    }

    fn closed(&self) -> Error {
        Error::new(ErrorKind::Closed, &self.path, "the store is closed")
    }
}

fn get(db: &Database, table: &str, key: &[u8]) -> Result<Option<Bytes>, redb::Error> {
    let txn = db.begin_read()?;
    match txn.open_table(definition(table)) {
        Ok(table) => Ok(table.get(key)?.map(|value| Bytes::copy_from_slice(value.value()))),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

fn write(db: &Database, group: &[Write]) -> Result<(), redb::Error> {
    let txn = db.begin_write()?;
    let mut ops = group.iter().flat_map(|write| &write.batch.ops).peekable();
    while let Some(first) = ops.peek().copied() {
        // A table is opened once for all changes of it that follow each other: a large batch has thousands.
        let mut table = txn.open_table(definition(&first.table))?;
        while let Some(op) = ops.next_if(|op| op.table == first.table) {
            match &op.value {
                Some(value) => table.insert(op.key.as_ref(), value.as_ref())?,
                None => table.remove(op.key.as_ref())?,
            };
        }
    }
    txn.commit()?;
    Ok(())
}

fn scan(
    db: &Database,
    table: &str,
    prefix: &[u8],
    after: Option<&[u8]>,
    limit: usize,
) -> Result<Vec<(Bytes, Bytes)>, redb::Error> {
    let txn = db.begin_read()?;
    let table = match txn.open_table(definition(table)) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        Err(e) => return Err(e.into()),
    };
    let mut found = Vec::new();
    let from = after.map_or(prefix, |after| after.max(prefix));
    for pair in table.range(from..)? {
        let (key, value) = pair?;
        if found.len() >= limit || !key.value().starts_with(prefix) {
            break;
        }
        if after.is_some_and(|after| key.value() <= after) {
            continue;
        }
        found.push((Bytes::copy_from_slice(key.value()), Bytes::copy_from_slice(value.value())));
    }
    Ok(found)
}

impl Committer for Inner {
    type Item = Write;

    fn lane(&self) -> &Lane<Write> {
        &self.lane
    }

    fn commit(&self, group: Vec<Write>) {
        let result = match group.iter().all(|write| write.batch.is_empty()) {
            true => Ok(()),
            false => self.with("writing", |db| write(db, &group)),
        };
        for waiting in group {
            // A caller that went away has lost interest, not the write.
            waiting.done.send(result.clone()).ok();
        }
    }

    fn tidy(&self) {}
}

fn definition(table: &str) -> TableDefinition<'_, &'static [u8], &'static [u8]> {
    TableDefinition::new(table)
}

fn engine_error(path: &Path, doing: &str, error: redb::Error) -> Error {
    match error {
        redb::Error::Io(e) if e.kind() == std::io::ErrorKind::InvalidData => {
            Error::new(ErrorKind::Corrupt, path, format!("{doing}: {e}")).remedy(
                "the file is left as it is; restore it from a copy, or move it away to begin with an empty store",
            )
        }
        redb::Error::Io(e) => Error::io(path, doing, &e),
        redb::Error::DatabaseAlreadyOpen => {
            Error::new(ErrorKind::Locked, path, "the store is open already, in this process or another")
                .remedy("close it there first")
        }
        redb::Error::PreviousIo => Error::new(ErrorKind::Poisoned, path, format!("{doing}: an earlier write failed"))
            .remedy("check the disk, then restart the server; what was confirmed before is kept"),
        redb::Error::Corrupted(text) => Error::new(ErrorKind::Corrupt, path, format!("{doing}: {text}")),
        redb::Error::UpgradeRequired(version) => {
            Error::new(ErrorKind::Version, path, format!("the store has format version {version}"))
        }
        other => Error::new(ErrorKind::Io, path, format!("{doing}: {other}")),
    }
}
