//! One operator of the language as a DataFusion physical expression.
//!
//! The arguments are columns; the operator takes a fast loop where the columns allow ([`super::kernels`]) and otherwise
//! goes row by row through [`sql::ops`], asking for an argument only when the row form would evaluate it.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::Result as DfResult;
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_plan::PhysicalExpr;
use model::Value;
use sql::functions::{Body, Context};
use sql::ops::{self, ArithmeticOp, CompareOp, PutStep, Step};
use sql::{Class, Span};

use super::cell::{self, Cell, Fail, Source};
use super::kernels;

/// What a node does with its arguments.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Arithmetic(ArithmeticOp, Span),
    Concat(Span),
    Negate(Span),
    Compare(CompareOp, Span),
    TopicMatch(Span),
    Like {
        negated: bool,
        span: Span,
    },
    Between {
        negated: bool,
        span: Span,
    },
    /// The value, then the items.
    In {
        negated: bool,
    },
    IsNull {
        negated: bool,
    },
    And,
    Or,
    Not,
    /// The operand if there is one, then `when, then` pairs, then ELSE if there is one.
    Case {
        operand: bool,
        branches: usize,
    },
    /// The arguments, then the time of the event in milliseconds.
    Call(&'static sql::Function, Span),
    List,
    OrElse,
    GetKey(model::Str),
    /// The base and the index.
    GetIndex,
    Slice(Span),
    Range(Span),
    Put {
        path: Box<[PutStep]>,
        decode: bool,
    },
    /// Names the clause of a failure that has none yet.
    Within(Class),
}

/// See the module.
pub(super) struct Node {
    pub(super) op: Op,
    pub(super) args: Vec<Arc<dyn PhysicalExpr>>,
    /// The operator in words, its places in the text included: what makes two nodes equal.
    label: String,
}

impl Node {
    /// The expression of an operator.
    pub(super) fn expr(op: Op, args: Vec<Arc<dyn PhysicalExpr>>) -> Arc<dyn PhysicalExpr> {
        let label = format!("{op:?}");
        Arc::new(Self { op, args, label })
    }

    /// The operator for one row; `arg` evaluates an argument.
    fn apply(&self, mut arg: impl FnMut(usize) -> Cell) -> Cell {
        let failed = |span: Span| move |error: ops::OpError| Fail::new(error.0, span);
        match &self.op {
            Op::Arithmetic(op, span) => {
                let (left, right) = (arg(0)?, arg(1)?);
                ops::arithmetic(*op, &left, &right).map_err(failed(*span))
            }
            Op::Compare(op, span) => {
                let (left, right) = (arg(0)?, arg(1)?);
                ops::compare(*op, &left, &right).map(Value::Bool).map_err(failed(*span))
            }
            Op::Concat(span) => {
                let (left, right) = (arg(0)?, arg(1)?);
                ops::concat(&left, &right).map_err(failed(*span))
            }
            Op::Negate(span) => ops::negate(&arg(0)?).map_err(failed(*span)),
            Op::TopicMatch(span) => {
                let (topic, filter) = (arg(0)?, arg(1)?);
                ops::topic_matches(&topic, &filter).map(Value::Bool).map_err(failed(*span))
            }
            Op::And => {
                for place in 0..self.args.len() {
                    if !ops::is_true(&arg(place)?) {
                        return Ok(Value::Bool(false));
                    }
                }
                Ok(Value::Bool(true))
            }
            Op::Or => {
                for place in 0..self.args.len() {
                    if ops::is_true(&arg(place)?) {
                        return Ok(Value::Bool(true));
                    }
                }
                Ok(Value::Bool(false))
            }
            Op::Not => Ok(Value::Bool(arg(0)? == Value::Bool(false))),
            Op::Call(function, span) => self.call(function, *span, arg),
            Op::Within(class) => arg(0).map_err(|fail| fail.within(*class)),
            _ => self.apply_rest(arg),
        }
    }

