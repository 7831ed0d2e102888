//! Queries over real Parquet files.

use std::fs::File;
use std::path::Path;

use connector::{DataFile, TableColumn};
use datafusion::arrow::array::{ArrayRef, BinaryArray, Float64Array, Int64Array, RecordBatch, StringArray};
use datafusion::parquet::arrow::ArrowWriter;
use serde_json::json;

use super::*;

fn file(folder: &Path, name: &str, site: Option<&str>, columns: Vec<(&str, ArrayRef)>) -> DataFile {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let bytes = std::fs::metadata(&path).unwrap().len();
    DataFile {
        path: path.to_str().unwrap().to_owned(),
        bytes,
        partition: vec![("site".to_owned(), site.map(str::to_owned))],
    }
}

/// Two files of `readings`: the older without the column `unit`; and an empty table.
fn tables(folder: &Path) -> Vec<Table> {
    let column = |name: &str, data_type: &str| TableColumn { name: name.to_owned(), data_type: data_type.to_owned() };
    let ints = |values: &[i64]| -> ArrayRef { Arc::new(Int64Array::from(values.to_vec())) };
    let floats = |values: &[f64]| -> ArrayRef { Arc::new(Float64Array::from(values.to_vec())) };
    let files = vec![
        file(
            folder,
            "site=a%2Fb%20c/1.parquet",
            Some("a/b c"),
            vec![("deviceId", ints(&[1, 2])), ("temp", floats(&[20.5, 31.0]))],
        ),
        file(
            folder,
            "site=x/2.parquet",
            None,
            vec![
                ("deviceId", ints(&[3])),
                ("temp", floats(&[f64::NAN])),
                ("unit", Arc::new(StringArray::from(vec!["C, \"grad\"\n"]))),
                ("raw", Arc::new(BinaryArray::from_vec(vec![b"\xff\x01"]))),
            ],
        ),
    ];
    let readings = Table {
        name: "readings".to_owned(),
        location: folder.to_str().unwrap().to_owned(),
        version: 1,
        columns: vec![
            column("deviceId", "Int64"),
            column("site", "Utf8"),
            column("temp", "Float64"),
            column("unit", "Utf8"),
            column("raw", "Binary"),
        ],
        partition_columns: vec!["site".to_owned()],
        files,
    };
    let empty = Table {
        name: "empty-table".to_owned(),
        columns: vec![column("at", "Timestamp(µs, \"UTC\")")],
        partition_columns: Vec::new(),
        files: Vec::new(),
        ..readings.clone()
    };
    vec![readings, empty]
}

async fn query(sql: &str) -> Result<QueryResult, Error> {
    let folder = tempfile::tempdir().unwrap();
    run(tables(folder.path()), sql, Limits::default()).await
}

#[tokio::test]
async fn queries_answer_over_exactly_the_files_of_the_snapshot() {
    for (sql, expected) in [
        (
            "SELECT * FROM readings ORDER BY deviceId",
            json!([
                {"deviceId": 1, "site": "a/b c", "temp": 20.5, "unit": null, "raw": null},
                {"deviceId": 2, "site": "a/b c", "temp": 31.0, "unit": null, "raw": null},
                {"deviceId": 3, "site": null, "temp": null, "unit": "C, \"grad\"\n", "raw": "FF01"},
            ]),
        ),
        ("SELECT count(*) AS n, AVG(temp) AS t FROM readings WHERE site = 'a/b c'", json!([{"n": 2, "t": 25.75}])),
        ("select deviceId from readings where site is null", json!([{"deviceId": 3}])),
        (
            "WITH hot AS (SELECT * FROM readings WHERE temp > 30 AND temp < 1e9) SELECT deviceId FROM hot",
            json!([{"deviceId": 2}]),
        ),
        ("SELECT * FROM \"empty-table\"", json!([])),
        (
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1",
            json!([{"table_name": "empty-table"}, {"table_name": "readings"}]),
        ),
        (
            "SELECT site, count(*) AS n FROM readings GROUP BY site ORDER BY n DESC",
            json!([{"site": "a/b c", "n": 2}, {"site": null, "n": 1}]),
        ),
        ("SELECT CAST(9223372036854775807 AS DECIMAL(38,0)) + 1 AS n;", json!([{"n": 9223372036854775808_u64}])),
    ] {
        assert_eq!(query(sql).await.map(|result| result.to_json()), Ok(expected), "{sql}");
    }
}

#[tokio::test]
async fn tables_can_be_shown_and_described() {
    let shown = query("SHOW TABLES").await.unwrap().to_csv();
    assert!(shown.contains("readings"), "{shown}");
    let described = query("DESCRIBE readings").await.unwrap().to_csv();
    assert!(described.contains("deviceId,Int64,YES"), "{described}");
    let explained = query("EXPLAIN SELECT temp FROM readings WHERE temp > 1").await.unwrap().to_csv();
    assert!(explained.contains("DataSourceExec"), "{explained}");
}

