//! Regular expressions, in time linear in the text: look-around and back-references are not supported and say so.

use std::cell::RefCell;
use std::collections::HashMap;

use ::regex::{Captures, Regex, RegexBuilder};
use model::Value;

use super::args::text;
use super::{Context, Function, FunctionError, Outcome};

/// Compiled expressions each thread keeps; when more are in use all are dropped and made again.
const CACHED_REGEXES_MAX: usize = 256;
/// A compiled expression takes at most this many bytes.
const REGEX_BYTES_MAX: usize = 1 << 20;

thread_local! {
    static CACHE: RefCell<HashMap<String, Regex>> = RefCell::new(HashMap::new());
}

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new(
        "regex_match(text, regex) -> boolean",
        "regex_match",
        (2, 2),
        regex_match,
        "Whether the expression is found in the text.",
    )
    .example("regex_match('abc', '^a') = true"),
    Function::new(
        "regex_replace(text, regex, by) -> text",
        "regex_replace",
        (3, 3),
        regex_replace,
        "The text with all matches replaced; & is the match, \\1 its first group, \\& an ampersand.",
    )
    .example("regex_replace('ab', '(a)', '\\1\\1') = 'aab'"),
    Function::new(
        "regex_extract(text, regex) -> list",
        "regex_extract",
        (2, 2),
        regex_extract,
        "The groups of the first match; empty when nothing matches.",
    )
    .example("regex_extract('a1', '(\\d)') = ['1']"),
];

fn with_regex<T>(pattern: &str, run: impl FnOnce(&Regex) -> T) -> Result<T, FunctionError> {
    CACHE.with_borrow_mut(|cache| {
        if let Some(known) = cache.get(pattern) {
            return Ok(run(known));
        }
        let fresh = RegexBuilder::new(pattern)
            .size_limit(REGEX_BYTES_MAX)
            .build()
            .map_err(|error| FunctionError(format!("the regular expression is not valid: {error}")))?;
        let result = run(&fresh);
        if cache.len() >= CACHED_REGEXES_MAX {
            cache.clear();
        }
        cache.insert(pattern.to_owned(), fresh);
        Ok(result)
    })
}

fn regex_match(_: &Context, args: &[Value]) -> Outcome {
    let source = text(args, 0)?;
    with_regex(&text(args, 1)?, |regex| Value::Bool(regex.is_match(&source)))
}

fn regex_replace(_: &Context, args: &[Value]) -> Outcome {
    let (source, by) = (text(args, 0)?, text(args, 2)?);
    with_regex(&text(args, 1)?, |regex| {
        Value::text(regex.replace_all(&source, |captures: &Captures<'_>| expand(&by, captures)).into_owned())
    })
}

/// The replacement for one match.
fn expand(by: &str, captures: &Captures<'_>) -> String {
    let group = |index: usize| captures.get(index).map_or("", |found| found.as_str());
    let mut out = String::with_capacity(by.len());
    let mut chars = by.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '&' => out.push_str(group(0)),
            '\\' => {
                let braced = chars.next_if_eq(&'g').is_some() && chars.next_if_eq(&'{').is_some();
                let mut digits = String::new();
                while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                    digits.push(digit);
                }
                if braced {
                    chars.next_if_eq(&'}');
                }
                match digits.parse::<usize>() {
                    Ok(index) => out.push_str(group(index)),
                    Err(_) => out.extend(chars.next()),
                }
            }
            other => out.push(other),
        }
    }
    out
}

fn regex_extract(_: &Context, args: &[Value]) -> Outcome {
    let source = text(args, 0)?;
    with_regex(&text(args, 1)?, |regex| {
        let groups = regex.captures(&source).map(|captures| {
            captures.iter().skip(1).map(|group| Value::text(group.map_or("", |group| group.as_str()))).collect()
        });
        Value::list(groups.unwrap_or_default())
    })
}
