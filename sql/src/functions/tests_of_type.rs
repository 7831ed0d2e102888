//! Type tests, null and defaults.

use model::Value;

use super::args::{arg, list};
use super::{Context, Function, MANY, Outcome};
use crate::ops;

const ANY: &str = "null and missing are tested like any value";

const fn test(signature: &'static str, name: &'static str, call: super::Call, doc: &'static str) -> Function {
    Function::new(signature, name, (1, 1), call, doc).nulls(ANY)
}

pub(super) const FUNCTIONS: &[Function] = &[
    test(
        "is_null(value) -> boolean",
        "is_null",
        is_null,
        "Whether the value is missing. JSON null is there: it is not null.",
    )
    .example("is_null(payload.nope) = true"),
    test("is_not_null(value) -> boolean", "is_not_null", is_not_null, "Whether the value is there.")
        .example("is_not_null(payload.nope) = false"),
    test("is_null_var(value) -> boolean", "is_null_var", is_null_var, "Whether the value is missing or JSON null.")
        .example("is_null_var(null()) = true"),
    test(
        "is_not_null_var(value) -> boolean",
        "is_not_null_var",
        is_not_null_var,
        "Whether the value is neither missing nor JSON null.",
    )
    .example("is_not_null_var('a') = true"),
    test("is_str(value) -> boolean", "is_str", is_str, "Whether the value is text (or bytes).")
        .example("is_str('a') = true"),
    test("is_bool(value) -> boolean", "is_bool", is_bool, "Whether the value is true or false.")
        .example("is_bool(true) = true"),
    test("is_int(value) -> boolean", "is_int", is_int, "Whether the value is an integer.").example("is_int(1) = true"),
    test("is_float(value) -> boolean", "is_float", is_float, "Whether the value is a float.")
        .example("is_float(1.0) = true"),
    test("is_num(value) -> boolean", "is_num", is_num, "Whether the value is a number.").example("is_num(1.5) = true"),
    test("is_map(value) -> boolean", "is_map", is_map, "Whether the value is a map.")
        .example("is_map(map_new()) = true"),
    test("is_array(value) -> boolean", "is_array", is_array, "Whether the value is a list.")
        .example("is_array([1]) = true"),
    test(
        "is_empty(value) -> boolean",
        "is_empty",
        is_empty,
        "Whether a map, a list or a text has nothing in it; null and missing are empty, other values are not.",
    )
    .example("is_empty('') = true"),
    Function::new("null() -> null", "null", (0, 0), null, "JSON null.").example("null() = null"),
    Function::new(
        "coalesce(value, …) -> value",
        "coalesce",
        (1, MANY),
        coalesce,
        "The first value that is neither missing nor null; a single list is searched itself.",
    )
    .nulls("skipped; null when nothing is left")
    .example("coalesce(payload.nope, 'x') = 'x'"),
    Function::new(
        "coalesce_ne(value, …) -> value",
        "coalesce_ne",
        (1, MANY),
        coalesce_ne,
        "The first value that is neither missing, null, nor empty text.",
    )
    .nulls("skipped; null when nothing is left")
    .example("coalesce_ne('', 'x') = 'x'"),
];

fn is_null(_: &Context, args: &[Value]) -> Outcome {
    Ok(Value::Bool(arg(args, 0).is_missing()))
}

fn is_not_null(_: &Context, args: &[Value]) -> Outcome {
    Ok(Value::Bool(!arg(args, 0).is_missing()))
}

fn is_null_var(_: &Context, args: &[Value]) -> Outcome {
    Ok(Value::Bool(matches!(arg(args, 0), Value::Missing | Value::Null)))
}

fn is_not_null_var(_: &Context, args: &[Value]) -> Outcome {
    Ok(Value::Bool(!matches!(arg(args, 0), Value::Missing | Value::Null)))
}

fn is_str(_: &Context, args: &[Value]) -> Outcome {
    Ok(Value::Bool(matches!(arg(args, 0), Value::Text(_) | Value::Bytes(_))))
}

fn is_bool(_: &Context, args: &[Value]) -> Outcome {
    Ok(Value::Bool(matches!(arg(args, 0), Value::Bool(_))))
}

fn is_int(_: &Context, args: &[Value]) -> Outcome {
    Ok(Value::Bool(matches!(arg(args, 0), Value::Int(_) | Value::Big(_))))
}

fn is_float(_: &Context, args: &[Value]) -> Outcome {
    Ok(Value::Bool(matches!(arg(args, 0), Value::Float(_))))
}

fn is_num(_: &Context, args: &[Value]) -> Outcome {
    Ok(Value::Bool(ops::number_of(arg(args, 0)).is_some()))
}

fn is_map(_: &Context, args: &[Value]) -> Outcome {
    Ok(Value::Bool(matches!(arg(args, 0), Value::Map(_))))
}

fn is_array(_: &Context, args: &[Value]) -> Outcome {
    Ok(Value::Bool(matches!(arg(args, 0), Value::List(_))))
}

fn is_empty(_: &Context, args: &[Value]) -> Outcome {
    let empty = match arg(args, 0) {
        Value::Missing | Value::Null => true,
        Value::Map(map) => map.is_empty(),
        Value::List(items) => items.is_empty(),
        Value::Bytes(bytes) => bytes.is_empty(),
        // An empty JSON object or list in text is empty as well.
        Value::Text(text) if text.is_empty() => true,
        Value::Text(text) => match text.trim() {
            trimmed if trimmed.starts_with(['{', '[']) && trimmed.len() < 64 => match ops::decode_text(trimmed) {
                Some(Value::Map(map)) => map.is_empty(),
                Some(Value::List(items)) => items.is_empty(),
                _ => false,
            },
            _ => false,
        },
        _ => false,
    };
    Ok(Value::Bool(empty))
}

fn null(_: &Context, _: &[Value]) -> Outcome {
    Ok(Value::Null)
}

fn first_of(args: &[Value], accept: impl Fn(&Value) -> bool) -> Value {
    let candidates = match args {
        [Value::List(_)] => list(args, 0).map(|items| items.as_slice()).unwrap_or_default(),
        _ => args,
    };
    candidates.iter().find(|value| accept(value)).cloned().unwrap_or(Value::Null)
}

fn coalesce(_: &Context, args: &[Value]) -> Outcome {
    Ok(first_of(args, |value| !matches!(value, Value::Missing | Value::Null)))
}

fn coalesce_ne(_: &Context, args: &[Value]) -> Outcome {
    Ok(first_of(args, |value| match value {
        Value::Missing | Value::Null => false,
        Value::Text(text) => !text.is_empty(),
        _ => true,
    }))
}
