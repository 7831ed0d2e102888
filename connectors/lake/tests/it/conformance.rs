//! The conformance menu against a real folder. The "service" that goes away is the file system: its folder is moved
//! aside and a file stands in its place, as when a mount is lost.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array as _, AsArray as _};
use arrow::datatypes::Int64Type;
use async_trait::async_trait;
use connector::Connector;
use model::{Row, Value};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value as Json, json};
use testkit::{Case, Harness, Written};

struct Folder {
    lake: PathBuf,
    aside: PathBuf,
}

#[async_trait]
impl Harness for Folder {
    fn connector(&self) -> Arc<dyn Connector> {
        lake::connector()
    }

    fn settings(&self) -> Json {
        json!({"path": self.lake})
    }

    fn action(&self) -> &'static str {
        "data_to_lake"
    }

    fn params(&self, destination: &str) -> Json {
        json!({"table": destination, "columns": {"id": "bigint", "text": "text", "data": "binary"}})
    }

    async fn prepare(&self, destination: &str) -> Result<(), String> {
        match std::fs::remove_dir_all(self.lake.join(destination)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.to_string()),
            _ => Ok(()),
        }
    }

    async fn read(&self, destination: &str) -> Result<Vec<Written>, String> {
        let tables = lake::tables(&self.lake).await.map_err(|error| error.to_string())?;
        let mut rows = Vec::new();
        for file in tables.iter().filter(|table| table.name == destination).flat_map(|table| &table.files) {
            let file = std::fs::File::open(&file.path).map_err(|error| error.to_string())?;
            for batch in ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap() {
                let batch = batch.map_err(|error| error.to_string())?;
                let column = |name: &str| batch.column_by_name(name).ok_or_else(|| format!("no column {name}"));
                let (id, text, data) = (column("id")?, column("text")?, column("data")?);
                for row in 0..batch.num_rows() {
                    rows.push(Written {
                        id: id.as_primitive::<Int64Type>().value(row),
                        text: text.is_valid(row).then(|| text.as_string::<i32>().value(row).to_owned()),
                        data: data.is_valid(row).then(|| data.as_binary::<i32>().value(row).to_vec()),
                    });
                }
            }
        }
        Ok(rows)
    }

    fn unreachable(&self) -> Option<Json> {
        let file = self.aside.with_extension("file");
        std::fs::write(&file, "").ok()?;
        Some(json!({"path": file.join("lake")}))
    }

    fn bad_row(&self, id: i64) -> Option<Row> {
        Some(Row::from_pairs([("id", Value::Int(id)), ("text", Value::text("x")), ("data", Value::Int(1))]))
    }

    fn can_restart(&self) -> bool {
        true
    }

    async fn stop_service(&self) -> Result<(), String> {
        std::fs::rename(&self.lake, &self.aside).map_err(|error| error.to_string())?;
        std::fs::write(&self.lake, "").map_err(|error| error.to_string())
    }

    async fn start_service(&self) -> Result<(), String> {
        std::fs::remove_file(&self.lake).map_err(|error| error.to_string())?;
        std::fs::rename(&self.aside, &self.lake).map_err(|error| error.to_string())
    }

    fn outage(&self) -> Duration {
        Duration::from_secs(2)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lake_does_what_it_claims() {
    let folder = tempfile::tempdir().unwrap();
    let harness = Folder { lake: folder.path().join("lake"), aside: folder.path().join("aside") };
    // A folder has no credentials, and no address where a silent server could be put.
    let claimed: Vec<Case> = Case::SINK
        .into_iter()
        .filter(|case| !matches!(case, Case::CheckBadCredentials | Case::RespectsDeadline))
        .collect();
    testkit::run(&harness, &claimed).await;
}
