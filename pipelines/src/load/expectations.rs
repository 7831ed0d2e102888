//! The tests of a pipeline: events and the rows that are expected of them.

use serde_json::{Map as JsonMap, Value as Json};

use super::Loader;
use crate::pipeline::{Expect, Input, Pipeline, Test};
use crate::problem::suggest;
use crate::yaml::{Node, Value};

impl Loader<'_> {
    pub(super) fn tests(&mut self, node: &Node, pipeline: &Pipeline) -> Vec<Test> {
        let Value::List(items) = &node.value else {
            self.fail(node.start, format!("tests is a list, found {}", node.kind()));
            return Vec::new();
        };
        items.iter().enumerate().filter_map(|(index, item)| self.test(index, item, pipeline)).collect()
    }

    pub(super) fn test(&mut self, index: usize, node: &Node, pipeline: &Pipeline) -> Option<Test> {
        if !self.keys(node, "a test", &["name", "input", "inputs", "expect"]) {
            return None;
        }
        let name = match node.get("name") {
            Some(name) => self.text(name)?,
            None => format!("test {}", index + 1),
        };
        let inputs = match node.get("input").or_else(|| node.get("inputs")) {
            Some(Node { value: Value::List(items), .. }) => items.clone(),
            Some(node) => vec![node.clone()],
            None => {
                self.fail(
                    node.start,
                    format!("the test {name} has no input, such as input: {{topic: a/b, payload: {{temp: 1}}}}"),
                );
                return None;
            }
        };
        let inputs = inputs.iter().filter_map(|input| self.input(input)).collect();
        let Some(Node { value: Value::Map(entries), .. }) = node.get("expect") else {
            self.fail(
                node.key_start("expect"),
                format!("the test {name} needs expect: a map from rule or sink names to lists of rows"),
            );
            return None;
        };
        let targets: Vec<&str> = pipeline
            .rules
            .iter()
            .map(|rule| rule.name.as_str())
            .chain(pipeline.sinks.iter().filter_map(|sink| sink.name.as_deref()))
            .collect();
        let mut expect = Vec::new();
        for (key, rows) in entries {
            if !targets.contains(&key.text.as_str()) {
                self.fail(
                    key.start,
                    format!("there is no rule or sink {}; {}", key.text, suggest(&key.text, targets.iter().copied())),
                );
            }
            let rows_json = match self.json(rows).0 {
                Json::Array(rows) => rows,
                Json::Null => Vec::new(),
                row @ Json::Object(_) => vec![row],
                _ => {
                    self.fail(rows.start, "expected a list of rows, each a map from column to value; [] expects none");
                    continue;
                }
            };
            expect.push(Expect { target: key.text.clone(), rows: rows_json, at: self.at(key.start) });
        }
        Some(Test { name, inputs, expect, at: self.at(node.start) })
    }

    /// `{topic, payload, …}` is a published message; `{event, fields}` any event.
    pub(super) fn input(&mut self, node: &Node) -> Option<Input> {
        if node.get("event").is_some() {
            if !self.keys(node, "an event", &["event", "fields"]) {
                return None;
            }
            let event = self.required_text(node, "event", "the event's name, such as client.connected")?;
            let fields = node.get("fields").map_or_else(|| Json::Object(JsonMap::new()), |node| self.json(node).0);
            return Some(Input { event, fields });
        }
        const KEYS: [&str; 10] = [
            "topic",
            "payload",
            "qos",
            "retain",
            "clientid",
            "client_id",
            "username",
            "peerhost",
            "timestamp",
            "pub_props",
        ];
        if !self.keys(node, "a message", &KEYS) {
            return None;
        }
        if node.get("topic").is_none() {
            self.fail(node.start, "an input has a topic, or an event");
            return None;
        }
        let Json::Object(mut fields) = self.json(node).0 else { return None };
        // A payload written as YAML stands for its JSON text; text and {$hex: …} are taken as they are.
        if let Some(payload) = fields.get_mut("payload")
            && !payload.is_string()
            && payload.get("$hex").is_none()
        {
            *payload = Json::String(payload.to_string());
        }
        Some(Input { event: "message.publish".to_owned(), fields: Json::Object(fields) })
    }
}
