//! The log and the snapshot tables of the simulation: memory that survives a crash as far as the seed says.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt};
use parking_lot::Mutex;
use store::{Batch, Durability, Error, ErrorKind, LogId, Offset, OrderedLog};

use super::super::Tables;
use super::super::snapshot::{Changes, Table};

/// What survives.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Clone, Debug, Default)]
struct Inner {
    batches: BTreeMap<u64, Batch>,
    end: u64,
    first: u64,
    rows: BTreeMap<(Table, Bytes), Bytes>,
}

impl Disk {
    /// Appends as a log does: a batch that is there already is not written again.
    pub(crate) fn write_batch(&self, batch: &Batch) -> Offset {
        let mut inner = self.inner.lock();
        let same = |known: &Batch| (known.writer, known.wseq) == (batch.writer, batch.wseq);
        if let Some((offset, _)) = inner.batches.iter().find(|(_, known)| same(known)) {
            return Offset(*offset);
        }
        let offset = inner.end;
        inner.batches.insert(offset, batch.clone());
        inner.end += 1;
        Offset(offset)
    }

    /// Writes a snapshot.
    pub(crate) fn write_rows(&self, changes: &Changes) {
        let mut inner = self.inner.lock();
        for (table, key, value) in &changes.rows {
            match value {
                Some(value) => inner.rows.insert((*table, key.clone()), value.clone()),
                None => inner.rows.remove(&(*table, key.clone())),
            };
        }
    }

    /// Forgets what is before `up_to`.
    pub(crate) fn trim_to(&self, up_to: Offset) {
        let mut inner = self.inner.lock();
        inner.first = inner.first.max(up_to.0);
        let first = inner.first;
        inner.batches.retain(|offset, _| *offset >= first);
    }

    /// A copy that goes its own way.
    pub(crate) fn copied(&self) -> Self {
        Self { inner: Arc::new(Mutex::new(self.inner.lock().clone())) }
    }

    /// Rows in the tables, and batches in the log.
    pub(crate) fn sizes(&self) -> (usize, usize) {
        let inner = self.inner.lock();
        (inner.rows.len(), inner.batches.len())
    }
}

impl OrderedLog for Disk {
    fn append(&self, _: LogId, batch: Batch) -> BoxFuture<'_, Result<Offset, Error>> {
        Box::pin(async move { Ok(self.write_batch(&batch)) })
    }

    fn read(&self, _: LogId, from: Offset) -> BoxStream<'static, Result<(Offset, Batch), Error>> {
        let inner = self.inner.lock();
        if from.0 < inner.first {
            let error = Error::new(ErrorKind::Invalid, "sim", "trimmed away");
            return stream::iter([Err(error)]).boxed();
        }
        let found: Vec<_> = inner.batches.range(from.0..).map(|(at, batch)| Ok((Offset(*at), batch.clone()))).collect();
        stream::iter(found).boxed()
    }

    fn trim(&self, _: LogId, up_to: Offset) -> BoxFuture<'_, Result<(), Error>> {
        self.trim_to(up_to);
        Box::pin(async { Ok(()) })
    }

    fn bounds(&self, _: LogId) -> BoxFuture<'_, Result<(Offset, Offset), Error>> {
        let inner = self.inner.lock();
        let bounds = (Offset(inner.first), Offset(inner.end));
        Box::pin(async move { Ok(bounds) })
    }

    fn durability(&self) -> Durability {
        Durability::Power
    }
}

#[async_trait]
impl Tables for Disk {
    async fn write(&self, changes: Changes) -> Result<(), Error> {
        self.write_rows(&changes);
        Ok(())
    }

    async fn read(&self, table: Table) -> Result<Vec<(Bytes, Bytes)>, Error> {
        let inner = self.inner.lock();
        let of_table = inner.rows.iter().filter(|((of, _), _)| *of == table);
        Ok(of_table.map(|((_, key), value)| (key.clone(), value.clone())).collect())
    }
}
