//! Reading and writing below values: keys, positions, slices and ranges.

use std::sync::Arc;

use model::{Map, Str, Value};

use super::{OpError, show};
use crate::json;

/// One constant step of a path that is read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// A key of a map.
    Key(Str),
    /// A position of a list, from 1, negative from the end.
    Index(i64),
}

/// One step of a path that is written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PutStep {
    /// A key of a map.
    Key(Str),
    /// A position of a list, from 1, negative from the end.
    Index(i64),
    /// `[0]`: before the first item.
    Head,
    /// `[-0]`: after the last item.
    Tail,
}

/// A range literal gives at most this many items.
const RANGE_ITEMS_MAX: i128 = 100_000;

/// The value of a JSON text, or `None` when the text is no JSON.
pub fn decode_text(text: &str) -> Option<Value> {
    json::parse(text.as_bytes()).ok()
}

/// One step below a value. Text (and bytes) on the way is decoded as JSON; whatever is not there is missing.
pub fn get(value: &Value, step: &Step) -> Value {
    match (value, step) {
        (Value::Map(map), Step::Key(key)) => map.get(key.as_str()).cloned().unwrap_or(Value::Missing),
        (Value::List(items), Step::Index(index)) => item_at(items, *index).cloned().unwrap_or(Value::Missing),
        (Value::Text(text), _) => below_text(text.as_bytes(), step),
        (Value::Bytes(bytes), _) => below_text(bytes, step),
        _ => Value::Missing,
    }
}

fn below_text(bytes: &[u8], step: &Step) -> Value {
    match json::parse(bytes) {
        // A JSON text inside JSON text is decoded too, at any depth; each level is shorter than the one around it.
        Ok(decoded @ (Value::Map(_) | Value::List(_) | Value::Text(_))) => get(&decoded, step),
        _ => Value::Missing,
    }
}

/// A whole constant path below a value.
pub fn get_path(value: &Value, path: &[Step]) -> Value {
    let mut current = value.clone();
    for step in path {
        if current.is_missing() {
            break;
        }
        current = get(&current, step);
    }
    current
}

fn item_at(items: &[Value], index: i64) -> Option<&Value> {
    items.get(position(items.len(), index)?)
}

/// The offset of a language position in a list of `len`; `None` when there is no such item.
fn position(len: usize, index: i64) -> Option<usize> {
    let offset = if index > 0 {
        index - 1
    } else if index < 0 {
        i64::try_from(len).ok()?.checked_add(index)?
    } else {
        return None;
    };
    usize::try_from(offset).ok().filter(|offset| *offset < len)
}

/// `list[from..to]`, both ends included, negative from the end. A slice of what is no list and a bound of 0 are errors.
pub fn slice(value: &Value, from: &Value, to: &Value) -> Result<Value, OpError> {
    let decoded;
    let items = match value {
        Value::List(items) => items,
        Value::Text(text) => match decode_text(text) {
            Some(Value::List(items)) => {
                decoded = items;
                &decoded
            }
            _ => return Err(not_a_list(value)),
        },
        _ => return Err(not_a_list(value)),
    };
    let len = items.len() as i64;
    let bound = |bound: &Value| match bound.as_int() {
        Some(0) => Err(OpError::new("a slice has no position 0: lists count from 1")),
        Some(n) => Ok(if n > 0 { n } else { len + n + 1 }),
        None => Err(OpError(format!("a slice bound must be an integer, got {}", show(bound)))),
    };
    let (first, last) = (bound(from)?.max(1), bound(to)?.min(len));
    let part = match (usize::try_from(first - 1), usize::try_from(last)) {
        (Ok(first), Ok(last)) => items.get(first..last).unwrap_or_default(),
        _ => &[],
    };
    Ok(Value::list(part.to_vec()))
}

fn not_a_list(value: &Value) -> OpError {
    OpError(format!("a slice needs a list, got {} ({})", show(value), value.kind_name()))
}

