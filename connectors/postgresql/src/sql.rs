//! From an SQL template to statements with bound parameters.
//!
//! A placeholder becomes `$n` and nothing else: where a parameter cannot stand (inside a name) the template is refused.
//! A quoted string with placeholders, `'dev-${x}'`, becomes one parameter as a whole.

use std::ops::Range;

use connector::template::Part;
use connector::{Error, ErrorKind, ParamStyle, Prepared, Template};

/// A statement for one row, and what it is made of when it is an INSERT of one VALUES list.
#[derive(Debug)]
pub(crate) struct Statement {
    /// With `$1`, `$2`, … in the order of `slots`.
    pub(crate) single: String,
    pub(crate) slots: Vec<Template>,
    pub(crate) insert: Option<Insert>,
}

/// `head VALUES (values) tail`.
#[derive(Debug)]
pub(crate) struct Insert {
    /// Up to the word VALUES.
    head: String,
    /// What stands between the parentheses: text with the numbers of parameters between.
    values: Vec<Piece>,
    /// ON CONFLICT, RETURNING.
    tail: String,
    /// `table (columns)` where COPY can do the same: every value a bare parameter, in order, and no tail.
    pub(crate) copy_target: Option<String>,
    /// Whether the values can stand in a SELECT: DEFAULT cannot.
    pub(crate) selectable: bool,
}

#[derive(Debug)]
enum Piece {
    Text(String),
    /// Counted from 0.
    Param(usize),
}

impl Statement {
    /// Parses a template.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let fault = |why: String| Error::permanent(ErrorKind::Config, format!("sql: {why}"));
        let Prepared { statement: sql, slots } = Template::parse(text)?.prepared(ParamStyle::Dollar);
        if sql.trim().is_empty() {
            return Err(fault("it is empty".to_owned()));
        }
        let tokens = tokens(&sql).map_err(fault)?;
        let text = |token: &Token| sql.get(token.range.clone()).unwrap_or_default();
        let found: Vec<usize> = tokens
            .iter()
            .filter(|token| token.kind == Kind::Param)
            .filter_map(|token| text(token).get(1..)?.parse().ok())
            .collect();
        if found.len() > slots.len() {
            return Err(fault("a parameter is written ${name}, not $1".to_owned()));
        }
        if let Some((slot, _)) = slots.iter().zip(1..).find(|(_, number)| !found.contains(number)) {
            return Err(fault(format!(
                "{} stands inside a name or a dollar-quoted string; values are bound, never pasted: \
                 use it as a value, and name tables and columns literally",
                slot_name(slot)
            )));
        }
        let insert = insert(&sql, &tokens);
        Ok(Self { single: sql, slots, insert })
    }
}

/// How a parameter is written in the template, for messages.
pub(crate) fn slot_name(slot: &Template) -> String {
    slot.parts()
        .iter()
        .map(|part| match part {
            Part::Literal(text) => text.clone(),
            Part::Slot { path, .. } => format!("${{{}}}", path.join(".")),
        })
        .collect()
}

impl Insert {
    /// One INSERT of `rows` VALUES lists; parameters are numbered row by row.
    pub(crate) fn multi_row(&self, rows: usize, slots: usize) -> String {
        let mut sql = format!("{} VALUES ", self.head);
        for row in 0..rows {
            sql.push_str(if row == 0 { "(" } else { ", (" });
            self.push_values(&mut sql, |param| format!("${}", row * slots + param + 1));
            sql.push(')');
        }
        sql.push_str(&self.tail);
        sql
    }

