//! Values as text and as bytes.

use std::borrow::Cow;

use model::Value;

use super::{OpError, float_text};

/// The text form of a value: text is itself, numbers and words as written, lists and maps as JSON. Missing has no text
/// and bytes that are not UTF-8 have none either.
pub fn text_of(value: &Value) -> Result<Cow<'_, str>, OpError> {
    Ok(match value {
        Value::Missing => return Err(OpError::new("a missing value has no text")),
        Value::Null => Cow::Borrowed("null"),
        Value::Bool(true) => Cow::Borrowed("true"),
        Value::Bool(false) => Cow::Borrowed("false"),
        Value::Int(n) => Cow::Owned(n.to_string()),
        Value::Big(digits) => Cow::Borrowed(digits.as_str()),
        Value::Float(f) => float_text(*f),
        Value::Text(text) => Cow::Borrowed(text.as_str()),
        Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => return Err(OpError::new("the bytes are not UTF-8 text")),
        },
        Value::List(_) | Value::Map(_) => Cow::Owned(value.to_json().to_string()),
    })
}

/// The text form as a value; text keeps its shared storage.
pub fn to_text(value: &Value) -> Result<Value, OpError> {
    match value {
        Value::Text(_) => Ok(value.clone()),
        other => text_of(other).map(|text| Value::text(text.as_ref())),
    }
}

/// The bytes of a value: bytes are themselves, everything else is its text in UTF-8.
pub fn binary_of(value: &Value) -> Result<Cow<'_, [u8]>, OpError> {
    match value {
        Value::Bytes(bytes) => Ok(Cow::Borrowed(bytes)),
        other => text_of(other).map(|text| match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        }),
    }
}
