//! Settings checked against a list of [`Field`]s: unknown keys, missing keys and wrong types are precise errors.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::Value as Json;

use crate::{Field, FieldKind, Template};

/// Text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself; for the driver only.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("******")
    }
}

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The key it is about; empty for the object as a whole.
    pub key: String,
    /// What is wrong and what to write instead.
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() { f.write_str(&self.message) } else { write!(f, "{}: {}", self.key, self.message) }
    }
}

impl std::error::Error for ConfigError {}

/// Validated settings: every key is a declared field, every value has its type, defaults are filled in.
#[derive(Clone, Debug)]
pub struct Config {
    fields: &'static [Field],
    values: BTreeMap<&'static str, Parsed>,
}

#[derive(Clone, PartialEq)]
enum Parsed {
    Text(String),
    Secret(Secret),
    Integer(i64),
    Number(f64),
    Bool(bool),
    Duration(Duration),
    Bytes(u64),
    Map(Vec<(String, String)>),
    List(Vec<String>),
}

impl fmt::Debug for Parsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => fmt::Debug::fmt(text, f),
            Self::Secret(secret) => fmt::Debug::fmt(secret, f),
            Self::Integer(n) => fmt::Debug::fmt(n, f),
            Self::Number(n) => fmt::Debug::fmt(n, f),
            Self::Bool(b) => fmt::Debug::fmt(b, f),
            Self::Duration(duration) => fmt::Debug::fmt(duration, f),
            Self::Bytes(bytes) => fmt::Debug::fmt(bytes, f),
            Self::Map(map) => fmt::Debug::fmt(map, f),
            Self::List(list) => fmt::Debug::fmt(list, f),
        }
    }
}

impl Config {
    /// Checks `json`, an object, against `fields`. Reports every problem, not only the first.
    pub fn parse(fields: &'static [Field], json: &Json) -> Result<Self, Vec<ConfigError>> {
        let empty = serde_json::Map::new();
        let object = match json {
            Json::Object(object) => object,
            Json::Null => &empty,
            other => return Err(vec![fault("", format!("expected an object of settings, found {}", kind_of(other)))]),
        };
        let mut errors = Vec::new();
        let mut values = BTreeMap::new();
        for (key, value) in object {
            let Some(field) = find(fields, key) else {
                errors.push(unknown_key(fields, key));
                continue;
            };
            if value.is_null()
                || (!field.required && value.as_str() == Some("") && !matches!(field.kind, FieldKind::Text))
            {
                continue;
            }
            match parse_value(field, value) {
                Ok(parsed) => {
                    if values.insert(field.name, parsed).is_some() {
                        errors.push(fault(key, format!("is given twice: it is another name of {}", field.name)));
                    }
                }
                Err(message) => errors.push(fault(key, message)),
            }
        }
        for field in fields {
            if values.contains_key(field.name) {
                continue;
            }
            match field.default {
                Some(default) => match parse_value(field, &Json::String(default.to_owned())) {
                    Ok(parsed) => {
                        values.insert(field.name, parsed);
                    }
                    Err(message) => errors.push(fault(field.name, format!("has a broken default: {message}"))),
                },
                None if field.required => errors.push(fault(field.name, format!("is required: {}", field.doc))),
                None => {}
            }
        }
        if errors.is_empty() { Ok(Self { fields, values }) } else { Err(errors) }
    }

