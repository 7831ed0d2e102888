//! The lake against a real folder: what is written, what a reader sees, what is refused.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests may panic")]

mod conformance;
mod upkeep;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use connector::{Client, Config, Record, Sink, Table, WriteError};
use model::{Row, Str, Value};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value as Json, json};

async fn client(folder: &Path) -> Arc<dyn Client> {
    let config = Config::parse(lake::SPEC.fields, &json!({"path": folder})).unwrap();
    lake::connector().open(&config).await.unwrap()
}

fn sink(client: &Arc<dyn Client>, params: &Json) -> Arc<dyn Sink> {
    try_sink(client, params).unwrap()
}

fn try_sink(client: &Arc<dyn Client>, params: &Json) -> Result<Arc<dyn Sink>, String> {
    let action = &lake::SPEC.actions[0];
    let config = Config::parse(action.params, params).map_err(|errors| format!("{errors:?}"))?;
    client.sink(action, &config).map_err(|error| error.to_string())
}

fn record(id: &str, row: Row) -> Record {
    Record { row, rule: Str::new("r1"), id: Str::new(id), at_ms: 0, event: None, passed_rules: Arc::default() }
}

fn rows(from: usize, json: &[Json]) -> Vec<Record> {
    json.iter()
        .enumerate()
        .map(|(index, json)| {
            let Value::Map(map) = Value::from_json(json) else { panic!("a row is an object") };
            record(&format!("m{}/0", from + index), Row::from_pairs(map.iter().map(|(k, v)| (k.clone(), v.clone()))))
        })
        .collect()
}

fn batches(table: &Table) -> Vec<(BTreeMap<String, Option<String>>, RecordBatch)> {
    let mut all = Vec::new();
    for file in &table.files {
        let reader = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(&file.path).unwrap())
            .unwrap()
            .build()
            .unwrap();
        for batch in reader {
            all.push((file.partition.iter().cloned().collect(), batch.unwrap()));
        }
    }
    all
}

/// Every row of the table as `column=value` text, sorted; null columns left out.
fn content(table: &Table) -> Vec<String> {
    let mut lines = Vec::new();
    for (partition, batch) in batches(table) {
        for row in 0..batch.num_rows() {
            let mut cells: BTreeMap<String, String> =
                partition.iter().filter_map(|(k, v)| Some((k.clone(), v.clone()?))).collect();
            for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
                if column.is_valid(row) {
                    let text =
                        ArrayFormatter::try_new(column, &FormatOptions::default()).unwrap().value(row).to_string();
                    cells.insert(field.name().clone(), text);
                }
            }
            lines.push(cells.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(" "));
        }
    }
    lines.sort();
    lines
}

fn columns(table: &Table) -> Vec<String> {
    table.columns.iter().map(|column| format!("{}: {}", column.name, column.data_type)).collect()
}

async fn only_table(folder: &Path) -> Table {
    let mut tables = lake::tables(folder).await.unwrap();
    assert_eq!(tables.len(), 1);
    tables.remove(0)
}

fn row_errors(result: Result<(), WriteError>) -> Vec<(usize, String)> {
    match result {
        Ok(()) => Vec::new(),
        Err(WriteError::Rows(rows)) => rows.into_iter().map(|(index, error)| (index, error.to_string())).collect(),
        Err(WriteError::Batch(error)) => panic!("the batch failed: {error}"),
    }
}

#[tokio::test]
async fn a_write_is_one_commit_and_survives_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let open = client(folder.path()).await;
    let readings = sink(&open, &json!({"table": "readings"}));
    readings.write(&rows(0, &[json!({"a": 1, "b": "x"}), json!({"a": 2})])).await.unwrap();
    let table = only_table(folder.path()).await;
    assert_eq!((table.name.as_str(), table.version, table.files.len()), ("readings", 0, 1));
    open.close().await;

    let again = client(folder.path()).await;
    sink(&again, &json!({"table": "readings"})).write(&rows(2, &[json!({"a": 3, "b": null})])).await.unwrap();
    let table = only_table(folder.path()).await;
    assert_eq!(table.version, 1);
    assert_eq!(columns(&table), ["a: Int64", "b: Utf8"]);
    assert_eq!(content(&table), ["a=1 b=x", "a=2", "a=3"]);
}

