//! How a batch is written: one statement a row, many rows in one statement, or, where it is asked for, COPY.
//!
//! The choice and its thresholds were measured: docs/decisions/0005-postgresql-batching.md.

use std::sync::atomic::{AtomicBool, Ordering};

use connector::{Config, Error, ErrorKind};
use futures::future::try_join_all;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{Kind, ToSql, Type};

use crate::bind::{self, Bound};
use crate::fault::{Fault, Reach, classify};
use crate::pool::Connection;
use crate::sql::{Insert, Statement};

/// Up to this many rows a multi-row VALUES is faster than arrays; each number of rows is a prepared statement of its own.
const MULTI_ROW_ROWS_MAX: usize = 8;
/// The protocol counts the parameters of one statement in 16 bits.
const PARAMS_MAX: usize = 65_535;

/// A way to write several rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Auto,
    /// One statement a row, pipelined, in one transaction.
    Single,
    /// `VALUES (…), (…), …`
    MultiRow,
    /// `SELECT … FROM unnest($1::…[], …)`
    Unnest,
    /// `COPY … FROM STDIN` in binary.
    Copy,
}

/// The statement of an action and how its batches are written.
pub(crate) struct Writer {
    pub(crate) statement: Statement,
    wanted: Way,
    /// Set once the server has said that COPY cannot write there (a view, row-level security); INSERT may.
    copy_refused: AtomicBool,
}

impl Writer {
    pub(crate) fn new(statement: Statement, params: &Config) -> Result<Self, Error> {
        let word = params.text("batching").unwrap_or("auto");
        let impossible = |why: &str| {
            Err(Error::permanent(
                ErrorKind::Config,
                format!("batching: {word} is not possible for this statement: {why}"),
            ))
        };
        let insert = statement.insert.as_ref();
        let wanted = match word {
            "single" => Way::Single,
            "multi_row" | "unnest" | "copy" if insert.is_none() => {
                return impossible("it is no INSERT of one VALUES list with all its parameters inside");
            }
            "multi_row" => Way::MultiRow,
            "unnest" if !insert.is_some_and(|insert| insert.selectable) => {
                return impossible("it uses DEFAULT or no parameter");
            }
            "unnest" => Way::Unnest,
            "copy" if insert.is_none_or(|insert| insert.copy_target.is_none()) => {
                return impossible("COPY takes a column list, bare parameters and nothing behind VALUES (…)");
            }
            "copy" => Way::Copy,
            _ => Way::Auto,
        };
        Ok(Self { statement, wanted, copy_refused: AtomicBool::new(false) })
    }

    /// Writes `rows`, all or none.
    pub(crate) async fn attempt(
        &self,
        connection: &mut Connection,
        types: &[Type],
        rows: &[&[Bound]],
    ) -> Result<(), Fault> {
        let fault = |error| classify(error, "writing to PostgreSQL");
        match (self.way(types, rows.len()), &self.statement.insert) {
            (Way::Copy, Some(insert)) => match self.copy(connection, insert, types, rows).await.map_err(fault) {
                Err(fault) if fault.reach == Reach::Statement && !fault.error.is_temporary() => {
                    // Whatever COPY has against this target, INSERT decides: it has the better message, too.
                    self.copy_refused.store(true, Ordering::Relaxed);
                    self.unnest(connection, insert, types, rows)
                        .await
                        .map_err(|error| classify(error, "writing to PostgreSQL"))
                }
                done => done,
            },
            (Way::Unnest, Some(insert)) => self.unnest(connection, insert, types, rows).await.map_err(fault),
            (Way::MultiRow, Some(insert)) => self.multi_row(connection, insert, types, rows).await.map_err(fault),
            _ => self.pipelined(connection, rows).await.map_err(fault),
        }
    }

    fn way(&self, types: &[Type], rows: usize) -> Way {
        let Some(insert) = self.statement.insert.as_ref().filter(|_| rows > 1) else { return Way::Single };
        // unnest takes arrays of arrays apart.
        let flat = insert.selectable && !types.iter().any(|ty| matches!(ty.kind(), Kind::Array(_)));
        match self.wanted {
            Way::Auto if rows <= MULTI_ROW_ROWS_MAX => Way::MultiRow,
            Way::Auto if flat => Way::Unnest,
            Way::Auto => Way::Single,
            Way::Unnest if !flat => Way::Single,
            Way::Copy if self.copy_refused.load(Ordering::Relaxed) => Way::Unnest,
            Way::MultiRow if rows * types.len() > PARAMS_MAX => Way::Single,
            other => other,
        }
    }

    async fn pipelined(&self, connection: &mut Connection, rows: &[&[Bound]]) -> Result<(), tokio_postgres::Error> {
        let statement = connection.prepare(&self.statement.single).await?;
        let client = &connection.client;
        if let [row] = rows {
            // One statement is a transaction of its own.
            return client.execute_raw(&statement, row.iter()).await.map(drop);
        }
        // Polled together, the statements leave without waiting for each other's answers.
        client.batch_execute("BEGIN").await?;
        let outcome = try_join_all(rows.iter().map(|row| client.execute_raw(&statement, row.iter()))).await;
        match outcome {
            Ok(_) => client.batch_execute("COMMIT").await,
            Err(error) => {
                client.batch_execute("ROLLBACK").await?;
                Err(error)
            }
        }
    }

    async fn multi_row(
        &self,
        connection: &mut Connection,
        insert: &Insert,
        types: &[Type],
        rows: &[&[Bound]],
    ) -> Result<(), tokio_postgres::Error> {
        let sql = insert.multi_row(rows.len(), types.len());
        let all: Vec<Type> = types.iter().cycle().take(types.len() * rows.len()).cloned().collect();
        let statement = connection.prepare_typed(&sql, &all).await?;
        let params: Vec<&Bound> = rows.iter().flat_map(|row| row.iter()).collect();
        connection.client.execute_raw(&statement, params).await.map(drop)
    }

    async fn unnest(
        &self,
        connection: &mut Connection,
        insert: &Insert,
        types: &[Type],
        rows: &[&[Bound]],
    ) -> Result<(), tokio_postgres::Error> {
        let names: Vec<String> = types.iter().map(type_name).collect();
        let statement = connection.prepare(&insert.unnest(&names)).await?;
        let arrays: Vec<Bound> = types
            .iter()
            .enumerate()
            .map(|(column, ty)| {
                let items: Vec<&Bound> = rows.iter().filter_map(|row| row.get(column)).collect();
                bind::array(ty, items.into_iter())
            })
            .collect();
        connection.client.execute_raw(&statement, arrays.iter()).await.map(drop)
    }

    async fn copy(
        &self,
        connection: &mut Connection,
        insert: &Insert,
        types: &[Type],
        rows: &[&[Bound]],
    ) -> Result<(), tokio_postgres::Error> {
        let sql = format!("COPY {} FROM STDIN (FORMAT binary)", insert.copy_target.as_deref().unwrap_or_default());
        let statement = connection.prepare(&sql).await?;
        let sink = connection.client.copy_in(&statement).await?;
        let mut writer = std::pin::pin!(BinaryCopyInWriter::new(sink, types));
        for row in rows {
            let values: Vec<&(dyn ToSql + Sync)> = row.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
            writer.as_mut().write(&values).await?;
        }
        writer.finish().await.map(drop)
    }
}

/// The name of a type as a cast takes it.
fn type_name(ty: &Type) -> String {
    let quote = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    format!("{}.{}", quote(ty.schema()), quote(ty.name()))
}
