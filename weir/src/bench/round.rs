//! One run: a new table and rule, a warm-up, publishing, waiting until the queue is empty, and reading the rows back.
//!
//! Invariants:
//! - Every step has a longest time.
//! - What is counted as a row is what the sink itself has afterwards; the server's counters only say where the rest is.
//! - The warm-up's rows are in the table but not in the figures: they were sent before the run began.

use std::time::Duration;

use cli::{ApiClient, Exit, Failure};
use model::{Clock as _, SystemClock};
use serde_json::{Value as Json, json};

use super::publisher::{Load, Published, Publisher};
use super::server::Server;
use super::sink::{Row, Sink};
use super::stats;

/// Messages of the warm-up, of all publishers together: connections are made, statements prepared, code paged in.
const WARM_UP_MESSAGES: u64 = 2_000;
/// Longest time of the warm-up's publishing.
const WARM_UP_TIME_MAX: Duration = Duration::from_secs(2);
/// Longest time until the queue is empty after publishing; rows that are still there are reported.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(20);
/// Time between two looks at the counters while the queue drains.
const DRAIN_POLL: Duration = Duration::from_millis(20);

/// What every run of one bench has in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) publishers: u16,
    pub(super) inflight: u16,
    /// Of all publishers together.
    pub(super) messages_max: u64,
    pub(super) time_max: Duration,
    /// Messages a second of all publishers together; 0 = as fast as they are acknowledged.
    pub(super) rate: u64,
}

impl Plan {
    fn load(&self) -> Load {
        let publishers = u32::from(self.publishers.max(1));
        // A rate of 0 has no pace.
        let pace = (self.rate > 0).then(|| Duration::from_secs_f64(f64::from(publishers) / self.rate as f64));
        Load { messages_max: self.messages_max.div_ceil(u64::from(publishers)), time_max: self.time_max, pace }
    }

    fn warm_up(&self) -> Load {
        let messages_max = WARM_UP_MESSAGES.div_ceil(u64::from(self.publishers.max(1)));
        Load { messages_max, time_max: WARM_UP_TIME_MAX, pace: None }
    }
}

/// What one run measured. Times are microseconds, rates are a second.
#[derive(Clone, Debug, Default)]
pub(super) struct Round {
    /// Publishes in flight on each connection.
    pub(super) window: usize,
    /// Messages acknowledged.
    pub(super) published: u64,
    pub(super) publish_rate: Option<f64>,
    pub(super) puback_p50_us: Option<f64>,
    pub(super) puback_p99_us: Option<f64>,
    /// Rows in the sink; `None` for one that keeps nothing.
    pub(super) rows: Option<u64>,
    /// Rows whose time is known.
    pub(super) rows_timed: u64,
    /// Rows with a time, by the time from the first publish to the last of them.
    pub(super) row_rate: Option<f64>,
    pub(super) row_p50_us: Option<f64>,
    pub(super) row_p99_us: Option<f64>,
    /// Rows that the action gave up, and rows and events that a full queue dropped, as the server counts them.
    pub(super) failed: u64,
    pub(super) dropped: u64,
    /// Why the rule failed on an event, where it did.
    pub(super) failure: Option<String>,
    /// Whether every queue was empty in time.
    pub(super) drained: bool,
}

impl Round {
    pub(super) fn json(&self) -> Json {
        json!({
            "window": self.window,
            "published": self.published,
            "publish_rate": self.publish_rate,
            "puback_p50_us": self.puback_p50_us,
            "puback_p99_us": self.puback_p99_us,
            "rows": self.rows,
            "rows_timed": self.rows_timed,
            "row_rate": self.row_rate,
            "row_p50_us": self.row_p50_us,
            "row_p99_us": self.row_p99_us,
            "failed": self.failed,
            "dropped": self.dropped,
            "failure": self.failure,
            "drained": self.drained,
        })
    }
}

/// Runs once. `table` must be a new name, of letters, digits and `_`.
pub(super) async fn run(
    server: &Server,
    sink: &mut dyn Sink,
    delivery: &str,
    table: &str,
    plan: &Plan,
) -> Result<Round, Failure> {
    let mut action = sink.prepare(&server.api, table).await?;
    if let Some(action) = action.as_object_mut() {
        action.insert("delivery".to_owned(), json!(delivery));
    }
    // The reference rule: a filter on one number of the payload and five output fields.
    let sql = format!(
        "SELECT payload.device AS device, payload.temp AS temp, payload.hum AS hum, payload.site.name AS site, payload.sent AS sent \
         FROM \"{table}/+/temp\" WHERE payload.temp > 30"
    );
    let body = json!({"rawsql": sql, "actions": [action], "description": "weir bench"});
    let rule = super::create(&server.api, &["api", "v3", "rules"], &body).await?;
    let measured = measure(server, sink, &rule, table, plan).await;
    // The rule must not stay behind when the run failed, and neither may the table.
    let deleted = server.api.delete(&["api", "v3", "rules", &rule]).await;
    sink.clean(table).await;
    let round = measured?;
    deleted?;
    Ok(round)
}

