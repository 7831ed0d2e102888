//! Views and metrics of rules and actions. Secrets are masked here.

use connector::{ActionSpec, Registry};
use model::ports::{Metrics as _, Sample, SampleKind};
use model::{Str, Value};
use serde_json::Value as Json;
use sql::plan::Source;

use crate::actions::{Action, BUILT_IN, REPUBLISH};
use crate::engine::Entry;
use crate::rule::Rule;
use crate::view::RuleMetrics;
use crate::{ActionConfig, ActionInfo, ActionMetrics, ActionView, Failure, RuleView};

/// Application of the built-in actions, as 3.4.5 prints it.
const APP: &str = "emqx_rule_engine";

/// A rule for showing.
pub(crate) fn rule(id: &Str, entry: &Entry, registry: &Registry) -> RuleView {
    let spec = &entry.stored.spec;
    let running = entry.running.as_ref();
    let actions = match running {
        Ok(rule) => rule.actions.iter().map(|running| action(running, registry)).collect(),
        Err(error) => {
            spec.actions.iter().enumerate().map(|(at, config)| idle(id, at, config, error, registry)).collect()
        }
    };
    RuleView {
        id: id.clone(),
        sql: spec.sql.clone(),
        description: spec.description.clone(),
        enabled: spec.enabled,
        sources: running.map(|rule| sources(rule)).unwrap_or_default(),
        outputs: running.ok().and_then(|rule| rule.plan.names.as_ref().map(|names| names.to_vec())),
        actions,
        on_decode_error: spec.on_decode_error,
        origin: spec.origin.clone(),
        created_at_ms: entry.stored.created_at_ms,
        metrics: running.map_or_else(|_| RuleMetrics::default(), |rule| rule.metrics.view()),
        failures: match running {
            Ok(rule) => rule.metrics.failures(),
            Err(error) => vec![Failure {
                at_ms: entry.stored.created_at_ms,
                class: "plan".to_owned(),
                message: error.to_string(),
                input: Json::Null,
            }],
        },
    }
}

fn sources(rule: &Rule) -> Vec<Str> {
    let name = |source: &Source| match source {
        Source::TopicFilter(filter) => Str::new(filter),
        Source::Event { pattern, .. } => Str::new(pattern),
    };
    rule.plan.sources.iter().map(name).collect()
}

fn action(action: &Action, registry: &Registry) -> ActionView {
    let counters = action.handle.counters();
    let dropped = counters.dropped_by_reason();
    ActionView {
        metrics: ActionMetrics {
            matched: counters.matched,
            success: counters.success,
            failed: counters.failed,
            retried: counters.retried,
            dropped: dropped.into_iter().map(|(reason, count)| (reason.to_owned(), count)).collect(),
            queued: counters.queued,
            inflight: counters.inflight,
        },
        unavailable: action.handle.trouble(),
        fallback: action.fallback.iter().map(|fallback| self::action(fallback, registry)).collect(),
        ..bare(action.handle.name().id.clone(), &action.config, registry)
    }
}

fn idle(rule: &Str, at: usize, config: &ActionConfig, error: &crate::Error, registry: &Registry) -> ActionView {
    ActionView { unavailable: Some(error.to_string()), ..bare(format!("{rule}/{at}").into(), config, registry) }
}

fn bare(id: Str, config: &ActionConfig, registry: &Registry) -> ActionView {
    ActionView {
        id,
        name: config.name.clone(),
        params: masked(config, registry),
        settings: Json::Object(config.settings.clone()),
        resource: config.resource().map(Str::new),
        unavailable: None,
        metrics: ActionMetrics::default(),
        fallback: Vec::new(),
    }
}

/// The parameters without their secrets. Built-in actions have none.
fn masked(config: &ActionConfig, registry: &Registry) -> Json {
    let Some((_, spec)) = registry.action(&config.name) else { return config.params.clone() };
    let mut shown = connector::config::masked(spec.params, &config.params);
    if let (Some(object), Some(resource)) = (shown.as_object_mut(), config.resource()) {
        object.insert("$resource".to_owned(), resource.into());
    }
    shown
}

/// Every action there is.
pub(crate) fn actions(registry: &Registry) -> Vec<ActionInfo> {
    let built_in = BUILT_IN.iter().map(|spec| {
        let for_event = if spec.name == REPUBLISH.name { "message.publish" } else { "$any" };
        info(spec, APP, for_event, Vec::new())
    });
    let of_connectors = registry.iter().flat_map(|connector| {
        let spec = connector.spec();
        spec.actions.iter().map(move |action| info(action, spec.provider, "$any", vec![spec.name]))
    });
    built_in.chain(of_connectors).collect()
}

fn info(spec: &'static ActionSpec, app: &'static str, for_event: &'static str, types: Vec<&'static str>) -> ActionInfo {
    ActionInfo {
        name: spec.name,
        title: spec.title,
        description: spec.description,
        app,
        for_event,
        types,
        params: spec.params,
    }
}

/// The numbers of a rule and its actions for `/metrics`.
pub(crate) fn samples(id: &Str, rule: &Rule, out: &mut Vec<Sample>) {
    let metrics = rule.metrics.view();
    let mut push = |name, help, kind, value: f64| {
        out.push(Sample { name, help, kind, labels: vec![("rule", id.clone())], value });
    };
    use SampleKind::{Counter, Gauge};
    push("rule_matched_total", "Events whose FROM matched.", Counter, metrics.matched as f64);
    push("rule_passed_total", "Events that gave rows.", Counter, metrics.passed as f64);
    push("rule_failed_total", "Events whose evaluation failed.", Counter, metrics.failed as f64);
    push("rule_no_result_total", "Events that gave no row.", Counter, metrics.no_result as f64);
    push(
        "rule_dropped_total",
        "Events not evaluated because the worker's queue was full.",
        Counter,
        metrics.dropped as f64,
    );
    push("rule_rows_total", "Rows produced.", Counter, metrics.rows as f64);
    push(
        "rule_dead_letters_lost_total",
        "Undecodable events that could not be kept as dead letters.",
        Counter,
        metrics.dead_letters_lost as f64,
    );
    push("rule_matched_rate", "Events matched in the last second.", Gauge, metrics.rate);
    for action in &rule.actions {
        action.handle.collect(out);
        action.fallback.iter().for_each(|fallback| fallback.handle.collect(out));
    }
}

/// Events that wait for a worker.
pub(crate) fn waiting(events: usize) -> Sample {
    Sample {
        name: "engine_queue_events",
        help: "Events that wait for a worker.",
        kind: SampleKind::Gauge,
        labels: Vec::new(),
        value: events as f64,
    }
}

/// A value as the tester writes it: JSON in which bytes that are no text are `{"$hex": "…"}`; missing is left out.
pub(crate) fn tester_json(value: &Value) -> Json {
    match value {
        Value::Bytes(bytes) => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
            serde_json::json!({ "$hex": hex })
        }
        Value::List(items) => Json::Array(items.iter().map(tester_json).collect()),
        Value::Map(map) => {
            let present = map.iter().filter(|(_, value)| !value.is_missing());
            Json::Object(present.map(|(key, value)| (key.as_str().to_owned(), tester_json(value))).collect())
        }
        other => other.to_json(),
    }
}
