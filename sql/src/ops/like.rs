//! LIKE and the topic match `=~`.

use model::Value;

use super::{OpError, show};

/// A compiled LIKE pattern: `%` any text, `_` one character, `\` takes the next one literally.
#[derive(Clone, Debug)]
pub struct LikePattern(Vec<Part>);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Part {
    Any,
    One,
    Char(char),
}

impl LikePattern {
    /// Reads a pattern; a backslash at its end stands for itself.
    pub fn new(pattern: &str) -> Self {
        let mut parts = Vec::new();
        let mut chars = pattern.chars();
        while let Some(c) = chars.next() {
            parts.push(match c {
                '%' => Part::Any,
                '_' => Part::One,
                '\\' => Part::Char(chars.next().unwrap_or('\\')),
                other => Part::Char(other),
            });
        }
        parts.dedup_by(|a, b| *a == Part::Any && *b == Part::Any);
        Self(parts)
    }

    /// Whether the whole of `text` matches. Linear memory, no backtracking deeper than the last `%`.
    pub fn matches(&self, text: &str) -> bool {
        let chars: Vec<char> = text.chars().collect();
        let (mut at, mut part) = (0, 0);
        let mut retry: Option<(usize, usize)> = None;
        loop {
            match (self.0.get(part), chars.get(at)) {
                (Some(Part::Any), _) => {
                    retry = Some((part + 1, at));
                    part += 1;
                    continue;
                }
                (Some(Part::One), Some(_)) => {
                    part += 1;
                    at += 1;
                    continue;
                }
                (Some(Part::Char(wanted)), Some(found)) if wanted == found => {
                    part += 1;
                    at += 1;
                    continue;
                }
                (None, None) => return true,
                _ => {}
            }
            match retry {
                Some((after, from)) if from < chars.len() => {
                    retry = Some((after, from + 1));
                    part = after;
                    at = from + 1;
                }
                _ => return false,
            }
        }
    }
}

/// `value LIKE pattern`; `None` when a side is missing or null, so that NOT LIKE is false as well.
pub fn like(value: &Value, pattern: &Value) -> Result<Option<bool>, OpError> {
    match (value, pattern) {
        (Value::Missing | Value::Null, _) | (_, Value::Missing | Value::Null) => Ok(None),
        (Value::Text(text), Value::Text(pattern)) => Ok(Some(LikePattern::new(pattern).matches(text))),
        _ => Err(OpError(format!("LIKE works on text, got {} and {}", show(value), show(pattern)))),
    }
}

/// `topic =~ filter`, an MQTT topic match; false when a side is missing or null.
pub fn topic_matches(topic: &Value, filter: &Value) -> Result<bool, OpError> {
    match (topic, filter) {
        (Value::Text(topic), Value::Text(filter)) => Ok(model::filter_matches(filter, topic)),
        (Value::Missing | Value::Null, _) | (_, Value::Missing | Value::Null) => Ok(false),
        _ => Err(OpError(format!(
            "=~ matches a topic with a filter, both text, got {} and {}",
            show(topic),
            show(filter)
        ))),
    }
}
