//! JSON text.

use model::Value;

use super::args::{arg, binary};
use super::{Context, Function, FunctionError, Outcome};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("json_encode(value) -> text", "json_encode", (1, 1), json_encode, "The value as JSON text.")
        .nulls("null is null; missing fails the row")
        .example("json_encode([1]) = '[1]'"),
    Function::new("json_decode(text) -> value", "json_decode", (1, 1), json_decode, "The value of a JSON text.")
        .example("json_decode('[1]') = [1]"),
];

fn json_encode(_: &Context, args: &[Value]) -> Outcome {
    match arg(args, 0) {
        Value::Missing => super::args::wrong(args, 0, "a value"),
        value => Ok(Value::text(value.to_json().to_string())),
    }
}

fn json_decode(_: &Context, args: &[Value]) -> Outcome {
    let source = binary(args, 0)?;
    crate::json::parse(source).map_err(|error| FunctionError(format!("the text is no JSON: {error}")))
}
