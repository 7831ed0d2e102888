//! `weir query`: one SQL query over snapshots of tables.
//!
//! Invariants:
//! - Read only: queries, SHOW, DESCRIBE and EXPLAIN; anything that would change or write something is refused.
//! - Exactly the snapshot's files are read; SQL cannot name a file.
//! - Memory and rows are bounded; nothing is spilled to disk.
//! - Identifiers are taken as written: `deviceId` is not `deviceid`. Keywords and functions know no case.

mod error;
mod provider;
mod result;

use std::collections::HashSet;
use std::sync::Arc;

use connector::Table;
use datafusion::common::TableReference;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::SessionState;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement;
use futures::StreamExt as _;

pub use error::{Error, ErrorKind};
pub use result::{Column, QueryResult};

/// What one query may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most rows in the result; further ones are cut off and [`QueryResult::truncated`] is set.
    pub rows_max: usize,
    /// Most memory for sorting, grouping and joining, bytes; a query that needs more fails.
    pub memory_bytes_max: usize,
    /// Threads' worth of work at once.
    pub parallelism: usize,
}

impl Default for Limits {
    /// 10,000 rows, 256 MB, 2 at once.
    fn default() -> Self {
        Self { rows_max: 10_000, memory_bytes_max: 256 << 20, parallelism: 2 }
    }
}

/// Runs one query over these tables.
///
/// # Errors
/// The statement does not parse or plan (with line and column where known), names an unknown table (the known ones are
/// listed), would change something, needs more memory than allowed, or a file cannot be read.
pub async fn run(tables: Vec<Table>, sql: &str, limits: Limits) -> Result<QueryResult, Error> {
    let context = session(limits)?;
    let mut known = Vec::new();
    for table in tables {
        known.push(table.name.clone());
        let name = TableReference::bare(table.name.clone());
        let provider = provider::SnapshotTable::new(&table)?;
        context.register_table(name, Arc::new(provider)).map_err(|error| Error::plan(&error))?;
    }
    let state = context.state();
    let statement = parse(&state, sql)?;
    check_tables(&state, &statement, &known)?;
    let plan = state.statement_to_plan(statement).await.map_err(|error| Error::plan(&error))?;
    let read_only = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    read_only.verify_plan(&plan).map_err(|error| Error::refused(&error))?;
    let frame = context.execute_logical_plan(plan).await.map_err(|error| Error::plan(&error))?;
    let schema = Arc::clone(frame.schema().inner());
    let mut stream = frame.execute_stream().await.map_err(|error| Error::execution(&error))?;
    let mut result = QueryResult::new(&schema);
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(|error| Error::execution(&error))?;
        if !result.push(&batch, limits.rows_max)? {
            break;
        }
    }
    Ok(result)
}

fn session(limits: Limits) -> Result<SessionContext, Error> {
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(GreedyMemoryPool::new(limits.memory_bytes_max)))
        .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled))
        .build_arc()
        .map_err(|error| Error::plan(&error))?;
    let mut config =
        SessionConfig::new().with_information_schema(true).with_target_partitions(limits.parallelism.max(1));
    config.options_mut().sql_parser.enable_ident_normalization = false;
    config.options_mut().sql_parser.collect_spans = true;
    Ok(SessionContext::new_with_config_rt(config, runtime))
}

fn parse(state: &SessionState, sql: &str) -> Result<Statement, Error> {
    if sql.trim().trim_end_matches(';').trim().is_empty() {
        return Err(Error::new(ErrorKind::Parse, "the query is empty; write for example SELECT * FROM readings"));
    }
    let dialect = state.config_options().sql_parser.dialect;
    state.sql_to_statement(sql, &dialect).map_err(|error| Error::parse(&error))
}

/// Unknown tables are found here and not by the planner, so that the message can list the known ones.
fn check_tables(state: &SessionState, statement: &Statement, known: &[String]) -> Result<(), Error> {
    let known_names: HashSet<&str> = known.iter().map(String::as_str).collect();
    let named = state.resolve_table_references(statement).map_err(|error| Error::plan(&error))?;
    for table in named {
        let in_information_schema = table.schema() == Some("information_schema");
        let is_function = state.table_functions().contains_key(table.table());
        if in_information_schema || is_function || known_names.contains(table.table()) {
            continue;
        }
        // SHOW and SET name variables in ways that look like tables; the planner answers those.
        if !is_query(statement) {
            continue;
        }
        return Err(Error::unknown_table(&table.to_string(), known));
    }
    Ok(())
}

fn is_query(statement: &Statement) -> bool {
    use datafusion::sql::sqlparser::ast::Statement as Sql;
    match statement {
        Statement::Statement(sql) => matches!(**sql, Sql::Query(_) | Sql::ExplainTable { .. }),
        Statement::Explain(explain) => is_query(&explain.statement),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