    /// One INSERT that takes each parameter as an array of any length.
    pub(crate) fn unnest(&self, types: &[String]) -> String {
        let mut sql = format!("{} SELECT ", self.head);
        self.push_values(&mut sql, |param| format!("weir_rows.p{}", param + 1));
        sql.push_str(" FROM unnest(");
        for (index, ty) in types.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            sql.push_str(&format!("{comma}${}::{ty}[]", index + 1));
        }
        let names: Vec<String> = (1..=types.len()).map(|n| format!("p{n}")).collect();
        sql.push_str(&format!(") AS weir_rows({}){}", names.join(", "), self.tail));
        sql
    }

    fn push_values(&self, sql: &mut String, name: impl Fn(usize) -> String) {
        for piece in &self.values {
            match piece {
                Piece::Text(text) => sql.push_str(text),
                Piece::Param(param) => sql.push_str(&name(*param)),
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Word,
    QuotedName,
    String,
    Param,
    Sign,
}

#[derive(Debug)]
struct Token {
    kind: Kind,
    range: Range<usize>,
}

/// The tokens of a statement, comments left out (PostgreSQL manual, section 4.1).
fn tokens(sql: &str) -> Result<Vec<Token>, String> {
    let bytes = sql.as_bytes();
    let at = |index: usize| bytes.get(index).copied().unwrap_or(0);
    let find = |needle: &str, from: usize| sql.get(from..).and_then(|rest| rest.find(needle)).map(|found| from + found);
    let in_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80;
    let mut tokens: Vec<Token> = Vec::new();
    let mut index = 0;
    while index < bytes.len() {
        let start = index;
        let kind = match at(index) {
            byte if byte.is_ascii_whitespace() => {
                index += 1;
                continue;
            }
            b'-' if at(index + 1) == b'-' => {
                index = find("\n", index).unwrap_or(bytes.len());
                continue;
            }
            b'/' if at(index + 1) == b'*' => {
                index = block_comment(bytes, index).ok_or("a comment is not closed")?;
                continue;
            }
            b'\'' => {
                let escapes = tokens.last().is_some_and(|last| {
                    last.kind == Kind::Word
                        && last.range.end == start
                        && sql.get(last.range.clone()).is_some_and(|word| word.eq_ignore_ascii_case("e"))
                });
                index = quoted(bytes, index, b'\'', escapes).ok_or("a string is not closed")?;
                Kind::String
            }
            b'"' => {
                index = quoted(bytes, index, b'"', false).ok_or("a quoted name is not closed")?;
                Kind::QuotedName
            }
            b'$' if at(index + 1).is_ascii_digit() => {
                index += 1;
                while at(index).is_ascii_digit() {
                    index += 1;
                }
                if in_word(at(index)) {
                    return Err("a placeholder touches a name; leave a blank between them".to_owned());
                }
                Kind::Param
            }
            b'$' => {
                let rest = sql.get(index + 1..).unwrap_or_default();
                let tag = rest
                    .split_once('$')
                    .map(|(tag, _)| tag)
                    .filter(|tag| tag.bytes().all(|byte| in_word(byte) && byte != b'$'));
                let tag = tag.ok_or("a $ stands alone")?;
                let fence = format!("${tag}$");
                index = find(&fence, index + fence.len()).ok_or("a dollar-quoted string is not closed")? + fence.len();
                Kind::String
            }
            byte if in_word(byte) => {
                while in_word(at(index)) {
                    index += 1;
                }
                Kind::Word
            }
            _ => {
                index += 1;
                Kind::Sign
            }
        };
        tokens.push(Token { kind, range: start..index });
    }
    Ok(tokens)
}

/// The end of a quoted piece that begins at `start`; a doubled quote stays inside.
fn quoted(bytes: &[u8], start: usize, quote: u8, escapes: bool) -> Option<usize> {
    let mut index = start + 1;
    loop {
        match *bytes.get(index)? {
            b'\\' if escapes => index += 2,
            byte if byte == quote && bytes.get(index + 1) == Some(&quote) => index += 2,
            byte if byte == quote => return Some(index + 1),
            _ => index += 1,
        }
    }
}

/// The end of a block comment; they nest.
fn block_comment(bytes: &[u8], start: usize) -> Option<usize> {
    let mut depth = 0usize;
    let mut index = start;
    loop {
        match (bytes.get(index)?, bytes.get(index + 1)) {
            (b'/', Some(b'*')) => {
                depth += 1;
                index += 2;
            }
            (b'*', Some(b'/')) => {
                depth -= 1;
                index += 2;
                if depth == 0 {
                    return Some(index);
                }
            }
            _ => index += 1,
        }
    }
}

/// Recognises `INSERT INTO name [(columns)] VALUES (…) [tail]`. Anything else is not an error, only not batched so.
fn insert(sql: &str, tokens: &[Token]) -> Option<Insert> {
    let text = |token: &Token| sql.get(token.range.clone()).unwrap_or_default();
    let is =
        |index: usize, wanted: &str| tokens.get(index).is_some_and(|token| text(token).eq_ignore_ascii_case(wanted));
    let name =
        |index: usize| tokens.get(index).is_some_and(|token| matches!(token.kind, Kind::Word | Kind::QuotedName));
    if !(is(0, "insert") && is(1, "into") && name(2)) {
        return None;
    }
    let mut index = 3;
    while is(index, ".") && name(index + 1) {
        index += 2;
    }
    let columns = is(index, "(");
    if columns {
        index = closing(index, &is, tokens.len())? + 1;
    }
    if !is(index, "values") || !is(index + 1, "(") {
        return None;
    }
    let open = index + 1;
    let close = closing(open, &is, tokens.len())?;
    let mut end = tokens.len();
    if is(end - 1, ";") {
        end -= 1;
    }
    // A second VALUES list is the user's own batch.
    if close + 1 < end && is(close + 1, ",") {
        return None;
    }
    let inner = tokens.get(open + 1..close)?;
    // A parameter outside the list (in ON CONFLICT DO UPDATE) belongs to one row, so such rows cannot go together.
    if tokens.iter().filter(|token| token.kind == Kind::Param).count()
        != inner.iter().filter(|token| token.kind == Kind::Param).count()
    {
        return None;
    }
    let tail_range = tokens.get(close)?.range.end..tokens.get(end - 1)?.range.end;
    let tail = sql.get(tail_range)?.to_owned();
    let bare = inner
        .iter()
        .enumerate()
        .all(|(place, token)| if place % 2 == 0 { token.kind == Kind::Param } else { text(token) == "," });
    let target = sql.get(tokens.get(2)?.range.start..tokens.get(index - 1)?.range.end)?;
    Some(Insert {
        head: sql.get(..tokens.get(index)?.range.start)?.trim_end().to_owned(),
        values: pieces(sql, tokens.get(open)?.range.end, tokens.get(close)?.range.start, inner)?,
        copy_target: (columns && bare && inner.len() % 2 == 1 && tail.trim().is_empty()).then(|| target.to_owned()),
        tail,
        selectable: !inner.iter().any(|token| text(token).eq_ignore_ascii_case("default"))
            && inner.iter().any(|token| token.kind == Kind::Param),
    })
}

/// The token that closes the parenthesis at `open`.
fn closing(open: usize, is: &impl Fn(usize, &str) -> bool, count: usize) -> Option<usize> {
    let mut depth = 0usize;
    for index in open..count {
        if is(index, "(") {
            depth += 1;
        } else if is(index, ")") {
            depth = depth.checked_sub(1)?;
            if depth == 0 {
                return Some(index);
            }
        }
    }
    None
}

fn pieces(sql: &str, start: usize, end: usize, inner: &[Token]) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut copied = start;
    for param in inner.iter().filter(|token| token.kind == Kind::Param) {
        pieces.push(Piece::Text(sql.get(copied..param.range.start)?.to_owned()));
        pieces.push(Piece::Param(
            sql.get(param.range.start + 1..param.range.end)?.parse::<usize>().ok()?.checked_sub(1)?,
        ));
        copied = param.range.end;
    }
    pieces.push(Piece::Text(sql.get(copied..end)?.to_owned()));
    Some(pieces)
}
