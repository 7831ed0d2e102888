//! From a YAML tree to a [`Pipeline`]: shapes, names, variables. What needs connectors or SQL is checked later.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map as JsonMap, Value as Json};

use crate::check::delivery_keys;
use crate::env::{Absent, Environment, ProcessEnvironment};
use crate::from;
use crate::pipeline::{Expect, Input, Pipeline, Resource, Rule, SettingPlace, Settings, Sink, Source, Test};
use crate::problem::{Place, Problem, Severity, suggest};
use crate::text::Text;
use crate::yaml::{self, Key, Node, Scalar, Value, scalar_json};

/// How to load.
pub struct Options<'a> {
    /// Variables and secret files.
    pub environment: &'a dyn Environment,
    /// What to do when one is not there.
    pub absent: Absent,
}

/// Loads a file with the variables of this process.
///
/// # Errors
/// Every problem of the file, in its order.
pub fn load_file(path: &Path, absent: Absent) -> Result<Pipeline, Vec<Problem>> {
    let name = path.to_string_lossy();
    let unreadable = |error: std::io::Error| {
        vec![Problem {
            file: name.clone().into_owned(),
            place: Place::default(),
            severity: Severity::Error,
            message: format!("cannot be read: {error}"),
        }]
    };
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > yaml::FILE_BYTES_MAX as u64 {
        return Err(unreadable(std::io::Error::other(format!(
            "it has {size} bytes, at most {} are read",
            yaml::FILE_BYTES_MAX
        ))));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let environment = ProcessEnvironment { folder: path.parent().map(Path::to_path_buf).unwrap_or_default() };
    load(&name, &text, &Options { environment: &environment, absent })
}

/// Loads a text; `name` is what messages call it.
///
/// # Errors
/// Every problem of the text, in its order.
pub fn load(name: &str, text: &str, options: &Options<'_>) -> Result<Pipeline, Vec<Problem>> {
    let source = Arc::new(yaml::Source::new(name, text));
    let root = yaml::parse(&source, text).map_err(|problem| vec![problem])?;
    let mut loader = Loader { source, options, problems: Vec::new() };
    let mut pipeline = loader.pipeline(&root);
    loader.problems.sort_by_key(|problem| problem.place);
    if loader.problems.iter().any(|problem| problem.severity == Severity::Error) {
        return Err(loader.problems);
    }
    pipeline.warnings = loader.problems;
    Ok(pipeline)
}

struct Loader<'a> {
    source: Arc<yaml::Source>,
    options: &'a Options<'a>,
    problems: Vec<Problem>,
}