#[tokio::test]
async fn every_kind_of_value_comes_back_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let open = client(folder.path()).await;
    let row = Row::from_pairs([
        ("bool", Value::Bool(true)),
        ("int", Value::Int(i64::MIN)),
        ("big", Value::integer(i128::from(u64::MAX))),
        ("float", Value::Float(0.1)),
        ("text", Value::text("žluťoučký 🐎 \"quoted\", \u{1}")),
        ("bytes", Value::Bytes(bytes::Bytes::from_static(b"\xff\x00\xfe"))),
        ("list", Value::list(vec![Value::Int(1), Value::text("ü")])),
        ("map", Value::map([("k", Value::Null)])),
        ("null", Value::Null),
        ("missing", Value::Missing),
    ]);
    sink(&open, &json!({"table": "t"})).write(&[record("m/0", row)]).await.unwrap();
    let table = only_table(folder.path()).await;
    assert_eq!(
        columns(&table),
        [
            "bool: Boolean",
            "int: Int64",
            "big: Utf8",
            "float: Float64",
            "text: Utf8",
            "bytes: Binary",
            "list: Utf8",
            "map: Utf8"
        ]
    );
    assert_eq!(
        content(&table),
        [
            "big=18446744073709551615 bool=true bytes=ff00fe float=0.1 int=-9223372036854775808 list=[1,\"ü\"] map={\"k\":null} text=žluťoučký 🐎 \"quoted\", \u{1}"
        ]
    );
}

#[tokio::test]
async fn a_row_that_does_not_fit_fails_alone() {
    let folder = tempfile::tempdir().unwrap();
    let open = client(folder.path()).await;
    let t = sink(&open, &json!({"table": "t"}));
    t.write(&rows(0, &[json!({"n": 9007199254740993_i64, "d": 0.5, "b": true})])).await.unwrap();
    for (value, expected) in [
        (
            json!({"n": "x"}),
            "rejected: table t: column n is bigint: text \"x\" does not fit: the text is no whole number of 64 bits",
        ),
        // 9007199254740993 is in the column, and no double holds it: the column stays what it is.
        (json!({"n": 1.5}), "rejected: table t: column n is bigint: float 1.5 does not fit: the number has a fraction"),
        (
            json!({"n": {"a": 1}}),
            "rejected: table t: column n is bigint: map {\"a\":1} does not fit: only whole numbers can be stored there",
        ),
        (
            json!({"d": 9007199254740993_i64}),
            "rejected: table t: column d is double: integer 9007199254740993 does not fit: the whole number is too large to be exact there",
        ),
        (
            json!({"b": 1}),
            "rejected: table t: column b is boolean: integer 1 does not fit: only true and false can be stored there",
        ),
        (
            json!({"x": 1, "X": 2}),
            "rejected: table t: two columns of the row are X in the table, where case and the characters ,;{}()= do not count",
        ),
    ] {
        let before = only_table(folder.path()).await;
        let id = before.version as usize * 10 + 10;
        let errors = row_errors(t.write(&rows(id, &[json!({"d": 1}), value, json!({"n": "7", "d": 2.5})])).await);
        assert_eq!(errors, [(1, expected.to_owned())]);
        assert_eq!(content(&only_table(folder.path()).await).len(), content(&before).len() + 2);
    }
    let errors = row_errors(t.write(&rows(1000, &[json!({"n": "x"})])).await);
    assert_eq!(errors.len(), 1);
}

#[tokio::test]
async fn new_columns_evolve_the_schema_or_fail_the_row() {
    let folder = tempfile::tempdir().unwrap();
    let open = client(folder.path()).await;
    sink(&open, &json!({"table": "t"})).write(&rows(0, &[json!({"a": 1})])).await.unwrap();
    let fixed = sink(&open, &json!({"table": "t", "on_schema_change": "fail"}));
    let errors = row_errors(fixed.write(&rows(1, &[json!({"a": 2, "b": null}), json!({"a": 3, "b": "x"})])).await);
    assert_eq!(errors, [(1, "rejected: table t has no column b, and on_schema_change is fail".to_owned())]);
    sink(&open, &json!({"table": "t"}))
        .write(&rows(3, &[json!({"a": 4, "b": "x", "c d;": 1.5}), json!({"A": 5})]))
        .await
        .unwrap();
    let table = only_table(folder.path()).await;
    assert_eq!(columns(&table), ["a: Int64", "b: Utf8", "c_d_: Float64"]);
    assert_eq!(content(&table), ["a=1", "a=2", "a=4 b=x c_d_=1.5", "a=5"]);
}