    /// The fields this was parsed against.
    pub fn fields(&self) -> &'static [Field] {
        self.fields
    }

    /// A text-like setting (text, template, choice, URL, path).
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.values.get(name) {
            Some(Parsed::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// A secret setting.
    pub fn secret(&self, name: &str) -> Option<&Secret> {
        match self.values.get(name) {
            Some(Parsed::Secret(secret)) => Some(secret),
            _ => None,
        }
    }

    /// A whole number.
    pub fn integer(&self, name: &str) -> Option<i64> {
        match self.values.get(name) {
            Some(Parsed::Integer(n)) => Some(*n),
            _ => None,
        }
    }

    /// A number.
    pub fn number(&self, name: &str) -> Option<f64> {
        match self.values.get(name) {
            Some(Parsed::Number(n)) => Some(*n),
            _ => None,
        }
    }

    /// A switch; `false` when not set.
    pub fn bool(&self, name: &str) -> bool {
        matches!(self.values.get(name), Some(Parsed::Bool(true)))
    }

    /// A duration.
    pub fn duration(&self, name: &str) -> Option<Duration> {
        match self.values.get(name) {
            Some(Parsed::Duration(duration)) => Some(*duration),
            _ => None,
        }
    }

    /// A size in bytes.
    pub fn bytes(&self, name: &str) -> Option<u64> {
        match self.values.get(name) {
            Some(Parsed::Bytes(bytes)) => Some(*bytes),
            _ => None,
        }
    }

    /// A map of text; empty when not set.
    pub fn map(&self, name: &str) -> &[(String, String)] {
        match self.values.get(name) {
            Some(Parsed::Map(map)) => map,
            _ => &[],
        }
    }

    /// A list of text; empty when not set.
    pub fn list(&self, name: &str) -> &[String] {
        match self.values.get(name) {
            Some(Parsed::List(list)) => list,
            _ => &[],
        }
    }
}

impl Config {
    /// Every template among the settings, with the key it is set under (`headers.X-Id` inside a map), so that the
    /// engine can compare the columns they read with those the rule's plan gives.
    pub fn templates(&self) -> Vec<(String, Template)> {
        let mut found = Vec::new();
        for field in self.fields {
            match (field.kind, self.values.get(field.name)) {
                (FieldKind::Template | FieldKind::SqlTemplate, Some(Parsed::Text(text))) => {
                    found.push((field.name.to_owned(), text));
                }
                (FieldKind::TemplateMap, Some(Parsed::Map(map))) => {
                    found.extend(map.iter().map(|(key, text)| (format!("{}.{key}", field.name), text)));
                }
                _ => {}
            }
        }
        found.into_iter().filter_map(|(key, text)| Some((key, Template::parse(text).ok()?))).collect()
    }
}

/// The given settings for showing: the values of secret fields are replaced by `******`.
pub fn masked(fields: &[Field], json: &Json) -> Json {
    let Json::Object(object) = json else { return json.clone() };
    Json::Object(
        object
            .iter()
            .map(|(key, value)| {
                let hidden = find(fields, key).is_none_or(|field| field.secret) && !value.is_null();
                (key.clone(), if hidden { Json::String("******".to_owned()) } else { value.clone() })
            })
            .collect(),
    )
}

fn find<'a>(fields: &'a [Field], key: &str) -> Option<&'a Field> {
    fields.iter().find(|field| field.name == key || field.aliases.contains(&key))
}

fn fault(key: &str, message: impl Into<String>) -> ConfigError {
    ConfigError { key: key.to_owned(), message: message.into() }
}

fn unknown_key(fields: &[Field], key: &str) -> ConfigError {
    let near = fields
        .iter()
        .map(|field| (strsim::damerau_levenshtein(field.name, key), field.name))
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4)
        .min();
    let known: Vec<&str> = fields.iter().map(|field| field.name).collect();
    fault(
        key,
        match near {
            Some((_, name)) => format!("unknown key; did you mean {name}?"),
            None if known.is_empty() => "unknown key; there are no settings here".to_owned(),
            None => format!("unknown key; the known keys are {}", known.join(", ")),
        },
    )
}

fn kind_of(json: &Json) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(_) => "a number",
        Json::String(_) => "text",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    }
}

fn parse_value(field: &Field, json: &Json) -> Result<Parsed, String> {
    let wrong = |wanted: &str| {
        format!("expected {wanted}, found {}", if field.secret { kind_of(json).to_owned() } else { json.to_string() })
    };
    if field.secret {
        return scalar_text(json).map(|text| Parsed::Secret(Secret::new(text))).ok_or_else(|| wrong("text"));
    }
    match field.kind {
        FieldKind::Text | FieldKind::Template | FieldKind::SqlTemplate | FieldKind::Path => {
            scalar_text(json).map(Parsed::Text).ok_or_else(|| wrong("text"))
        }
        FieldKind::Url => match json.as_str() {
            Some(text)
                if text.split_once("://").is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty()) =>
            {
                Ok(Parsed::Text(text.to_owned()))
            }
            _ => Err(wrong("an absolute URL such as http://127.0.0.1:9910/path")),
        },
        FieldKind::Integer { min, max } => {
            let n =
                scalar_text(json).and_then(|text| text.parse::<i64>().ok()).ok_or_else(|| wrong("a whole number"))?;
            if n < min || n > max {
                return Err(format!("{n} is out of range: from {min} to {max}"));
            }
            Ok(Parsed::Integer(n))
        }
        FieldKind::Number => scalar_text(json)
            .and_then(|text| text.parse::<f64>().ok())
            .map(Parsed::Number)
            .ok_or_else(|| wrong("a number")),
        FieldKind::Bool => match scalar_text(json).as_deref() {
            Some("true" | "on") => Ok(Parsed::Bool(true)),
            Some("false" | "off") => Ok(Parsed::Bool(false)),
            _ => Err(wrong("true or false")),
        },
        FieldKind::Duration => scalar_text(json)
            .and_then(|text| parse_duration(&text))
            .map(Parsed::Duration)
            .ok_or_else(|| wrong("a duration such as 500ms, 30s, 5m, 1h")),
        FieldKind::Bytes => scalar_text(json)
            .and_then(|text| parse_bytes(&text))
            .map(Parsed::Bytes)
            .ok_or_else(|| wrong("a size such as 64KB, 16MB, 1GB")),
        FieldKind::Choice(choices) => match scalar_text(json) {
            Some(text) if choices.contains(&text.as_str()) => Ok(Parsed::Text(text)),
            _ => Err(wrong(&format!("one of {}", choices.join(", ")))),
        },
        FieldKind::TextMap | FieldKind::TemplateMap => match json {
            Json::Object(object) => object
                .iter()
                .map(|(key, value)| scalar_text(value).map(|text| (key.clone(), text)))
                .collect::<Option<Vec<_>>>()
                .map(Parsed::Map)
                .ok_or_else(|| wrong("an object of text")),
            _ => Err(wrong("an object of text")),
        },
        FieldKind::TextList => match json {
            Json::Array(items) => items
                .iter()
                .map(scalar_text)
                .collect::<Option<Vec<_>>>()
                .map(Parsed::List)
                .ok_or_else(|| wrong("a list of text")),
            Json::String(text) => Ok(Parsed::List(text.split(',').map(|item| item.trim().to_owned()).collect())),
            _ => Err(wrong("a list of text")),
        },
    }
}

