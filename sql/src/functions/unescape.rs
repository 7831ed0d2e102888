//! Escapes in text.

use model::Value;

use super::args::text;
use super::{Context, Function, FunctionError, Outcome};

pub(super) const FUNCTIONS: &[Function] = &[Function::new(
    "unescape(text) -> text",
    "unescape",
    (1, 1),
    unescape,
    "The text with the escapes \\a \\b \\f \\n \\r \\t \\v \\\\ \\' \\\" \\? and \\x with hexadecimal digits turned into characters.",
)
.example("unescape('a\\nb') = a line end between a and b")];

fn unescape(_: &Context, args: &[Value]) -> Outcome {
    let source = text(args, 0)?;
    let mut out = String::with_capacity(source.len());
    let mut chars = source.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        out.push(match chars.next() {
            Some('a') => '\u{7}',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('v') => '\u{b}',
            Some(same @ ('\\' | '\'' | '"' | '?')) => same,
            Some('x') => {
                let mut digits = String::new();
                while let Some(digit) = chars.next_if(char::is_ascii_hexdigit) {
                    digits.push(digit);
                }
                let code = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                code.ok_or_else(|| FunctionError(format!("\\x{digits} is no character")))?
            }
            Some(other) => return Err(FunctionError(format!("there is no escape \\{other}"))),
            None => return Err(FunctionError::new("the text ends after a backslash")),
        });
    }
    Ok(Value::text(out))
}
