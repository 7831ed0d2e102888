//! From a YAML tree to a [`Pipeline`]: shapes, names, variables. What needs connectors or SQL is checked later.

mod expectations;
mod objects;
mod sinks;
mod values;

use std::path::Path;
use std::sync::Arc;

use crate::env::{Absent, Environment, ProcessEnvironment};
use crate::pipeline::Pipeline;
use crate::problem::{Place, Problem, Severity, suggest};
use crate::yaml::{self, Key, Node, Value};

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
}
