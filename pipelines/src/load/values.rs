//! Text, settings and secrets, with variables filled in.
//!
//! Invariant: a variable is filled in inside a parsed scalar, so it cannot change the shape of the file.

use serde_json::{Map as JsonMap, Value as Json};

use super::Loader;
use crate::env::Absent;
use crate::pipeline::{SettingPlace, Settings};
use crate::problem::Severity;
use crate::yaml::{Node, Scalar, Value, scalar_json};

impl Loader<'_> {
    pub(super) fn required_text(&mut self, node: &Node, key: &str, what: &str) -> Option<String> {
        match node.get(key) {
            Some(node) => self.text(node),
            None => {
                self.fail(node.start, format!("{key} is missing: {what}"));
                None
            }
        }
    }

    pub(super) fn text_of(&mut self, node: &Node, key: &str) -> String {
        node.get(key).and_then(|node| self.text(node)).unwrap_or_default()
    }

    /// Text with variables filled in.
    pub(super) fn text(&mut self, node: &Node) -> Option<String> {
        match &node.value {
            Value::Scalar(scalar) if !node.is_null() => Some(self.fill(node, scalar).0),
            _ => {
                self.fail(node.start, format!("expected text, found {}", node.kind()));
                None
            }
        }
    }

    /// A map of settings, in which a value may be `{env: NAME}` or `{file: path}`.
    pub(super) fn settings(&mut self, node: &Node, key: &str) -> (Json, Settings) {
        let mut places = Settings { at: self.at(node.key_start(key)), keys: Vec::new() };
        let Some(map) = node.get(key).filter(|node| !node.is_null()) else {
            return (Json::Object(JsonMap::new()), places);
        };
        let Value::Map(entries) = &map.value else {
            self.fail(map.start, format!("{key} is a map of settings, found {}", map.kind()));
            return (Json::Object(JsonMap::new()), places);
        };
        let mut object = JsonMap::new();
        for (key, value) in entries {
            let secret = self.secret(value);
            let is_secret = secret.is_some();
            let (json, absent) = secret.unwrap_or_else(|| self.json(value));
            places.keys.push(SettingPlace {
                name: key.text.clone(),
                key: self.at(key.start),
                value: self.at(value.start),
                secret: is_secret,
                absent,
            });
            object.insert(key.text.clone(), json);
        }
        (Json::Object(object), places)
    }

    pub(super) fn secret(&mut self, node: &Node) -> Option<(Json, bool)> {
        let Value::Map(entries) = &node.value else { return None };
        let [(key, value)] = entries.as_slice() else { return None };
        if !matches!(key.text.as_str(), "env" | "file") || !matches!(value.value, Value::Scalar(_)) {
            return None;
        }
        let name = self.text(value)?;
        let found = match key.text.as_str() {
            "env" => {
                self.options.environment.var(&name).ok_or_else(|| format!("the environment variable {name} is not set"))
            }
            _ => self
                .options
                .environment
                .file(&name)
                .map(|text| text.trim_end_matches(['\n', '\r']).to_owned())
                .map_err(|why| format!("the file {name} cannot be read: {why}")),
        };
        Some(match found {
            Ok(text) => (Json::String(text), false),
            Err(message) => {
                self.absent(value.start, message);
                (Json::Null, true)
            }
        })
    }

    pub(super) fn absent(&mut self, index: usize, message: String) {
        let mut problem = self.source.problem(self.at(index), message);
        if self.options.absent == Absent::Warn {
            problem.severity = Severity::Warning;
        }
        self.problems.push(problem);
    }

    /// The node as JSON with variables filled in, and whether one of them is not there.
    pub(super) fn json(&mut self, node: &Node) -> (Json, bool) {
        match &node.value {
            Value::Scalar(scalar) if scalar.text.contains("${env:") => {
                let (text, absent) = self.fill(node, scalar);
                (Json::String(text), absent)
            }
            Value::Scalar(scalar) => (scalar_json(scalar), false),
            Value::List(items) => {
                let (items, absent): (Vec<Json>, Vec<bool>) = items.iter().map(|item| self.json(item)).unzip();
                (Json::Array(items), absent.contains(&true))
            }
            Value::Map(entries) => {
                let mut any = false;
                let mut object = JsonMap::new();
                for (key, value) in entries {
                    let (value, absent) = self.json(value);
                    any |= absent;
                    object.insert(key.text.clone(), value);
                }
                (Json::Object(object), any)
            }
        }
    }

    /// Replaces `${env:NAME}` and `${env:NAME:-default}`; every other `${…}` is a template of a sink and stays.
    pub(super) fn fill(&mut self, node: &Node, scalar: &Scalar) -> (String, bool) {
        let mut out = String::new();
        let mut absent = false;
        let mut rest = scalar.text.as_str();
        while let Some((before, after)) = rest.split_once("${env:") {
            out.push_str(before);
            let Some((inside, tail)) = after.split_once('}') else {
                self.fail(node.start, "${env: has no closing brace");
                return (out, absent);
            };
            let (name, default) =
                inside.split_once(":-").map_or((inside, None), |(name, default)| (name, Some(default)));
            match self.options.environment.var(name).or_else(|| default.map(str::to_owned)) {
                Some(value) => out.push_str(&value),
                None => {
                    absent = true;
                    self.absent(node.start, format!("the environment variable {name} is not set; write ${{env:{name}:-default}} to give a default"));
                }
            }
            rest = tail;
        }
        out.push_str(rest);
        (out, absent)
    }
}