/// `[from..to]`: the integers from the one to the other, both included. `to` may be one below `from`, which is the empty
/// range, but not less.
pub fn range(from: &Value, to: &Value) -> Result<Value, OpError> {
    let bound = |bound: &Value| {
        bound.as_int().ok_or_else(|| OpError(format!("a range bound must be an integer, got {}", show(bound))))
    };
    let (from, to) = (bound(from)?, bound(to)?);
    if (i128::from(to) - i128::from(from)).abs() >= RANGE_ITEMS_MAX {
        return Err(OpError(format!("a range may have at most {RANGE_ITEMS_MAX} items")));
    }
    if i128::from(to) < i128::from(from) - 1 {
        return Err(OpError(format!("a range goes upward, got [{from}..{to}]")));
    }
    Ok(Value::list((from..=to).map(Value::Int).collect()))
}

/// `base` with `value` written at `path`. Maps and lists are made as needed; what stands in the way is replaced. With
/// `decode`, a text base is read as JSON first. A position that a list does not have leaves the list as it is.
pub fn put(base: Value, path: &[PutStep], value: Value, decode: bool) -> Value {
    let Some((step, rest)) = path.split_first() else { return value };
    let base = match &base {
        Value::Text(text) if decode => decode_text(text).unwrap_or(Value::Missing),
        Value::Bytes(bytes) if decode => json::parse(bytes).unwrap_or(Value::Missing),
        _ => base,
    };
    match step {
        PutStep::Key(key) => put_key(base, key, rest, value),
        PutStep::Index(_) | PutStep::Head | PutStep::Tail => put_item(base, step, rest, value),
    }
}

fn put_key(base: Value, key: &Str, rest: &[PutStep], value: Value) -> Value {
    let mut map = match base {
        Value::Map(map) => map,
        _ => Arc::new(Map::default()),
    };
    let entries = Arc::make_mut(&mut map);
    if rest.is_empty() {
        entries.insert(key.clone(), value);
    } else {
        let inner = entries.get_mut(key.as_str()).map(std::mem::take).unwrap_or_default();
        entries.insert(key.clone(), put(inner, rest, value, false));
    }
    Value::Map(map)
}

fn put_item(base: Value, step: &PutStep, rest: &[PutStep], value: Value) -> Value {
    let Value::List(mut list) = base else {
        return Value::list(vec![put(Value::Missing, rest, value, false)]);
    };
    let items = Arc::make_mut(&mut list);
    match step {
        PutStep::Head => items.insert(0, put(Value::Missing, rest, value, false)),
        PutStep::Tail => items.push(put(Value::Missing, rest, value, false)),
        PutStep::Index(index) => {
            if let Some(item) = position(items.len(), *index).and_then(|offset| items.get_mut(offset)) {
                *item = put(std::mem::take(item), rest, value, false);
            }
        }
        PutStep::Key(_) => {}
    }
    Value::List(list)
}

/// The steps of a path written as text in a function argument: `a.b[2].c`, `a."b c"`.
pub fn parse_path(text: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        rest = rest.strip_prefix('.').unwrap_or(rest);
        if let Some(inner) = rest.strip_prefix('[')
            && let Some((index, after)) = inner.split_once(']')
            && let Ok(index) = index.trim().parse::<i64>()
        {
            steps.push(Step::Index(index));
            rest = after;
        } else if let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '\''))
            && let Some((key, after)) = rest.get(1..).and_then(|inner| inner.split_once(quote))
        {
            steps.push(Step::Key(Str::new(key)));
            rest = after;
        } else {
            let end =
                rest.char_indices().skip(1).find(|(_, c)| matches!(c, '.' | '[')).map_or(rest.len(), |(at, _)| at);
            let (key, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
            steps.push(Step::Key(Str::new(key)));
            rest = after;
        }
    }
    steps
}
