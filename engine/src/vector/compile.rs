//! Plan expressions to physical expressions. Done once, when a rule is created.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::common::ScalarValue;
use datafusion::physical_expr::expressions::{Column, Literal};
use datafusion::physical_plan::PhysicalExpr;
use model::Value;
use sql::functions::Purity;
use sql::plan::{Expr, GetStep, Output, Plan, Shape};

use super::cell;
use super::node::{Node, Op};

/// Column of the event's time in every batch.
pub(super) const TIME: usize = 0;

/// Builds the expressions of one plan and the list of columns they need.
pub(super) struct Compiler<'p> {
    plan: &'p Plan,
    /// Reads that have to be columns, and the column of each.
    pub(super) inputs: Vec<usize>,
    columns_of_reads: BTreeMap<usize, usize>,
    /// Aliases that have to be columns: they come behind the inputs, in this order.
    pub(super) lets: Vec<(usize, Arc<dyn PhysicalExpr>)>,
}

impl<'p> Compiler<'p> {
    pub(super) fn new(plan: &'p Plan) -> Self {
        let mut compiler = Self { plan, inputs: Vec::new(), columns_of_reads: BTreeMap::new(), lets: Vec::new() };
        // Column numbers of aliases depend on the number of inputs, so the inputs are all known first. What is only
        // read by an output as it stands never becomes a column, nor what only the row form will read.
        if let Some(where_) = &plan.where_ {
            compiler.collect(where_);
        }
        if let (Shape::Select { outputs }, Some(_)) = (&plan.shape, &plan.names) {
            for output in outputs {
                if let Output::Column { expr, .. } = output
                    && !matches!(expr, Expr::Read(_))
                {
                    compiler.collect(expr);
                }
            }
        }
        compiler
    }

    fn collect(&mut self, expr: &Expr) {
        match expr {
            Expr::Read(read) if !self.columns_of_reads.contains_key(read) => {
                self.inputs.push(*read);
                self.columns_of_reads.insert(*read, TIME + self.inputs.len());
            }
            Expr::Let(index) => {
                let plan = self.plan;
                if let Some(shared) = plan.lets.get(*index) {
                    self.collect(&shared.expr);
                }
            }
            other => children(other).into_iter().for_each(|child| self.collect(child)),
        }
    }

    /// The expression, or `None` when only the row form can run it.
    pub(super) fn expr(&mut self, expr: &Expr) -> Option<Arc<dyn PhysicalExpr>> {
        let (op, args) = match expr {
            Expr::Read(read) => return self.columns_of_reads.get(read).map(|place| column("read", *place)),
            Expr::Let(index) => return self.shared(*index),
            Expr::Literal(value) => return Some(literal(value)),
            // The item of FOREACH has no column.
            Expr::Item => return None,
            Expr::Arithmetic { op, left, right, span } => (Op::Arithmetic(*op, *span), vec![left.as_ref(), right]),
            Expr::Compare { op, left, right, span } => (Op::Compare(*op, *span), vec![left.as_ref(), right]),
            Expr::Concat { left, right, span } => (Op::Concat(*span), vec![left.as_ref(), right]),
            Expr::Negate { value, span } => (Op::Negate(*span), vec![value.as_ref()]),
            Expr::TopicMatch { topic, filter, span } => (Op::TopicMatch(*span), vec![topic.as_ref(), filter]),
            Expr::Like { value, pattern, negated, span } => {
                (Op::Like { negated: *negated, span: *span }, vec![value.as_ref(), pattern])
            }
            Expr::Between { value, low, high, negated, span } => {
                (Op::Between { negated: *negated, span: *span }, vec![value.as_ref(), low, high])
            }
            Expr::In { value, items, negated, .. } => {
                (Op::In { negated: *negated }, std::iter::once(value.as_ref()).chain(items).collect())
            }
            Expr::IsNull { value, negated } => (Op::IsNull { negated: *negated }, vec![value.as_ref()]),
            Expr::And(items) => (Op::And, items.iter().collect()),
            Expr::Or(items) => (Op::Or, items.iter().collect()),
            Expr::Not(value) => (Op::Not, vec![value.as_ref()]),
            Expr::Call { function, args, span } => return self.call(function, args, *span),
            Expr::Get { step: GetStep::Key(key), base, .. } => (Op::GetKey(key.clone()), vec![base.as_ref()]),
            Expr::Get { step: GetStep::Index(index), base, .. } => (Op::GetIndex, vec![base.as_ref(), index]),
            Expr::Slice { base, from, to, span } => (Op::Slice(*span), vec![base.as_ref(), from, to]),
            Expr::Range { from, to, span } => (Op::Range(*span), vec![from.as_ref(), to]),
            Expr::Put { base, path, value, decode, .. } => {
                (Op::Put { path: path.clone(), decode: *decode }, vec![base.as_ref(), value])
            }
            Expr::OrElse { first, second } => (Op::OrElse, vec![first.as_ref(), second]),
            Expr::List(items) => (Op::List, items.iter().collect()),
            Expr::Case { operand, branches, otherwise } => (
                Op::Case { operand: operand.is_some(), branches: branches.len() },
                operand
                    .as_deref()
                    .into_iter()
                    .chain(branches.iter().flat_map(|(when, then)| [when, then]))
                    .chain(otherwise.as_deref())
                    .collect(),
            ),
        };
        let args = args.into_iter().map(|arg| self.expr(arg)).collect::<Option<Vec<_>>>()?;
        Some(Node::expr(op, args))
    }

