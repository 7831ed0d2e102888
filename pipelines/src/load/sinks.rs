//! Sinks, by name or written inside a rule, and their fallbacks.

use std::collections::BTreeSet;

use serde_json::Map as JsonMap;

use super::Loader;
use crate::check::delivery_keys;
use crate::pipeline::{Pipeline, Sink};
use crate::problem::suggest;
use crate::yaml::{Key, Node, Value};

impl Loader<'_> {
    pub(super) fn sink_or_name(&mut self, item: &Node, known: &[Sink], depth: usize) -> Option<Sink> {
        if matches!(item.value, Value::Map(_)) {
            return self.sink(None, item, depth);
        }
        let name = self.text(item)?;
        let found = known.iter().find(|sink| sink.name.as_deref() == Some(&name)).cloned();
        if found.is_none() {
            let names = known.iter().filter_map(|sink| sink.name.as_deref());
            self.fail(item.start, format!("there is no sink {name}; {}", suggest(&name, names)));
        }
        found
    }

    pub(super) fn sink(&mut self, key: Option<&Key>, node: &Node, depth: usize) -> Option<Sink> {
        let known: Vec<&str> =
            ["action", "resource", "params", "fallback"].into_iter().chain(delivery_keys()).collect();
        if !self.keys(node, "a sink", &known) {
            return None;
        }
        let action = self.required_text(node, "action", "the action, such as data_to_lake or inspect")?;
        let (params, param_settings) = self.settings(node, "params");
        let mut settings = JsonMap::new();
        for name in delivery_keys() {
            if let Some(value) = node.get(name) {
                settings.insert(name.to_owned(), self.json(value).0);
            }
        }
        let mut fallback = Vec::new();
        // Fallbacks by name are bound once every sink is known.
        if let Some(Node { value: Value::List(items), .. }) = node.get("fallback") {
            if depth > 0 {
                self.fail(node.key_start("fallback"), "a fallback cannot have a fallback of its own");
            } else {
                fallback = items
                    .iter()
                    .filter(|item| matches!(item.value, Value::Map(_)))
                    .filter_map(|item| self.sink(None, item, depth + 1))
                    .collect();
            }
        }
        let resource = node.get("resource").and_then(|node| self.text(node));
        Some(Sink {
            name: key.map(|key| key.text.clone()),
            action,
            resource,
            params,
            settings,
            fallback,
            at: self.at(key.map_or(node.start, |key| key.start)),
            action_at: self.at(node.get("action").map_or(node.start, |node| node.start)),
            resource_at: self.at(node.get("resource").map_or(node.start, |node| node.start)),
            param_settings,
        })
    }

    /// Binds fallbacks that are given by name.
    pub(super) fn fallbacks(&mut self, root: &Node, pipeline: &mut Pipeline) {
        let known = pipeline.sinks.clone();
        for (key, node) in self.named(root, "sinks") {
            let items = match node.get("fallback").map(|node| &node.value) {
                Some(Value::List(items)) => items.clone(),
                Some(Value::Scalar(_)) => node.get("fallback").cloned().into_iter().collect(),
                _ => continue,
            };
            let mut bound = Vec::new();
            for item in items.iter().filter(|item| matches!(item.value, Value::Scalar(_))) {
                match self.sink_or_name(item, &known, 1) {
                    Some(sink) if !sink.fallback.is_empty() || sink.name.as_deref() == Some(&key.text) => {
                        self.fail(item.start, "a fallback cannot have a fallback of its own");
                    }
                    Some(sink) => bound.push(sink),
                    None => {}
                }
            }
            if let Some(sink) = pipeline.sinks.iter_mut().find(|sink| sink.name.as_deref() == Some(&key.text)) {
                sink.fallback.extend(bound);
            }
        }
    }

    /// Every resource that a sink names is in the file, or is an id of the server.
    pub(super) fn resources_exist(&mut self, pipeline: &Pipeline) {
        let names = || pipeline.resources.iter().map(|resource| resource.name.as_str());
        let inline = pipeline.rules.iter().flat_map(|rule| rule.sinks.iter().filter(|sink| sink.name.is_none()));
        let every: Vec<Sink> = pipeline
            .sinks
            .iter()
            .chain(inline)
            .flat_map(|sink| std::iter::once(sink).chain(&sink.fallback))
            .cloned()
            .collect();
        let mut seen = BTreeSet::new();
        for sink in every {
            let Some(resource) = &sink.resource else { continue };
            if !resource.contains(':') && !names().any(|name| name == resource) && seen.insert(sink.resource_at) {
                let message = format!(
                    "there is no resource {resource} in this file; {}; a resource of the server is named by its id, such as resource:1a2b3c4d",
                    suggest(resource, names())
                );
                let problem = self.source.problem(sink.resource_at, message);
                self.problems.push(problem);
            }
        }
    }
}
