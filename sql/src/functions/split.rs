//! Cutting text into parts.

use model::Value;

use super::args::{text, word};
use super::{Context, Function, Outcome};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new(
        "split(text, separator[, 'notrim'|'leading'|'leading_notrim'|'trailing'|'trailing_notrim']) -> list",
        "split",
        (2, 3),
        split,
        "The parts between the separators; empty parts are left out unless notrim is given. leading and trailing cut once, at the first or last separator.",
    )
    .example("split('a/b', '/') = ['a', 'b']"),
    Function::new("tokens(text, characters[, 'nocrlf']) -> list", "tokens", (2, 3), tokens, "The parts between any of the characters, empty ones left out; with nocrlf line ends separate too.")
        .example("tokens(' a, b', ' ,') = ['a', 'b']"),
];

fn split(_: &Context, args: &[Value]) -> Outcome {
    const MODES: [&str; 6] = ["notrim", "leading", "leading_notrim", "trailing", "trailing_notrim", "all"];
    let (source, separator) = (text(args, 0)?, text(args, 1)?);
    let mode = word(args, 2, &MODES)?.unwrap_or("all");
    let whole = || vec![source.as_ref()];
    let parts: Vec<&str> = if separator.is_empty() {
        whole()
    } else {
        match mode {
            "leading" | "leading_notrim" => {
                source.split_once(separator.as_ref()).map_or_else(whole, |(a, b)| vec![a, b])
            }
            "trailing" | "trailing_notrim" => {
                source.rsplit_once(separator.as_ref()).map_or_else(whole, |(a, b)| vec![a, b])
            }
            _ => source.split(separator.as_ref()).collect(),
        }
    };
    let keep_empty = mode.ends_with("notrim");
    Ok(Value::list(parts.into_iter().filter(|part| keep_empty || !part.is_empty()).map(Value::text).collect()))
}

fn tokens(_: &Context, args: &[Value]) -> Outcome {
    let (source, separators) = (text(args, 0)?, text(args, 1)?);
    let crlf = word(args, 2, &["nocrlf"])?.is_some();
    let separates = |c: char| separators.contains(c) || (crlf && matches!(c, '\r' | '\n'));
    Ok(Value::list(source.split(separates).filter(|part| !part.is_empty()).map(Value::text).collect()))
}