    /// The rarer operators.
    fn apply_rest(&self, mut arg: impl FnMut(usize) -> Cell) -> Cell {
        let failed = |span: Span| move |error: ops::OpError| Fail::new(error.0, span);
        match &self.op {
            Op::Like { negated, span } => {
                let (value, pattern) = (arg(0)?, arg(1)?);
                let like = ops::like(&value, &pattern).map_err(failed(*span))?;
                Ok(Value::Bool(like.is_some_and(|like| like != *negated)))
            }
            Op::Between { negated, span } => {
                let (value, low, high) = (arg(0)?, arg(1)?, arg(2)?);
                if value.is_missing() || low.is_missing() || high.is_missing() {
                    return Ok(Value::Bool(false));
                }
                let inside = ops::compare(CompareOp::Ge, &value, &low).map_err(failed(*span))?
                    && ops::compare(CompareOp::Le, &value, &high).map_err(failed(*span))?;
                Ok(Value::Bool(inside != *negated))
            }
            Op::In { negated } => {
                let value = arg(0)?;
                let mut found = false;
                for place in 1..self.args.len() {
                    if ops::strict_eq(&value, &arg(place)?) {
                        found = true;
                        break;
                    }
                }
                Ok(Value::Bool(if value.is_missing() && !found { false } else { found != *negated }))
            }
            Op::IsNull { negated } => Ok(Value::Bool(matches!(arg(0)?, Value::Missing | Value::Null) != *negated)),
            Op::Case { operand, branches } => self.case(*operand, *branches, arg),
            Op::List => {
                let items = (0..self.args.len()).map(arg).collect::<Result<Vec<Value>, _>>()?;
                let present = |item: Value| if item.is_missing() { Value::Null } else { item };
                Ok(Value::list(items.into_iter().map(present).collect()))
            }
            Op::OrElse => match arg(0)? {
                Value::Missing => arg(1),
                value => Ok(value),
            },
            Op::GetKey(key) => Ok(ops::get(&arg(0)?, &Step::Key(key.clone()))),
            Op::GetIndex => {
                let base = arg(0)?;
                Ok(match arg(1)? {
                    Value::Int(index) => ops::get(&base, &Step::Index(index)),
                    Value::Text(key) => ops::get(&base, &Step::Key(key)),
                    _ => Value::Missing,
                })
            }
            Op::Slice(span) => {
                let (base, from, to) = (arg(0)?, arg(1)?, arg(2)?);
                ops::slice(&base, &from, &to).map_err(failed(*span))
            }
            Op::Range(span) => {
                let (from, to) = (arg(0)?, arg(1)?);
                ops::range(&from, &to).map_err(failed(*span))
            }
            Op::Put { path, decode } => {
                let (base, value) = (arg(0)?, arg(1)?);
                Ok(ops::put(base, path, value, *decode))
            }
            // Everything else is matched before; a new operator forgotten here fails its rows loudly.
            other => Err(Fail::new(format!("the operator {other:?} has no vectorised form"), Span::default())),
        }
    }

    fn call(&self, function: &'static sql::Function, span: Span, mut arg: impl FnMut(usize) -> Cell) -> Cell {
        let count = self.args.len().saturating_sub(1);
        let args = (0..count).map(&mut arg).collect::<Result<Vec<Value>, _>>()?;
        let at_ms = arg(count)?.as_int().unwrap_or_default();
        match function.body {
            Body::Call(call) => call(&Context::at_ms(at_ms), &args)
                .map_err(|error| Fail::new(format!("{}() failed: {}", function.name, error.0), span)),
            Body::Event(_) => {
                Err(Fail::new(format!("{}() was not resolved when the rule was compiled", function.name), span))
            }
        }
    }

    fn case(&self, has_operand: bool, branches: usize, mut arg: impl FnMut(usize) -> Cell) -> Cell {
        let first = usize::from(has_operand);
        let operand = if has_operand { Some(arg(0)?) } else { None };
        for branch in 0..branches {
            let when = arg(first + 2 * branch)?;
            let taken = match &operand {
                Some(operand) => ops::strict_eq(operand, &when),
                None => ops::is_true(&when),
            };
            if taken {
                return arg(first + 2 * branch + 1);
            }
        }
        let otherwise = first + 2 * branches;
        if otherwise < self.args.len() { arg(otherwise) } else { Ok(Value::Missing) }
    }
}

impl PhysicalExpr for Node {
    /// The form depends on the values of the batch, see [`cell`]; a condition is a boolean when nothing failed.
    fn data_type(&self, _: &Schema) -> DfResult<DataType> {
        Ok(DataType::Binary)
    }

    fn nullable(&self, _: &Schema) -> DfResult<bool> {
        Ok(true)
    }

    fn evaluate(&self, batch: &RecordBatch) -> DfResult<ColumnarValue> {
        let args = self.args.iter().map(|arg| arg.evaluate(batch)).collect::<DfResult<Vec<_>>>()?;
        if let Some(array) = kernels::fast(&self.op, &args) {
            return Ok(ColumnarValue::Array(array));
        }
        let rows = batch.num_rows();
        let columns = args.iter().map(Argument::of).collect::<DfResult<Vec<_>>>()?;
        let cells: Vec<Source<'_>> = (0..rows)
            .map(|row| {
                Source::Owned(self.apply(|place| match columns.get(place) {
                    Some(Argument::Column(array)) => cell::get(array.as_ref(), row),
                    Some(Argument::Constant(cell)) => cell.clone(),
                    None => Err(Fail::new("an operator lacks an argument", Span::default())),
                }))
            })
            .collect();
        Ok(ColumnarValue::Array(cell::to_array(&cells)))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        self.args.iter().collect()
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> DfResult<Arc<dyn PhysicalExpr>> {
        Ok(Self::expr(self.op.clone(), children))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An argument, ready to be asked row by row.
enum Argument {
    Column(ArrayRef),
    /// Decoded once, not once a row.
    Constant(Cell),
}

impl Argument {
    fn of(value: &ColumnarValue) -> DfResult<Self> {
        Ok(match value {
            ColumnarValue::Array(array) => Self::Column(Arc::clone(array)),
            ColumnarValue::Scalar(scalar) => {
                let array = scalar.to_array_of_size(1)?;
                Self::Constant(if array.is_empty() { Ok(Value::Missing) } else { cell::get(array.as_ref(), 0) })
            }
        })
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.label)?;
        for (place, arg) in self.args.iter().enumerate() {
            write!(f, "{}{arg}", if place > 0 { ", " } else { "" })?;
        }
        f.write_str(")")
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.label == other.label && self.args == other.args
    }
}

impl Eq for Node {}

impl Hash for Node {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.label.hash(state);
        self.args.hash(state);
    }
}
