//! YAML text into a tree in which everything knows where it stands.
//!
//! Invariants:
//! - Duplicate keys, merge keys, tags and several documents in a file are errors, not surprises.
//! - The size of the text, the depth and the number of nodes after aliases are bounded.

use std::collections::HashMap;
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use crate::problem::{Place, Problem, Severity};

/// Largest file, bytes.
pub const FILE_BYTES_MAX: usize = 4 << 20;
const DEPTH_MAX: usize = 64;
const NODES_MAX: usize = 100_000;

/// The text of a file, to find places in.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) chars: Vec<char>,
    /// Index of the first character of each line.
    lines: Vec<usize>,
}

impl Source {
    pub(crate) fn new(name: &str, text: &str) -> Self {
        let chars: Vec<char> = text.chars().collect();
        let lines = std::iter::once(0)
            .chain(chars.iter().enumerate().filter(|(_, c)| **c == '\n').map(|(index, _)| index + 1))
            .collect();
        Self { name: name.to_owned(), chars, lines }
    }

    pub(crate) fn place(&self, index: usize) -> Place {
        let line = self.lines.partition_point(|start| *start <= index).max(1);
        let start = self.lines.get(line - 1).copied().unwrap_or(0);
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Place { line: number(line), column: number(index.saturating_sub(start) + 1) }
    }

    pub(crate) fn problem(&self, place: Place, message: impl Into<String>) -> Problem {
        Problem { file: self.name.clone(), place, severity: Severity::Error, message: message.into() }
    }
}

/// A node and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) value: Value,
    /// Characters of the source.
    pub(crate) start: usize,
    pub(crate) end: usize,
}

#[derive(Clone, Debug)]
pub(crate) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

#[derive(Clone, Debug)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    pub(crate) style: ScalarStyle,
}

#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) text: String,
    pub(crate) start: usize,
}

impl Node {
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|(known, _)| known.text == key).map(|(_, node)| node),
            _ => None,
        }
    }

    /// Where `key` stands, or the node itself when it has no such key.
    pub(crate) fn key_start(&self, key: &str) -> usize {
        match &self.value {
            Value::Map(entries) => {
                entries.iter().find(|(known, _)| known.text == key).map_or(self.start, |(key, _)| key.start)
            }
            _ => self.start,
        }
    }

    /// The word for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Scalar(scalar) if is_null(scalar) => "nothing",
            Value::Scalar(_) => "a single value",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if is_null(scalar))
    }
}

fn is_null(scalar: &Scalar) -> bool {
    scalar.style == ScalarStyle::Plain && matches!(scalar.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
}

/// A scalar as JSON by the core schema of YAML 1.2: only `true` and `false` are booleans, `yes` and `on` are text.
pub(crate) fn scalar_json(scalar: &Scalar) -> serde_json::Value {
    use serde_json::Value as Json;
    let text = scalar.text.as_str();
    if scalar.style != ScalarStyle::Plain {
        return Json::String(text.to_owned());
    }
    match text {
        _ if is_null(scalar) => Json::Null,
        "true" | "True" | "TRUE" => Json::Bool(true),
        "false" | "False" | "FALSE" => Json::Bool(false),
        _ => {
            let digits = text.strip_prefix('+').unwrap_or(text);
            let hex = digits.strip_prefix("0x").and_then(|hex| i64::from_str_radix(hex, 16).ok());
            // The text of the number is kept, so that 64 bits and more survive.
            let number = || {
                digits
                    .starts_with(|c: char| c.is_ascii_digit() || c == '-')
                    .then(|| digits.parse::<serde_json::Number>().ok())
                    .flatten()
            };
            match hex {
                Some(n) => Json::from(n),
                None => number().map_or_else(|| Json::String(text.to_owned()), Json::Number),
            }
        }
    }
}

/// Parses one document.
pub(crate) fn parse(source: &Arc<Source>, text: &str) -> Result<Node, Problem> {
    if text.len() > FILE_BYTES_MAX {
        return Err(source.problem(
            Place { line: 1, column: 1 },
            format!("the file has {} bytes, at most {FILE_BYTES_MAX} are read", text.len()),
        ));
    }
    let mut builder = Builder { source, parser: Parser::new_from_str(text), anchors: HashMap::new(), nodes: 0 };
    let mut root = None;
    while let Some((event, span)) = builder.next()? {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {}
            _ if root.is_some() => {
                return Err(builder
                    .fault(span, "a pipeline file holds one document; put the second one into a file of its own"));
            }
            event => root = Some(builder.node(event, span, 0)?),
        }
    }
    root.ok_or_else(|| source.problem(Place { line: 1, column: 1 }, "the file is empty; a pipeline has at least rules"))
}

