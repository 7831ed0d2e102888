//! The result, as a table for people and as JSON for programs. Nothing is left out silently: what was not measured, and what
//! was published and is not in the sink, is said.

use std::io::{self, Write};

use cli::args::Format;
use serde_json::{Value as Json, json};

use super::machine::Machine;
use super::round::{Plan, Round};
use super::stats::{Spread, millis, whole};

/// One sink with one delivery.
pub(super) struct Measured {
    pub(super) sink: &'static str,
    pub(super) delivery: &'static str,
    pub(super) rounds: Vec<Round>,
}

/// A sink that was not measured.
pub(super) struct NotMeasured {
    pub(super) sink: &'static str,
    pub(super) why: String,
}

/// Everything.
pub(super) struct Report {
    pub(super) machine: Machine,
    pub(super) plan: Plan,
    pub(super) round_count: u16,
    /// Name and description of each sink.
    pub(super) sinks: Vec<(&'static str, Json)>,
    pub(super) measured: Vec<Measured>,
    pub(super) not_measured: Vec<NotMeasured>,
    pub(super) took_secs: f64,
}

/// One figure of a run: its title in the table, its key in JSON, where it is, and how it is written.
type Figure = (&'static str, &'static str, fn(&Round) -> Option<f64>, fn(f64) -> String);

static FIGURES: [Figure; 6] = [
    ("PUBLISHED/S", "publish_rate", |round| round.publish_rate, whole),
    ("PUBACK P50 MS", "puback_p50_us", |round| round.puback_p50_us, millis),
    ("PUBACK P99 MS", "puback_p99_us", |round| round.puback_p99_us, millis),
    ("ROWS/S", "row_rate", |round| round.row_rate, whole),
    ("ROW P50 MS", "row_p50_us", |round| round.row_p50_us, millis),
    ("ROW P99 MS", "row_p99_us", |round| round.row_p99_us, millis),
];

impl Report {
    /// Writes it.
    pub(super) fn print(&self, out: &mut dyn Write, format: Format) -> io::Result<()> {
        match format {
            Format::Json => writeln!(out, "{:#}", self.json()),
            Format::Jsonl => writeln!(out, "{}", self.json()),
            Format::Yaml => write!(out, "{}", cli::output::yaml(&self.json())),
            Format::Table | Format::Manual | Format::Name => self.print_table(out),
        }
    }

    fn json(&self) -> Json {
        let plan = &self.plan;
        let measured = self.measured.iter().map(|measured| {
            let mut figures = serde_json::Map::new();
            for (_, key, pick, _) in &FIGURES {
                let spread = Spread::of(measured.rounds.iter().map(pick));
                figures.insert((*key).to_owned(), spread.map_or(Json::Null, Spread::json));
            }
            json!({
                "sink": measured.sink,
                "delivery": measured.delivery,
                "figures": figures,
                "rounds": measured.rounds.iter().map(Round::json).collect::<Vec<_>>(),
            })
        });
        json!({
            "machine": self.machine.json(),
            "plan": {
                "publishers": plan.publishers,
                "inflight": plan.inflight,
                "messages_max": plan.messages_max,
                "seconds": plan.time_max.as_secs_f64(),
                "rate": plan.rate,
                "rounds": self.round_count,
            },
            "sinks": self.sinks.iter().map(|(name, about)| ((*name).to_owned(), about.clone())).collect::<serde_json::Map<_, _>>(),
            "results": measured.collect::<Vec<_>>(),
            "not_measured": self.not_measured.iter().map(|not| json!({"sink": not.sink, "why": not.why})).collect::<Vec<_>>(),
            "took_secs": self.took_secs,
        })
    }

    fn print_table(&self, out: &mut dyn Write) -> io::Result<()> {
        self.print_conditions(out)?;
        let mut columns = vec!["SINK".to_owned(), "DELIVERY".to_owned()];
        columns.extend(FIGURES.iter().map(|(title, ..)| (*title).to_owned()));
        let rows: Vec<Vec<Json>> = self
            .measured
            .iter()
            .map(|measured| {
                let mut row = vec![json!(measured.sink), json!(measured.delivery)];
                row.extend(FIGURES.iter().map(|(_, _, pick, number)| {
                    let spread = Spread::of(measured.rounds.iter().map(pick));
                    json!(spread.map_or_else(|| "-".to_owned(), |spread| spread.text(number)))
                }));
                row
            })
            .collect();
        cli::output::rows(out, Format::Table, &columns, &rows)?;
        for measured in &self.measured {
            for (index, round) in measured.rounds.iter().enumerate() {
                if let Some(remark) = remark(round) {
                    writeln!(out, "{} {} round {}: {remark}", measured.sink, measured.delivery, index + 1)?;
                }
            }
        }
        for not in &self.not_measured {
            writeln!(out, "not measured: {}: {}", not.sink, not.why)?;
        }
        Ok(())
    }

