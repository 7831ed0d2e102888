//! Expressions: names become reads, aliases and items; operators become plan operators.

use model::Value;

use super::{Compiler, scope};
use crate::ast::{self, BinaryOp, ExprKind, Literal, PathStep};
use crate::plan::{ArithmeticOp, CompareOp, Expr, GetStep, Step};
use crate::span::{Class, Span};

impl Compiler<'_> {
    pub(super) fn expr(&mut self, expr: &ast::Expr) -> Expr {
        let span = expr.span;
        match &expr.kind {
            ExprKind::Literal(literal) => Expr::Literal(literal_value(literal)),
            ExprKind::Name(name) => self.name(name, &[], span),
            ExprKind::Path { base, steps } => self.path(base, steps),
            ExprKind::And(items) => Expr::And(self.exprs(items)),
            ExprKind::Or(items) => Expr::Or(self.exprs(items)),
            ExprKind::Not(inner) => Expr::Not(self.boxed(inner)),
            ExprKind::Plus(inner) => match self.expr(inner) {
                number @ Expr::Literal(Value::Int(_) | Value::Float(_) | Value::Big(_)) => number,
                // A plus changes nothing but refuses what is no number.
                value => {
                    let zero = Box::new(Expr::Literal(Value::Int(0)));
                    Expr::Arithmetic { op: ArithmeticOp::Subtract, left: Box::new(value), right: zero, span }
                }
            },
            ExprKind::Negate(inner) => match self.expr(inner) {
                Expr::Literal(value) => match crate::ops::negate(&value) {
                    Ok(negated) => Expr::Literal(negated),
                    Err(_) => Expr::Negate { value: Box::new(Expr::Literal(value)), span },
                },
                value => Expr::Negate { value: Box::new(value), span },
            },
            ExprKind::Binary { op, left, right } => self.binary(*op, left, right, span),
            ExprKind::In { value, items, negated } => {
                Expr::In { value: self.boxed(value), items: self.exprs(items), negated: *negated, span }
            }
            ExprKind::Like { value, pattern, negated } => {
                Expr::Like { value: self.boxed(value), pattern: self.boxed(pattern), negated: *negated, span }
            }
            ExprKind::Between { value, low, high, negated } => {
                let (value, low, high) = (self.boxed(value), self.boxed(low), self.boxed(high));
                Expr::Between { value, low, high, negated: *negated, span }
            }
            ExprKind::IsNull { value, negated } => Expr::IsNull { value: self.boxed(value), negated: *negated },
            ExprKind::Case { operand, branches, otherwise } => Expr::Case {
                operand: operand.as_deref().map(|operand| self.boxed(operand)),
                branches: branches.iter().map(|(when, then)| (self.expr(when), self.expr(then))).collect(),
                otherwise: otherwise.as_deref().map(|otherwise| self.boxed(otherwise)),
            },
            ExprKind::Cast { value, to, to_span } => self.cast(value, to, *to_span, span),
            ExprKind::Call { name, name_span, args } => self.call(name, *name_span, args, span),
            ExprKind::List(items) => Expr::List(self.exprs(items)),
            ExprKind::Range { from, to } => Expr::Range { from: self.boxed(from), to: self.boxed(to), span },
        }
    }

    pub(super) fn exprs(&mut self, items: &[ast::Expr]) -> Vec<Expr> {
        items.iter().map(|item| self.expr(item)).collect()
    }

    fn boxed(&mut self, expr: &ast::Expr) -> Box<Expr> {
        Box::new(self.expr(expr))
    }

    fn binary(&mut self, op: BinaryOp, left: &ast::Expr, right: &ast::Expr, span: Span) -> Expr {
        let (left_span, right_span) = (left.span, right.span);
        let (left, right) = (self.boxed(left), self.boxed(right));
        let arithmetic = |op| Expr::Arithmetic { op, left: left.clone(), right: right.clone(), span };
        match op {
            BinaryOp::Add => arithmetic(ArithmeticOp::Add),
            BinaryOp::Subtract => arithmetic(ArithmeticOp::Subtract),
            BinaryOp::Multiply => arithmetic(ArithmeticOp::Multiply),
            BinaryOp::Divide => arithmetic(ArithmeticOp::Divide),
            BinaryOp::Div => arithmetic(ArithmeticOp::Div),
            BinaryOp::Mod => arithmetic(ArithmeticOp::Mod),
            BinaryOp::Concat => Expr::Concat { left, right, span },
            BinaryOp::TopicMatch => {
                self.check_filter(&left, left_span, &right, right_span);
                Expr::TopicMatch { topic: left, filter: right, span }
            }
            BinaryOp::Eq => Expr::Compare { op: CompareOp::Eq, left, right, span },
            BinaryOp::Ne => Expr::Compare { op: CompareOp::Ne, left, right, span },
            BinaryOp::Lt => Expr::Compare { op: CompareOp::Lt, left, right, span },
            BinaryOp::Le => Expr::Compare { op: CompareOp::Le, left, right, span },
            BinaryOp::Gt => Expr::Compare { op: CompareOp::Gt, left, right, span },
            BinaryOp::Ge => Expr::Compare { op: CompareOp::Ge, left, right, span },
        }
    }

    /// A filter that stands in the text can be checked now. Only the one against the event's own topic is: a match of
    /// two constants is a test of the operator.
    fn check_filter(&mut self, topic: &Expr, _topic_span: Span, filter: &Expr, filter_span: Span) {
        if let (Expr::Read(_), Expr::Literal(Value::Text(filter))) = (topic, filter)
            && let Err(error) = model::validate_filter(filter)
        {
            self.report(filter_span, format!("the topic filter '{filter}' can never match: {error}"));
        }
    }

    fn path(&mut self, base: &ast::Expr, steps: &[PathStep]) -> Expr {
        let constant: Vec<Step> = steps.iter().map_while(constant_step).collect();
        let rest = steps.get(constant.len()..).unwrap_or_default();
        let mut value = match &base.kind {
            ExprKind::Name(name) => self.name(name, &constant, base.span),
            _ => {
                let inner = self.expr(base);
                self.below(inner, &constant, base.span)
            }
        };
        for step in rest {
            value = match step {
                PathStep::Key(key, span) => {
                    Expr::Get { base: Box::new(value), step: GetStep::Key(key.as_str().into()), span: *span }
                }
                PathStep::Index(index, span) => {
                    let index = GetStep::Index(self.boxed(index));
                    Expr::Get { base: Box::new(value), step: index, span: *span }
                }
                PathStep::Slice(from, to, span) => {
                    let (from, to) = (self.boxed(from), self.boxed(to));
                    Expr::Slice { base: Box::new(value), from, to, span: *span }
                }
            };
        }
        value
    }

    /// Constant steps below an expression; below a read they become part of the read.
    fn below(&mut self, base: Expr, steps: &[Step], span: Span) -> Expr {
        if steps.is_empty() {
            return base;
        }
        if let Expr::Read(index) = base
            && let Some(read) = self.reads.get(index)
        {
            let field = read.field.clone();
            let path: Vec<Step> = read.path.iter().chain(steps).cloned().collect();
            return self.read(&field, &path);
        }
        steps.iter().fold(base, |base, step| {
            let step = match step {
                Step::Key(key) => GetStep::Key(key.clone()),
                Step::Index(index) => GetStep::Index(Box::new(Expr::Literal(Value::Int(*index)))),
            };
            Expr::Get { base: Box::new(base), step, span }
        })
    }

    /// A name and constant steps below it: an alias of DO, the item, an alias, or a field of the event.
    fn name(&mut self, name: &str, steps: &[Step], span: Span) -> Expr {
        if let Some(at) = self.rows.find(name) {
            return self.alias(true, at, name, steps, span);
        }
        if self.item.as_ref().is_some_and(|item| *item == name) {
            return self.below(Expr::Item, steps, span);
        }
        if let Some(at) = self.fields.find(name)
            && !(self.fields.star_after(Some(at), name) && self.is_event_field(name))
        {
            return self.alias(false, at, name, steps, span);
        }
        if !self.is_event_field(name)
            && let Some((_, defined)) = self.later.iter().find(|(later, _)| later == name)
        {
            let defined = self.sql.get(defined.range()).unwrap_or(name).to_owned();
            self.report_with_hint(
                span,
                format!("{name} is used before it exists: the alias {defined} is defined by a later field"),
                "move the field that defines it to the left",
            );
        }
        self.read(name, steps)
    }

    fn alias(&mut self, rows: bool, at: usize, name: &str, steps: &[Step], span: Span) -> Expr {
        let class = if rows || self.item.is_none() { self.clause_of_fields(rows) } else { Class::Foreach };
        let scope = if rows { &mut self.rows } else { &mut self.fields };
        let partial = scope.column(at).is_some_and(|column| column.partial);
        let value = scope::share(scope, at, &mut self.lets, class);
        let value = self.below(value, steps, span);
        if partial && !steps.is_empty() {
            let second = Box::new(self.read(name, steps));
            return Expr::OrElse { first: Box::new(value), second };
        }
        value
    }

    /// The clause an alias was written in: its failure belongs there, wherever it is used.
    fn clause_of_fields(&self, rows: bool) -> Class {
        match (rows, self.class) {
            (true, _) => Class::Do,
            (false, Class::Foreach) => Class::Foreach,
            (false, _) => Class::Select,
        }
    }
}

