//! `weir bench`: publishes at QoS 1 through a rule into a table, and measures what a user would see.
//!
//! The server is a process of its own, started with the defaults on free loopback ports and a temporary data folder; the
//! publishers are tasks of this process. Rows are read back from the sink itself: nothing is measured by the counters of
//! the server that is measured. The rounds of all combinations take turns, so that a disturbance from outside does not hit
//! one combination only.

mod lake_sink;
mod machine;
mod postgres_sink;
mod publisher;
mod report;
mod round;
mod server;
mod sink;
mod stats;

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use cli::args::{BenchArgs, Global};
use cli::{ApiClient, Exit, Failure};
use model::{Clock as _, SystemClock};
use serde_json::Value as Json;
use tempfile::TempDir;

use crate::connectors::LAKE_FOLDER;
use lake_sink::LakeSink;
use machine::Machine;
use postgres_sink::PostgresSink;
use report::{Measured, NotMeasured, Report};
use round::Plan;
use server::Server;
use sink::{NoSink, Sink};

/// Both promises, side by side.
const DELIVERIES: [&str; 2] = ["at_most_once", "at_least_once"];

/// Measures and prints. An interrupt stops the server and removes what was made.
pub(crate) async fn run(global: &Global, args: &BenchArgs, out: &mut (dyn Write + Send)) -> Result<(), Failure> {
    let folder = temporary_folder(args.dir.as_deref())?;
    let report = tokio::select! {
        report = Box::pin(measure(global, args, folder.path())) => report?,
        _ = tokio::signal::ctrl_c() => return Err(Failure::new(Exit::Failed, "interrupted; a table weir_bench_… may be left in PostgreSQL")),
    };
    report.print(out, global.output)?;
    Ok(())
}

async fn measure(global: &Global, args: &BenchArgs, folder: &Path) -> Result<Report, Failure> {
    let began = SystemClock.instant();
    let machine =
        Machine::probe(folder).map_err(|error| Failure::new(Exit::Failed, format!("{}: {error}", folder.display())))?;
    let data = folder.join("data");
    let mut sinks: Vec<Box<dyn Sink>> = vec![Box::new(NoSink), Box::new(LakeSink::new(data.join(LAKE_FOLDER)))];
    let mut not_measured = Vec::new();
    match args.postgres.as_deref().filter(|url| !url.is_empty()) {
        Some(url) => sinks.push(Box::new(PostgresSink::connect(url).await?)),
        None => not_measured.push(NotMeasured {
            sink: "postgresql",
            why: "no address; give --postgres URL or WEIR_TEST_PG_URL".to_owned(),
        }),
    }
    let plan = Plan {
        publishers: args.publishers,
        inflight: args.inflight,
        messages_max: args.messages,
        time_max: Duration::from_secs(args.seconds),
        rate: args.rate,
    };
    let server = Server::start(global, &data, folder).await?;
    let measured = rounds(&server, &mut sinks, args.rounds, &plan).await;
    let measured = measured.map_err(|failure| server.explain(failure));
    server.stop().await;
    Ok(Report {
        machine,
        plan,
        round_count: args.rounds,
        sinks: sinks.iter().map(|sink| (sink.name(), sink.about())).collect(),
        measured: measured?,
        not_measured,
        took_secs: began.elapsed().as_secs_f64(),
    })
}

async fn rounds(
    server: &Server,
    sinks: &mut [Box<dyn Sink>],
    count: u16,
    plan: &Plan,
) -> Result<Vec<Measured>, Failure> {
    let mut measured: Vec<Measured> = sinks
        .iter()
        .flat_map(|sink| DELIVERIES.map(|delivery| Measured { sink: sink.name(), delivery, rounds: Vec::new() }))
        .collect();
    for number in 1..=count {
        let mut results = measured.iter_mut();
        for sink in sinks.iter_mut() {
            for result in results.by_ref().take(DELIVERIES.len()) {
                progress(&format!("round {number} of {count}: {} {}", result.sink, result.delivery));
                let table = format!("weir_bench_{}_{number}_{}", std::process::id(), result.delivery);
                result.rounds.push(round::run(server, sink.as_mut(), result.delivery, &table, plan).await?);
            }
        }
    }
    Ok(measured)
}

/// Creates an object over the API and returns its id.
async fn create(api: &ApiClient, path: &[&str], body: &Json) -> Result<String, Failure> {
    let created = api.post(path, body).await?;
    let id = created.get("id").and_then(Json::as_str).map(str::to_owned);
    id.ok_or_else(|| Failure::new(Exit::Failed, "the server created something without an id"))
}

fn temporary_folder(parent: Option<&Path>) -> Result<TempDir, Failure> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("weir-bench-");
    let made = match parent {
        Some(parent) => builder.tempdir_in(parent),
        None => builder.tempdir(),
    };
    made.map_err(|error| Failure::new(Exit::Failed, format!("cannot make a temporary folder: {error}")))
}

/// A line for people on a terminal; a minute without a sign of life is long.
fn progress(text: &str) {
    let mut stderr = std::io::stderr();
    if std::io::IsTerminal::is_terminal(&stderr) {
        // Without a stderr there is nobody to tell.
        drop(writeln!(stderr, "{text}"));
    }
}
