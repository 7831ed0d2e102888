//! Fields of SELECT, FOREACH and DO, and the targets after AS.

use super::Parser;
use crate::ast::{Field, FieldKind, Target, TargetStep};
use crate::lexer::Kind;
use crate::span::Diagnostic;

impl Parser<'_> {
    /// A list of fields; in FOREACH the words DO and INCASE end it.
    pub(super) fn fields(&mut self, foreach: bool) -> Result<Vec<Field>, Diagnostic> {
        let mut fields = Vec::new();
        loop {
            if self.is_word("FROM") || (foreach && (self.is_word("DO") || self.is_word("INCASE"))) {
                return self.expected("a field");
            }
            fields.push(self.field()?);
            if !self.eat_symbol(",") {
                return Ok(fields);
            }
        }
    }

    fn field(&mut self) -> Result<Field, Diagnostic> {
        let start = self.span();
        if self.eat_symbol("*") {
            let except = if self.eat_word("EXCEPT") { self.except()? } else { Vec::new() };
            return Ok(Field { kind: FieldKind::Star { except }, span: start.to(self.last_span()) });
        }
        let expr = self.expr()?;
        let target = if self.eat_word("AS") {
            Some(self.target()?)
        } else {
            match self.kind() {
                Kind::Word(word) if !Self::is_reserved(word) => Some(self.target()?),
                Kind::Quoted(_) => Some(self.target()?),
                _ => None,
            }
        };
        Ok(Field { kind: FieldKind::Expr { expr, target }, span: start.to(self.last_span()) })
    }

    fn except(&mut self) -> Result<Vec<(String, crate::span::Span)>, Diagnostic> {
        self.expect_symbol("(")?;
        let mut names = Vec::new();
        loop {
            let span = self.span();
            match self.kind().clone() {
                Kind::Word(name) | Kind::Quoted(name) => {
                    self.bump();
                    names.push((name, span));
                }
                _ => return self.expected("the name of a field to leave out"),
            }
            if !self.eat_symbol(",") {
                self.expect_symbol(")")?;
                return Ok(names);
            }
        }
    }

    fn target(&mut self) -> Result<Target, Diagnostic> {
        let start = self.span();
        let name = match self.kind().clone() {
            Kind::Word(name) if !Self::is_reserved(&name) => name,
            Kind::Quoted(name) | Kind::Text(name) => name,
            _ => return self.expected("a name after AS"),
        };
        self.bump();
        let mut path = Vec::new();
        loop {
            if self.eat_symbol(".") {
                match self.kind().clone() {
                    Kind::Word(key) | Kind::Quoted(key) | Kind::Text(key) | Kind::Integer(key) => {
                        self.bump();
                        path.push(TargetStep::Key(key));
                    }
                    _ => return self.expected("a key after the point"),
                }
            } else if self.eat_symbol("[") {
                path.push(self.target_index()?);
            } else {
                return Ok(Target { name, path, span: start.to(self.last_span()) });
            }
        }
    }

    fn target_index(&mut self) -> Result<TargetStep, Diagnostic> {
        let start = self.span();
        let negative = self.eat_symbol("-");
        let Kind::Integer(digits) = self.kind().clone() else {
            return self.expected("a position: [1], [-1], [0] before the first item or [-0] after the last");
        };
        self.bump();
        if self.is_symbol("..") {
            return Err(self.error(start.to(self.span()), "a range cannot be written to; give one position"));
        }
        self.expect_symbol("]")?;
        let Ok(position) = digits.parse::<i64>() else {
            return Err(self.error(start, "the position is too large"));
        };
        Ok(match (position, negative) {
            (0, false) => TargetStep::Head,
            (0, true) => TargetStep::Tail,
            (n, false) => TargetStep::Index(n),
            (n, true) => TargetStep::Index(-n),
        })
    }
}
