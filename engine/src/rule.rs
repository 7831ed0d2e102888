//! One running rule: its compiled plan, its actions and its numbers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use model::{Event, EventKind, Str};
use parking_lot::Mutex;
use sql::{EventView, Plan, RowError};

use crate::actions::{Action, Inspector};
use crate::letters::Letters;
use crate::rates::Rates;
use crate::vector::Program;
use crate::view::RuleMetrics;
use crate::{Failure, RuleSpec};

/// Bytes of text a kept failure shows of each field of its event.
const FAILURE_TEXT_BYTES_MAX: usize = 1024;

/// A rule that runs, or one that is switched off. Replaced as a whole when it changes.
pub(crate) struct Rule {
    pub(crate) id: Str,
    pub(crate) spec: RuleSpec,
    pub(crate) plan: Plan,
    /// The vectorised form of the plan.
    pub(crate) program: Program,
    pub(crate) actions: Vec<Action>,
    /// One of the actions promises at-least-once.
    pub(crate) durable: bool,
    /// An at-most-once action asked for back-pressure instead of drops.
    pub(crate) blocks: bool,
    /// An action keeps the original event with its rows.
    pub(crate) keep_event: bool,
    pub(crate) created_at_ms: i64,
    pub(crate) metrics: Arc<Metrics>,
    /// Batches whose rows wait for room in a blocking action's queue.
    pub(crate) congestion: Arc<AtomicUsize>,
    /// What its `inspect` actions saw.
    pub(crate) inspector: Arc<Inspector>,
    /// Where events go whose payload cannot be decoded, with `on_decode_error: dead_letter`.
    pub(crate) letters: Option<Letters>,
}

/// The numbers of a rule. They outlive a change of the rule.
#[derive(Default)]
pub(crate) struct Metrics {
    pub(crate) matched: AtomicU64,
    pub(crate) passed: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) no_result: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) rows: AtomicU64,
    pub(crate) letters_lost: AtomicU64,
    pub(crate) rates: Mutex<Rates>,
    /// A panic of this rule was logged.
    pub(crate) panicked: AtomicBool,
    failures: Mutex<VecDeque<Failure>>,
}

impl Rule {
    /// Whether an event can pass FROM, and WHERE as far as that speaks of the topic.
    pub(crate) fn selects(&self, kind: EventKind, topic: Option<&str>) -> bool {
        if !self.plan.from_matches(kind, topic) {
            return false;
        }
        let hints = &self.plan.topic_hints;
        hints.is_empty()
            || topic.is_none()
            || kind != EventKind::MessagePublish
            || topic.is_some_and(|topic| hints.iter().any(|hint| model::filter_matches(hint, topic)))
    }

    /// Whether rows wait for room and publishers should too.
    pub(crate) fn is_congested(&self) -> bool {
        self.blocks && self.congestion.load(Ordering::Relaxed) > 0
    }

    /// Counts and remembers a row that failed.
    pub(crate) fn failed(&self, event: &Event, error: &RowError, kept_max: usize) {
        add(&self.metrics.failed, 1);
        let failure = Failure {
            at_ms: event.at_ms,
            class: error.class.name().to_owned(),
            message: error.message.clone(),
            input: shown(event),
        };
        let mut failures = self.metrics.failures.lock();
        while failures.len() >= kept_max.max(1) {
            failures.pop_front();
        }
        failures.push_back(failure);
    }
}

impl Metrics {
    /// The numbers for showing.
    pub(crate) fn view(&self) -> RuleMetrics {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (rate, rate_max, rate_last_5m) = self.rates.lock().get();
        RuleMetrics {
            matched: get(&self.matched),
            passed: get(&self.passed),
            failed: get(&self.failed),
            failed_exception: get(&self.failed),
            no_result: get(&self.no_result),
            dropped: get(&self.dropped),
            rows: get(&self.rows),
            dead_letters_lost: get(&self.letters_lost),
            rate,
            rate_max,
            rate_last_5m,
        }
    }

    /// The failures that are kept, oldest first.
    pub(crate) fn failures(&self) -> Vec<Failure> {
        self.failures.lock().iter().cloned().collect()
    }
}

/// Adds to a counter. Relaxed: the counters order nothing else.
pub(crate) fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

/// The event as JSON with long texts cut, so that a 10 MB payload does not stay in memory twenty times.
fn shown(event: &Event) -> serde_json::Value {
    let view = EventView::new(event);
    let mut fields = serde_json::Map::new();
    let payload_bytes = match &event.body {
        model::Body::Publish(message) => message.payload.len(),
        model::Body::Fields(_) => 0,
    };
    if payload_bytes > FAILURE_TEXT_BYTES_MAX {
        // Not read as a field: that would copy it whole.
        if let model::Body::Publish(message) = &event.body {
            let head = message.payload.get(..FAILURE_TEXT_BYTES_MAX).unwrap_or_default();
            let text = format!("{}… ({payload_bytes} bytes)", String::from_utf8_lossy(head));
            fields.insert("payload".to_owned(), text.into());
            fields.insert("topic".to_owned(), message.topic.as_str().into());
            fields.insert("id".to_owned(), message.id.to_string().into());
        }
        return fields.into();
    }
    view.each_field(sql::Generation::V5, |name, value| {
        fields.insert(name.to_string(), cut(value.to_json()));
    });
    fields.into()
}

fn cut(json: serde_json::Value) -> serde_json::Value {
    let text = match &json {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Array(_) | serde_json::Value::Object(_) => json.to_string(),
        _ => return json,
    };
    if text.len() <= FAILURE_TEXT_BYTES_MAX {
        return json;
    }
    let mut end = FAILURE_TEXT_BYTES_MAX;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}… ({} bytes)", text.get(..end).unwrap_or_default(), text.len()).into()
}

#[cfg(test)]
impl Rule {
    /// A rule without actions.
    pub(crate) fn bare(id: &str, sql: &str) -> Arc<Self> {
        Self::promising(id, sql, false, false)
    }

    /// A rule without actions that says of itself what its actions would.
    pub(crate) fn promising(id: &str, sql: &str, durable: bool, blocks: bool) -> Arc<Self> {
        let plan = crate::check::compile(sql, None).unwrap();
        Arc::new(Self {
            id: id.into(),
            spec: RuleSpec::new(sql, Vec::new()),
            program: Program::compile(&plan),
            plan,
            actions: Vec::new(),
            durable,
            blocks,
            keep_event: false,
            created_at_ms: 0,
            metrics: Arc::default(),
            congestion: Arc::default(),
            inspector: Arc::new(Inspector::new(1)),
            letters: None,
        })
    }
}
