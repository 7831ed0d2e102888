//! The delivery settings of one action of a rule, parsed from the keys beside its `name` and `params`.
//!
//! The keys are described by [`Field`]s, so YAML, API, CLI and the reference page share them:
//! `delivery`, `write_timeout`, `concurrency_max`, `keep_event`, and the groups `queue`, `batch`, `retry`.

use std::time::Duration;

use serde_json::{Map as JsonMap, Value as Json};

use crate::{BatchDefaults, Config, ConfigError, Field, FieldKind};

/// What is promised for a row once its event was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    /// The queue is in memory: rows in it are lost when the server dies. Nothing is written to disk.
    #[default]
    AtMostOnce,
    /// The queue is on disk before the publisher is acknowledged. A row may be written twice, never not at all.
    AtLeastOnce,
}

/// What happens to a row that finds the queue full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// The event's source waits. At most another queue's worth of rows waits; more is refused and counted.
    Block,
    /// The oldest rows make room.
    DropOldest,
    /// The new rows are dropped.
    DropNewest,
    /// The new rows become dead letters.
    DeadLetter,
}

/// Bounds of the action's queue.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueLimits {
    /// Most bytes of encoded rows.
    pub bytes_max: u64,
    /// Most rows.
    pub records_max: u64,
    /// Rows whose event is older are dropped; `None` = never.
    pub ttl: Option<Duration>,
    /// What happens at the bound.
    pub when_full: WhenFull,
}

/// How rows are gathered into writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batching {
    /// Most rows in one write.
    pub records_max: usize,
    /// Most bytes in one write.
    pub bytes_max: usize,
    /// How long the first row of a batch may wait for more; zero = take what is there and go.
    pub age_max: Duration,
}

/// How a failed write is tried again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retries {
    /// Wait before the second attempt.
    pub initial: Duration,
    /// Longest wait.
    pub max: Duration,
    /// Each wait is this many times the one before.
    pub multiplier: f64,
    /// Share of each wait that is random, 0 to 1, so that many actions do not come back at the same instant.
    pub jitter: f64,
    /// Attempts in all; `None` = until it works or the row's TTL ends.
    pub attempts_max: Option<u32>,
}

/// The delivery settings of one action.
#[derive(Clone, Debug, PartialEq)]
pub struct ActionSettings {
    /// Memory or disk.
    pub delivery: Delivery,
    /// Bounds of the queue.
    pub queue: QueueLimits,
    /// How rows are gathered.
    pub batch: Batching,
    /// How failed writes are tried again.
    pub retry: Retries,
    /// A write that takes longer has failed (kind `timeout`, temporary).
    pub write_timeout: Duration,
    /// Writes in flight at once; 1 keeps the order of rows.
    pub concurrency_max: usize,
    /// Whether the original event stays with each row, for dead letters and replay.
    pub keep_event: bool,
}

/// Keys at the top of an action's settings.
static TOP_FIELDS: &[Field] = &[
    Field {
        name: "delivery",
        title: "Delivery",
        kind: FieldKind::Choice(&["at_most_once", "at_least_once"]),
        default: Some("at_most_once"),
        doc: "at_most_once keeps rows in memory; at_least_once puts them on disk before the publisher is acknowledged.",
        ..Field::OPTIONAL
    },
    Field {
        name: "write_timeout",
        title: "Write timeout",
        kind: FieldKind::Duration,
        default: Some("15s"),
        doc: "A write that takes longer counts as failed and is tried again.",
        ..Field::OPTIONAL
    },
    Field {
        name: "concurrency_max",
        title: "Writes at once",
        kind: FieldKind::Integer { min: 1, max: 1024 },
        doc: "Writes in flight at once; 1 keeps the order of rows. Not set = the action's own default.",
        ..Field::OPTIONAL
    },
    Field {
        name: "keep_event",
        title: "Keep the event",
        kind: FieldKind::Bool,
        default: Some("true"),
        advanced: true,
        doc: "Keeps the original event with each queued row, so that a dead letter can show it.",
        ..Field::OPTIONAL
    },
];

