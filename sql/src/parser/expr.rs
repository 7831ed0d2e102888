//! Expressions by precedence, loosest first: OR, AND, NOT, comparison, `+ - ||`, `* / div mod`, unary, postfix.

use super::{NESTING_MAX, Parser};
use crate::ast::{BinaryOp, Expr, ExprKind, Literal, PathStep};
use crate::lexer::Kind;
use crate::span::{Diagnostic, Span};

impl Parser<'_> {
    pub(super) fn expr(&mut self) -> Result<Expr, Diagnostic> {
        self.nested(Self::or)
    }

    /// Runs `inner` one level deeper, within the bound.
    fn nested(&mut self, inner: impl FnOnce(&mut Self) -> Result<Expr, Diagnostic>) -> Result<Expr, Diagnostic> {
        if self.nesting >= NESTING_MAX {
            return Err(self.error(self.span(), format!("the expression is more than {NESTING_MAX} levels deep")));
        }
        self.nesting += 1;
        let result = inner(self);
        self.nesting -= 1;
        result
    }

    fn or(&mut self) -> Result<Expr, Diagnostic> {
        let first = self.and()?;
        if !self.is_word("OR") {
            return Ok(first);
        }
        let start = first.span;
        let mut items = vec![first];
        while self.eat_word("OR") {
            items.push(self.and()?);
        }
        self.checked(Expr::new(ExprKind::Or(items), start.to(self.last_span())))
    }

    fn and(&mut self) -> Result<Expr, Diagnostic> {
        let first = self.not()?;
        if !self.is_word("AND") {
            return Ok(first);
        }
        let start = first.span;
        let mut items = vec![first];
        while self.eat_word("AND") {
            items.push(self.not()?);
        }
        self.checked(Expr::new(ExprKind::And(items), start.to(self.last_span())))
    }

    fn not(&mut self) -> Result<Expr, Diagnostic> {
        let start = self.span();
        if self.eat_word("NOT") {
            let inner = self.nested(Self::not)?;
            let span = start.to(inner.span);
            return self.checked(Expr::new(ExprKind::Not(Box::new(inner)), span));
        }
        self.comparison()
    }

    fn comparison_op(&self) -> Option<BinaryOp> {
        let Kind::Symbol(symbol) = self.kind() else { return None };
        Some(match *symbol {
            "=" => BinaryOp::Eq,
            "!=" | "<>" => BinaryOp::Ne,
            "<" => BinaryOp::Lt,
            "<=" => BinaryOp::Le,
            ">" => BinaryOp::Gt,
            ">=" => BinaryOp::Ge,
            "=~" => BinaryOp::TopicMatch,
            _ => return None,
        })
    }

    fn comparison(&mut self) -> Result<Expr, Diagnostic> {
        let left = self.additive()?;
        if let Some(op) = self.comparison_op() {
            self.bump();
            let right = self.additive()?;
            let span = left.span.to(right.span);
            let kind = ExprKind::Binary { op, left: Box::new(left), right: Box::new(right) };
            if self.comparison_op().is_some() {
                return Err(self
                    .error(self.span(), "comparisons cannot be chained")
                    .hint("compare two at a time and join them with AND"));
            }
            return self.checked(Expr::new(kind, span));
        }
        match self.kind() {
            Kind::Symbol("~=") => Err(self
                .error(self.span(), "the operator ~= does not exist")
                .hint("the topic match is written topic =~ 'filter'")),
            Kind::Symbol("==") => {
                Err(self.error(self.span(), "the operator == does not exist").hint("equality is written with one ="))
            }
            Kind::Word(_) => self.comparison_word(left),
            _ => Ok(left),
        }
    }

    /// IN, LIKE, BETWEEN and IS, with or without NOT.
    fn comparison_word(&mut self, left: Expr) -> Result<Expr, Diagnostic> {
        let start = left.span;
        let follows = |parser: &Self, ahead: usize| {
            ["IN", "LIKE", "BETWEEN"].into_iter().find(|word| parser.is_word_after(ahead, word))
        };
        if self.is_word("IS")
            && (self.is_word_after(1, "NULL") || (self.is_word_after(1, "NOT") && self.is_word_after(2, "NULL")))
        {
            self.bump();
            let negated = self.eat_word("NOT");
            self.expect_word("NULL")?;
            let kind = ExprKind::IsNull { value: Box::new(left), negated };
            return self.checked(Expr::new(kind, start.to(self.last_span())));
        }
        let negated = self.is_word("NOT");
        let Some(word) = follows(self, usize::from(negated)) else { return Ok(left) };
        if negated {
            self.bump();
        }
        self.bump();
        let value = Box::new(left);
        let kind = match word {
            "IN" => {
                self.expect_symbol("(")?;
                let items = self.list(")")?;
                if items.is_empty() {
                    return Err(self.error(self.last_span(), "IN needs at least one value"));
                }
                ExprKind::In { value, items, negated }
            }
            "LIKE" => ExprKind::Like { value, pattern: Box::new(self.additive()?), negated },
            _ => {
                let low = Box::new(self.additive()?);
                self.expect_word("AND")?;
                ExprKind::Between { value, low, high: Box::new(self.additive()?), negated }
            }
        };
        self.checked(Expr::new(kind, start.to(self.last_span())))
    }

    fn additive(&mut self) -> Result<Expr, Diagnostic> {
        let mut left = self.multiplicative()?;
        loop {
            let op = match self.kind() {
                Kind::Symbol("+") => BinaryOp::Add,
                Kind::Symbol("-") => BinaryOp::Subtract,
                Kind::Symbol("||") => BinaryOp::Concat,
                _ => return Ok(left),
            };
            self.bump();
            let right = self.multiplicative()?;
            left = self.binary(op, left, right)?;
        }
    }

    fn multiplicative(&mut self) -> Result<Expr, Diagnostic> {
        let mut left = self.unary()?;
        loop {
            let op = match self.kind() {
                Kind::Symbol("*") => BinaryOp::Multiply,
                Kind::Symbol("/") => BinaryOp::Divide,
                Kind::Word(word) if word.eq_ignore_ascii_case("div") => BinaryOp::Div,
                Kind::Word(word) if word.eq_ignore_ascii_case("mod") => BinaryOp::Mod,
                _ => return Ok(left),
            };
            self.bump();
            let right = self.unary()?;
            left = self.binary(op, left, right)?;
        }
    }

    fn binary(&self, op: BinaryOp, left: Expr, right: Expr) -> Result<Expr, Diagnostic> {
        let span = left.span.to(right.span);
        self.checked(Expr::new(ExprKind::Binary { op, left: Box::new(left), right: Box::new(right) }, span))
    }

    fn unary(&mut self) -> Result<Expr, Diagnostic> {
        let start = self.span();
        let negative = self.is_symbol("-");
        if negative || self.is_symbol("+") {
            self.bump();
            let inner = self.nested(Self::unary)?;
            let span = start.to(inner.span);
            let kind = if negative { ExprKind::Negate(Box::new(inner)) } else { ExprKind::Plus(Box::new(inner)) };
            return self.checked(Expr::new(kind, span));
        }
        self.postfix()
    }

    fn postfix(&mut self) -> Result<Expr, Diagnostic> {
        let base = self.primary()?;
        let start = base.span;
        let mut steps = Vec::new();
        loop {
            if self.is_symbol(".") {
                self.bump();
                let span = self.span();
                match self.kind().clone() {
                    Kind::Word(key) | Kind::Quoted(key) | Kind::Text(key) | Kind::Integer(key) => {
                        self.bump();
                        steps.push(PathStep::Key(key, span));
                    }
                    _ => return self.expected("a key after the point"),
                }
            } else if self.is_symbol("[") {
                let step = self.index()?;
                let slice = matches!(step, PathStep::Slice(..));
                steps.push(step);
                if slice && (self.is_symbol(".") || self.is_symbol("[")) {
                    return Err(self
                        .error(self.span(), "a slice cannot be continued with a path")
                        .hint("use FOREACH to look into each item"));
                }
            } else {
                break;
            }
        }
        if steps.is_empty() {
            return Ok(base);
        }
        self.checked(Expr::new(ExprKind::Path { base: Box::new(base), steps }, start.to(self.last_span())))
    }

    fn index(&mut self) -> Result<PathStep, Diagnostic> {
        let start = self.span();
        self.expect_symbol("[")?;
        let first = self.expr()?;
        if self.eat_symbol("..") {
            let last = self.expr()?;
            self.expect_symbol("]")?;
            return Ok(PathStep::Slice(Box::new(first), Box::new(last), start.to(self.last_span())));
        }
        self.expect_symbol("]")?;
        Ok(PathStep::Index(Box::new(first), start.to(self.last_span())))
    }

    fn list(&mut self, close: &str) -> Result<Vec<Expr>, Diagnostic> {
        let mut items = Vec::new();
        if self.eat_symbol(close) {
            return Ok(items);
        }
        loop {
            items.push(self.expr()?);
            if !self.eat_symbol(",") {
                self.expect_symbol(close)?;
                return Ok(items);
            }
        }
    }

    fn primary(&mut self) -> Result<Expr, Diagnostic> {
        let start = self.span();
        let literal = |literal: Literal| Ok(Expr::new(ExprKind::Literal(literal), start));
        match self.kind().clone() {
            Kind::Integer(digits) => {
                self.bump();
                literal(Literal::Integer(digits))
            }
            Kind::Float(f) => {
                self.bump();
                literal(Literal::Float(f))
            }
            Kind::Text(text) => {
                self.bump();
                literal(Literal::Text(text))
            }
            Kind::Quoted(name) => {
                self.bump();
                Ok(Expr::new(ExprKind::Name(name), start))
            }
            Kind::Symbol("(") => {
                self.bump();
                let inner = self.expr()?;
                self.expect_symbol(")")?;
                Ok(inner)
            }
            Kind::Symbol("[") => self.bracket(start),
            Kind::Word(word) => self.word(&word, start),
            _ => self.expected("an expression"),
        }
    }

    /// `[from..to]` or `[item, …]`.
    fn bracket(&mut self, start: Span) -> Result<Expr, Diagnostic> {
        self.bump();
        if self.eat_symbol("]") {
            return Ok(Expr::new(ExprKind::List(Vec::new()), start.to(self.last_span())));
        }
        let first = self.expr()?;
        if self.eat_symbol("..") {
            let to = self.expr()?;
            self.expect_symbol("]")?;
            let kind = ExprKind::Range { from: Box::new(first), to: Box::new(to) };
            return self.checked(Expr::new(kind, start.to(self.last_span())));
        }
        let mut items = vec![first];
        if self.eat_symbol(",") {
            items.extend(self.list("]")?);
        } else {
            self.expect_symbol("]")?;
        }
        self.checked(Expr::new(ExprKind::List(items), start.to(self.last_span())))
    }

    /// A word in the place of an expression: constant, CASE, CAST, call or name.
    fn word(&mut self, word: &str, start: Span) -> Result<Expr, Diagnostic> {
        let called = matches!(self.kind_after(1), Kind::Symbol("("));
        let constant = match word.to_ascii_lowercase().as_str() {
            "true" if !called => Some(Literal::Bool(true)),
            "false" if !called => Some(Literal::Bool(false)),
            "null" if !called => Some(Literal::Null),
            _ => None,
        };
        if let Some(constant) = constant {
            self.bump();
            return Ok(Expr::new(ExprKind::Literal(constant), start));
        }
        if word.eq_ignore_ascii_case("CASE") {
            return self.case(start);
        }
        if Self::is_reserved(word) {
            return self.expected("an expression");
        }
        self.bump();
        if !called {
            return Ok(Expr::new(ExprKind::Name(word.to_owned()), start));
        }
        self.bump();
        if word.eq_ignore_ascii_case("CAST") {
            return self.cast(start);
        }
        let args = self.list(")")?;
        let kind = ExprKind::Call { name: word.to_owned(), name_span: start, args };
        self.checked(Expr::new(kind, start.to(self.last_span())))
    }

    fn cast(&mut self, start: Span) -> Result<Expr, Diagnostic> {
        let value = Box::new(self.expr()?);
        self.expect_word("AS")?;
        let to_span = self.span();
        let Kind::Word(to) = self.kind().clone() else { return self.expected("a type after AS") };
        self.bump();
        self.expect_symbol(")")?;
        self.checked(Expr::new(ExprKind::Cast { value, to, to_span }, start.to(self.last_span())))
    }

    fn case(&mut self, start: Span) -> Result<Expr, Diagnostic> {
        self.bump();
        let operand = if self.is_word("WHEN") { None } else { Some(Box::new(self.expr()?)) };
        let mut branches = Vec::new();
        while self.eat_word("WHEN") {
            let when = self.expr()?;
            self.expect_word("THEN")?;
            branches.push((when, self.expr()?));
        }
        if branches.is_empty() {
            return self.expected("WHEN");
        }
        let otherwise = if self.eat_word("ELSE") { Some(Box::new(self.expr()?)) } else { None };
        self.expect_word("END")?;
        self.checked(Expr::new(ExprKind::Case { operand, branches, otherwise }, start.to(self.last_span())))
    }
}
