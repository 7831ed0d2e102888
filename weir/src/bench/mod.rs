//! `weir bench`: a whole server in this process, real sockets, QoS 1 publishes through the reference rule into a table; with
//! at_most_once and at_least_once side by side.
//!
//! What is measured: PUBACK is the time from writing a PUBLISH to reading its PUBACK. End to end is the time from writing
//! the n-th PUBLISH to the moment the sink had confirmed n rows. Publishers and server share the machine.

mod publisher;

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use cli::args::{BenchArgs, Format, Global};
use cli::{Exit, Failure};
use engine::{ActionConfig, RuleSpec};
use model::{Clock, SystemClock};
use resources::ResourceSpec;
use serde_json::{Value as Json, json};

use crate::server::{self, Server};

/// Filter on one payload number and five output fields, as the founding measurements have it.
const RULE: &str = "SELECT payload.device AS device, payload.n AS n, payload.temp AS temp, payload.site AS site, timestamp AS ts \
    FROM \"bench/#\" WHERE payload.temp > 0";
/// A run that takes longer has failed.
const RUN_MAX: Duration = Duration::from_secs(600);
/// How often the sink's counter is read.
const POLL: Duration = Duration::from_millis(1);

/// One kind of sink.
struct Target {
    name: &'static str,
    resource: Option<&'static str>,
    config: Json,
    action: &'static str,
    params: Json,
}

/// What one run gave.
struct Figures {
    sink: &'static str,
    delivery: &'static str,
    published_per_s: f64,
    delivered_per_s: f64,
    puback: [Duration; 2],
    end_to_end: [Duration; 2],
}

pub(crate) async fn run(global: &Global, args: &BenchArgs, out: &mut (dyn Write + Send)) -> Result<(), Failure> {
    if args.messages == 0 || args.publishers == 0 || args.inflight == 0 {
        return Err(Failure::new(Exit::Usage, "--messages, --publishers and --inflight must be at least 1"));
    }
    let mut all = Vec::new();
    for target in targets(args)? {
        for delivery in ["at_most_once", "at_least_once"] {
            let folder = std::env::temp_dir().join(format!("weir-bench-{}", std::process::id()));
            let figures = one(&folder, &target, delivery, args).await;
            // Left-over files would only waste space; the figures matter more.
            drop(std::fs::remove_dir_all(&folder));
            all.push(figures?);
        }
    }
    print(global.output, &all, args, out)
}

fn targets(args: &BenchArgs) -> Result<Vec<Target>, Failure> {
    let mut targets = vec![
        Target { name: "none", resource: None, config: json!({}), action: "do_nothing", params: json!({}) },
        Target { name: "lake", resource: Some("lake"), config: json!({}), action: "data_to_lake", params: json!({"table": "bench"}) },
    ];
    if let Some(config) = &args.postgresql {
        let config: Json = serde_json::from_str(config)
            .map_err(|error| Failure::new(Exit::Invalid, format!("--postgresql is not JSON: {error}")))?;
        targets.push(Target {
            name: "postgresql",
            resource: Some("backend_pgsql"),
            config,
            action: "data_to_pgsql",
            params: json!({"sql": "INSERT INTO weir_bench(device, n, temp, site, ts) VALUES (${device}, ${n}, ${temp}, ${site}, ${ts})"}),
        });
    }
    Ok(targets)
}

async fn one(folder: &Path, target: &Target, delivery: &'static str, args: &BenchArgs) -> Result<Figures, Failure> {
    let flags = vec![
        ("node.data_dir", folder.display().to_string(), "bench"),
        ("mqtt.bind", "127.0.0.1:0".to_owned(), "bench"),
        ("api.bind", "127.0.0.1:0".to_owned(), "bench"),
    ];
    let loaded = settings::load(&settings::Sources { flags, ..settings::Sources::default() });
    let settings = loaded.map_err(|error| Failure::new(Exit::Failed, error.to_string()))?.settings;
    let server = server::start(&settings, &[]).await?;
    let figures = measure(&server, target, delivery, args).await;
    server::stop(server, settings.node.stop_deadline).await;
    figures
}

async fn measure(server: &Server, target: &Target, delivery: &'static str, args: &BenchArgs) -> Result<Figures, Failure> {
    let rule = install(server, target, delivery).await?;
    let address = mqtt_address(server)?;
    let each = args.messages.div_ceil(u64::from(args.publishers));
    let started = SystemClock.instant();
    let mut publishers = Vec::new();
    for number in 0..args.publishers {
        let window = args.inflight;
        publishers.push(tokio::task::spawn_blocking(move || {
            publisher::publish(address, &format!("p{number}"), each, window, |n| payload(number, n))
        }));
    }
    let total = each * u64::from(args.publishers);
    let confirmed = follow(server, &rule, total, started).await?;
    let (mut sent, mut pubacks, mut last_ack) = (Vec::new(), Vec::new(), started);
    for publisher in publishers {
        let timing = publisher.await.map_err(|error| Failure::new(Exit::Failed, format!("a publisher panicked: {error}")))?;
        let timing = timing.map_err(|error| Failure::new(Exit::Failed, format!("a publisher failed: {error}")))?;
        let acknowledged = timing.sent.iter().zip(&timing.acknowledged_after).map(|(sent, after)| *sent + *after).max();
        last_ack = last_ack.max(acknowledged.unwrap_or(started));
        sent.extend(timing.sent);
        pubacks.extend(timing.acknowledged_after);
    }
    sent.sort_unstable();
    let end_to_end = end_to_end(&sent, &confirmed);
    let last_row = confirmed.last().map_or(started, |(at, _)| *at);
    let rate = |until: Instant| total as f64 / until.duration_since(started).as_secs_f64().max(f64::EPSILON);
    Ok(Figures {
        sink: target.name,
        delivery,
        published_per_s: rate(last_ack),
        delivered_per_s: rate(last_row),
        puback: percentiles(pubacks),
        end_to_end: percentiles(end_to_end),
    })
}