#[tokio::test]
async fn partitions_are_folders_and_the_values_come_from_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let open = client(folder.path()).await;
    let t = sink(&open, &json!({"table": "t", "partition_by": ["site", "date(ts)"], "columns": {"ts": "timestamp"}}));
    t.write(&rows(
        0,
        &[
            json!({"site": "a/b =ü", "ts": 1769860800000_i64, "v": 1}),
            json!({"site": "a/b =ü", "ts": "2026-01-31T23:59:59Z", "v": 2}),
            json!({"site": null, "ts": 1769904000000_i64, "v": 3}),
        ],
    ))
    .await
    .unwrap();
    let table = only_table(folder.path()).await;
    assert_eq!(table.partition_columns, ["site", "ts_date"]);
    assert_eq!(columns(&table), ["site: Utf8", "ts: Timestamp(µs, \"UTC\")", "v: Int64", "ts_date: Date32"]);
    assert_eq!(
        content(&table),
        [
            "site=a/b =ü ts=2026-01-31T12:00:00Z ts_date=2026-01-31 v=1",
            "site=a/b =ü ts=2026-01-31T23:59:59Z ts_date=2026-01-31 v=2",
            "ts=2026-02-01T00:00:00Z ts_date=2026-02-01 v=3",
        ]
    );
    let wrong = sink(&open, &json!({"table": "t", "partition_by": ["v"]}));
    let Err(WriteError::Batch(error)) = wrong.write(&rows(9, &[json!({"v": 1})])).await else { panic!("must fail") };
    assert_eq!(error.to_string(), "config: table t: is partitioned by [site, ts_date], the action asks for [v]");
}

#[tokio::test]
async fn a_batch_tried_again_is_not_written_twice() {
    let folder = tempfile::tempdir().unwrap();
    let all = rows(0, &[json!({"a": 1}), json!({"a": 2}), json!({"a": 3})]);
    let first = client(folder.path()).await;
    sink(&first, &json!({"table": "t"})).write(&all[..2]).await.unwrap();
    // A server that crashed after the commit: nothing is remembered but what is on disk.
    let second = client(folder.path()).await;
    let t = sink(&second, &json!({"table": "t"}));
    t.write(&all[..2]).await.unwrap();
    t.write(&all).await.unwrap();
    t.write(&all[2..]).await.unwrap();
    assert_eq!(content(&only_table(folder.path()).await), ["a=1", "a=2", "a=3"]);
    // Another action of the same rule writes the same rows on its own account.
    sink(&second, &json!({"table": "t", "columns": {"b": "text"}})).write(&all).await.unwrap();
    assert_eq!(content(&only_table(folder.path()).await).len(), 6);
}

#[tokio::test]
async fn readers_see_only_whole_batches_while_writers_meet() {
    const BATCH_ROWS: usize = 50;
    const BATCHES: usize = 40;
    let folder = tempfile::tempdir().unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for writer in 0..2 {
        // Two clients are like two servers: they share nothing but the folder.
        let open = client(folder.path()).await;
        writers.push(async move {
            let t = sink(&open, &json!({"table": "t"}));
            for batch in 0..BATCHES {
                let from = (writer * BATCHES + batch) * BATCH_ROWS;
                let batch: Vec<Json> = (0..BATCH_ROWS).map(|n| json!({"writer": writer, "n": from + n})).collect();
                t.write(&rows(from, &batch)).await.unwrap();
            }
        });
    }
    let reader = {
        let (folder, done) = (folder.path().to_owned(), Arc::clone(&done));
        async move {
            let mut last = 0;
            while !done.load(Ordering::Acquire) {
                for table in lake::tables(&folder).await.unwrap() {
                    let seen: usize = batches(&table).iter().map(|(_, batch)| batch.num_rows()).sum();
                    assert_eq!(seen % BATCH_ROWS, 0);
                    assert!(seen >= last);
                    last = seen;
                }
                tokio::task::yield_now().await;
            }
        }
    };
    let writing = async {
        futures::future::join_all(writers).await;
        done.store(true, Ordering::Release);
    };
    futures::future::join(reader, writing).await;
    let table = only_table(folder.path()).await;
    assert_eq!(content(&table).len(), 2 * BATCHES * BATCH_ROWS);
    assert_eq!(table.version as usize, 2 * BATCHES - 1);
}

