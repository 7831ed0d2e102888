//! Values between the language and jq. Integers stay exact; a float that is passed through keeps its value.

use std::borrow::Cow;

use jaq_core::ValT as _;
use jaq_json::{Num, Val};
use model::{Str, Value};

use crate::functions::FunctionError;
use crate::ops;

/// Lists and maps a result may have in one another.
const DEPTH_MAX: usize = 256;
/// Values in one result. Parts that jq shares are counted as often as they occur.
const NODES_MAX: usize = 1_000_000;

/// A value for jq; what is missing is left out of maps and null in lists.
pub(super) fn to_jq(value: &Value) -> Result<Val, FunctionError> {
    Ok(match value {
        Value::Missing | Value::Null => Val::Null,
        Value::Bool(truth) => Val::Bool(*truth),
        Value::Int(n) => Val::from_num(&n.to_string()).map_err(|error| FunctionError(error_text(error)))?,
        Value::Big(digits) => Val::from_num(digits).map_err(|error| FunctionError(error_text(error)))?,
        // As a decimal text jq passes it through as it is; computing with it makes it a float.
        Value::Float(f) => Val::from_num(&ops::float_text(*f)).map_err(|error| FunctionError(error_text(error)))?,
        Value::Text(text) => Val::utf8_str(text.as_str().as_bytes().to_vec()),
        Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(_) => Val::utf8_str(bytes.clone()),
            Err(_) => return Err(FunctionError::new("jq cannot read bytes that are no text")),
        },
        Value::List(items) => items.iter().map(to_jq).collect::<Result<Val, _>>()?,
        Value::Map(map) => {
            let present = map.iter().filter(|(_, value)| !value.is_missing());
            let pairs = present.map(|(key, value)| Ok((Val::from(key.as_str().to_owned()), to_jq(value)?)));
            Val::obj(pairs.collect::<Result<_, FunctionError>>()?)
        }
    })
}

/// A value from jq.
pub(super) fn from_jq(value: &Val) -> Result<Value, FunctionError> {
    converted(value, 0, &mut 0)
}

fn converted(value: &Val, depth: usize, nodes: &mut usize) -> Result<Value, FunctionError> {
    *nodes += 1;
    if depth > DEPTH_MAX || *nodes > NODES_MAX {
        return Err(FunctionError::new("the jq program gives a value that is too large"));
    }
    let bytes_value = |bytes: &[u8]| crate::view::text_or_bytes(bytes.to_vec());
    Ok(match value {
        Val::Null => Value::Null,
        Val::Bool(truth) => Value::Bool(*truth),
        Val::Num(number) => numeric(number),
        Val::BStr(bytes) | Val::TStr(bytes) => bytes_value(bytes),
        Val::Arr(items) => {
            Value::list(items.iter().map(|item| converted(item, depth + 1, nodes)).collect::<Result<_, _>>()?)
        }
        Val::Obj(map) => {
            let mut pairs = Vec::with_capacity(map.len());
            for (key, value) in map.iter() {
                let name: Cow<'_, str> = match key {
                    Val::TStr(text) | Val::BStr(text) => String::from_utf8_lossy(text),
                    other => Cow::Owned(other.to_string()),
                };
                pairs.push((Str::new(&name), converted(value, depth + 1, nodes)?));
            }
            Value::map(pairs)
        }
    })
}

/// jq writes a whole number that it computed without a point; NaN is null and the infinities are the largest
/// floats, as in its output.
fn numeric(number: &Num) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let float = match number {
        Num::Float(f) => *f,
        Num::Dec(text) => return Value::from_number_text(text),
        Num::Int(_) | Num::BigInt(_) => return Value::from_number_text(&number.to_string()),
    };
    if float.is_nan() {
        Value::Null
    } else if float.fract() == 0.0 && float.abs() < EXACT {
        Value::Int(float as i64)
    } else {
        Value::Float(float.clamp(f64::MIN, f64::MAX))
    }
}

/// The message of an error a program raised.
pub(super) fn error_text(error: jaq_core::Error<Val>) -> String {
    const SHOWN_CHARS_MAX: usize = 200;
    let full = match error.into_val() {
        Val::TStr(text) => String::from_utf8_lossy(&text).into_owned(),
        other => other.to_string(),
    };
    match full.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((at, _)) => format!("{}…", full.get(..at).unwrap_or_default()),
        None => full,
    }
}
