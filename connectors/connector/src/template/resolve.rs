//! Values of a row by path, with every text column decoded as JSON at most once.

use model::{Row, Value};

/// Reads paths of one row. A text (or UTF-8 bytes) on the way to a deeper key is decoded as JSON, at any depth; the
/// decoded form of a column is kept for the next path that goes through it.
#[derive(Debug)]
pub struct Resolver<'a> {
    row: &'a Row,
    decoded: Vec<(&'a str, Value)>,
}

impl<'a> Resolver<'a> {
    /// A resolver of `row`.
    pub fn new(row: &'a Row) -> Self {
        Self { row, decoded: Vec::new() }
    }

    /// The row.
    pub fn row(&self) -> &'a Row {
        self.row
    }

    /// The value at `path`: [`Value::Missing`] when there is none, the whole row when `path` is empty.
    pub fn value(&mut self, path: &[String]) -> Value {
        let Some((column, keys)) = path.split_first() else { return self.row.to_value() };
        let Some(index) = self.row.names.iter().position(|name| name.as_str() == column) else { return Value::Missing };
        let Some(value) = self.row.values.get(index) else { return Value::Missing };
        if keys.is_empty() {
            return value.clone();
        }
        if !matches!(value, Value::Text(_) | Value::Bytes(_)) {
            return below(value, keys);
        }
        if let Some((_, document)) = self.decoded.iter().find(|(name, _)| *name == column.as_str()) {
            return below(document, keys);
        }
        let document = decoded(value);
        let found = below(&document, keys);
        if let Some(name) = self.row.names.get(index) {
            self.decoded.push((name.as_str(), document));
        }
        found
    }
}

fn below(value: &Value, keys: &[String]) -> Value {
    let Some((key, rest)) = keys.split_first() else { return value.clone() };
    match value {
        Value::Map(map) => map.get(key.as_str()).map_or(Value::Missing, |inner| below(inner, rest)),
        Value::Text(_) | Value::Bytes(_) => match decoded(value) {
            document @ Value::Map(_) => below(&document, keys),
            _ => Value::Missing,
        },
        _ => Value::Missing,
    }
}

/// Text or bytes as the JSON document they are; missing when they are none.
fn decoded(value: &Value) -> Value {
    let json = match value {
        Value::Text(text) => serde_json::from_str(text),
        Value::Bytes(bytes) => serde_json::from_slice(bytes),
        _ => return Value::Missing,
    };
    json.map_or(Value::Missing, |json: serde_json::Value| Value::from_json(&json))
}