fn scalar_text(json: &Json) -> Option<String> {
    match json {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        Json::Bool(b) => Some(b.to_string()),
        _ => None,
    }
}

/// A duration such as `500ms`, `30s`, `5m`, `1h`, `2d`; a bare number is milliseconds.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(split)?;
    let millis_per_unit = match unit.trim() {
        "" | "ms" => 1.0,
        "s" => 1e3,
        "m" => 60e3,
        "h" => 3_600e3,
        "d" => 86_400e3,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * millis_per_unit / 1e3).ok()
}

/// A size such as `64KB`, `16MB`, `1GB` (powers of 1024); a bare number is bytes.
pub fn parse_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(split)?;
    let factor: u64 = match unit.trim().to_ascii_uppercase().as_str() {
        "" | "B" => 1,
        "KB" | "K" | "KIB" => 1 << 10,
        "MB" | "M" | "MIB" => 1 << 20,
        "GB" | "G" | "GIB" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    static FIELDS: &[Field] = &[
        Field { name: "server", doc: "host:port", ..Field::REQUIRED },
        Field { name: "password", secret: true, ..Field::OPTIONAL },
        Field {
            name: "pool_size",
            kind: FieldKind::Integer { min: 1, max: 64 },
            default: Some("8"),
            ..Field::OPTIONAL
        },
        Field { name: "timeout", kind: FieldKind::Duration, default: Some("5s"), ..Field::OPTIONAL },
    ];

    #[test]
    fn every_problem_is_named_with_its_key() {
        let errors = Config::parse(FIELDS, &serde_json::json!({"pool_sise": 3, "pool_size": 100, "timeout": "soon"}))
            .unwrap_err();
        let text: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            text,
            [
                "pool_sise: unknown key; did you mean pool_size?",
                "pool_size: 100 is out of range: from 1 to 64",
                "timeout: expected a duration such as 500ms, 30s, 5m, 1h, found \"soon\"",
                "server: is required: host:port",
            ]
        );
    }

    #[test]
    fn the_templates_of_an_action_are_listed_with_their_keys() {
        static PARAMS: &[Field] = &[
            Field { name: "topic", kind: FieldKind::Template, ..Field::REQUIRED },
            Field { name: "headers", kind: FieldKind::TemplateMap, ..Field::OPTIONAL },
            Field { name: "plain", ..Field::OPTIONAL },
        ];
        let json = serde_json::json!({"topic": "t/${a}", "headers": {"X": "${b}"}, "plain": "${c}"});
        let names: Vec<String> = Config::parse(PARAMS, &json)
            .unwrap()
            .templates()
            .iter()
            .map(|(key, template)| format!("{key}: {}", template.names().join(",")))
            .collect();
        assert_eq!(names, ["topic: a", "headers.X: b"]);
    }

    #[test]
    fn defaults_are_filled_in_and_secrets_do_not_print() {
        let config = Config::parse(FIELDS, &serde_json::json!({"server": "a:1", "password": "hunter2"})).unwrap();
        assert_eq!(config.integer("pool_size"), Some(8));
        assert_eq!(config.duration("timeout"), Some(Duration::from_secs(5)));
        assert!(!format!("{config:?}").contains("hunter2"));
        assert_eq!(masked(FIELDS, &serde_json::json!({"password": "hunter2"})).to_string(), r#"{"password":"******"}"#);
    }
}
