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
use parquet::schema::types::Type;
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
    let file = File::open(path).map_err(|error| error.to_string())?;
    let reader = SerializedFileReader::new(file).map_err(|error| error.to_string())?;
    let columns = reader.metadata().file_metadata().schema();
    let sent = columns.get_fields().iter().find(|column| column.name() == "sent").ok_or("there is no column `sent`")?;
    let only_sent = Type::group_type_builder(columns.name()).with_fields(vec![sent.clone()]).build();
    let only_sent = only_sent.map_err(|error| error.to_string())?;
    for row in reader.get_row_iter(Some(only_sent)).map_err(|error| error.to_string())? {
        let sent_us = row.and_then(|row| row.get_long(0)).map_err(|error| error.to_string())?;
        rows.push(Row { sent_us, confirmed_us: Some(confirmed_us) });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parquet::basic::{Repetition, Type as Physical};
    use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;

    use super::*;

    /// Writes a file with the columns `device` and `sent`.
    fn write(path: &Path, sent: &[i64]) {
        let column =
            |name, physical| Type::primitive_type_builder(name, physical).with_repetition(Repetition::OPTIONAL).build();
        let fields = vec![
            Arc::new(column("device", Physical::BYTE_ARRAY).unwrap()),
            Arc::new(column("sent", Physical::INT64).unwrap()),
        ];
        let schema = Type::group_type_builder("arrow_schema").with_fields(fields).build().unwrap();
        let properties = Arc::new(WriterProperties::default());
        let mut writer = SerializedFileWriter::new(File::create(path).unwrap(), Arc::new(schema), properties).unwrap();
        let levels = vec![1; sent.len()];
        let mut group = writer.next_row_group().unwrap();
        let mut device = group.next_column().unwrap().unwrap();
        let names = vec![ByteArray::from("d"); sent.len()];
        device.typed::<ByteArrayType>().write_batch(&names, Some(&levels), None).unwrap();
        device.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(sent, Some(&levels), None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
        writer.close().unwrap();
    }

    #[test]
    fn rows_get_the_time_of_the_entry_that_names_their_file() {
        let folder = tempfile::tempdir().unwrap();
        let table = folder.path().join("t");
        assert_eq!(read_table(&table), Ok(Vec::new()), "a table without a commit has no rows");
        let log = table.join("_delta_log");
        fs::create_dir_all(&log).unwrap();
        write(&table.join("a.parquet"), &[3, 5]);
        write(&table.join("gone.parquet"), &[7]);
        let first = "{\"commitInfo\":{}}\n{\"add\":{\"path\":\"a.parquet\"}}\n{\"add\":{\"path\":\"gone.parquet\"}}\n";
        fs::write(log.join("00000000000000000000.json"), first).unwrap();
        fs::write(log.join("00000000000000000001.json"), "{\"remove\":{\"path\":\"gone.parquet\"}}\n").unwrap();
        fs::write(log.join(".2.json.tmp"), "half").unwrap();
        let rows = read_table(&table).unwrap();
        assert_eq!(rows.iter().map(|row| row.sent_us).collect::<Vec<_>>(), [3, 5]);
        let now_us = model::Clock::now_ns(&model::SystemClock) / 1_000;
        for row in rows {
            let age_us = now_us - row.confirmed_us.unwrap();
            assert!((-1_000_000..60_000_000).contains(&age_us), "{age_us}");
        }
    }
}