#[tokio::test]
async fn errors_say_where_and_what_to_write() {
    for (sql, kind, expected) in [
        ("SELEC 1", ErrorKind::Parse, "line 1, column 1: Expected: an SQL statement, found: SELEC"),
        ("SELECT temp\nFROM readings WHERE", ErrorKind::Parse, "Expected: an expression, found: EOF"),
        (" ; ", ErrorKind::Parse, "the query is empty; write for example SELECT * FROM readings"),
        ("SELECT 1; SELECT 2", ErrorKind::Parse, "one query at a time"),
        (
            "SELECT * FROM reading",
            ErrorKind::UnknownTable,
            "there is no table reading; the tables are empty-table, readings",
        ),
        (
            "SELECT * FROM Readings",
            ErrorKind::UnknownTable,
            "there is no table Readings; names are case-sensitive, did you mean readings?",
        ),
        (
            "SELECT * FROM '/etc/passwd'",
            ErrorKind::UnknownTable,
            "there is no table /etc/passwd; the tables are empty-table, readings",
        ),
        (
            "EXPLAIN SELECT * FROM nope",
            ErrorKind::UnknownTable,
            "there is no table nope; the tables are empty-table, readings",
        ),
        (
            "DROP TABLE readings",
            ErrorKind::Refused,
            "weir query only reads: DropTable is refused; write SELECT, WITH, SHOW TABLES, DESCRIBE or EXPLAIN",
        ),
        (
            "INSERT INTO readings (temp) VALUES (1)",
            ErrorKind::Refused,
            "weir query only reads: Insert Into is refused; write SELECT, WITH, SHOW TABLES, DESCRIBE or EXPLAIN",
        ),
        (
            "COPY readings TO '/tmp/x.csv'",
            ErrorKind::Refused,
            "weir query only reads: COPY is refused; write SELECT, WITH, SHOW TABLES, DESCRIBE or EXPLAIN",
        ),
        (
            "CREATE EXTERNAL TABLE p STORED AS CSV LOCATION '/etc/passwd'",
            ErrorKind::Refused,
            "weir query only reads: CreateExternalTable is refused; write SELECT, WITH, SHOW TABLES, DESCRIBE or EXPLAIN",
        ),
        (
            "EXPLAIN ANALYZE INSERT INTO readings (temp) VALUES (1)",
            ErrorKind::Refused,
            "weir query only reads: Insert Into is refused; write SELECT, WITH, SHOW TABLES, DESCRIBE or EXPLAIN",
        ),
        (
            "SET datafusion.execution.batch_size = 1",
            ErrorKind::Refused,
            "weir query only reads: SetVariable is refused; write SELECT, WITH, SHOW TABLES, DESCRIBE or EXPLAIN",
        ),
        ("SELECT 1 / 0", ErrorKind::Execution, "Divide by zero error"),
    ] {
        let error = query(sql).await.unwrap_err();
        assert_eq!((error.kind, error.to_string().as_str()), (kind, expected), "{sql}");
    }
    let error = query("SELECT\n  tmp FROM readings").await.unwrap_err();
    assert_eq!((error.kind, error.at), (ErrorKind::Plan, Some((2, 3))), "{error}");
    assert!(error.message.contains("temp"), "{error}");
}

#[tokio::test]
async fn rows_beyond_the_limit_are_cut_and_said_so() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { rows_max: 2, ..Limits::default() };
    let result = run(tables(folder.path()), "SELECT deviceId FROM readings ORDER BY 1", limits).await.unwrap();
    assert_eq!((result.rows.len(), result.truncated), (2, true));
    let exact = run(tables(folder.path()), "SELECT deviceId FROM readings LIMIT 2", limits).await.unwrap();
    assert_eq!((exact.rows.len(), exact.truncated), (2, false));
}

#[tokio::test]
async fn a_query_that_needs_more_memory_than_allowed_fails() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { memory_bytes_max: 1 << 20, ..Limits::default() };
    let sql = "SELECT value % 500000 AS k, count(*) FROM generate_series(1, 1000000) GROUP BY 1 ORDER BY 1";
    let error = run(tables(folder.path()), sql, limits).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Memory, "{error}");
}

#[tokio::test]
async fn results_print_as_table_csv_and_json_lines() {
    let result = query("SELECT deviceId, unit FROM readings ORDER BY 1 DESC LIMIT 2").await.unwrap();
    assert_eq!(result.to_table(), "deviceId  unit\n--------  ----------\n       3  C, \"grad\"\n       2\n(2 rows)\n");
    assert_eq!(result.to_csv(), "deviceId,unit\r\n3,\"C, \"\"grad\"\"\n\"\r\n2,\r\n");
    assert_eq!(result.to_jsonl(), "{\"deviceId\":3,\"unit\":\"C, \\\"grad\\\"\\n\"}\n{\"deviceId\":2,\"unit\":null}\n");
}