#[tokio::test]
async fn files_outside_the_log_are_invisible() {
    let folder = tempfile::tempdir().unwrap();
    let open = client(folder.path()).await;
    let t = sink(&open, &json!({"table": "t"}));
    t.write(&rows(0, &[json!({"a": 1})])).await.unwrap();
    // A crash between the data file and the commit leaves exactly this.
    let table = only_table(folder.path()).await;
    std::fs::copy(&table.files[0].path, folder.path().join("t/part-orphan.zstd.parquet")).unwrap();
    std::fs::write(folder.path().join("t/_delta_log/.0123.json.tmp"), "{").unwrap();
    assert_eq!(content(&only_table(folder.path()).await), ["a=1"]);
    t.write(&rows(1, &[json!({"a": 2})])).await.unwrap();
    assert_eq!(content(&only_table(folder.path()).await), ["a=1", "a=2"]);
}

#[tokio::test]
async fn checkpoints_keep_the_table_readable_past_a_hundred_commits() {
    let folder = tempfile::tempdir().unwrap();
    let open = client(folder.path()).await;
    let t = sink(&open, &json!({"table": "t"}));
    for n in 0..130 {
        t.write(&rows(n, &[json!({"a": n})])).await.unwrap();
    }
    open.close().await;
    assert!(folder.path().join("t/_delta_log/00000000000000000100.checkpoint.parquet").exists());
    assert_eq!(content(&only_table(folder.path()).await).len(), 130);
    // The transaction of the last batch is found behind the checkpoint as well.
    sink(&client(folder.path()).await, &json!({"table": "t"})).write(&rows(129, &[json!({"a": 129})])).await.unwrap();
    assert_eq!(content(&only_table(folder.path()).await).len(), 130);
}

#[tokio::test]
async fn bad_parameters_say_what_to_write() {
    let folder = tempfile::tempdir().unwrap();
    let open = client(folder.path()).await;
    for (params, expected) in [
        (
            json!({"table": "../x"}),
            "config: table: \"../x\" is no table name: letters, digits, _ and -, starting with a letter or digit",
        ),
        (
            json!({"table": "${x}"}),
            "config: table: ${x} must start with literal text, such as events_${x}, so that a payload cannot choose any table",
        ),
        (
            json!({"table": "t", "partition_by": "week(ts)"}),
            "config: partition_by: week(ts): week is unknown; the parts are year, month, day, hour, date",
        ),
        (json!({"table": "t", "partition_by": "a,a"}), "config: partition_by: a is given twice"),
        (
            json!({"table": "t", "columns": {"a": "varchr"}}),
            "config: columns: a: \"varchr\" is no type; the types are boolean, bigint, double, text, binary, timestamp, date",
        ),
    ] {
        assert_eq!(try_sink(&open, &params).err().as_deref(), Some(expected));
    }
    let absent = sink(&open, &json!({"table": "t", "partition_by": "site"}));
    let Err(WriteError::Batch(error)) = absent.write(&rows(0, &[json!({"a": 1})])).await else { panic!("must fail") };
    assert_eq!(error.to_string(), "config: table t: partition_by: the rows have no column site; they have a");
    assert!(lake::tables(folder.path()).await.unwrap().is_empty());
}