struct Builder<'a> {
    source: &'a Arc<Source>,
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
}

impl<'a> Builder<'a> {
    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, Problem> {
        match self.parser.next_event() {
            None => Ok(None),
            Some(Ok(event)) => Ok(Some(event)),
            Some(Err(error)) => Err(self
                .source
                .problem(self.source.place(error.marker().index()), format!("this is no YAML: {}", error.info()))),
        }
    }

    fn fault(&self, span: Span, message: impl Into<String>) -> Problem {
        self.source.problem(self.source.place(span.start.index()), message)
    }

    fn expect(&mut self, span: Span) -> Result<(Event<'a>, Span), Problem> {
        self.next()?.ok_or_else(|| self.fault(span, "this is no YAML: the file ends early"))
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, Problem> {
        self.nodes += 1;
        if depth > DEPTH_MAX {
            return Err(self.fault(span, format!("nested deeper than {DEPTH_MAX} levels")));
        }
        if self.nodes > NODES_MAX {
            return Err(self.fault(
                span,
                format!("the file has more than {NODES_MAX} values, aliases counted where they are used"),
            ));
        }
        let (node, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let style = match tag {
                    Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => ScalarStyle::DoubleQuoted,
                    Some(tag) => {
                        return Err(self.fault(
                            span,
                            format!(
                                "the tag {}{} is not used here; write a plain or quoted value",
                                tag.handle, tag.suffix
                            ),
                        ));
                    }
                    None => style,
                };
                (
                    Node {
                        value: Value::Scalar(Scalar { text: text.into_owned(), style }),
                        start: span.start.index(),
                        end: span.end.index(),
                    },
                    anchor,
                )
            }
            Event::SequenceStart(anchor, _) => (self.list(span, depth)?, anchor),
            Event::MappingStart(anchor, _) => (self.map(span, depth)?, anchor),
            Event::Alias(id) => {
                let Some(node) = self.anchors.get(&id).cloned() else {
                    return Err(self.fault(span, "the alias names no anchor above it"));
                };
                self.nodes += count(&node);
                return if self.nodes > NODES_MAX {
                    Err(self.fault(
                        span,
                        format!("the file has more than {NODES_MAX} values, aliases counted where they are used"),
                    ))
                } else {
                    Ok(node)
                };
            }
            _ => return Err(self.fault(span, "this is no YAML here")),
        };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn list(&mut self, span: Span, depth: usize) -> Result<Node, Problem> {
        let mut items = Vec::new();
        loop {
            let (event, at) = self.expect(span)?;
            if matches!(event, Event::SequenceEnd) {
                return Ok(Node { value: Value::List(items), start: span.start.index(), end: at.end.index() });
            }
            items.push(self.node(event, at, depth + 1)?);
        }
    }

    fn map(&mut self, span: Span, depth: usize) -> Result<Node, Problem> {
        let mut entries: Vec<(Key, Node)> = Vec::new();
        loop {
            let (event, at) = self.expect(span)?;
            let text = match event {
                Event::MappingEnd => {
                    return Ok(Node { value: Value::Map(entries), start: span.start.index(), end: at.end.index() });
                }
                Event::Scalar(text, _, _, _) => text.into_owned(),
                _ => return Err(self.fault(at, "a key must be a single value")),
            };
            if text == "<<" {
                return Err(self.fault(at, "merge keys (<<) are not read; write the keys out"));
            }
            if let Some((first, _)) = entries.iter().find(|(key, _)| key.text == text) {
                let line = self.source.place(first.start).line;
                return Err(self.fault(at, format!("{text} is given twice; the first is on line {line}")));
            }
            let (event, value_at) = self.expect(at)?;
            let node = self.node(event, value_at, depth + 1)?;
            entries.push((Key { text, start: at.start.index() }, node));
        }
    }
}

fn count(node: &Node) -> usize {
    match &node.value {
        Value::Scalar(_) => 1,
        Value::List(items) => 1 + items.iter().map(count).sum::<usize>(),
        Value::Map(entries) => 1 + entries.iter().map(|(_, node)| count(node)).sum::<usize>(),
    }
}
