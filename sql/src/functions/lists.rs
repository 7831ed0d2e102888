//! Lists. Positions count from 1.

use model::Value;

use super::args::{arg, count, list, wrong};
use super::{Context, Function, Outcome};
use crate::ops;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new(
        "nth(position, list) -> value",
        "nth",
        (2, 2),
        nth,
        "The item at a position; a position the list does not have fails the row.",
    )
    .example("nth(2, [5, 6]) = 6"),
    Function::new("length(list) -> integer", "length", (1, 1), length, "How many items the list has.")
        .example("length([1, 2]) = 2"),
    Function::new(
        "sublist([start, ]length, list) -> list",
        "sublist",
        (2, 3),
        sublist,
        "So many items from the start position (1) on; fewer when the list ends.",
    )
    .example("sublist(2, 2, [1, 2, 3, 4]) = [2, 3]"),
    Function::new("first(list) -> value", "first", (1, 1), first, "The first item; an empty list fails the row.")
        .example("first([1, 2]) = 1"),
    Function::new("last(list) -> value", "last", (1, 1), last, "The last item; an empty list fails the row.")
        .example("last([1, 2]) = 2"),
    Function::new(
        "contains(item, list) -> boolean",
        "contains",
        (2, 2),
        contains,
        "Whether the list has the item; 1 is not 1.0.",
    )
    .nulls("a null item is looked for; a list that is null or missing fails the row")
    .example("contains(2, [1, 2]) = true"),
];

fn nth(_: &Context, args: &[Value]) -> Outcome {
    let position = count(args, 0)?;
    let items = list(args, 1)?;
    match position.checked_sub(1).and_then(|offset| items.get(offset)) {
        Some(item) => Ok(item.clone()),
        None => wrong(args, 0, &format!("from 1 to {}, the length of the list", items.len())),
    }
}

fn length(_: &Context, args: &[Value]) -> Outcome {
    Ok(Value::Int(list(args, 0)?.len() as i64))
}

fn sublist(_: &Context, args: &[Value]) -> Outcome {
    let (start, length, items) = if args.len() == 2 {
        (1, count(args, 0)?, list(args, 1)?)
    } else {
        (count(args, 0)?, count(args, 1)?, list(args, 2)?)
    };
    match start.checked_sub(1) {
        Some(offset) => Ok(Value::list(items.iter().skip(offset).take(length).cloned().collect())),
        None => wrong(args, 0, "a position from 1 on"),
    }
}

fn first(_: &Context, args: &[Value]) -> Outcome {
    list(args, 0)?.first().cloned().map_or_else(|| wrong(args, 0, "a list with at least one item"), Ok)
}

fn last(_: &Context, args: &[Value]) -> Outcome {
    list(args, 0)?.last().cloned().map_or_else(|| wrong(args, 0, "a list with at least one item"), Ok)
}

fn contains(_: &Context, args: &[Value]) -> Outcome {
    let item = arg(args, 0);
    Ok(Value::Bool(list(args, 1)?.iter().any(|candidate| ops::strict_eq(item, candidate))))
}
