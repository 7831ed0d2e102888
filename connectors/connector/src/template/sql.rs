//! Templates of SQL statements: every `${…}` becomes a bound parameter, so no value can change the statement.
//!
//! A slot inside a single-quoted literal makes the whole literal one parameter: `'${id}'` binds the value itself,
//! `'dev-${id}'` binds the text. Double quotes are identifiers in SQL and stay as they stand. Comments are skipped.

use model::{Row, Value};

use super::{Part, Resolver, Template, value_text};

/// How a database writes parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamStyle {
    /// `$1`, `$2`, …
    Dollar,
    /// `:1`, `:2`, …
    Colon,
    /// `?`
    Question,
}

/// How a database that cannot bind parameters escapes text literals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SqlEscape {
    /// `\'` and `\\`.
    Backslash,
    /// `\'`, `\\`, `\0`; bytes that are no text as `0x…`.
    MySql,
    /// `''` (standard SQL and CQL).
    Doubled,
}

/// A statement with its parameters taken out.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    /// The statement, with parameters in the asked style.
    pub statement: String,
    /// One template a parameter, in order. [`Template::bind`] gives its value; a missing one is for NULL.
    pub slots: Vec<Template>,
}

impl Prepared {
    /// The parameters of one row. A missing value without a default is [`Value::Null`].
    pub fn params(&self, row: &Row) -> Vec<Value> {
        let mut row = Resolver::new(row);
        self.slots
            .iter()
            .map(|slot| match slot.bind_with(&mut row) {
                Value::Missing => Value::Null,
                value => value,
            })
            .collect()
    }
}

impl Template {
    /// The template as a statement with parameters.
    pub fn prepared(&self, style: ParamStyle) -> Prepared {
        let mut slots = Vec::new();
        let statement = self.walk(|slot, out| {
            slots.push(slot);
            match style {
                ParamStyle::Dollar => out.push_str(&format!("${}", slots.len())),
                ParamStyle::Colon => out.push_str(&format!(":{}", slots.len())),
                ParamStyle::Question => out.push('?'),
            }
        });
        Prepared { statement, slots }
    }

    /// The statement with its values as escaped literals, for databases that cannot bind; `NULL` for null and missing.
    pub fn sql_literal(&self, row: &Row, escape: SqlEscape) -> String {
        let mut row = Resolver::new(row);
        self.walk(|slot, out| out.push_str(&literal(&slot.bind_with(&mut row), escape)))
    }

    /// Calls `parameter` for every slot, or quoted literal with slots, in order; the rest is copied.
    fn walk(&self, mut parameter: impl FnMut(Template, &mut String)) -> String {
        let mut out = String::new();
        let mut place = Place::Code;
        for part in self.parts() {
            match part {
                Part::Slot { .. } => match &mut place {
                    Place::Quoted { parts, .. } => parts.push(part.clone()),
                    Place::Comment(_) => {}
                    Place::Code => parameter(Template { parts: vec![part.clone()] }, &mut out),
                },
                Part::Literal(text) => {
                    let mut chars = text.chars().peekable();
                    while let Some(c) = chars.next() {
                        place = step(place, c, &mut chars, &mut out, &mut parameter);
                    }
                }
            }
        }
        // A quote that is never closed is the database's error to report; the statement is given as it was written.
        if let Place::Quoted { raw, .. } = place {
            out.push_str(&raw);
        }
        out
    }
}

enum Place {
    Code,
    /// Inside `'…'`: the text as written, and its pieces with `''` undone.
    Quoted {
        raw: String,
        parts: Vec<Part>,
    },
    /// Inside a comment that ends with this text.
    Comment(&'static str),
}

fn step(
    place: Place,
    c: char,
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    out: &mut String,
    parameter: &mut impl FnMut(Template, &mut String),
) -> Place {
    match place {
        Place::Code => {
            if c == '\'' {
                return Place::Quoted { raw: "'".to_owned(), parts: Vec::new() };
            }
            out.push(c);
            match (c, chars.peek()) {
                ('-', Some('-')) => Place::Comment("\n"),
                ('/', Some('*')) => Place::Comment("*/"),
                _ => Place::Code,
            }
        }
        Place::Comment(end) => {
            out.push(c);
            if out.ends_with(end) { Place::Code } else { Place::Comment(end) }
        }
        Place::Quoted { mut raw, mut parts } => {
            raw.push(c);
            if c == '\'' {
                if chars.next_if_eq(&'\'').is_none() {
                    close(&raw, parts, out, parameter);
                    return Place::Code;
                }
                raw.push('\'');
            }
            match parts.last_mut() {
                Some(Part::Literal(last)) => last.push(c),
                _ => parts.push(Part::Literal(c.to_string())),
            }
            Place::Quoted { raw, parts }
        }
    }
}

fn close(raw: &str, parts: Vec<Part>, out: &mut String, parameter: &mut impl FnMut(Template, &mut String)) {
    let quoted = Template { parts };
    if quoted.is_literal() { out.push_str(raw) } else { parameter(quoted, out) }
}

fn literal(value: &Value, escape: SqlEscape) -> String {
    match value {
        Value::Missing | Value::Null => "NULL".to_owned(),
        Value::Bool(_) | Value::Int(_) | Value::Big(_) => value_text(value),
        Value::Float(f) if f.is_finite() => value_text(value),
        Value::Bytes(bytes) if std::str::from_utf8(bytes).is_err() => match escape {
            SqlEscape::MySql => format!("0x{}", value_text(value)),
            SqlEscape::Backslash | SqlEscape::Doubled => format!("X'{}'", value_text(value)),
        },
        _ => quoted(&value_text(value), escape),
    }
}

fn quoted(text: &str, escape: SqlEscape) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('\'');
    for c in text.chars() {
        match (c, escape) {
            ('\'', SqlEscape::Doubled) => out.push_str("''"),
            ('\'', _) => out.push_str("\\'"),
            ('\\', SqlEscape::Backslash | SqlEscape::MySql) => out.push_str("\\\\"),
            ('\0', SqlEscape::MySql) => out.push_str("\\0"),
            _ => out.push(c),
        }
    }
    out.push('\'');
    out
}