async fn measure(server: &Server, sink: &mut dyn Sink, rule: &str, table: &str, plan: &Plan) -> Result<Round, Failure> {
    let clock = SystemClock;
    let mut publishers = connect(server, table, plan).await?;
    let window = publishers.first().map_or(0, Publisher::window);
    let (warm, publishers_back) = publish(publishers, plan.warm_up()).await?;
    publishers = publishers_back;
    let before = drain(&server.api, rule, warm.count).await?;
    let began_us = clock.now_ns() / 1_000;
    let began = clock.instant();
    let (published, publishers_back) = publish(publishers, plan.load()).await?;
    let publish_secs = began.elapsed().as_secs_f64();
    let after = drain(&server.api, rule, warm.count + published.count).await?;
    drop(publishers_back);
    let rows = sink.rows(table).await?;
    let mut round = Round {
        window,
        published: published.count,
        publish_rate: rate(published.count, publish_secs),
        failed: after.failed - before.failed.min(after.failed),
        dropped: after.dropped - before.dropped.min(after.dropped),
        failure: after.failure,
        drained: after.drained,
        ..Round::default()
    };
    let mut puback_us = published.puback_us;
    puback_us.sort_unstable_by(f64::total_cmp);
    round.puback_p50_us = stats::percentile(&puback_us, 50.0);
    round.puback_p99_us = stats::percentile(&puback_us, 99.0);
    if let Some(rows) = rows {
        round.take_rows(&rows, began_us);
    }
    Ok(round)
}

impl Round {
    /// Counts the rows that were sent since `began_us`.
    fn take_rows(&mut self, rows: &[Row], began_us: i64) {
        let rows: Vec<Row> = rows.iter().filter(|row| row.sent_us >= began_us).copied().collect();
        self.rows = Some(rows.len() as u64);
        let first_us = rows.iter().map(|row| row.sent_us).min();
        let last_us = rows.iter().filter_map(|row| row.confirmed_us).max();
        let mut times_us: Vec<f64> =
            rows.iter().filter_map(|row| Some((row.confirmed_us?.saturating_sub(row.sent_us)) as f64)).collect();
        times_us.sort_unstable_by(f64::total_cmp);
        self.rows_timed = times_us.len() as u64;
        self.row_p50_us = stats::percentile(&times_us, 50.0);
        self.row_p99_us = stats::percentile(&times_us, 99.0);
        self.row_rate = first_us
            .zip(last_us)
            .and_then(|(first, last)| rate(self.rows_timed, last.saturating_sub(first) as f64 / 1e6));
    }
}

fn rate(count: u64, secs: f64) -> Option<f64> {
    (count > 0 && secs > 0.0).then(|| count as f64 / secs)
}

async fn connect(server: &Server, table: &str, plan: &Plan) -> Result<Vec<Publisher>, Failure> {
    let mut publishers = Vec::with_capacity(usize::from(plan.publishers));
    for index in 0..usize::from(plan.publishers) {
        let (client_id, topic) = (format!("{table}-{index}"), format!("{table}/{index}/temp"));
        let connected = Publisher::connect(&server.mqtt, &client_id, index, topic, plan.inflight).await;
        publishers.push(connected.map_err(|why| Failure::new(Exit::Failed, why))?);
    }
    Ok(publishers)
}

/// All publishers at once, each in its own task; gives them back.
async fn publish(publishers: Vec<Publisher>, load: Load) -> Result<(Published, Vec<Publisher>), Failure> {
    let mut ends = Vec::with_capacity(publishers.len());
    for mut publisher in publishers {
        let (end, ended) = tokio::sync::oneshot::channel();
        model::task::spawn("bench-publisher", async move {
            let result = publisher.publish(load).await;
            // Without a receiver another publisher has failed.
            drop(end.send((result, publisher)));
        });
        ends.push(ended);
    }
    let mut all = Published::default();
    let mut publishers = Vec::with_capacity(ends.len());
    for ended in ends {
        let (result, publisher) = ended.await.map_err(|_| Failure::new(Exit::Failed, "a publisher panicked"))?;
        let published = result.map_err(|why| Failure::new(Exit::Failed, why))?;
        all.count += published.count;
        all.puback_us.extend(published.puback_us);
        publishers.push(publisher);
    }
    Ok((all, publishers))
}

