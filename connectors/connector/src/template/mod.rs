//! `${…}` templates, bound from a row and never pasted.
//!
//! | written | means |
//! |---|---|
//! | `${a.b}`, `${.a.b}` | the value below a column; text on the way is decoded as JSON |
//! | `${a.'b c'}` | a key with other characters, in single or double quotes |
//! | `${}`, `${.}` | the whole row as JSON |
//! | `${a:-text}` | `text` when the row has no such value |
//! | `${$}` | a dollar sign, so `${$}{x}` prints `${x}` |
//!
//! Anything else is literal, an unfinished placeholder too. As text, a missing value without a default is `undefined`
//! (what EMQ X prints, and what users search their tables for); in SQL it binds NULL; null is `null`.
//! Integers print exactly, floats as the shortest text that reads back, maps and lists as JSON.
//!
//! Not here: expressions. What a template needs is computed by the rule's SELECT.

mod guard;
mod json;
mod resolve;
mod sql;

use model::{Row, Value};

use crate::Error;

pub use guard::{header_value, literal_prefix};
pub use json::JsonTemplate;
pub use resolve::Resolver;
pub use sql::{ParamStyle, Prepared, SqlEscape};

/// The text of a missing value that has no default.
pub const MISSING_TEXT: &str = "undefined";

/// A parsed template.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    parts: Vec<Part>,
}

/// One piece of a template.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// Text as it stands.
    Literal(String),
    /// A value of the row: path (empty = the whole row) and default text.
    Slot {
        /// Keys from the column downwards.
        path: Vec<String>,
        /// Text for a missing value.
        default: Option<String>,
    },
}

impl Template {
    /// Parses a template; what is not a complete placeholder stays literal. Every text is a template today; the result
    /// is there so that a later form can refuse one.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut parts = Parts::default();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once("${") {
            parts.literal(before);
            match behind.split_once('}').and_then(|(inner, tail)| Some((placeholder(inner)?, tail))) {
                Some((part, tail)) => {
                    match part {
                        Part::Literal(text) => parts.literal(&text),
                        slot => parts.0.push(slot),
                    }
                    rest = tail;
                }
                None => {
                    parts.literal("${");
                    rest = behind;
                }
            }
        }
        parts.literal(rest);
        Ok(Self { parts: parts.0 })
    }

    /// The pieces. Two literals never stand side by side and none is empty.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Whether it reads nothing from the row.
    pub fn is_literal(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, Part::Literal(_)))
    }

    /// The columns it reads, each once, so that the engine can compare them with what the rule's plan gives.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for part in &self.parts {
            if let Part::Slot { path, .. } = part
                && let Some(column) = path.first()
                && !names.contains(&column.as_str())
            {
                names.push(column);
            }
        }
        names
    }

    /// The value of one slot: [`Value::Missing`] when the row has no such path, the whole row when `path` is empty.
    pub fn value(path: &[String], row: &Row) -> Value {
        Resolver::new(row).value(path)
    }

    /// The template as one typed value: the value itself when the template is exactly one slot, text otherwise.
    pub fn bind(&self, row: &Row) -> Value {
        self.bind_with(&mut Resolver::new(row))
    }

    /// Like [`Template::bind`], sharing decoded columns with other templates of the same row.
    pub fn bind_with(&self, row: &mut Resolver<'_>) -> Value {
        match self.parts.as_slice() {
            [Part::Slot { path, default }] => match (row.value(path), default) {
                (Value::Missing, Some(default)) => Value::text(default.as_str()),
                (value, _) => value,
            },
            _ => Value::text(self.text_with(row)),
        }
    }

    /// The template with its slots filled in as text.
    pub fn text(&self, row: &Row) -> String {
        self.text_with(&mut Resolver::new(row))
    }

    /// Like [`Template::text`], sharing decoded columns with other templates of the same row.
    pub fn text_with(&self, row: &mut Resolver<'_>) -> String {
        if let [Part::Literal(text)] = self.parts.as_slice() {
            return text.clone();
        }
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(text) => out.push_str(text),
                Part::Slot { path, default } => push_slot(&mut out, &row.value(path), default.as_deref()),
            }
        }
        out
    }

    /// The template as bytes: like [`Template::text`], but bytes of the row go in as they are.
    pub fn bytes(&self, row: &Row) -> Vec<u8> {
        let mut row = Resolver::new(row);
        let mut out = Vec::new();
        for part in &self.parts {
            match part {
                Part::Literal(text) => out.extend_from_slice(text.as_bytes()),
                Part::Slot { path, default } => match row.value(path) {
                    Value::Bytes(bytes) => out.extend_from_slice(&bytes),
                    value => {
                        let mut text = String::new();
                        push_slot(&mut text, &value, default.as_deref());
                        out.extend_from_slice(text.as_bytes());
                    }
                },
            }
        }
        out
    }
}

/// The text of a value in a template and in a dead letter's message.
pub fn value_text(value: &Value) -> String {
    let mut text = String::new();
    push_slot(&mut text, value, None);
    text
}

fn push_slot(out: &mut String, value: &Value, default: Option<&str>) {
    use std::fmt::Write as _;
    let written = match value {
        Value::Missing => out.write_str(default.unwrap_or(MISSING_TEXT)),
        Value::Null => out.write_str("null"),
        Value::Bool(b) => write!(out, "{b}"),
        Value::Int(n) => write!(out, "{n}"),
        Value::Big(digits) => out.write_str(digits),
        // `{:?}` is the shortest text that reads back, and keeps the point of 1.0.
        Value::Float(f) => write!(out, "{f:?}"),
        Value::Text(text) => out.write_str(text),
        Value::Bytes(_) => match value.to_json() {
            serde_json::Value::String(text) => out.write_str(&text),
            other => write!(out, "{other}"),
        },
        Value::List(_) | Value::Map(_) => write!(out, "{}", value.to_json()),
    };
    debug_assert!(written.is_ok(), "writing to a String cannot fail");
}

#[derive(Default)]
struct Parts(Vec<Part>);

impl Parts {
    fn literal(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        match self.0.last_mut() {
            Some(Part::Literal(last)) => last.push_str(text),
            _ => self.0.push(Part::Literal(text.to_owned())),
        }
    }
}

/// What stands between `${` and `}`; `None` when it is no placeholder.
fn placeholder(inner: &str) -> Option<Part> {
    if inner == "$" {
        return Some(Part::Literal("$".to_owned()));
    }
    if inner.is_empty() || inner == "." {
        return Some(Part::Slot { path: Vec::new(), default: None });
    }
    let (path, default) = match inner.split_once(":-") {
        Some((path, default)) => (path, Some(default.to_owned())),
        None => (inner, None),
    };
    let path = keys(path.strip_prefix('.').unwrap_or(path))?;
    Some(Part::Slot { path, default })
}

/// `a.b.'c d'` as keys; `None` when a key is empty or has a character that needs quotes.
fn keys(text: &str) -> Option<Vec<String>> {
    let mut keys = Vec::new();
    let mut rest = text;
    loop {
        let quote = rest.chars().next().filter(|c| matches!(c, '\'' | '"'));
        let (key, tail) = match quote {
            Some(quote) => rest.get(1..)?.split_once(quote)?,
            None => rest.split_at(rest.find('.').unwrap_or(rest.len())),
        };
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
        if key.is_empty() || (quote.is_none() && !key.chars().all(plain)) {
            return None;
        }
        keys.push(key.to_owned());
        match tail.strip_prefix('.') {
            Some(tail) => rest = tail,
            None if tail.is_empty() => return Some(keys),
            None => return None,
        }
    }
}

#[cfg(test)]
mod tests;