    fn print_conditions(&self, out: &mut dyn Write) -> io::Result<()> {
        let (machine, plan) = (&self.machine, &self.plan);
        let or_unknown = |number: Option<String>| number.unwrap_or_else(|| "unknown".to_owned());
        writeln!(
            out,
            "machine: {} cores, {}, Linux {}, {} MB, load {} before the bench",
            machine.cores,
            machine.cpu,
            machine.kernel,
            or_unknown(machine.memory_mb.map(|mb| mb.to_string())),
            or_unknown(machine.load_1m.map(|load| load.to_string())),
        )?;
        writeln!(
            out,
            "disk: {}, a 4 KiB write is durable after {} ms (p50), {} ms (p99){}",
            machine.file_system,
            or_unknown(machine.fsync_p50_us.map(millis)),
            or_unknown(machine.fsync_p99_us.map(millis)),
            if ["tmpfs", "ramfs"].contains(&machine.file_system.as_str()) {
                "; this is memory, choose a disk with --dir"
            } else {
                ""
            },
        )?;
        let rate =
            if plan.rate == 0 { "as fast as they are acknowledged".to_owned() } else { format!("{}/s", plan.rate) };
        let window = self.measured.iter().flat_map(|measured| &measured.rounds).map(|round| round.window).min();
        writeln!(
            out,
            "load: QoS 1, {} publishers with {} in flight each, {rate}, {} s or {} messages; the publishers run on this machine too",
            plan.publishers,
            or_unknown(window.map(|window| window.to_string())),
            plan.time_max.as_secs_f64(),
            plan.messages_max,
        )?;
        for (name, about) in &self.sinks {
            let facts = about.as_object().into_iter().flatten();
            let facts: Vec<String> =
                facts.map(|(key, value)| format!("{key}: {}", value.as_str().unwrap_or_default())).collect();
            writeln!(out, "{name}: {}", facts.join(", "))?;
        }
        let rounds = self.round_count;
        let spread =
            if rounds > 1 { format!("median (lowest–highest) of {rounds} rounds") } else { "one round".to_owned() };
        writeln!(
            out,
            "times are from the publish to its PUBACK and to its row in the table; {spread}; {:.0} s in all\n",
            self.took_secs
        )
    }
}

/// What a reader of the figures must know of a run.
fn remark(round: &Round) -> Option<String> {
    let mut remarks = Vec::new();
    if let Some(rows) = round.rows.filter(|rows| *rows != round.published) {
        remarks.push(format!("{} published, {rows} rows in the table", round.published));
    }
    if round.dropped > 0 {
        remarks.push(format!("{} dropped by a full queue", round.dropped));
    }
    if round.failed > 0 {
        let why = round.failure.as_ref().map(|why| format!(", such as: {}", cli::output::printable(why)));
        remarks.push(format!("{} failed{}", round.failed, why.unwrap_or_default()));
    }
    if !round.drained {
        remarks.push("rows were still queued when the time for draining was up".to_owned());
    }
    let untimed = round.rows.unwrap_or_default().saturating_sub(round.rows_timed);
    if untimed > 0 {
        remarks.push(format!("the time of {untimed} rows is not known"));
    }
    (!remarks.is_empty()).then(|| remarks.join(", "))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn report() -> Report {
        let round = Round {
            window: 64,
            published: 100,
            publish_rate: Some(12_345.6),
            puback_p50_us: Some(1_234.0),
            puback_p99_us: Some(5_000.0),
            rows: Some(100),
            rows_timed: 100,
            row_rate: Some(10_000.0),
            row_p50_us: Some(500_000.0),
            row_p99_us: Some(900_000.0),
            failed: 0,
            dropped: 0,
            failure: None,
            drained: true,
        };
        let lossy =
            Round { rows: Some(90), rows_timed: 89, dropped: 10, row_p99_us: None, drained: false, ..round.clone() };
        Report {
            machine: Machine {
                cores: 2,
                cpu: "A processor".to_owned(),
                kernel: "6.1".to_owned(),
                memory_mb: Some(4_096),
                load_1m: Some(0.5),
                file_system: "ext4".to_owned(),
                fsync_p50_us: Some(850.0),
                fsync_p99_us: None,
            },
            plan: Plan { publishers: 4, inflight: 100, messages_max: 100, time_max: Duration::from_secs(3), rate: 0 },
            round_count: 2,
            sinks: vec![("lake", json!({"a": "b"}))],
            measured: vec![Measured { sink: "lake", delivery: "at_most_once", rounds: vec![round, lossy] }],
            not_measured: vec![NotMeasured { sink: "postgresql", why: "no address".to_owned() }],
            took_secs: 12.3,
        }
    }

    fn printed(format: Format) -> String {
        let mut out = Vec::new();
        report().print(&mut out, format).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_table_says_what_was_lost_and_what_was_not_measured() {
        let text = printed(Format::Table);
        for line in [
            "machine: 2 cores, A processor, Linux 6.1, 4096 MB, load 0.5 before the bench",
            "disk: ext4, a 4 KiB write is durable after 0.85 ms (p50), unknown ms (p99)",
            "lake at_most_once round 2: 100 published, 90 rows in the table, 10 dropped by a full queue, \
             rows were still queued when the time for draining was up, the time of 1 rows is not known",
            "not measured: postgresql: no address",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n---\n{text}");
        }
        assert!(text.contains("12,346") && !text.contains("round 1:"), "{text}");
    }

    #[test]
    fn the_json_has_every_round_and_the_median() {
        let json: Json = serde_json::from_str(&printed(Format::Json)).unwrap();
        assert_eq!(json.pointer("/results/0/rounds/1/dropped"), Some(&json!(10)));
        assert_eq!(json.pointer("/results/0/figures/row_p99_us/median"), Some(&json!(900_000.0)));
        assert_eq!(json.pointer("/not_measured/0/why"), Some(&json!("no address")));
        assert_eq!(json.pointer("/machine/fsync_p99_us"), Some(&Json::Null));
    }
}
