//! Rows to tables: finds the table of each row and appends one batch a table.

use std::sync::Arc;

use async_trait::async_trait;
use connector::{Error, ErrorKind, Record, Sink, WriteError};
use indexmap::IndexMap;
use model::Str;
use serde_json::json;

use crate::append::Batch;
use crate::client::Writers;
use crate::plan::plan;
use crate::settings::{Action, TableName, check_table_name};

pub(crate) struct LakeSink {
    writers: Arc<Writers>,
    action: Arc<Action>,
}

impl LakeSink {
    pub(crate) fn new(writers: Arc<Writers>, action: Action) -> Self {
        Self { writers, action: Arc::new(action) }
    }

    fn table_of(&self, record: &Record) -> Result<Str, Error> {
        match &self.action.table {
            TableName::Literal(name) => Ok(Str::new(name)),
            TableName::Template(template) => {
                let name = template.text(&record.row);
                check_table_name(&name)
                    .map_err(|why| Error::permanent(ErrorKind::Rejected, format!("table: {why}")))?;
                Ok(Str::from(name))
            }
        }
    }
}

/// Rows of one table and one rule.
type Groups = IndexMap<(Str, Str), Batch, foldhash::fast::RandomState>;

#[async_trait]
impl Sink for LakeSink {
    async fn write(&self, batch: &[Record]) -> Result<(), WriteError> {
        let mut failed: Vec<(usize, Error)> = Vec::new();
        let mut groups = Groups::default();
        for (index, record) in batch.iter().enumerate() {
            match self.table_of(record) {
                Ok(table) => groups
                    .entry((table, record.rule.clone()))
                    .or_insert_with(|| Batch {
                        rows: Vec::new(),
                        rule: record.rule.clone(),
                        action: Arc::clone(&self.action),
                    })
                    .rows
                    .push((index, record.id.clone(), record.row.clone())),
                Err(error) => failed.push((index, error)),
            }
        }
        let alone = groups.len() == 1 && failed.is_empty();
        for ((table, _), rows) in groups {
            let indexes: Vec<usize> = rows.rows.iter().map(|(index, ..)| *index).collect();
            let result = match self.writers.get(&table) {
                Ok(writer) => writer.append(Arc::new(rows)).await,
                Err(error) => Err(error),
            };
            match result {
                Ok(rejected) => failed.extend(rejected),
                Err(error) if alone => return Err(WriteError::Batch(error)),
                Err(error) => failed.extend(indexes.into_iter().map(|index| (index, again(&error)))),
            }
        }
        if failed.is_empty() {
            return Ok(());
        }
        failed.sort_by_key(|(index, _)| *index);
        Err(WriteError::Rows(failed))
    }

    fn render(&self, record: &Record) -> Result<serde_json::Value, Error> {
        let table = self.table_of(record)?;
        let planned = plan(&table, None, &[(0, &record.row)], &self.action)?;
        if let Some((_, error)) = planned.failed.into_iter().next() {
            return Err(error);
        }
        let columns: serde_json::Map<String, serde_json::Value> =
            planned.slots.iter().map(|(name, kind)| (name.clone(), kind.name().into())).collect();
        let row = crate::shape::shape(&record.row, &self.action.columns, &mut crate::shape::NamesCache::default())?;
        Ok(json!({
            "table": table.as_str(),
            "partition_by": self.action.partition_by.clone().unwrap_or_default(),
            "columns": columns,
            "row": row.to_json(),
        }))
    }
}

/// The error of a whole batch, once for each of its rows.
fn again(error: &Error) -> Error {
    Error { kind: error.kind, retry: error.retry, context: error.to_string(), source: None }
}
