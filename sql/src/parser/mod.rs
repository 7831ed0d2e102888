//! Tokens to the syntax tree: statements here, fields and targets in `fields`, expressions in `expr`.
//!
//! The parser stops at the first error. Nesting and height are bounded, so no text can exhaust the stack.

use crate::ast::{Body, Expr, SourceName, Statement};
use crate::lexer::{self, Kind, Token};
use crate::span::{Class, Diagnostic, Span};

mod expr;
mod fields;

/// The longest SQL text of a rule, bytes.
pub const SQL_BYTES_MAX: usize = 256 * 1024;
/// Expressions may nest this deep.
const NESTING_MAX: usize = 100;

/// Words that cannot be bare names, because a clause or an operator begins with them.
const RESERVED: [&str; 17] = [
    "AND", "AS", "CASE", "ELSE", "END", "EXCEPT", "FOREACH", "FROM", "IN", "INCASE", "NOT", "OR", "SELECT", "THEN",
    "WHEN", "WHERE", "DO",
];
/// Clauses of streaming SQL that are known and not built.
const UNBUILT: [(&str, &str); 9] = [
    ("GROUP", "GROUP BY"),
    ("HAVING", "HAVING"),
    ("ORDER", "ORDER BY"),
    ("LIMIT", "LIMIT"),
    ("WINDOW", "WINDOW"),
    ("JOIN", "JOIN"),
    ("INNER", "JOIN"),
    ("LEFT", "JOIN"),
    ("EMIT", "EMIT"),
];

/// The syntax tree of one rule.
pub fn parse(sql: &str) -> Result<Statement, Diagnostic> {
    if sql.len() > SQL_BYTES_MAX {
        let message = format!("the statement is {} bytes long; at most {SQL_BYTES_MAX} are accepted", sql.len());
        return Err(Diagnostic::new(Class::Parse, sql, Span::new(0, 0), message));
    }
    let mut parser = Parser { sql, tokens: lexer::tokens(sql)?, at: 0, nesting: 0, unsupported: Vec::new() };
    let statement = parser.statement()?;
    Ok(statement)
}

struct Parser<'a> {
    sql: &'a str,
    tokens: Vec<Token>,
    at: usize,
    nesting: usize,
    unsupported: Vec<(Span, &'static str)>,
}

