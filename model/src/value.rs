//! The tagged dynamic value of the rule language (design `rule-language.md` §3).
//!
//! A value knows what it is: missing is not null, bytes are not text, integers are exact. Operators on values
//! live in the `sql` room; this file only holds the type, its constructors and its JSON forms.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use indexmap::IndexMap;

/// Text that many rows share: cloning it is a reference count.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Str(Arc<str>);

impl Str {
    /// Copies `text` into shared storage.
    pub fn new(text: &str) -> Self {
        Self(Arc::from(text))
    }

    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::ops::Deref for Str {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Str {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Str {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Str {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Str {
    fn from(text: String) -> Self {
        Self(Arc::from(text))
    }
}

impl From<Arc<str>> for Str {
    fn from(text: Arc<str>) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Str {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for Str {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PartialEq<str> for Str {
    fn eq(&self, other: &str) -> bool {
        &*self.0 == other
    }
}

impl PartialEq<&str> for Str {
    fn eq(&self, other: &&str) -> bool {
        &*self.0 == *other
    }
}

impl serde::Serialize for Str {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for Str {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Str::from)
    }
}

/// A map in the order its keys were first written; a key written twice keeps its place and its last value.
pub type Map = IndexMap<Str, Value, foldhash::fast::RandomState>;

/// One dynamic value.
///
/// Equality here is structural (`Int(1) != Float(1.0)`); the language's own comparison, where `1 = 1.0`, is in `sql::ops`.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// There is no such field. In output the field is left out; SQL sinks bind NULL.
    #[default]
    Missing,
    /// JSON null: the field is there and empty.
    Null,
    /// true or false.
    Bool(bool),
    /// An exact integer of 64 bits.
    Int(i64),
    /// An exact integer outside `i64`, as decimal digits with an optional leading minus, never inside the `i64` range.
    Big(Str),
    /// A double; may be infinite only as the result of arithmetic, never NaN from JSON.
    Float(f64),
    /// Unicode text.
    Text(Str),
    /// Bytes that are not known to be text.
    Bytes(Bytes),
    /// A list; positions count from 1 in the language.
    List(Arc<Vec<Value>>),
    /// A map with text keys.
    Map(Arc<Map>),
}

impl Value {
    /// Text from anything text-like.
    pub fn text(text: impl Into<Str>) -> Self {
        Self::Text(text.into())
    }

    /// A list from its items.
    pub fn list(items: Vec<Value>) -> Self {
        Self::List(Arc::new(items))
    }

    /// A map from pairs, in order.
    pub fn map<K: Into<Str>>(pairs: impl IntoIterator<Item = (K, Value)>) -> Self {
        Self::Map(Arc::new(pairs.into_iter().map(|(key, value)| (key.into(), value)).collect()))
    }

    /// The exact integer `n`, in the smallest form that holds it.
    pub fn integer(n: i128) -> Self {
        match i64::try_from(n) {
            Ok(small) => Self::Int(small),
            Err(_) => Self::Big(Str::from(n.to_string())),
        }
    }

    /// Whether this is [`Value::Missing`].
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing)
    }

    /// The word the error messages use for this kind of value.
    pub fn kind_name(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Int(_) | Self::Big(_) => "integer",
            Self::Float(_) => "float",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "list",
            Self::Map(_) => "map",
        }
    }

    /// The text, if this is text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The integer, if this is an integer of 64 bits.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(n) => Some(*n),
            _ => None,
        }
    }

    /// The value as JSON. Missing becomes null at the top and is left out inside maps; bytes that are valid UTF-8
    /// become text, other bytes become upper-case hexadecimal text; a non-finite float becomes null.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match self {
            Self::Missing | Self::Null => Json::Null,
            Self::Bool(b) => Json::Bool(*b),
            Self::Int(n) => Json::from(*n),
            Self::Big(digits) => digits.parse::<serde_json::Number>().map_or(Json::Null, Json::Number),
            Self::Float(f) => serde_json::Number::from_f64(*f).map_or(Json::Null, Json::Number),
            Self::Text(text) => Json::String(text.as_str().to_owned()),
            Self::Bytes(bytes) => Json::String(bytes_to_text(bytes)),
            Self::List(items) => Json::Array(items.iter().map(Value::to_json).collect()),
            Self::Map(map) => Json::Object(
                map.iter()
                    .filter(|(_, value)| !value.is_missing())
                    .map(|(key, value)| (key.as_str().to_owned(), value.to_json()))
                    .collect(),
            ),
        }
    }

    /// The value of a JSON document; integers stay exact, floats become doubles.
    pub fn from_json(json: &serde_json::Value) -> Self {
        use serde_json::Value as Json;
        match json {
            Json::Null => Self::Null,
            Json::Bool(b) => Self::Bool(*b),
            Json::Number(number) => Self::from_number_text(&number.to_string()),
            Json::String(text) => Self::text(text.as_str()),
            Json::Array(items) => Self::list(items.iter().map(Self::from_json).collect()),
            Json::Object(map) => Self::map(map.iter().map(|(key, value)| (key.as_str(), Self::from_json(value)))),
        }
    }

    /// The value of a JSON number's text. A number with neither point nor exponent is an integer.
    pub fn from_number_text(text: &str) -> Self {
        if let Ok(n) = text.parse::<i64>() {
            return Self::Int(n);
        }
        let digits = text.strip_prefix('-').unwrap_or(text);
        if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Self::Big(Str::new(text));
        }
        text.parse::<f64>().map_or(Self::Null, Self::Float)
    }
}

fn bytes_to_text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut hex, byte| {
            hex.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0').to_ascii_uppercase());
            hex.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0').to_ascii_uppercase());
            hex
        }),
    }
}

impl From<bool> for Value {
    fn from(b: bool) -> Self {
        Self::Bool(b)
    }
}

impl From<i64> for Value {
    fn from(n: i64) -> Self {
        Self::Int(n)
    }
}

impl From<f64> for Value {
    fn from(f: f64) -> Self {
        Self::Float(f)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<Str> for Value {
    fn from(text: Str) -> Self {
        Self::Text(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_beyond_64_bits_survive_json_both_ways() {
        let json: serde_json::Value =
            serde_json::from_str(r#"{"a":123456789012345678901234567890,"b":18446744073709551615,"c":-1}"#).unwrap();
        let value = Value::from_json(&json);
        assert_eq!(value.to_json().to_string(), json.to_string());
        assert_eq!(Value::integer(i128::from(u64::MAX)), Value::text("18446744073709551615").retag_big());
    }

    #[test]
    fn missing_is_left_out_of_maps_and_null_is_kept() {
        let value = Value::map([("a", Value::Missing), ("b", Value::Null), ("c", Value::from(1))]);
        assert_eq!(value.to_json().to_string(), r#"{"b":null,"c":1}"#);
    }

    impl Value {
        fn retag_big(self) -> Self {
            match self {
                Self::Text(text) => Self::Big(text),
                other => other,
            }
        }
    }
}
