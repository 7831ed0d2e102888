//! Maps. Text that is a JSON object counts as a map.

use std::borrow::Cow;
use std::sync::Arc;

use model::{Str, Value};

use super::args::{arg, map, wrong};
use super::{Context, Function, FunctionError, Outcome};
use crate::ops::{self, PutStep, Step};

const DEFAULT: &str = "a map that is null or missing has no keys: the default, or missing";

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("map_new() -> map", "map_new", (0, 0), map_new, "An empty map.").example("map_new() = {}"),
    Function::new(
        "map_get(path, map[, default]) -> value",
        "map_get",
        (2, 3),
        map_get,
        "What the map has at a path, else the default.",
    )
    .nulls(DEFAULT)
    .example("map_get('a.b', payload) = 1"),
    Function::new(
        "map_put(path, value, map) -> map",
        "map_put",
        (3, 3),
        map_put,
        "The map with a value written at a path.",
    )
    .nulls("a map that is null or missing is an empty one")
    .example("map_put('a.b', 1, map_new()) = {\"a\":{\"b\":1}}"),
    Function::new(
        "mget(key, map[, default]) -> value",
        "mget",
        (2, 3),
        mget,
        "What the map has under a key, points included, else the default.",
    )
    .nulls(DEFAULT)
    .example("mget('a.b', m) = 1"),
    Function::new(
        "mput(key, value, map) -> map",
        "mput",
        (3, 3),
        mput,
        "The map with a value written under a key, points included.",
    )
    .nulls("a map that is null or missing is an empty one")
    .example("mput('a.b', 1, map_new()) = {\"a.b\":1}"),
    Function::new("map_keys(map) -> list", "map_keys", (1, 1), map_keys, "The keys.").example("map_keys(m) = ['a']"),
    Function::new("map_values(map) -> list", "map_values", (1, 1), map_values, "The values.")
        .example("map_values(m) = [1]"),
    Function::new("map_to_entries(map) -> list", "map_to_entries", (1, 1), map_to_entries, "A list of {key, value}.")
        .example("map_to_entries(m) = [{\"key\":\"a\",\"value\":1}]"),
    Function::new("map_size(map) -> integer", "map_size", (1, 1), map_size, "How many keys the map has.")
        .example("map_size(map_new()) = 0"),
    Function::new(
        "map_to_redis_hset_args(map) -> list",
        "map_to_redis_hset_args",
        (1, 1),
        hset_args,
        "Keys and values in turn, as HSET takes them; lists, maps and null are left out.",
    )
    .example("map_to_redis_hset_args(m) = ['a', '1']"),
];

fn map_new(_: &Context, _: &[Value]) -> Outcome {
    Ok(Value::map::<Str>([]))
}

/// A key: text, or a number as its text.
fn key(args: &[Value]) -> Result<Cow<'_, str>, FunctionError> {
    match arg(args, 0) {
        Value::Text(_) | Value::Int(_) => Ok(ops::text_of(arg(args, 0))?),
        _ => wrong(args, 0, "a key as text"),
    }
}

/// The map at an index; null and missing are an empty one.
fn map_or_empty(args: &[Value], index: usize) -> Outcome {
    match arg(args, index) {
        Value::Missing | Value::Null => Ok(Value::map::<Str>([])),
        _ => map(args, index).map(Value::Map),
    }
}

fn or_default(found: Value, args: &[Value]) -> Value {
    if found.is_missing() { arg(args, 2).clone() } else { found }
}

fn map_get(_: &Context, args: &[Value]) -> Outcome {
    let path = ops::parse_path(&key(args)?);
    let source = map_or_empty(args, 1)?;
    Ok(or_default(ops::get_path(&source, &path), args))
}

fn map_put(_: &Context, args: &[Value]) -> Outcome {
    let path: Vec<PutStep> = ops::parse_path(&key(args)?)
        .into_iter()
        .map(|step| match step {
            Step::Key(key) => PutStep::Key(key),
            Step::Index(0) => PutStep::Head,
            Step::Index(index) => PutStep::Index(index),
        })
        .collect();
    Ok(ops::put(map_or_empty(args, 2)?, &path, arg(args, 1).clone(), false))
}

fn mget(_: &Context, args: &[Value]) -> Outcome {
    let key = Step::Key(Str::new(&key(args)?));
    let source = map_or_empty(args, 1)?;
    Ok(or_default(ops::get(&source, &key), args))
}

fn mput(_: &Context, args: &[Value]) -> Outcome {
    let key = PutStep::Key(Str::new(&key(args)?));
    Ok(ops::put(map_or_empty(args, 2)?, &[key], arg(args, 1).clone(), false))
}

fn map_keys(_: &Context, args: &[Value]) -> Outcome {
    Ok(Value::list(map(args, 0)?.keys().map(|key| Value::Text(key.clone())).collect()))
}

fn map_values(_: &Context, args: &[Value]) -> Outcome {
    Ok(Value::list(map(args, 0)?.values().cloned().collect()))
}

fn map_to_entries(_: &Context, args: &[Value]) -> Outcome {
    let source = map(args, 0)?;
    let entries =
        source.iter().map(|(key, value)| Value::map([("key", Value::Text(key.clone())), ("value", value.clone())]));
    Ok(Value::list(entries.collect()))
}

fn map_size(_: &Context, args: &[Value]) -> Outcome {
    Ok(Value::Int(map(args, 0)?.len() as i64))
}

fn hset_args(_: &Context, args: &[Value]) -> Outcome {
    let source = Arc::clone(&map(args, 0)?);
    let mut flat = Vec::with_capacity(source.len() * 2);
    for (key, value) in source.iter() {
        if !matches!(value, Value::List(_) | Value::Map(_) | Value::Missing | Value::Null) {
            flat.push(Value::Text(key.clone()));
            flat.push(ops::to_text(value)?);
        }
    }
    Ok(Value::list(flat))
}