impl Parser<'_> {
    fn kind(&self) -> &Kind {
        self.tokens.get(self.at).map_or(&Kind::End, |token| &token.kind)
    }

    fn kind_after(&self, ahead: usize) -> &Kind {
        self.tokens.get(self.at + ahead).map_or(&Kind::End, |token| &token.kind)
    }

    fn span(&self) -> Span {
        self.tokens.get(self.at).map_or_else(|| Span::new(self.sql.len(), self.sql.len()), |token| token.span)
    }

    /// The span of the token before the current one.
    fn last_span(&self) -> Span {
        self.at.checked_sub(1).and_then(|at| self.tokens.get(at)).map(|token| token.span).unwrap_or_default()
    }

    fn bump(&mut self) {
        if self.at + 1 < self.tokens.len() {
            self.at += 1;
        }
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.kind(), Kind::Word(found) if found.eq_ignore_ascii_case(word))
    }

    fn is_word_after(&self, ahead: usize, word: &str) -> bool {
        matches!(self.kind_after(ahead), Kind::Word(found) if found.eq_ignore_ascii_case(word))
    }

    fn is_symbol(&self, symbol: &str) -> bool {
        matches!(self.kind(), Kind::Symbol(found) if *found == symbol)
    }

    fn eat_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        if found {
            self.bump();
        }
        found
    }

    fn eat_symbol(&mut self, symbol: &str) -> bool {
        let found = self.is_symbol(symbol);
        if found {
            self.bump();
        }
        found
    }

    fn error(&self, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Class::Parse, self.sql, span, message)
    }

    /// "expected …, found …" at the current token.
    fn expected<T>(&self, what: &str) -> Result<T, Diagnostic> {
        let found = match self.kind() {
            Kind::End => "the end of the statement".to_owned(),
            Kind::Word(word) => format!("'{word}'"),
            Kind::Quoted(name) => format!("the name \"{name}\""),
            Kind::Text(text) => format!("the text '{text}'"),
            Kind::Integer(digits) => format!("the number {digits}"),
            Kind::Float(f) => format!("the number {f}"),
            Kind::Symbol(symbol) => format!("'{symbol}'"),
        };
        Err(self.error(self.span(), format!("expected {what}, found {found}")))
    }

    fn expect_symbol(&mut self, symbol: &str) -> Result<(), Diagnostic> {
        if self.eat_symbol(symbol) { Ok(()) } else { self.expected(&format!("'{symbol}'")) }
    }

    fn expect_word(&mut self, word: &str) -> Result<(), Diagnostic> {
        if self.eat_word(word) { Ok(()) } else { self.expected(word) }
    }

    fn is_reserved(word: &str) -> bool {
        RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(word))
    }

    fn unbuilt(word: &str) -> Option<&'static str> {
        UNBUILT.iter().find(|(known, _)| known.eq_ignore_ascii_case(word)).map(|(_, clause)| *clause)
    }

    fn statement(&mut self) -> Result<Statement, Diagnostic> {
        let body = if self.eat_word("SELECT") {
            if self.is_word("DISTINCT")
                && !matches!(self.kind_after(1), Kind::Symbol("," | ".") | Kind::End)
                && !self.is_word_after(1, "FROM")
            {
                self.unsupported.push((self.span(), "DISTINCT"));
                self.bump();
            }
            Body::Select(self.fields(false)?)
        } else if self.eat_word("FOREACH") {
            let fields = self.fields(true)?;
            let do_ = if self.eat_word("DO") { Some(self.fields(true)?) } else { None };
            let incase = if self.eat_word("INCASE") { Some(self.expr()?) } else { None };
            Body::Foreach { fields, do_, incase }
        } else {
            return self.expected("SELECT or FOREACH");
        };
        self.expect_word("FROM")?;
        let from = self.sources()?;
        let where_ = if self.eat_word("WHERE") { Some(self.expr()?) } else { None };
        self.tail()?;
        Ok(Statement { body, from, where_, unsupported: std::mem::take(&mut self.unsupported) })
    }

    /// What may follow WHERE: clauses that are known and not built, a semicolon, the end.
    fn tail(&mut self) -> Result<(), Diagnostic> {
        if let Kind::Word(word) = self.kind()
            && let Some(clause) = Self::unbuilt(word)
        {
            // The rest belongs to a clause this version does not run; it is not read, only named.
            self.unsupported.push((self.span(), clause));
            self.at = self.tokens.len().saturating_sub(1);
            return Ok(());
        }
        self.eat_symbol(";");
        match self.kind() {
            Kind::End => Ok(()),
            _ => self.expected("the end of the statement"),
        }
    }

    fn sources(&mut self) -> Result<Vec<SourceName>, Diagnostic> {
        let mut sources = Vec::new();
        loop {
            let span = self.span();
            match self.kind().clone() {
                Kind::Word(name) if !Self::is_reserved(&name) && Self::unbuilt(&name).is_none() => {
                    self.bump();
                    if self.is_symbol("(") {
                        self.unsupported.push((span, "a window in FROM"));
                        self.at = self.tokens.len().saturating_sub(1);
                    }
                    sources.push(SourceName { name, span });
                }
                Kind::Quoted(name) | Kind::Text(name) => {
                    self.bump();
                    sources.push(SourceName { name, span });
                }
                _ => return self.expected("a topic filter or an event name in double quotes"),
            }
            if !self.eat_symbol(",") {
                return Ok(sources);
            }
        }
    }

    /// Checks the height of a finished node.
    fn checked(&self, expr: Expr) -> Result<Expr, Diagnostic> {
        if expr.height > NESTING_MAX {
            return Err(self.error(expr.span, format!("the expression is more than {NESTING_MAX} levels deep")));
        }
        Ok(expr)
    }
}
