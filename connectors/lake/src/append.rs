//! One attempt to append a batch: plan the rows, write the files, commit the entry. Blocking; the table's mutex is held.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use connector::{Error, ErrorKind};
use deltalake_core::kernel::engine::arrow_conversion::TryIntoKernel as _;
use deltalake_core::kernel::{Action as Entry, CommitInfo, MetadataExt as _, StructType, Transaction, new_metadata};
use model::{Clock as _, Row, Str, SystemClock};

use crate::cast::{Cell, Kind};
use crate::commit::{self, Outcome};
use crate::encode::{FileColumn, Files, array, partition_text, write_file};
use crate::plan::{Plan, plan};
use crate::settings::{Action, Codec};
use crate::shape::column_name;
use crate::table::{CHECKPOINT_EVERY_VERSIONS, Current, State};

/// Folders one batch may touch; a batch with more is refused and halved by the layer above.
const PARTITIONS_PER_BATCH_MAX: usize = 1_000;

/// Rows of one write for one table.
pub(crate) struct Batch {
    /// Index into the write, record id, row.
    pub(crate) rows: Vec<(usize, Str, Row)>,
    pub(crate) rule: Str,
    pub(crate) action: Arc<Action>,
}

/// How an append ended.
pub(crate) enum Appended {
    Done {
        failed: Vec<(usize, Error)>,
        version: Option<u64>,
    },
    Conflict,
    /// These whole-number columns should become doubles first.
    Widen(Vec<String>),
}

/// One attempt, off the async threads.
pub(crate) struct Append {
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
    pub(crate) codec: Codec,
    pub(crate) app_id: String,
    pub(crate) batch: Arc<Batch>,
}

impl Append {
    pub(crate) fn run(&self, state: &mut State) -> Result<Appended, Error> {
        let (skip, digest) = self.already_there(state.last.get(&self.app_id).copied());
        if skip > 0 {
            tracing::info!(table = self.name, rows = skip, "rows of an earlier attempt are in the table already");
        }
        let rows: Vec<(usize, &Row)> = self.batch.rows.iter().skip(skip).map(|(index, _, row)| (*index, row)).collect();
        if rows.is_empty() {
            return Ok(Appended::Done { failed: Vec::new(), version: None });
        }
        if let Some(current) = &state.current
            && !commit::entry_path(&self.folder, current.version).exists()
        {
            // Going on would make a log without a beginning, perhaps on another disk than before.
            let gone = format!(
                "the log of table {} is gone from {}; the next attempt looks again",
                self.name,
                self.folder.display()
            );
            state.loaded = false;
            return Err(Error::temporary(ErrorKind::NotFound, gone));
        }
        let action = &self.batch.action;
        let columns = state.current.as_ref().map(|current| current.columns.as_slice());
        let plan = plan(&self.name, columns, &rows, action)?;
        let widen = self.to_widen(state, &plan);
        if !widen.is_empty() {
            return Ok(Appended::Widen(widen));
        }
        if plan.rows.is_empty() {
            return Ok(Appended::Done { failed: plan.failed, version: None });
        }
        let next = Next::new(&self.name, state.current.as_ref(), &plan, action)?;
        let (files, failed) = self.write_files(&plan, &next.partition)?;
        let failed = merge(plan.failed, failed);
        if files.written.is_empty() {
            return Ok(Appended::Done { failed, version: None });
        }
        let entry = self.entry(&files, &next, digest)?;
        match commit::commit(&self.folder, next.current.version, &entry)? {
            Outcome::Conflict => Ok(Appended::Conflict),
            Outcome::Committed => {
                files.keep();
                let version = next.current.version;
                state.current = Some(next.current);
                state.last.insert(self.app_id.clone(), digest);
                Ok(Appended::Done { failed, version: Some(version) })
            }
        }
    }

    /// Columns worth widening: the action lets the schema change, and it was not in vain before.
    fn to_widen(&self, state: &State, plan: &Plan) -> Vec<String> {
        let Some(current) = state.current.as_ref().filter(|_| self.batch.action.evolve) else { return Vec::new() };
        let fixed = |name: &String| state.fixed.contains(name) || current.metadata.partition_columns().contains(name);
        let declared = |name: &String| {
            self.batch.action.columns.iter().any(|column| column.kind.is_some() && column_name(&column.name) == *name)
        };
        plan.widen
            .iter()
            .filter_map(|slot| plan.slots.get(*slot))
            .map(|(name, _)| name.clone())
            .filter(|name| !fixed(name) && !declared(name))
            .collect()
    }

