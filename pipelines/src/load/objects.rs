//! Resources, named sources and rules.

use serde_json::Value as Json;

use super::Loader;
use crate::from;
use crate::pipeline::{Pipeline, Resource, Rule, Sink, Source};
use crate::problem::suggest;
use crate::text::Text;
use crate::yaml::{Key, Node, Value};

impl Loader<'_> {
    pub(super) fn resource(&mut self, key: &Key, node: &Node) -> Option<Resource> {
        if !self.keys(node, "a resource", &["type", "config", "description"]) {
            return None;
        }
        let kind = self.required_text(node, "type", "the resource type, such as backend_pgsql")?;
        let (config, settings) = self.settings(node, "config");
        Some(Resource {
            name: key.text.clone(),
            kind,
            config,
            description: self.text_of(node, "description"),
            at: self.at(key.start),
            kind_at: self.at(node.get("type").map_or(node.start, |node| node.start)),
            settings,
        })
    }

    /// `name: filter`, `name: [filter, …]`, `name: {topic: …}`, `name: {topics: […]}`, `name: {event: …}`.
    pub(super) fn a_source(&mut self, key: &Key, node: &Node) -> Option<Source> {
        let (list, is_event) = match &node.value {
            Value::Map(_) => {
                if !self.keys(node, "a source", &["topic", "topics", "event"]) {
                    return None;
                }
                match (node.get("topic").or_else(|| node.get("topics")), node.get("event")) {
                    (Some(topics), None) => (topics.clone(), false),
                    (None, Some(event)) => (event.clone(), true),
                    _ => {
                        self.fail(node.start, "a source has either topic, topics or event");
                        return None;
                    }
                }
            }
            _ => (node.clone(), false),
        };
        let items = match &list.value {
            Value::List(items) if !is_event => items.clone(),
            Value::Scalar(_) => vec![list.clone()],
            _ => {
                self.fail(
                    list.start,
                    format!(
                        "expected {}, found {}",
                        if is_event { "an event name" } else { "a topic filter or a list of them" },
                        list.kind()
                    ),
                );
                return None;
            }
        };
        let mut from = Vec::new();
        for item in &items {
            let Some(text) = self.text(item) else { continue };
            if text.contains(['"', '\'']) {
                self.fail(item.start, "a name of a source cannot hold quotes; write the filter into the SQL");
            } else if !is_event && let Err(error) = model::validate_filter(&text) {
                self.fail(item.start, format!("{text:?} is no topic filter: {error}"));
            } else {
                from.push(text);
            }
        }
        (!from.is_empty()).then(|| Source { name: key.text.clone(), from, at: self.at(key.start) })
    }

    pub(super) fn rule(&mut self, key: &Key, node: &Node, pipeline: &Pipeline) -> Option<Rule> {
        if !self.keys(node, "a rule", &["sql", "sinks", "description", "enabled", "on_decode_error"]) {
            return None;
        }
        // The SQL is taken as written: ${…} has a meaning of its own there, and places must stay true.
        let written = match node.get("sql") {
            Some(sql) if matches!(sql.value, Value::Scalar(_)) && !sql.is_null() => Text::new(&self.source, sql),
            Some(sql) => {
                self.fail(sql.start, format!("sql: expected SQL text, found {}", sql.kind()));
                return None;
            }
            None => {
                self.fail(key.start, format!("the rule {} has no sql", key.text));
                return None;
            }
        };
        let quoted =
            |source: &Source| source.from.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
        let (sql, replaced) = from::replace(&written.value, |name| {
            pipeline.sources.iter().find(|source| source.name == name).map(quoted)
        });
        let sinks = self.rule_sinks(key, node, pipeline);
        let enabled = match node.get("enabled").map(|node| self.json(node).0) {
            None => true,
            Some(Json::Bool(enabled)) => enabled,
            Some(_) => {
                self.fail(node.key_start("enabled"), "enabled: expected true or false");
                true
            }
        };
        let on_decode_error = node.get("on_decode_error").and_then(|node| {
            let text = self.text(node)?;
            let parsed = serde_json::from_value(Json::String(text.clone())).ok();
            if parsed.is_none() {
                self.fail(
                    node.start,
                    format!(
                        "on_decode_error: {text:?} is unknown; {}",
                        suggest(&text, ["fail", "null", "dead_letter"])
                    ),
                );
            }
            parsed
        });
        Some(Rule {
            name: key.text.clone(),
            sql,
            description: self.text_of(node, "description"),
            enabled,
            on_decode_error,
            sinks,
            at: self.at(key.start),
            written,
            replaced,
        })
    }

    pub(super) fn rule_sinks(&mut self, key: &Key, node: &Node, pipeline: &Pipeline) -> Vec<Sink> {
        let Some(list) = node.get("sinks") else {
            self.fail(
                key.start,
                format!(
                    "the rule {} has no sinks; name at least one, or write one such as - action: inspect",
                    key.text
                ),
            );
            return Vec::new();
        };
        let items = match &list.value {
            Value::List(items) => items.clone(),
            _ => vec![list.clone()],
        };
        if items.is_empty() {
            self.fail(list.start, format!("the rule {} has no sinks", key.text));
        }
        items.iter().filter_map(|item| self.sink_or_name(item, &pipeline.sinks, 0)).collect()
    }
}
