//! Commands that need no server: `weir check` and `weir query`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cli::args::{FilesArgs, Format, Global, QueryArgs};
use cli::{ApiClient, Exit, Failure};
use engine::query::Limits;
use pipelines::{Absent, Problem, Severity};
use serde_json::{Value as Json, json};

use crate::configuration;
use crate::connectors::{self, LAKE_FOLDER};

/// A server that does not answer within this time is taken for none.
const SERVER_ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// The result of a query, from wherever it came.
struct Rows {
    columns: Vec<String>,
    rows: Vec<Vec<Json>>,
    truncated: bool,
}

/// `weir query`: asks the server of this data folder, which knows the tables of all its resources; without one, reads the
/// lake folder.
pub(crate) async fn query(global: &Global, args: &QueryArgs, out: &mut (dyn Write + Send)) -> Result<(), Failure> {
    let rows = match &args.lake {
        Some(folder) => read_folder(folder.clone(), args).await?,
        None => match ask_server(global, args).await? {
            Some(rows) => rows,
            None => {
                let loaded = configuration::load(global)?;
                read_folder(loaded.settings.node.data_dir.join(LAKE_FOLDER), args).await?
            }
        },
    };
    cli::output::rows(out, global.output, &rows.columns, &rows.rows)?;
    if rows.truncated && global.output == Format::Table {
        note(&format!("only the first {} rows are shown; --limit shows more", rows.rows.len()));
    }
    Ok(())
}

/// `None` when there is no server to ask.
async fn ask_server(global: &Global, args: &QueryArgs) -> Result<Option<Rows>, Failure> {
    let client = ApiClient::new(global)?;
    if !client.has_credentials() {
        return Ok(None);
    }
    match tokio::time::timeout(SERVER_ANSWERS_WITHIN, client.text(&["livez"])).await {
        Ok(Ok((200, _))) => {}
        _ => {
            if global.url.is_some() {
                note(&format!("no server at {}; reading the data folder instead", client.url()));
            }
            return Ok(None);
        }
    }
    let answer = client.post(&["api", "v1", "query"], &json!({"sql": args.sql, "limit": args.limit})).await;
    // Whatever is wrong with a query, the query failed: the same code with and without a server.
    let mut answer = answer.map_err(|failure| Failure::new(Exit::Failed, failure.message))?;
    let columns = answer.get("columns").and_then(Json::as_array).into_iter().flatten();
    let columns = columns.filter_map(|column| Some(column.get("name")?.as_str()?.to_owned())).collect();
    let truncated = answer.get("truncated").and_then(Json::as_bool).unwrap_or(false);
    let rows = answer.get_mut("rows").map_or(Json::Null, Json::take);
    let rows = serde_json::from_value(rows)
        .map_err(|error| Failure::new(Exit::Failed, format!("the server's rows are no rows: {error}")))?;
    Ok(Some(Rows { columns, rows, truncated }))
}

async fn read_folder(folder: PathBuf, args: &QueryArgs) -> Result<Rows, Failure> {
    // A table's files are named by absolute paths.
    let folder = std::path::absolute(&folder)
        .map_err(|error| Failure::new(Exit::Failed, format!("{}: {error}", folder.display())))?;
    if !folder.is_dir() {
        let message = format!(
            "there are no tables: {} is not there; name the server's folder with --data-dir, or a lake with --lake",
            folder.display()
        );
        return Err(Failure::new(Exit::Failed, message));
    }
    let tables = lake::tables(&folder).await.map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    let limits = Limits { rows_max: args.limit, ..Limits::default() };
    let result = engine::query::run(tables, &args.sql, limits).await;
    let result = result.map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    let columns = result.columns.iter().map(|column| column.name.clone()).collect();
    Ok(Rows { columns, rows: result.rows, truncated: result.truncated })
}

/// `weir check`: problems go to stderr as `file:line:column: message`, a summary of each file to stdout; with `-o json` the
/// whole report goes to stdout.
pub(crate) fn check(global: &Global, args: &FilesArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let registry = connectors::registry(Path::new("weir-data"));
    let mut reports = Vec::new();
    let mut failed_count = 0_usize;
    for path in &args.files {
        let report = check_file(path, &registry);
        failed_count += usize::from(!report.passed);
        reports.push(report);
    }
    if matches!(global.output, Format::Table | Format::Manual | Format::Name) {
        for report in &reports {
            report.lines.iter().for_each(|line| note(line));
            writeln!(out, "{}", report.summary)?;
        }
    } else {
        let columns = ["file", "passed", "problems", "tests"].map(str::to_owned);
        let rows: Vec<Vec<Json>> = reports.into_iter().map(|report| report.row).collect();
        cli::output::rows(out, global.output, &columns, &rows)?;
    }
    // The lines above are the message.
    if failed_count == 0 {
        Ok(())
    } else {
        Err(Failure::new(Exit::Invalid, format!("{failed_count} of {} files failed", args.files.len())))
    }
}

/// What there is to say about one file.
struct Checked {
    passed: bool,
    lines: Vec<String>,
    summary: String,
    row: Vec<Json>,
}

fn check_file(path: &Path, registry: &connector::Registry) -> Checked {
    let file = path.display().to_string();
    let (problems, tests, rules) = match pipelines::load_file(path, Absent::Warn) {
        Ok(pipeline) => {
            let report = pipelines::check(&pipeline, registry);
            (report.problems, report.tests, pipeline.rules.len())
        }
        Err(problems) => (problems, Vec::new(), 0),
    };
    let is_error = |problem: &&Problem| problem.severity == Severity::Error;
    let errors = problems.iter().filter(is_error).count();
    let failed = tests.iter().filter(|test| !test.failures.is_empty()).count();
    let mut lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.extend(tests.iter().flat_map(|test| api::failed_test(&file, test)));
    let passed = errors == 0 && failed == 0;
    let summary = if passed {
        format!("{file}: ok, {}, {} passed", count(rules, "rule"), count(tests.len(), "test"))
    } else {
        format!("{file}: {}, {failed} of {} failed", count(errors, "error"), count(tests.len(), "test"))
    };
    let row = vec![json!(file), json!(passed), json!(problems), json!(tests)];
    Checked { passed, lines, summary, row }
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// A message for people, on stderr; commands have no logger.
fn note(text: &str) {
    // Without a stderr there is nobody to tell.
    drop(writeln!(std::io::stderr(), "{text}"));
}