/// Keys of the group `queue`.
static QUEUE_FIELDS: &[Field] = &[
    Field {
        name: "bytes_max",
        aliases: &["max_buffer_bytes"],
        title: "Most bytes",
        kind: FieldKind::Bytes,
        doc: "Bound on queued rows, bytes. Not set = 64MB in memory, 1GB on disk.",
        ..Field::OPTIONAL
    },
    Field {
        name: "records_max",
        title: "Most rows",
        kind: FieldKind::Integer { min: 1, max: i64::MAX },
        doc: "Bound on queued rows, count. Not set = 100000 in memory, 10000000 on disk.",
        ..Field::OPTIONAL
    },
    Field {
        name: "ttl",
        aliases: &["request_ttl"],
        title: "Time to live",
        kind: FieldKind::Duration,
        doc: "A row whose event is older is dropped (reason expired) and becomes a dead letter. Not set = never.",
        ..Field::OPTIONAL
    },
    Field {
        name: "when_full",
        title: "When full",
        kind: FieldKind::Choice(&["block", "drop_oldest", "drop_newest", "dead_letter"]),
        doc: "What happens at the bound. Not set = drop_oldest in memory, block on disk.",
        ..Field::OPTIONAL
    },
];

/// Keys of the group `batch`. Not set = the action's own default.
static BATCH_FIELDS: &[Field] = &[
    Field {
        name: "records_max",
        aliases: &["batch_size"],
        title: "Most rows",
        kind: FieldKind::Integer { min: 1, max: 100_000 },
        doc: "Most rows in one write. Not set = the action's own default.",
        ..Field::OPTIONAL
    },
    Field {
        name: "bytes_max",
        title: "Most bytes",
        kind: FieldKind::Bytes,
        doc: "Most bytes in one write, as queued. Not set = the action's own default.",
        ..Field::OPTIONAL
    },
    Field {
        name: "age_max",
        aliases: &["batch_time"],
        title: "Longest wait",
        kind: FieldKind::Duration,
        doc: "How long the first row may wait for more; 0 takes what is there. Not set = the action's own default.",
        ..Field::OPTIONAL
    },
];

/// Keys of the group `retry`.
static RETRY_FIELDS: &[Field] = &[
    Field {
        name: "initial",
        title: "First wait",
        kind: FieldKind::Duration,
        default: Some("200ms"),
        doc: "Wait before the second attempt.",
        ..Field::OPTIONAL
    },
    Field {
        name: "max",
        title: "Longest wait",
        kind: FieldKind::Duration,
        default: Some("30s"),
        doc: "Longest wait between two attempts.",
        ..Field::OPTIONAL
    },
    Field {
        name: "multiplier",
        title: "Growth",
        kind: FieldKind::Number,
        default: Some("2"),
        advanced: true,
        doc: "Each wait is this many times the one before; from 1 to 100.",
        ..Field::OPTIONAL
    },
    Field {
        name: "jitter",
        title: "Jitter",
        kind: FieldKind::Number,
        default: Some("0.2"),
        advanced: true,
        doc: "Share of each wait that is random, from 0 to 1.",
        ..Field::OPTIONAL
    },
    Field {
        name: "attempts_max",
        title: "Attempts",
        kind: FieldKind::Integer { min: 0, max: 1_000_000 },
        default: Some("0"),
        doc: "Attempts in all before the row becomes a dead letter; 0 = until it works or the row's ttl ends.",
        ..Field::OPTIONAL
    },
];

/// Every group of keys: `("", …)` is the top.
pub static SETTING_GROUPS: [(&str, &[Field]); 4] =
    [("", TOP_FIELDS), ("queue", QUEUE_FIELDS), ("batch", BATCH_FIELDS), ("retry", RETRY_FIELDS)];

impl ActionSettings {
    /// What an action gets that sets nothing.
    pub fn defaults(batch: BatchDefaults) -> Self {
        // The defaults of the fields parse: a test holds that.
        Self::parse(&JsonMap::new(), batch).unwrap_or_else(|_| Self {
            delivery: Delivery::AtMostOnce,
            queue: QueueLimits {
                bytes_max: 64 << 20,
                records_max: 100_000,
                ttl: None,
                when_full: WhenFull::DropOldest,
            },
            batch: Batching { records_max: batch.records_max, bytes_max: batch.bytes_max, age_max: Duration::ZERO },
            retry: Retries {
                initial: Duration::from_millis(200),
                max: Duration::from_secs(30),
                multiplier: 2.0,
                jitter: 0.2,
                attempts_max: None,
            },
            write_timeout: Duration::from_secs(15),
            concurrency_max: batch.concurrency_max.max(1),
            keep_event: true,
        })
    }

