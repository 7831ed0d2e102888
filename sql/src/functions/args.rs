//! Reading arguments, with messages that say which argument was wrong and what it was.

use std::borrow::Cow;
use std::sync::Arc;

use model::{Map, Value};

use super::FunctionError;
use crate::ops::{self, Number};

type Result<T> = std::result::Result<T, FunctionError>;

/// The argument at `index`, missing when it was not given.
pub(super) fn arg(args: &[Value], index: usize) -> &Value {
    const MISSING: &Value = &Value::Missing;
    args.get(index).unwrap_or(MISSING)
}

/// "argument 2 must be …, got …".
pub(super) fn wrong<T>(args: &[Value], index: usize, wanted: &str) -> Result<T> {
    let value = arg(args, index);
    let got = if value.is_missing() {
        "nothing (missing)".to_owned()
    } else {
        format!("{} ({})", ops::show(value), value.kind_name())
    };
    Err(FunctionError(format!("argument {} must be {wanted}, got {got}", index + 1)))
}

/// Text; bytes that are UTF-8 count as text.
pub(super) fn text(args: &[Value], index: usize) -> Result<Cow<'_, str>> {
    match arg(args, index) {
        Value::Text(text) => Ok(Cow::Borrowed(text.as_str())),
        Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Cow::Borrowed(text)),
            Err(_) => wrong(args, index, "text"),
        },
        _ => wrong(args, index, "text"),
    }
}

/// Text or bytes, as bytes.
pub(super) fn binary(args: &[Value], index: usize) -> Result<&[u8]> {
    match arg(args, index) {
        Value::Text(text) => Ok(text.as_bytes()),
        Value::Bytes(bytes) => Ok(bytes),
        _ => wrong(args, index, "text or bytes"),
    }
}

pub(super) fn number(args: &[Value], index: usize) -> Result<Number> {
    match ops::number_of(arg(args, index)) {
        Some(number) => Ok(number),
        None => wrong(args, index, "a number"),
    }
}

pub(super) fn integer(args: &[Value], index: usize) -> Result<i128> {
    match ops::number_of(arg(args, index)) {
        Some(Number::Int(n)) => Ok(n),
        _ => wrong(args, index, "an integer"),
    }
}

pub(super) fn small_integer(args: &[Value], index: usize) -> Result<i64> {
    match arg(args, index) {
        Value::Int(n) => Ok(*n),
        _ => wrong(args, index, "an integer"),
    }
}

/// An integer from 0 on that counts something.
pub(super) fn count(args: &[Value], index: usize) -> Result<usize> {
    match usize::try_from(small_integer(args, index)?) {
        Ok(n) => Ok(n),
        Err(_) => wrong(args, index, "an integer that is not negative"),
    }
}

pub(super) fn list(args: &[Value], index: usize) -> Result<&Arc<Vec<Value>>> {
    match arg(args, index) {
        Value::List(items) => Ok(items),
        _ => wrong(args, index, "a list"),
    }
}

/// A map, or text that is a JSON object.
pub(super) fn map(args: &[Value], index: usize) -> Result<Arc<Map>> {
    match arg(args, index) {
        Value::Map(map) => Ok(Arc::clone(map)),
        Value::Text(text) => match ops::decode_text(text) {
            Some(Value::Map(map)) => Ok(map),
            _ => wrong(args, index, "a map"),
        },
        _ => wrong(args, index, "a map"),
    }
}

/// One of a set of words, when the argument is given.
pub(super) fn word<'w>(args: &[Value], index: usize, words: &[&'w str]) -> Result<Option<&'w str>> {
    if index >= args.len() {
        return Ok(None);
    }
    let given = text(args, index)?;
    match words.iter().find(|word| **word == given) {
        Some(word) => Ok(Some(word)),
        None => wrong(args, index, &format!("one of {}", words.join(", "))),
    }
}
