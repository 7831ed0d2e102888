//! Text to tokens. Every token knows its place; nothing is decided about meaning here.

use crate::span::{Class, Diagnostic, Span};

/// What a token is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    /// A bare word: a name or a keyword.
    Word(String),
    /// "quoted name".
    Quoted(String),
    /// 'text'.
    Text(String),
    /// Digits.
    Integer(String),
    /// A number with a fraction or an exponent.
    Float(f64),
    /// An operator or a mark.
    Symbol(&'static str),
    /// The end of the text.
    End,
}

#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) span: Span,
}

/// Longest first, so that `<=` is not read as `<`.
const SYMBOLS: [&str; 24] = [
    "..", "=~", "~=", "!=", "<>", "<=", ">=", "||", "==", "=", "<", ">", "+", "-", "*", "/", "(", ")", "[", "]", ",",
    ".", ";", ":",
];

struct Lexer<'a> {
    sql: &'a str,
    at: usize,
    tokens: Vec<Token>,
}

/// All tokens of `sql`, the last one [`Kind::End`].
pub(crate) fn tokens(sql: &str) -> Result<Vec<Token>, Diagnostic> {
    let mut lexer = Lexer { sql, at: 0, tokens: Vec::new() };
    while lexer.step()? {}
    lexer.push(Kind::End, sql.len());
    Ok(lexer.tokens)
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        self.sql.get(self.at..).unwrap_or_default()
    }

    /// How many bytes the characters that `wanted` accepts take from here.
    fn run(&self, wanted: impl Fn(char) -> bool) -> usize {
        let rest = self.rest();
        rest.find(|c: char| !wanted(c)).unwrap_or(rest.len())
    }

    fn push(&mut self, kind: Kind, start: usize) {
        self.tokens.push(Token { kind, span: Span::new(start, self.at) });
    }

    fn fail<T>(&self, start: usize, end: usize, message: String, hint: Option<&str>) -> Result<T, Diagnostic> {
        let diagnostic = Diagnostic::new(Class::Parse, self.sql, Span::new(start, end), message);
        Err(match hint {
            Some(hint) => diagnostic.hint(hint),
            None => diagnostic,
        })
    }

    fn step(&mut self) -> Result<bool, Diagnostic> {
        let start = self.at;
        let Some(c) = self.rest().chars().next() else { return Ok(false) };
        if c.is_whitespace() {
            self.at += c.len_utf8();
        } else if self.rest().starts_with("--") {
            self.at += self.run(|c| c != '\n');
        } else if c == '\'' || c == '"' {
            let text = self.quoted(c)?;
            self.push(if c == '"' { Kind::Quoted(text) } else { Kind::Text(text) }, start);
        } else if c.is_ascii_digit() {
            self.number()?;
        } else if c.is_alphabetic() || c == '_' || c == '$' {
            let len = self.run(is_word_char);
            let word = self.rest().get(..len).unwrap_or_default().to_owned();
            self.at += len;
            self.push(Kind::Word(word), start);
        } else if let Some(symbol) = SYMBOLS.iter().find(|symbol| self.rest().starts_with(**symbol)) {
            self.at += symbol.len();
            self.push(Kind::Symbol(symbol), start);
        } else {
            let hint = (c == '#').then_some("topic filters with wildcards are written in double quotes: \"t/#\"");
            return self.fail(start, start + c.len_utf8(), format!("unexpected character {c:?}"), hint);
        }
        Ok(true)
    }

    /// A quoted piece; the quote doubled inside stands for itself.
    fn quoted(&mut self, quote: char) -> Result<String, Diagnostic> {
        let start = self.at;
        self.at += 1;
        let mut text = String::new();
        loop {
            let Some(len) = self.rest().find(quote) else {
                let what = if quote == '"' { "quoted name" } else { "text" };
                return self.fail(
                    start,
                    self.sql.len(),
                    format!("the {what} is not closed"),
                    Some("add the closing quote"),
                );
            };
            text.push_str(self.rest().get(..len).unwrap_or_default());
            self.at += len + 1;
            if !self.rest().starts_with(quote) {
                return Ok(text);
            }
            text.push(quote);
            self.at += 1;
        }
    }

    /// After `name.` only digits are a key, so that `payload.1.b` is a path and not a float.
    fn is_after_path_dot(&self) -> bool {
        let (Some(dot), Some(before)) = (self.tokens.last(), self.tokens.iter().rev().nth(1)) else { return false };
        let adjacent = dot.span.end as usize == self.at && before.span.end == dot.span.start;
        let is_base = matches!(
            &before.kind,
            Kind::Word(_) | Kind::Quoted(_) | Kind::Text(_) | Kind::Symbol("]" | ")") | Kind::Integer(_)
        );
        dot.kind == Kind::Symbol(".") && adjacent && is_base
    }

    fn digits(&mut self) {
        self.at += self.run(|c| c.is_ascii_digit());
    }

    fn number(&mut self) -> Result<(), Diagnostic> {
        let start = self.at;
        let key = self.is_after_path_dot();
        self.digits();
        let digits = self.sql.get(start..self.at).unwrap_or_default().to_owned();
        let next_is_digit = |at: usize| self.sql.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
        if key {
            if self.rest().starts_with('.') && next_is_digit(self.at + 1) {
                let message = format!("the path .{digits}. followed by a number can be read as a float");
                return self.fail(start, self.at + 2, message, Some("quote the keys: a.\"1\".\"100\""));
            }
            self.push(Kind::Integer(digits), start);
            return self.no_word_follows(start);
        }
        let mut float = false;
        if self.rest().starts_with('.') && next_is_digit(self.at + 1) {
            float = true;
            self.at += 1;
            self.digits();
        }
        if self.rest().starts_with(['e', 'E']) {
            let sign = usize::from(matches!(self.sql.as_bytes().get(self.at + 1), Some(b'+' | b'-')));
            if self.sql.as_bytes().get(self.at + 1 + sign).is_some_and(u8::is_ascii_digit) {
                float = true;
                self.at += 1 + sign;
                self.digits();
            }
        }
        if float {
            let text = self.sql.get(start..self.at).unwrap_or_default();
            match text.parse::<f64>() {
                Ok(f) if f.is_finite() => self.push(Kind::Float(f), start),
                _ => return self.fail(start, self.at, "the number is too large".to_owned(), None),
            }
        } else {
            self.push(Kind::Integer(digits), start);
        }
        self.no_word_follows(start)
    }

    fn no_word_follows(&self, start: usize) -> Result<(), Diagnostic> {
        if self.rest().starts_with(|c: char| is_word_char(c) && c != '$') {
            let end = self.at + self.run(is_word_char);
            return self.fail(
                start,
                end,
                "a name cannot begin with a digit".to_owned(),
                Some("put it in double quotes"),
            );
        }
        Ok(())
    }
}

fn is_word_char(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '$' | '@' | '~')
}
