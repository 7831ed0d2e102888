//! Conversions between kinds of values.

use bytes::Bytes;
use model::{Str, Value};

use super::args::{arg, count, wrong};
use super::{Context, Function, FunctionError, Outcome};
use crate::ops::{self, Number};

/// More digits than a double can tell apart are refused.
const DECIMALS_MAX: usize = 253;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("str(value) -> text", "str", (1, 1), str, "The value as text; lists and maps as JSON.")
        .nulls("null gives 'null', missing fails the row")
        .example("str(1.5) = '1.5'"),
    Function::new("str_utf8(value) -> text", "str_utf8", (1, 1), str, "The value as text; lists and maps as JSON.")
        .nulls("null gives 'null', missing fails the row")
        .example("str_utf8([1]) = '[1]'"),
    Function::new(
        "str_utf16_le(value) -> bytes",
        "str_utf16_le",
        (1, 1),
        str_utf16_le,
        "The value as text in UTF-16, little endian.",
    )
    .example("str_utf16_le('a') = 0x6100"),
    Function::new(
        "bool(value) -> boolean",
        "bool",
        (1, 1),
        bool,
        "true, 1 and 'true' are true; false, 0 and 'false' are false.",
    )
    .example("bool('true') = true"),
    Function::new(
        "int(value) -> integer",
        "int",
        (1, 1),
        int,
        "An integer: text is read as a number, floats are rounded down.",
    )
    .example("int('-1.5') = -2"),
    Function::new(
        "float(value[, decimals]) -> float",
        "float",
        (1, 2),
        float,
        "A float, rounded to a number of decimals when one is given.",
    )
    .example("float('3.14159', 3) = 3.142"),
    Function::new(
        "float2str(value, decimals) -> text",
        "float2str",
        (2, 2),
        float2str,
        "A float as text with at most so many decimals, zeros at the end cut.",
    )
    .example("float2str(20.2, 10) = '20.2'"),
    Function::new(
        "map(value) -> map",
        "map",
        (1, 1),
        map,
        "A map: text is read as a JSON object, a list as its pairs [key, value].",
    )
    .example("map('{\"a\":1}') = {\"a\":1}"),
];

fn str(_: &Context, args: &[Value]) -> Outcome {
    match arg(args, 0) {
        bytes @ Value::Bytes(raw) if std::str::from_utf8(raw).is_err() => Ok(bytes.clone()),
        value => Ok(ops::to_text(value)?),
    }
}

fn str_utf16_le(_: &Context, args: &[Value]) -> Outcome {
    let text = ops::text_of(arg(args, 0))?;
    let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    Ok(Value::Bytes(Bytes::from(bytes)))
}

fn bool(_: &Context, args: &[Value]) -> Outcome {
    let truth = match arg(args, 0) {
        Value::Bool(truth) => Some(*truth),
        Value::Int(1) => Some(true),
        Value::Int(0) => Some(false),
        Value::Text(text) if *text == "true" => Some(true),
        Value::Text(text) if *text == "false" => Some(false),
        _ => None,
    };
    match truth {
        Some(truth) => Ok(Value::Bool(truth)),
        None => wrong(args, 0, "true, false, 1, 0, 'true' or 'false'"),
    }
}

/// A number, or text that is one.
fn numeric(args: &[Value]) -> Result<Number, FunctionError> {
    let number = match arg(args, 0) {
        Value::Text(text) => ops::parse_number(text),
        other => ops::number_of(other),
    };
    number.map_or_else(|| wrong(args, 0, "a number, or text that is a number"), Ok)
}

/// A whole float as an exact integer.
pub(super) fn float_to_integer(f: f64) -> Outcome {
    if f.is_finite() && f.abs() < 1.7e38 {
        Ok(Value::integer(f as i128))
    } else {
        Err(FunctionError::new("the number is too large for an exact integer"))
    }
}

fn int(_: &Context, args: &[Value]) -> Outcome {
    match arg(args, 0) {
        Value::Bool(truth) => Ok(Value::Int(i64::from(*truth))),
        exact @ (Value::Int(_) | Value::Big(_)) => Ok(exact.clone()),
        _ => match numeric(args)? {
            Number::Int(n) => Ok(Value::integer(n)),
            Number::Float(f) => float_to_integer(f.floor()),
        },
    }
}

fn float(_: &Context, args: &[Value]) -> Outcome {
    let f = numeric(args)?.as_f64();
    if args.len() == 1 {
        return Ok(Value::Float(f));
    }
    let decimals = count(args, 1)?;
    if decimals > DECIMALS_MAX {
        return wrong(args, 1, "at most 253 decimals");
    }
    let rounded = format!("{f:.decimals$}");
    Ok(Value::Float(rounded.parse().unwrap_or(f)))
}

fn float2str(_: &Context, args: &[Value]) -> Outcome {
    let f = numeric(args)?.as_f64();
    let decimals = count(args, 1)?;
    if decimals > DECIMALS_MAX {
        return wrong(args, 1, "at most 253 decimals");
    }
    let fixed = format!("{f:.decimals$}");
    Ok(Value::text(match fixed.split_once('.') {
        None => fixed,
        Some((whole, fraction)) => match fraction.trim_end_matches('0') {
            "" => format!("{whole}.0"),
            kept => format!("{whole}.{kept}"),
        },
    }))
}

/// A pair: a list of a key and a value.
fn pair(item: &Value) -> Option<(Str, Value)> {
    match item {
        Value::List(pair) => match pair.as_slice() {
            [Value::Text(key), value] => Some((key.clone(), value.clone())),
            _ => None,
        },
        _ => None,
    }
}

fn map(_: &Context, args: &[Value]) -> Outcome {
    match arg(args, 0) {
        Value::Map(_) | Value::Text(_) => super::args::map(args, 0).map(Value::Map),
        Value::List(items) => match items.iter().map(pair).collect::<Option<Vec<_>>>() {
            Some(pairs) => Ok(Value::map(pairs)),
            None => wrong(args, 0, "a list of [key, value]"),
        },
        _ => wrong(args, 0, "a map, or text that is a JSON object"),
    }
}
