//! Fields and their targets: what each writes, and where.

use model::{Str, Value};

use super::{Compiler, scope};
use crate::ast::{self, ExprKind, FieldKind, PathStep, Target, TargetStep};
use crate::plan::{Expr, PutStep};
use crate::span::Span;

/// A column without an alias is called after its text, cut to this many characters.
const NAME_CHARS_MAX: usize = 64;

impl Compiler<'_> {
    /// Defines a list of fields from left to right, in DO (`rows`) or in SELECT and FOREACH.
    pub(super) fn define_all(&mut self, fields: &[ast::Field], rows: bool) {
        for (index, field) in fields.iter().enumerate() {
            self.later = fields
                .iter()
                .skip(index + 1)
                .filter_map(|field| match &field.kind {
                    FieldKind::Expr { target: Some(target), .. } => Some((target.name.clone(), target.span)),
                    _ => None,
                })
                .collect();
            match &field.kind {
                FieldKind::Star { except } => self.star(except, rows),
                FieldKind::Expr { expr, target } => self.define(expr, target.as_ref(), field.span, rows),
            }
        }
        self.later.clear();
    }

    fn star(&mut self, except: &[(String, Span)], rows: bool) {
        for (name, span) in except {
            if !self.is_event_field(name) {
                self.report(*span, format!("EXCEPT names {name:?}, which the events of FROM do not have"));
            }
        }
        let except = except.iter().map(|(name, _)| Str::new(name)).collect();
        if rows { self.rows.star(except) } else { self.fields.star(except) }
    }

    fn define(&mut self, expr: &ast::Expr, target: Option<&Target>, span: Span, rows: bool) {
        let value = self.expr(expr);
        let derived;
        let target = match target {
            Some(target) => target,
            None => {
                derived = self.derived_target(expr);
                &derived
            }
        };
        let name = Str::new(&target.name);
        if target.path.is_empty() {
            let scope = if rows { &mut self.rows } else { &mut self.fields };
            scope.define(name, value, span, false);
            return;
        }
        let (base, partial) = self.base_of(&target.name, rows);
        let path = target
            .path
            .iter()
            .map(|step| match step {
                TargetStep::Key(key) => PutStep::Key(Str::new(key)),
                TargetStep::Index(index) => PutStep::Index(*index),
                TargetStep::Head => PutStep::Head,
                TargetStep::Tail => PutStep::Tail,
            })
            .collect();
        let put =
            Expr::Put { base: Box::new(base), path, value: Box::new(value), decode: target.name == "payload", span };
        let scope = if rows { &mut self.rows } else { &mut self.fields };
        scope.define(name, put, span, partial);
    }

    /// What a path target writes into: the alias so far, or the event's field when `*` brought it, or nothing.
    fn base_of(&mut self, name: &str, rows: bool) -> (Expr, bool) {
        let scope = if rows { &mut self.rows } else { &mut self.fields };
        let at = scope.find(name);
        let star = scope.star_after(at, name);
        if let Some(at) = at
            && !(star && self.is_event_field(name))
        {
            let scope = if rows { &mut self.rows } else { &mut self.fields };
            let partial = scope.column(at).is_some_and(|column| column.partial);
            return (scope::share(scope, at, &mut self.lets, self.class), partial);
        }
        if star {
            return (self.read(name, &[]), false);
        }
        (Expr::Literal(Value::Missing), true)
    }

    /// A field without an alias keeps the shape of its path; a computed one is called after its text.
    fn derived_target(&self, expr: &ast::Expr) -> Target {
        let span = expr.span;
        if let ExprKind::Name(name) = &expr.kind {
            return Target { name: name.clone(), path: Vec::new(), span };
        }
        if let ExprKind::Path { base, steps } = &expr.kind
            && let ExprKind::Name(name) = &base.kind
        {
            let path = steps
                .iter()
                .filter_map(|step| match step {
                    PathStep::Key(key, _) => Some(TargetStep::Key(key.clone())),
                    PathStep::Index(index, _) => Some(constant_index(index)),
                    PathStep::Slice(..) => None,
                })
                .collect();
            return Target { name: name.clone(), path, span };
        }
        let text = self.sql.get(span.range()).unwrap_or_default();
        Target { name: text.chars().take(NAME_CHARS_MAX).collect(), path: Vec::new(), span }
    }
}

/// The position a path without an alias writes at; a computed one appends.
fn constant_index(index: &ast::Expr) -> TargetStep {
    let digits = |expr: &ast::Expr| match &expr.kind {
        ExprKind::Literal(ast::Literal::Integer(digits)) => digits.parse::<i64>().ok(),
        _ => None,
    };
    let position = match &index.kind {
        ExprKind::Negate(inner) => digits(inner).map(|n| -n),
        _ => digits(index),
    };
    match position {
        Some(0) => TargetStep::Head,
        Some(n) => TargetStep::Index(n),
        None => TargetStep::Tail,
    }
}