#[tokio::test]
async fn check_finds_a_folder_that_cannot_be_written_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    client(&folder.path().join("a/b")).await.check().await.unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = client(&file.join("lake")).await.check().await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("unreachable: the lake cannot write to {}", file.display())), "{error}");
    let Err(WriteError::Batch(error)) =
        sink(&client(&file).await, &json!({"table": "t"})).write(&rows(0, &[json!({"a": 1})])).await
    else {
        panic!("must fail")
    };
    assert!(error.is_temporary() && error.to_string().contains(&file.display().to_string()), "{error}");
}

#[tokio::test]
async fn a_whole_number_column_becomes_double_at_its_first_fraction() {
    let folder = tempfile::tempdir().unwrap();
    let open = client(folder.path()).await;
    let t = sink(&open, &json!({"table": "t", "partition_by": "site"}));
    t.write(&rows(0, &[json!({"site": "a b", "temp": 31}), json!({"site": "c", "temp": -4, "x": 1})])).await.unwrap();
    t.write(&rows(2, &[json!({"site": "c", "y": "no temp"})])).await.unwrap();
    t.write(&rows(3, &[json!({"site": "c", "temp": 31.5})])).await.unwrap();
    t.write(&rows(4, &[json!({"site": "c", "temp": 7})])).await.unwrap();
    let table = only_table(folder.path()).await;
    assert_eq!(columns(&table), ["site: Utf8", "temp: Float64", "x: Int64", "y: Utf8"]);
    assert_eq!(
        content(&table),
        ["site=a b temp=31.0", "site=c temp=-4.0 x=1", "site=c temp=31.5", "site=c temp=7.0", "site=c y=no temp"]
    );
    // Where the action fixes the type or the schema, the row fails instead.
    for (id, params) in [
        (10, json!({"table": "t", "columns": {"x": "bigint"}})),
        (20, json!({"table": "t", "on_schema_change": "fail"})),
    ] {
        let errors = row_errors(sink(&open, &params).write(&rows(id, &[json!({"site": "c", "x": 1.5})])).await);
        assert_eq!(errors.len(), 1);
    }
}

#[tokio::test]
async fn a_table_whose_log_is_gone_is_not_continued() {
    let folder = tempfile::tempdir().unwrap();
    let open = client(folder.path()).await;
    let t = sink(&open, &json!({"table": "t"}));
    t.write(&rows(0, &[json!({"a": 1})])).await.unwrap();
    std::fs::remove_dir_all(folder.path().join("t")).unwrap();
    let Err(WriteError::Batch(error)) = t.write(&rows(1, &[json!({"a": 2})])).await else { panic!("must fail") };
    assert!(error.is_temporary(), "{error}");
    t.write(&rows(1, &[json!({"a": 2})])).await.unwrap();
    let table = only_table(folder.path()).await;
    assert_eq!((table.version, content(&table)), (0, vec!["a=2".to_owned()]));
}

#[test]
fn the_example_of_the_readme_is_accepted() {
    let readme = include_str!("../../README.md");
    let yaml = readme.split("```yaml").nth(1).unwrap().split("```").next().unwrap();
    let settings = |after: &str| -> serde_json::Map<String, Json> {
        let block = yaml.split(after).nth(1).unwrap();
        let lines = block.lines().skip(1).take_while(|line| line.starts_with("      "));
        lines
            .map(|line| line.split('#').next().unwrap().trim().split_once(": ").unwrap())
            .map(|(key, value)| (key.to_owned(), flow(value.trim())))
            .collect()
    };
    Config::parse(lake::SPEC.fields, &Json::Object(settings("config:"))).unwrap();
    let params = Config::parse(lake::SPEC.actions[0].params, &Json::Object(settings("params:"))).unwrap();
    assert_eq!(params.list("partition_by"), ["site", "date(ts)"]);
    assert_eq!(params.map("columns").len(), 3);
}

/// The few forms of YAML values that the example has.
fn flow(text: &str) -> Json {
    if let Some(items) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        return items.split(',').map(|item| flow(item.trim())).collect();
    }
    if let Some(items) = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
        return items
            .split(", ")
            .map(|item| item.split_once(": ").unwrap())
            .map(|(key, value)| (key.to_owned(), flow(value)))
            .collect();
    }
    Json::String(text.trim_matches('"').to_owned())
}
