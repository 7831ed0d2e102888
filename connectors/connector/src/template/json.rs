//! Templates that are JSON documents, for request bodies: whatever the row holds, the result is a JSON document.

use model::{Row, Value};
use serde_json::Value as Json;

use super::{MISSING_TEXT, Part, Resolver, Template, value_text};

/// A template that is a JSON document once its slots are filled in.
///
/// - A slot inside a JSON string is its text, escaped: `{"name": "dev ${id}"}`.
/// - A slot that stands where a value stands keeps its type: `{"temp": ${temp}, "tags": ${tags}}`. Text becomes a JSON
///   string, except text that is itself a JSON object or list, which goes in as what it is: `{"data": ${payload}}`.
///   A missing value is null, or its default: as JSON if it is JSON, else as a string.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonTemplate {
    template: Template,
    /// One a slot, in order: whether it stands inside a string.
    in_string: Vec<bool>,
}

impl Template {
    /// The template as a JSON document; `None` when it is not one.
    pub fn json(&self) -> Option<JsonTemplate> {
        let mut in_string = Vec::new();
        let mut sample = String::new();
        let mut inside = false;
        for part in self.parts() {
            match part {
                Part::Literal(text) => {
                    sample.push_str(text);
                    inside = ends_in_string(inside, text);
                }
                Part::Slot { .. } => {
                    in_string.push(inside);
                    sample.push_str(if inside { "x" } else { "null" });
                }
            }
        }
        serde_json::from_str::<Json>(&sample).ok()?;
        Some(JsonTemplate { template: self.clone(), in_string })
    }
}

impl JsonTemplate {
    /// The document for one row.
    pub fn text(&self, row: &Row) -> String {
        let mut row = Resolver::new(row);
        let mut out = String::new();
        let mut places = self.in_string.iter();
        for part in self.template.parts() {
            match part {
                Part::Literal(text) => out.push_str(text),
                Part::Slot { path, default } => {
                    let value = row.value(path);
                    match places.next() {
                        Some(true) => push_escaped(&mut out, &value, default.as_deref()),
                        _ => push_value(&mut out, &value, default.as_deref()),
                    }
                }
            }
        }
        out
    }
}

/// Whether a JSON text that was (not) inside a string before `text` is inside one behind it.
fn ends_in_string(mut inside: bool, text: &str) -> bool {
    let mut escaped = false;
    for c in text.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if inside => escaped = true,
            '"' => inside = !inside,
            _ => {}
        }
    }
    inside
}

fn push_escaped(out: &mut String, value: &Value, default: Option<&str>) {
    let text = match value {
        Value::Missing => default.unwrap_or(MISSING_TEXT).to_owned(),
        _ => value_text(value),
    };
    let quoted = Json::String(text).to_string();
    out.push_str(quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or_default());
}

fn push_value(out: &mut String, value: &Value, default: Option<&str>) {
    let text = match (value, default) {
        (Value::Missing, Some(default)) if serde_json::from_str::<Json>(default).is_ok() => default.to_owned(),
        (Value::Missing, Some(default)) => Json::String(default.to_owned()).to_string(),
        (Value::Text(text), _) if is_document(text.as_bytes()) => text.as_str().to_owned(),
        (Value::Bytes(bytes), _) if is_document(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        _ => value.to_json().to_string(),
    };
    out.push_str(&text);
}

/// Whether the text is a JSON object or list. The check is by the parser: a text that only looks like one is text.
fn is_document(text: &[u8]) -> bool {
    matches!(text.trim_ascii_start().first(), Some(b'{' | b'['))
        && serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok()
}