async fn install(server: &Server, target: &Target, delivery: &str) -> Result<String, Failure> {
    let mut params = target.params.clone();
    if let Some(resource_type) = target.resource {
        let spec = ResourceSpec {
            id: None,
            resource_type: resource_type.to_owned(),
            config: target.config.clone(),
            description: "weir bench".to_owned(),
            origin: None,
        };
        let made = server.resources.create(spec).await.map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
        if let Some(params) = params.as_object_mut() {
            params.insert("$resource".to_owned(), json!(made.id));
        }
    }
    let mut action = ActionConfig::new(target.action, params);
    action.settings.insert("delivery".to_owned(), json!(delivery));
    let rule = server.engine.create_rule(RuleSpec::new(RULE, vec![action])).await;
    Ok(rule.map_err(|error| Failure::new(Exit::Failed, error.to_string()))?.id.to_string())
}

fn mqtt_address(server: &Server) -> Result<SocketAddr, Failure> {
    let first = server.broker.local_addrs().first().map(|(_, address)| *address);
    first.ok_or_else(|| Failure::new(Exit::Failed, "the broker has no listener"))
}

/// About 120 bytes, as the founding measurements have it.
fn payload(publisher: u16, number: u64) -> String {
    let temp = 20 + number % 15;
    format!(
        "{{\"device\":\"device-{publisher:04}\",\"n\":{number},\"temp\":{temp}.5,\"site\":\"hall-7\",\"unit\":\"celsius\",\"status\":\"running\",\"batch\":\"a-{number:08}\"}}"
    )
}

/// Reads how many rows the sink has confirmed until it has all of them.
async fn follow(server: &Server, rule: &str, total: u64, started: Instant) -> Result<Vec<(Instant, u64)>, Failure> {
    let mut confirmed = Vec::new();
    let mut last = 0;
    while last < total {
        let view = server.engine.rule(rule).map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
        let now = SystemClock.instant();
        let metrics = view.actions.first().map(|action| action.metrics.clone()).unwrap_or_default();
        if metrics.success > last {
            last = metrics.success;
            confirmed.push((now, last));
        }
        let lost = metrics.failed + metrics.dropped.values().sum::<u64>() + view.metrics.dropped;
        if lost > 0 {
            return Err(Failure::new(Exit::Failed, format!("{lost} rows were not delivered: {:?} {:?}", metrics, view.failures)));
        }
        if now.duration_since(started) > RUN_MAX {
            return Err(Failure::new(Exit::Failed, format!("only {last} of {total} rows arrived within {RUN_MAX:?}: {metrics:?}")));
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(confirmed)
}

/// For every message the time until as many rows were confirmed as had been sent up to it.
fn end_to_end(sent: &[Instant], confirmed: &[(Instant, u64)]) -> Vec<Duration> {
    let mut steps = confirmed.iter().peekable();
    let mut times = Vec::with_capacity(sent.len());
    for (index, at) in sent.iter().enumerate() {
        while steps.peek().is_some_and(|(_, count)| *count <= index as u64) {
            steps.next();
        }
        if let Some((done, _)) = steps.peek() {
            times.push(done.saturating_duration_since(*at));
        }
    }
    times
}

/// p50 and p99, by nearest rank.
fn percentiles(mut times: Vec<Duration>) -> [Duration; 2] {
    times.sort_unstable();
    [50, 99].map(|percent| times.get((times.len() * percent).div_ceil(100).saturating_sub(1)).copied().unwrap_or_default())
}

fn print(format: Format, all: &[Figures], args: &BenchArgs, out: &mut (dyn Write + Send)) -> Result<(), Failure> {
    let columns = ["sink", "delivery", "published/s", "delivered/s", "puback p50 ms", "puback p99 ms", "end to end p50 ms", "end to end p99 ms"];
    let millis = |time: Duration| json!((time.as_secs_f64() * 1e5).round() / 1e2);
    let rows: Vec<Vec<Json>> = all
        .iter()
        .map(|figures| {
            let [puback_50, puback_99] = figures.puback;
            let [total_50, total_99] = figures.end_to_end;
            vec![
                json!(figures.sink),
                json!(figures.delivery),
                json!(figures.published_per_s.round() as u64),
                json!(figures.delivered_per_s.round() as u64),
                millis(puback_50),
                millis(puback_99),
                millis(total_50),
                millis(total_99),
            ]
        })
        .collect();
    cli::output::rows(out, format, &columns.map(str::to_owned), &rows)?;
    if format == Format::Table {
        let threads = std::thread::available_parallelism().map_or(0, usize::from);
        writeln!(out, "{} messages, {} publishers, {} in flight each, {threads} processors", args.messages, args.publishers, args.inflight)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn end_to_end_pairs_the_nth_publish_with_the_nth_row() {
        let start = SystemClock.instant();
        let at = |millis| start + Duration::from_millis(millis);
        let times = end_to_end(&[at(0), at(1), at(2)], &[(at(5), 2), (at(9), 3)]);
        assert_eq!(times, [5, 4, 7].map(Duration::from_millis));
        assert_eq!(percentiles(times), [5, 7].map(Duration::from_millis));
    }
}