    /// Checks the keys beside an action's `name` and `params`. Reports every problem, with keys such as
    /// `queue.bytes_max`.
    pub fn parse(json: &JsonMap<String, Json>, batch: BatchDefaults) -> Result<Self, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let mut top_json = json.clone();
        let mut group = |name: &str, fields: &'static [Field]| {
            let inner = top_json.remove(name).unwrap_or(Json::Null);
            Config::parse(fields, &inner)
                .map_err(|found| errors.extend(found.into_iter().map(|error| below(name, error))))
                .ok()
        };
        let queue = group("queue", QUEUE_FIELDS);
        let batching = group("batch", BATCH_FIELDS);
        let retry = group("retry", RETRY_FIELDS);
        let top = Config::parse(TOP_FIELDS, &Json::Object(top_json))
            .map_err(|found| errors.extend(found.into_iter().map(with_groups)))
            .ok();
        let (Some(top), Some(queue), Some(batching), Some(retry)) = (top, queue, batching, retry) else {
            return Err(errors);
        };
        let settings = Self::from_configs(&top, &queue, &batching, &retry, batch);
        check_retry(&settings.retry, &mut errors);
        if settings.write_timeout.is_zero() {
            errors.push(fault("write_timeout", "must be longer than 0"));
        }
        if errors.is_empty() { Ok(settings) } else { Err(errors) }
    }

    fn from_configs(top: &Config, queue: &Config, batching: &Config, retry: &Config, batch: BatchDefaults) -> Self {
        let delivery = match top.text("delivery") {
            Some("at_least_once") => Delivery::AtLeastOnce,
            _ => Delivery::AtMostOnce,
        };
        let (bytes_max, records_max, when_full) = match delivery {
            Delivery::AtMostOnce => (64 << 20, 100_000, WhenFull::DropOldest),
            Delivery::AtLeastOnce => (1 << 30, 10_000_000, WhenFull::Block),
        };
        let count = |config: &Config, name: &str| config.integer(name).and_then(|n| usize::try_from(n).ok());
        Self {
            delivery,
            queue: QueueLimits {
                bytes_max: queue.bytes("bytes_max").unwrap_or(bytes_max).max(1),
                records_max: queue.integer("records_max").map_or(records_max, i64::unsigned_abs),
                ttl: queue.duration("ttl").filter(|ttl| !ttl.is_zero()),
                when_full: match queue.text("when_full") {
                    Some("block") => WhenFull::Block,
                    Some("drop_oldest") => WhenFull::DropOldest,
                    Some("drop_newest") => WhenFull::DropNewest,
                    Some("dead_letter") => WhenFull::DeadLetter,
                    _ => when_full,
                },
            },
            batch: Batching {
                records_max: count(batching, "records_max").unwrap_or(batch.records_max).max(1),
                bytes_max: batching
                    .bytes("bytes_max")
                    .and_then(|n| usize::try_from(n).ok())
                    .unwrap_or(batch.bytes_max)
                    .max(1),
                age_max: batching.duration("age_max").unwrap_or_else(|| Duration::from_millis(batch.age_max_ms)),
            },
            retry: Retries {
                initial: retry.duration("initial").unwrap_or(Duration::from_millis(200)),
                max: retry.duration("max").unwrap_or(Duration::from_secs(30)),
                multiplier: retry.number("multiplier").unwrap_or(2.0),
                jitter: retry.number("jitter").unwrap_or(0.2),
                attempts_max: retry.integer("attempts_max").and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0),
            },
            write_timeout: top.duration("write_timeout").unwrap_or(Duration::from_secs(15)),
            concurrency_max: count(top, "concurrency_max").unwrap_or(batch.concurrency_max).max(1),
            keep_event: top.bool("keep_event"),
        }
    }
}

