//! The file connector on a real file system: the conformance menu, paths, torn lines.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test stops at what it did not expect"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use connector::{Client, Config, Connector, ErrorKind, Record, Sink, WriteError};
use model::{Row, Str, Value};
use serde_json::{Value as Json, json};
use testkit::{Case, Harness, Written};

/// Everything the connector claims of the menu; README and STATUS.csv say the same.
const CLAIMED: [Case; 12] = [
    Case::OpenClose,
    Case::CheckOk,
    Case::CheckUnreachable,
    Case::WriteOne,
    Case::WriteBatch,
    Case::WriteParallel,
    Case::PreservesUtf8BinaryNull,
    Case::RejectsBadRowOnly,
    Case::SurvivesRestartOfService,
    Case::AtLeastOnceThroughReconnect,
    Case::NoTaskLeak,
    Case::CountersAddUp,
];

/// The service is a folder; it is down while it is moved away.
struct Files {
    root: tempfile::TempDir,
}

impl Files {
    fn folder(&self) -> PathBuf {
        self.root.path().join("archive")
    }

    fn away(&self) -> PathBuf {
        self.root.path().join("away")
    }
}

#[async_trait]
impl Harness for Files {
    fn connector(&self) -> Arc<dyn Connector> {
        file::connector()
    }

    fn settings(&self) -> Json {
        json!({"folder": self.folder()})
    }

    fn action(&self) -> &'static str {
        "data_to_file"
    }

    fn params(&self, destination: &str) -> Json {
        json!({"path": format!("{destination}/${{part:-main}}/rows.jsonl")})
    }

    async fn prepare(&self, _: &str) -> Result<(), String> {
        Ok(())
    }

    async fn read(&self, destination: &str) -> Result<Vec<Written>, String> {
        let text = std::fs::read_to_string(self.folder().join(destination).join("main/rows.jsonl"));
        let text = text.map_err(|error| error.to_string())?;
        text.lines().map(|line| written(line).ok_or_else(|| format!("not a line of the kit: {line}"))).collect()
    }

    fn unreachable(&self) -> Option<Json> {
        Some(json!({"folder": self.root.path().join("nowhere")}))
    }

    fn bad_row(&self, id: i64) -> Option<Row> {
        Some(Row::from_pairs([("id", Value::Int(id)), ("part", Value::text(".."))]))
    }

    fn can_restart(&self) -> bool {
        true
    }

    async fn stop_service(&self) -> Result<(), String> {
        std::fs::rename(self.folder(), self.away()).map_err(|error| error.to_string())
    }

    async fn start_service(&self) -> Result<(), String> {
        std::fs::rename(self.away(), self.folder()).map_err(|error| error.to_string())
    }
}

fn written(line: &str) -> Option<Written> {
    let json: Json = serde_json::from_str(line).ok()?;
    let text = |name: &str| json.get(name).and_then(Json::as_str).map(str::to_owned);
    let data = text("data")
        .map(|hex| (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect());
    Some(Written { id: json.get("id")?.as_i64()?, text: text("text"), data })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conformance() {
    let files = Files { root: tempfile::tempdir().unwrap() };
    std::fs::create_dir(files.folder()).unwrap();
    testkit::run(&files, &CLAIMED).await;
}

#[test]
fn the_example_of_the_readme_is_accepted() {
    testkit::check_readme(&file::SPEC, include_str!("../README.md"));
}

async fn client(folder: &Path) -> Arc<dyn Client> {
    let config = Config::parse(file::SPEC.fields, &json!({"folder": folder})).unwrap();
    file::connector().open(&config).await.unwrap()
}

async fn sink(folder: &Path, params: &Json) -> Result<Arc<dyn Sink>, String> {
    let action = &file::SPEC.actions[0];
    let config = Config::parse(action.params, params).map_err(|errors| format!("{errors:?}"))?;
    client(folder).await.sink(action, &config).map_err(|error| error.to_string())
}

fn record(row: Row) -> Record {
    Record { row, rule: Str::new("r"), id: Str::new("1/0"), at_ms: 0, event: None, passed_rules: Arc::default() }
}

#[tokio::test]
async fn a_line_is_the_template_or_the_row() {
    let folder = tempfile::tempdir().unwrap();
    let row =
        Row::from_pairs([("a", Value::text("ü")), ("b", Value::Bytes(vec![0xff, 0x00].into())), ("m", Value::Missing)]);
    for (params, path, expected) in [
        (json!({"path": "plain"}), "plain", &b"{\"a\":\"\xc3\xbc\",\"b\":\"FF00\"}\n"[..]),
        (json!({"path": "x/${a}.txt", "template": "<${b}>"}), "x/ü.txt", b"<\xff\x00>\n"),
    ] {
        let sink = sink(folder.path(), &params).await.unwrap();
        sink.write(&[record(row.clone())]).await.unwrap();
        assert_eq!(std::fs::read(folder.path().join(path)).unwrap(), expected);
        assert_eq!(sink.render(&record(row.clone())).unwrap()["path"], json!(path));
    }
}

#[tokio::test]
async fn no_path_leaves_the_folder() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("inside");
    std::fs::create_dir(&folder).unwrap();
    for (path, allow_dynamic) in
        [("../x", false), ("/etc/x", false), ("a//b", false), ("a/./b", false), ("", false), ("${a}", false)]
    {
        let error = sink(&folder, &json!({"path": path, "allow_dynamic": allow_dynamic})).await.err();
        assert!(error.as_ref().is_some_and(|error| error.starts_with("config: ")), "{path}: {error:?}");
    }
    for value in ["..", "../../x", "/etc/x", "a\\b", "a\0b", "a\n", "", "."] {
        let sink = sink(&folder, &json!({"path": "${a}", "allow_dynamic": true})).await.unwrap();
        let row = Row::from_pairs([("a", Value::text(value))]);
        let Err(WriteError::Rows(rows)) = sink.write(&[record(row)]).await else { panic!("{value:?} was taken") };
        assert_eq!((rows[0].0, rows[0].1.kind), (0, ErrorKind::Rejected), "{value:?}");
    }
    // A name the file system cannot take is the row's fault too.
    let long = sink(&folder, &json!({"path": "f${a}"})).await.unwrap();
    let row = Row::from_pairs([("a", Value::text("x".repeat(300)))]);
    let Err(WriteError::Rows(rows)) = long.write(&[record(row)]).await else { panic!("a name of 301 bytes was taken") };
    assert!(!rows[0].1.is_temporary());
    assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
}

#[tokio::test]
async fn a_line_torn_by_a_crash_does_not_spoil_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("f"), "{\"a\":1}\n{\"a\":").unwrap();
    let sink = sink(folder.path(), &json!({"path": "f"})).await.unwrap();
    sink.write(&[record(Row::from_pairs([("a", Value::Int(3))]))]).await.unwrap();
    assert_eq!(std::fs::read_to_string(folder.path().join("f")).unwrap(), "{\"a\":1}\n{\"a\":\n{\"a\":3}\n");
}

#[tokio::test]
async fn a_folder_where_the_file_should_be_is_temporary_and_other_files_are_written() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("f1")).unwrap();
    let sink = sink(folder.path(), &json!({"path": "f${n}"})).await.unwrap();
    let rows: Vec<Record> = (0..3).map(|n| record(Row::from_pairs([("n", Value::Int(n))]))).collect();
    let Err(WriteError::Rows(failed)) = sink.write(&rows).await else { panic!("a folder was written to") };
    assert_eq!(failed.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [1]);
    assert!(failed[0].1.is_temporary());
    assert!(folder.path().join("f0").is_file() && folder.path().join("f2").is_file());
}
