//! The action `data_to_pgsql`.

use std::sync::Arc;

use async_trait::async_trait;
use connector::{Config, Error, ErrorKind, Record, Sink, WriteError};
use serde_json::{Value as Json, json};

use crate::batch::Writer;
use crate::bind::{self, Bound};
use crate::fault::{Fault, Reach, classify};
use crate::pool::{Lease, Pool};
use crate::sql::Statement;

/// Writes rows of one action.
pub(crate) struct PgSink {
    pool: Arc<Pool>,
    writer: Writer,
}

/// A row that could be encoded: its place in the batch and its parameters.
type Encoded = (usize, Vec<Bound>);

impl PgSink {
    pub(crate) fn new(pool: Arc<Pool>, params: &Config) -> Result<Self, Error> {
        let statement = Statement::parse(params.text("sql").unwrap_or_default())?;
        Ok(Self { pool, writer: Writer::new(statement, params)? })
    }

    /// Writes `batch` on a leased connection. The connection is clean afterwards unless a fault says otherwise.
    async fn write_on(&self, lease: &mut Lease<'_>, batch: &[Record]) -> Result<Vec<(usize, Fault)>, Fault> {
        let prepared = lease.connection.prepare(&self.writer.statement.single).await;
        let types = prepared.map_err(|error| classify(error, "preparing the action's sql"))?.params().to_vec();
        let mut failed: Vec<(usize, Fault)> = Vec::new();
        let mut rows: Vec<Encoded> = Vec::with_capacity(batch.len());
        for (index, record) in batch.iter().enumerate() {
            match bind::row(&self.writer.statement.slots, &types, &record.row) {
                Ok(params) => rows.push((index, params)),
                Err(why) => {
                    failed.push((index, Fault { error: Error::permanent(ErrorKind::Rejected, why), reach: Reach::Row }))
                }
            }
        }
        // Ranges still to be written, the first on top. A range that fails for one row's sake is cut in two: after at
        // most log2(n) cuts the poison row is alone, and every other row is in.
        let mut ranges: Vec<&[Encoded]> = vec![&rows];
        let whole = rows.len();
        while let Some(range) = ranges.pop() {
            if range.is_empty() {
                continue;
            }
            let params: Vec<&[Bound]> = range.iter().map(|(_, params)| params.as_slice()).collect();
            let Err(fault) = self.writer.attempt(&mut lease.connection, &types, &params).await else { continue };
            match (fault.reach, range) {
                (Reach::Row, [(index, _)]) => failed.push((*index, fault)),
                (Reach::Row, _) => {
                    let (first, second) = range.split_at(range.len() / 2);
                    ranges.push(second);
                    ranges.push(first);
                }
                // Nothing is in yet: the batch as a whole has failed.
                _ if range.len() == whole && failed.is_empty() => return Err(fault),
                _ => {
                    rest_failed(&mut failed, range, &ranges, fault);
                    break;
                }
            }
        }
        failed.sort_by_key(|(index, _)| *index);
        Ok(failed)
    }
}

/// Marks this range and all that were not tried with the fault that stopped the work.
fn rest_failed(failed: &mut Vec<(usize, Fault)>, range: &[Encoded], ranges: &[&[Encoded]], fault: Fault) {
    let again = |fault: &Fault| {
        let context = fault.error.to_string();
        let error = if fault.error.is_temporary() {
            Error::temporary(fault.error.kind, context)
        } else {
            Error::permanent(fault.error.kind, context)
        };
        Fault { error, reach: fault.reach }
    };
    let others = range.iter().skip(1).chain(ranges.iter().flat_map(|range| range.iter()));
    let copies: Vec<(usize, Fault)> = others.map(|(index, _)| (*index, again(&fault))).collect();
    if let Some((index, _)) = range.first() {
        failed.push((*index, fault));
    }
    failed.extend(copies);
}

#[async_trait]
impl Sink for PgSink {
    async fn write(&self, batch: &[Record]) -> Result<(), WriteError> {
        if batch.is_empty() {
            return Ok(());
        }
        let mut lease = self.pool.lease().await?;
        match self.write_on(&mut lease, batch).await {
            Ok(failed) => {
                // After a fault of the connection the lease is dropped, which closes it.
                if failed.iter().all(|(_, fault)| fault.reach != Reach::Connection) {
                    lease.give_back();
                }
                let failed: Vec<(usize, Error)> =
                    failed.into_iter().map(|(index, fault)| (index, fault.error)).collect();
                if failed.is_empty() { Ok(()) } else { Err(WriteError::Rows(failed)) }
            }
            Err(fault) => {
                if fault.reach != Reach::Connection {
                    // The table may have been changed under a prepared statement; the next write prepares afresh.
                    lease.connection.statements.clear();
                    lease.give_back();
                }
                Err(WriteError::Batch(fault.error))
            }
        }
    }

    fn render(&self, record: &Record) -> Result<Json, Error> {
        let params: Vec<Json> =
            self.writer.statement.slots.iter().map(|slot| slot.bind(&record.row).to_json()).collect();
        Ok(json!({ "sql": self.writer.statement.single, "params": params }))
    }
}
