//! The local lakehouse table: rows are read back from its Parquet files, and their time from its log.
//!
//! A row can be read from the moment the log entry that names its file has its name. The system notes that moment as the
//! entry's change time (`ctime`), with the resolution of its clock tick, a few milliseconds.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use cli::{ApiClient, Exit, Failure};
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::RowAccessor as _;
use parquet::schema::parser::parse_message_type;
use serde_json::{Value as Json, json};

use super::sink::{Row, Sink};

/// The lake of the server under test.
pub(super) struct LakeSink {
    /// Folder of its tables.
    folder: PathBuf,
    resource: Option<String>,
}

impl LakeSink {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, resource: None }
    }
}

#[async_trait]
impl Sink for LakeSink {
    fn name(&self) -> &'static str {
        "lake"
    }

    fn about(&self) -> Json {
        json!({
            "batch": "the action's default: 100,000 rows, 64 MB or 1 s, whichever comes first; the second is in every row's time",
            "row_confirmed": "change time of the Delta log entry that names the row's file",
        })
    }

    async fn prepare(&mut self, api: &ApiClient, table: &str) -> Result<Json, Failure> {
        let resource = match &self.resource {
            Some(id) => id.clone(),
            None => super::create(api, &["api", "v3", "resources"], &json!({"type": "lake", "config": {}})).await?,
        };
        self.resource = Some(resource.clone());
        Ok(json!({"name": "data_to_lake", "params": {"$resource": resource, "table": table}}))
    }

    async fn rows(&mut self, table: &str) -> Result<Option<Vec<Row>>, Failure> {
        let table = self.folder.join(table);
        let read = tokio::task::spawn_blocking(move || read_table(&table)).await;
        let rows = read.map_err(|error| error.to_string()).flatten();
        rows.map(Some).map_err(|why| Failure::new(Exit::Failed, format!("reading the lake table back: {why}")))
    }

    async fn clean(&mut self, table: &str) {
        // The whole data folder goes away at the end; until then a table that stays only costs space.
        drop(fs::remove_dir_all(self.folder.join(table)));
    }
}

fn read_table(table: &Path) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    for (file, confirmed_us) in files(table)? {
        read_file(&table.join(&file), confirmed_us, &mut rows).map_err(|why| format!("{file}: {why}"))?;
    }
    Ok(rows)
}

/// Every data file of the table with the time of the commit that added it.
fn files(table: &Path) -> Result<BTreeMap<String, i64>, String> {
    let log = table.join("_delta_log");
    let mut files = BTreeMap::new();
    let mut entries = Vec::new();
    if !log.exists() {
        // The first commit makes the table: nothing has been written.
        return Ok(files);
    }
    for entry in fs::read_dir(&log).map_err(|error| format!("{}: {error}", log.display()))? {
        let path = entry.map_err(|error| error.to_string())?.path();
        // Temporary names begin with a dot.
        let is_entry = path
            .file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| !name.starts_with('.') && name.ends_with(".json"));
        if is_entry {
            entries.push(path);
        }
    }
    entries.sort_unstable();
    for path in entries {
        let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let meta = fs::metadata(&path).map_err(|error| wrong(&error))?;
        let changed_us = meta.ctime() * 1_000_000 + meta.ctime_nsec() / 1_000;
        let text = fs::read_to_string(&path).map_err(|error| wrong(&error))?;
        for line in text.lines() {
            let action: Json = serde_json::from_str(line).map_err(|error| wrong(&error))?;
            let named = |kind: &str| action.pointer(&format!("/{kind}/path")).and_then(Json::as_str).map(str::to_owned);
            if let Some(file) = named("add") {
                files.insert(file, changed_us);
            }
            if let Some(file) = named("remove") {
                files.remove(&file);
            }
        }
    }
    Ok(files)
}

fn read_file(path: &Path, confirmed_us: i64, rows: &mut Vec<Row>) -> Result<(), String> {
    let reader = SerializedFileReader::new(File::open(path).map_err(|error| error.to_string())?)
        .map_err(|error| error.to_string())?;
    let column = parse_message_type("message rows { OPTIONAL INT64 sent; }").map_err(|error| error.to_string())?;
    for row in reader.get_row_iter(Some(column)).map_err(|error| error.to_string())? {
        let sent_us = row.and_then(|row| row.get_long(0)).map_err(|error| error.to_string())?;
        rows.push(Row { sent_us, confirmed_us: Some(confirmed_us) });
    }
    Ok(())
}