/// Where the rows of a rule are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Counters {
    failed: u64,
    dropped: u64,
    failure: Option<String>,
    drained: bool,
}

/// Waits until the rule has seen `published` events and its action has no row left, or until the time is up.
async fn drain(api: &ApiClient, rule: &str, published: u64) -> Result<Counters, Failure> {
    let clock = SystemClock;
    let began = clock.instant();
    loop {
        let shown = api.get(&["api", "v3", "rules", rule], &[]).await?;
        let counters = counters(&shown, published)
            .ok_or_else(|| Failure::new(Exit::Failed, "the server's answer has no counters of the rule"))?;
        if counters.drained || began.elapsed() > DRAIN_TIME_MAX {
            return Ok(counters);
        }
        tokio::time::sleep(DRAIN_POLL).await;
    }
}

fn counters(rule: &Json, published: u64) -> Option<Counters> {
    let count = |pointer: &str| rule.pointer(pointer)?.as_u64();
    let seen = count("/metrics/0/matched")? + count("/metrics/0/dropped")?;
    let rows = count("/metrics/0/rows")?;
    let (queued, inflight) = (count("/actions/0/metrics/0/queued")?, count("/actions/0/metrics/0/inflight")?);
    let dropped = rule.pointer("/actions/0/metrics/0/dropped")?.as_object()?;
    let dropped: u64 = dropped.values().filter_map(Json::as_u64).sum();
    Some(Counters {
        failed: count("/actions/0/metrics/0/failed")? + count("/metrics/0/failed")?,
        dropped: dropped + count("/metrics/0/dropped")?,
        failure: rule.pointer("/failures/0/message").and_then(Json::as_str).map(str::to_owned),
        drained: seen >= published && count("/actions/0/metrics/0/matched")? >= rows && queued == 0 && inflight == 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_shared_by_the_publishers() {
        let plan = Plan { publishers: 4, inflight: 1, messages_max: 10, time_max: Duration::from_secs(1), rate: 100 };
        let load = plan.load();
        assert_eq!((load.pace, load.messages_max), (Some(Duration::from_millis(40)), 3));
        assert_eq!(Plan { rate: 0, ..plan }.load().pace, None);
    }

    #[test]
    fn rows_of_the_warm_up_are_left_out_and_rows_without_a_time_are_counted() {
        let row = |sent_us, confirmed_us| Row { sent_us, confirmed_us };
        let mut round = Round::default();
        round.take_rows(&[row(99, Some(500)), row(100, Some(1_100)), row(1_100, Some(3_100)), row(1_100, None)], 100);
        assert_eq!((round.rows, round.rows_timed), (Some(3), 2));
        assert_eq!((round.row_p50_us, round.row_p99_us), (Some(1_000.0), Some(2_000.0)));
        assert_eq!(round.row_rate, Some(2.0 / 0.003));
        let mut nothing = Round::default();
        nothing.take_rows(&[], 0);
        assert_eq!((nothing.rows, nothing.row_rate, nothing.row_p99_us), (Some(0), None, None));
    }

    #[test]
    fn a_queue_is_empty_only_when_every_message_went_all_the_way() {
        let rule = |seen: u64, rows: u64, matched: u64, queued: u64, inflight: u64| {
            json!({
                "failures": [{"message": "why"}],
                "metrics": [{"matched": seen, "dropped": 1, "failed": 2, "rows": rows}],
                "actions": [{"metrics": [{"matched": matched, "failed": 3, "queued": queued, "inflight": inflight, "dropped": {"queue_full": 4}}]}],
            })
        };
        let check = |json: Json, expected: bool| {
            assert_eq!(
                counters(&json, 10),
                Some(Counters { failed: 5, dropped: 5, failure: Some("why".to_owned()), drained: expected }),
                "{json}"
            );
        };
        check(rule(9, 7, 7, 0, 0), true);
        check(rule(8, 7, 7, 0, 0), false);
        check(rule(9, 7, 6, 0, 0), false);
        check(rule(9, 7, 7, 1, 0), false);
        check(rule(9, 7, 7, 0, 1), false);
        assert_eq!(counters(&json!({}), 0), None);
    }
}