impl Loader<'_> {
    fn at(&self, index: usize) -> Place {
        self.source.place(index)
    }

    fn fail(&mut self, index: usize, message: impl Into<String>) {
        let problem = self.source.problem(self.at(index), message);
        self.problems.push(problem);
    }

    fn pipeline(&mut self, root: &Node) -> Pipeline {
        let mut pipeline = Pipeline { file: self.source.name.clone(), ..Pipeline::default() };
        if !self.keys(root, "a pipeline", &["description", "resources", "sources", "rules", "sinks", "tests"]) {
            return pipeline;
        }
        pipeline.description = self.text_of(root, "description");
        for (key, node) in self.named(root, "resources") {
            pipeline.resources.extend(self.resource(&key, &node));
        }
        for (key, node) in self.named(root, "sources") {
            pipeline.sources.extend(self.a_source(&key, &node));
        }
        for (key, node) in self.named(root, "sinks") {
            pipeline.sinks.extend(self.sink(Some(&key), &node, 0));
        }
        self.fallbacks(root, &mut pipeline);
        for (key, node) in self.named(root, "rules") {
            let rule = self.rule(&key, &node, &pipeline);
            pipeline.rules.extend(rule);
        }
        self.resources_exist(&pipeline);
        if let Some(tests) = root.get("tests") {
            pipeline.tests = self.tests(tests, &pipeline);
        }
        if pipeline.rules.is_empty() && pipeline.resources.is_empty() && self.problems.is_empty() {
            self.fail(root.start, "the file has neither rules nor resources");
        }
        pipeline
    }

    /// Whether the node is a map; unknown keys are problems.
    fn keys(&mut self, node: &Node, what: &str, known: &[&str]) -> bool {
        let Value::Map(entries) = &node.value else {
            self.fail(node.start, format!("{what} is a map with the keys {}, found {}", known.join(", "), node.kind()));
            return false;
        };
        for (key, _) in entries {
            if !known.contains(&key.text.as_str()) {
                self.fail(
                    key.start,
                    format!("unknown key {} of {what}; {}", key.text, suggest(&key.text, known.iter().copied())),
                );
            }
        }
        true
    }

    /// The entries of a map of named things.
    fn named(&mut self, root: &Node, section: &str) -> Vec<(Key, Node)> {
        let Some(node) = root.get(section).filter(|node| !node.is_null()) else { return Vec::new() };
        let Value::Map(entries) = &node.value else {
            self.fail(node.start, format!("{section} is a map from names, found {}", node.kind()));
            return Vec::new();
        };
        for (key, _) in entries {
            let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
            if key.text.is_empty() || !key.text.chars().all(good) {
                self.fail(key.start, format!("{:?} is no name: letters, digits, _, - and .", key.text));
            }
        }
        entries.clone()
    }

    fn resource(&mut self, key: &Key, node: &Node) -> Option<Resource> {
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
    fn a_source(&mut self, key: &Key, node: &Node) -> Option<Source> {
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

    fn rule(&mut self, key: &Key, node: &Node, pipeline: &Pipeline) -> Option<Rule> {
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

    fn rule_sinks(&mut self, key: &Key, node: &Node, pipeline: &Pipeline) -> Vec<Sink> {
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

    fn sink_or_name(&mut self, item: &Node, known: &[Sink], depth: usize) -> Option<Sink> {
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

    fn sink(&mut self, key: Option<&Key>, node: &Node, depth: usize) -> Option<Sink> {
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
    fn fallbacks(&mut self, root: &Node, pipeline: &mut Pipeline) {
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
    fn resources_exist(&mut self, pipeline: &Pipeline) {
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

    fn tests(&mut self, node: &Node, pipeline: &Pipeline) -> Vec<Test> {
        let Value::List(items) = &node.value else {
            self.fail(node.start, format!("tests is a list, found {}", node.kind()));
            return Vec::new();
        };
        items.iter().enumerate().filter_map(|(index, item)| self.test(index, item, pipeline)).collect()
    }

    fn test(&mut self, index: usize, node: &Node, pipeline: &Pipeline) -> Option<Test> {
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
    fn input(&mut self, node: &Node) -> Option<Input> {
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

    fn required_text(&mut self, node: &Node, key: &str, what: &str) -> Option<String> {
        match node.get(key) {
            Some(node) => self.text(node),
            None => {
                self.fail(node.start, format!("{key} is missing: {what}"));
                None
            }
        }
    }

    fn text_of(&mut self, node: &Node, key: &str) -> String {
        node.get(key).and_then(|node| self.text(node)).unwrap_or_default()
    }

    /// Text with variables filled in.
    fn text(&mut self, node: &Node) -> Option<String> {
        match &node.value {
            Value::Scalar(scalar) if !node.is_null() => Some(self.fill(node, scalar).0),
            _ => {
                self.fail(node.start, format!("expected text, found {}", node.kind()));
                None
            }
        }
    }

    /// A map of settings, in which a value may be `{env: NAME}` or `{file: path}`.
    fn settings(&mut self, node: &Node, key: &str) -> (Json, Settings) {
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

    fn secret(&mut self, node: &Node) -> Option<(Json, bool)> {
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

    fn absent(&mut self, index: usize, message: String) {
        let mut problem = self.source.problem(self.at(index), message);
        if self.options.absent == Absent::Warn {
            problem.severity = Severity::Warning;
        }
        self.problems.push(problem);
    }

    /// The node as JSON with variables filled in, and whether one of them is not there.
    fn json(&mut self, node: &Node) -> (Json, bool) {
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
    fn fill(&mut self, node: &Node, scalar: &Scalar) -> (String, bool) {
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