    /// How many rows at the front of the batch are those of the last commit of this rule and action (a crash between
    /// commit and acknowledgement), and what identifies the whole batch.
    fn already_there(&self, last: Option<i64>) -> (usize, i64) {
        let mut digest = commit::Digest::new();
        let mut skip = 0;
        for (count, (_, id, _)) in self.batch.rows.iter().enumerate() {
            digest.add(id);
            if last == Some(digest.version()) {
                skip = count + 1;
            }
        }
        if skip == 0 || skip == self.batch.rows.len() {
            return (skip, digest.version());
        }
        // What is committed now is only the rest, and a retry of it starts with the rest.
        let mut rest = commit::Digest::new();
        self.batch.rows.iter().skip(skip).for_each(|(_, id, _)| rest.add(id));
        (skip, rest.version())
    }

    fn write_files(&self, plan: &Plan, partition: &[String]) -> Result<(Files, Vec<(usize, Error)>), Error> {
        let places: Vec<usize> =
            partition.iter().filter_map(|name| plan.slots.iter().position(|(column, _)| column == name)).collect();
        let mut groups: BTreeMap<Vec<Option<String>>, Vec<&[Cell]>> = BTreeMap::new();
        let mut failed = Vec::new();
        for (index, cells) in &plan.rows {
            match partition_key(&places, cells, &plan.slots) {
                Ok(key) => groups.entry(key).or_default().push(cells),
                Err(why) => {
                    failed.push((*index, Error::permanent(ErrorKind::Rejected, format!("table {}: {why}", self.name))))
                }
            }
        }
        if groups.len() > PARTITIONS_PER_BATCH_MAX {
            return Err(Error::permanent(
                ErrorKind::Rejected,
                format!(
                    "table {}: one batch has rows for {} partitions, at most {PARTITIONS_PER_BATCH_MAX} are written at once; choose partition columns with fewer values",
                    self.name,
                    groups.len()
                ),
            ));
        }
        let columns: Vec<(usize, FileColumn)> = plan
            .slots
            .iter()
            .enumerate()
            .filter(|(place, _)| !places.contains(place))
            .map(|(place, (name, kind))| (place, FileColumn { name: name.clone(), kind: kind.clone() }))
            .collect();
        let (places, columns): (Vec<usize>, Vec<FileColumn>) = columns.into_iter().unzip();
        let mut files = Files::default();
        for (key, rows) in groups {
            let arrays = places
                .iter()
                .zip(&columns)
                .map(|(place, column)| {
                    array(&column.kind, rows.iter().map(|cells| cells.get(*place).unwrap_or(&Cell::Null)))
                })
                .collect();
            let values = partition.iter().cloned().zip(key).collect();
            files.written.push(write_file(&self.folder, &columns, arrays, values, self.codec)?);
        }
        Ok((files, failed))
    }