/// The value of a literal.
fn literal_value(literal: &Literal) -> Value {
    match literal {
        Literal::Integer(digits) => Value::from_number_text(digits.trim_start_matches('0')).or_zero(),
        Literal::Float(f) => Value::Float(*f),
        Literal::Text(text) => Value::text(text.as_str()),
        Literal::Bool(b) => Value::Bool(*b),
        Literal::Null => Value::Null,
    }
}

trait OrZero {
    fn or_zero(self) -> Value;
}

impl OrZero for Value {
    /// `000` has no digits left after its leading zeros are cut.
    fn or_zero(self) -> Value {
        if self == Self::Null { Self::Int(0) } else { self }
    }
}

/// A step that is known without an event.
fn constant_step(step: &PathStep) -> Option<Step> {
    match step {
        PathStep::Key(key, _) => Some(Step::Key(key.as_str().into())),
        PathStep::Index(index, _) => {
            let digits = |expr: &ast::Expr| match &expr.kind {
                ExprKind::Literal(Literal::Integer(digits)) => digits.parse::<i64>().ok(),
                _ => None,
            };
            match &index.kind {
                ExprKind::Negate(inner) => digits(inner).map(|n| Step::Index(-n)),
                ExprKind::Literal(Literal::Text(key)) => Some(Step::Key(key.as_str().into())),
                _ => digits(index).map(Step::Index),
            }
        }
        PathStep::Slice(..) => None,
    }
}