fn check_retry(retry: &Retries, errors: &mut Vec<ConfigError>) {
    if retry.initial.is_zero() {
        errors.push(fault(
            "retry.initial",
            "must be longer than 0, or a service that is down would be asked without pause",
        ));
    }
    if retry.max < retry.initial {
        errors.push(fault("retry.max", "is shorter than retry.initial"));
    }
    if !(1.0..=100.0).contains(&retry.multiplier) {
        errors.push(fault("retry.multiplier", "is out of range: from 1 to 100"));
    }
    if !(0.0..=1.0).contains(&retry.jitter) {
        errors.push(fault("retry.jitter", "is out of range: from 0 to 1"));
    }
}

fn fault(key: &str, message: &str) -> ConfigError {
    ConfigError { key: key.to_owned(), message: message.to_owned() }
}

fn below(group: &str, error: ConfigError) -> ConfigError {
    let key = if error.key.is_empty() { group.to_owned() } else { format!("{group}.{}", error.key) };
    ConfigError { key, ..error }
}

/// The groups are keys too: an unknown top key should hear of them.
fn with_groups(error: ConfigError) -> ConfigError {
    match error.message.strip_prefix("unknown key; the known keys are ") {
        Some(known) => ConfigError {
            message: format!("unknown key; the known keys are name, params, fallback, {known}, queue, batch, retry"),
            key: error.key,
        },
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(json: &Json) -> Result<ActionSettings, String> {
        ActionSettings::parse(json.as_object().unwrap(), BatchDefaults::NATURAL)
            .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn defaults_depend_on_the_promise() {
        let memory = parse(&json!({})).unwrap();
        assert_eq!(memory, ActionSettings::defaults(BatchDefaults::NATURAL));
        assert_eq!((memory.queue.bytes_max, memory.queue.when_full), (64 << 20, WhenFull::DropOldest));
        assert!(memory.keep_event);
        let disk = parse(&json!({"delivery": "at_least_once"})).unwrap();
        assert_eq!((disk.queue.bytes_max, disk.queue.when_full), (1 << 30, WhenFull::Block));
    }

    #[test]
    fn every_key_is_read() {
        let settings = parse(&json!({
            "delivery": "at_least_once", "write_timeout": "2s", "concurrency_max": 4, "keep_event": false,
            "queue": {"bytes_max": "1MB", "records_max": 10, "ttl": "45s", "when_full": "dead_letter"},
            "batch": {"records_max": 7, "bytes_max": "1KB", "age_max": "5ms"},
            "retry": {"initial": "10ms", "max": "1s", "multiplier": 3, "jitter": 0, "attempts_max": 5},
        }))
        .unwrap();
        let expected = ActionSettings {
            delivery: Delivery::AtLeastOnce,
            queue: QueueLimits {
                bytes_max: 1 << 20,
                records_max: 10,
                ttl: Some(Duration::from_secs(45)),
                when_full: WhenFull::DeadLetter,
            },
            batch: Batching { records_max: 7, bytes_max: 1024, age_max: Duration::from_millis(5) },
            retry: Retries {
                initial: Duration::from_millis(10),
                max: Duration::from_secs(1),
                multiplier: 3.0,
                jitter: 0.0,
                attempts_max: Some(5),
            },
            write_timeout: Duration::from_secs(2),
            concurrency_max: 4,
            keep_event: false,
        };
        assert_eq!(settings, expected);
    }

    #[test]
    fn mistakes_are_named_with_their_path() {
        for (json, expected) in [
            (json!({"delivry": "x"}), "delivry: unknown key; did you mean delivery?"),
            (json!({"queue": {"byte_max": 1}}), "queue.byte_max: unknown key; did you mean bytes_max?"),
            (json!({"queue": 3}), "queue: expected an object of settings, found a number"),
            (json!({"retry": {"multiplier": 0.5}}), "retry.multiplier: is out of range: from 1 to 100"),
            (json!({"write_timeout": 0}), "write_timeout: must be longer than 0"),
        ] {
            assert_eq!(parse(&json).unwrap_err(), expected);
        }
        assert!(parse(&json!({"zzz": 1})).unwrap_err().contains("queue, batch, retry"));
    }
}