    /// A call. One that depends on the world, or changes it, must run exactly when the row form runs it.
    fn call(
        &mut self,
        function: &'static sql::Function,
        args: &[Expr],
        span: sql::Span,
    ) -> Option<Arc<dyn PhysicalExpr>> {
        if function.purity == Purity::External {
            return None;
        }
        let mut args = args.iter().map(|arg| self.expr(arg)).collect::<Option<Vec<_>>>()?;
        args.push(column("time", TIME));
        Some(Node::expr(Op::Call(function, span), args))
    }

    /// An alias that several places use becomes a column of its own, behind those it uses itself.
    fn shared(&mut self, index: usize) -> Option<Arc<dyn PhysicalExpr>> {
        let place = match self.lets.iter().position(|(known, _)| *known == index) {
            Some(place) => place,
            None => {
                let shared = self.plan.lets.get(index).filter(|shared| !shared.per_item)?;
                let value = self.expr(&shared.expr)?;
                self.lets.push((index, Node::expr(Op::Within(shared.class), vec![value])));
                self.lets.len() - 1
            }
        };
        Some(column("alias", TIME + 1 + self.inputs.len() + place))
    }
}

fn column(name: &str, place: usize) -> Arc<dyn PhysicalExpr> {
    Arc::new(Column::new(&format!("{name}{place}"), place))
}

/// A constant in the form its kind has in a column.
fn literal(value: &Value) -> Arc<dyn PhysicalExpr> {
    Arc::new(Literal::new(match value {
        Value::Bool(b) => ScalarValue::Boolean(Some(*b)),
        Value::Int(n) => ScalarValue::Int64(Some(*n)),
        Value::Float(f) => ScalarValue::Float64(Some(*f)),
        Value::Text(text) => ScalarValue::Utf8(Some(text.as_str().to_owned())),
        Value::Missing => ScalarValue::Binary(None),
        other => {
            let mut bytes = Vec::new();
            cell::encode(Ok(other), &mut bytes);
            ScalarValue::Binary(Some(bytes))
        }
    }))
}

/// The expressions directly below one.
fn children(expr: &Expr) -> Vec<&Expr> {
    match expr {
        Expr::Read(_) | Expr::Let(_) | Expr::Item | Expr::Literal(_) => Vec::new(),
        Expr::Get { base, step: GetStep::Key(_), .. } => vec![base],
        Expr::Get { base, step: GetStep::Index(index), .. } => vec![base, index],
        Expr::Slice { base, from, to, .. } => vec![base, from, to],
        Expr::Range { from, to, .. } => vec![from, to],
        Expr::Put { base, value, .. } => vec![base, value],
        Expr::OrElse { first, second } => vec![first, second],
        Expr::Arithmetic { left, right, .. } | Expr::Concat { left, right, .. } | Expr::Compare { left, right, .. } => {
            vec![left, right]
        }
        Expr::Negate { value, .. } | Expr::IsNull { value, .. } | Expr::Not(value) => vec![value],
        Expr::TopicMatch { topic, filter, .. } => vec![topic, filter],
        Expr::Like { value, pattern, .. } => vec![value, pattern],
        Expr::Between { value, low, high, .. } => vec![value, low, high],
        Expr::In { value, items, .. } => std::iter::once(value.as_ref()).chain(items).collect(),
        Expr::And(items) | Expr::Or(items) | Expr::List(items) | Expr::Call { args: items, .. } => {
            items.iter().collect()
        }
        Expr::Case { operand, branches, otherwise } => {
            let branches = branches.iter().flat_map(|(when, then)| [when, then]);
            operand.as_deref().into_iter().chain(branches).chain(otherwise.as_deref()).collect()
        }
    }
}