    /// The log entry as JSON lines.
    fn entry(&self, files: &Files, next: &Next, digest: i64) -> Result<String, Error> {
        let now = SystemClock.now_ms();
        let rows = &self.batch.rows;
        let id = |row: Option<&(usize, Str, Row)>| serde_json::Value::from(row.map_or("", |(_, id, _)| id.as_str()));
        let info = CommitInfo {
            timestamp: Some(now),
            operation: Some("WRITE".to_owned()),
            operation_parameters: Some(HashMap::from([("mode".to_owned(), "Append".into())])),
            is_blind_append: Some(true),
            engine_info: Some(format!("weir/{}", env!("CARGO_PKG_VERSION"))),
            info: HashMap::from([
                ("rule".to_owned(), self.batch.rule.as_str().into()),
                ("firstId".to_owned(), id(rows.first())),
                ("lastId".to_owned(), id(rows.last())),
            ]),
            ..CommitInfo::default()
        };
        let mut entries = vec![Entry::CommitInfo(info)];
        entries.extend(next.changed.then(|| Entry::Metadata(next.current.metadata.clone())));
        entries.push(Entry::Txn(Transaction::new_with_last_update(&self.app_id, digest, Some(now))));
        entries.extend(files.written.iter().map(|file| Entry::Add(file.to_add(now, true))));
        let mut lines = commit::lines(&entries)?;
        if next.current.version == 0 {
            lines.insert(1, r#"{"protocol":{"minReaderVersion":1,"minWriterVersion":2}}"#.to_owned());
        }
        Ok(lines.join("\n"))
    }
}

/// The table as it will be after the commit.
struct Next {
    current: Current,
    partition: Vec<String>,
    /// The schema is new or has new columns.
    changed: bool,
}

impl Next {
    fn new(table: &str, now: Option<&Current>, plan: &Plan, action: &Action) -> Result<Self, Error> {
        let wanted = action.partition_by.as_deref();
        let partition: Vec<String> = match now {
            Some(current) => current.metadata.partition_columns().to_vec(),
            None => wanted.unwrap_or_default().to_vec(),
        };
        check_partition(table, wanted, &partition, plan)?;
        let internal = |error: &dyn std::fmt::Display| {
            Error::permanent(ErrorKind::Internal, format!("table {table}: making the schema: {error}"))
        };
        let changed = now.is_none() || plan.slots.len() > plan.known;
        let mut fields = now.map_or_else(Vec::new, |current| current.fields.clone());
        for (name, kind) in plan.slots.iter().skip(plan.known) {
            let field = arrow::datatypes::Field::new(name, kind.arrow(), true);
            fields.push((&field).try_into_kernel().map_err(|error: arrow::error::ArrowError| internal(&error))?);
        }
        let schema = || StructType::try_new(fields.clone()).map_err(|error| internal(&error));
        let metadata = match now {
            Some(current) if !changed => current.metadata.clone(),
            Some(current) => current.metadata.clone().with_schema(&schema()?).map_err(|error| internal(&error))?,
            None => new_metadata(
                &schema()?,
                &partition,
                [
                    ("delta.checkpointInterval", CHECKPOINT_EVERY_VERSIONS.to_string().as_str()),
                    ("delta.logRetentionDuration", LOG_RETENTION),
                ],
            )
            .and_then(|metadata| metadata.with_name(table.to_owned()))
            .map_err(|error| internal(&error))?,
        };
        let version = now.map_or(0, |current| current.version + 1);
        Ok(Self { current: Current { version, metadata, fields, columns: plan.slots.clone() }, partition, changed })
    }
}

/// How long log entries stay after a checkpoint made them superfluous: what time travel can reach.
const LOG_RETENTION: &str = "interval 1 days";

fn check_partition(table: &str, wanted: Option<&[String]>, partition: &[String], plan: &Plan) -> Result<(), Error> {
    let config = |message: String| Err(Error::permanent(ErrorKind::Config, format!("table {table}: {message}")));
    if let Some(wanted) = wanted
        && wanted != partition
    {
        return config(format!(
            "is partitioned by [{}], the action asks for [{}]",
            partition.join(", "),
            wanted.join(", ")
        ));
    }
    let names = || plan.slots.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
    if let Some(absent) = partition.iter().find(|name| plan.slots.iter().all(|(column, _)| column != *name)) {
        return config(format!("partition_by: the rows have no column {absent}; they have {}", names()));
    }
    if plan.slots.len() == partition.len() {
        return config(format!("every column ({}) is a partition column; a table needs one that is not", names()));
    }
    Ok(())
}

fn partition_key(places: &[usize], cells: &[Cell], slots: &[(String, Kind)]) -> Result<Vec<Option<String>>, String> {
    places
        .iter()
        .map(|place| {
            let name = slots.get(*place).map_or("", |(name, _)| name.as_str());
            partition_text(cells.get(*place).unwrap_or(&Cell::Null))
                .map_err(|why| format!("partition column {name}: {why}"))
        })
        .collect()
}

fn merge(mut a: Vec<(usize, Error)>, b: Vec<(usize, Error)>) -> Vec<(usize, Error)> {
    a.extend(b);
    a.sort_by_key(|(index, _)| *index);
    a
}
