//! Expressions over one row.

use model::Value;

use super::{Evaluator, Failure};
use crate::functions::Body;
use crate::ops::{self, CompareOp, Step};
use crate::plan::{Expr, GetStep};
use crate::span::Span;

type Result<T = Value> = std::result::Result<T, Box<Failure>>;

/// An operator's failure at a place.
fn at<T>(result: std::result::Result<T, ops::OpError>, span: Span) -> Result<T> {
    result.map_err(|error| Failure::new(error.0, span))
}

impl Evaluator<'_> {
    pub(super) fn eval(&mut self, expr: &Expr) -> Result {
        match expr {
            Expr::Read(index) => self.read(*index),
            Expr::Let(index) => self.shared_alias(*index),
            Expr::Item => Ok(self.item.clone()),
            Expr::Literal(value) => Ok(value.clone()),
            Expr::Compare { op, left, right, span } => {
                let left = self.eval(left)?;
                // The usual right side is compared where it stands.
                let compared = match right.as_ref() {
                    Expr::Literal(right) => ops::compare(*op, &left, right),
                    right => ops::compare(*op, &left, &self.eval(right)?),
                };
                at(compared, *span).map(Value::Bool)
            }
            Expr::And(items) => {
                for item in items {
                    if !ops::is_true(&self.eval(item)?) {
                        return Ok(Value::Bool(false));
                    }
                }
                Ok(Value::Bool(true))
            }
            Expr::Or(items) => {
                for item in items {
                    if ops::is_true(&self.eval(item)?) {
                        return Ok(Value::Bool(true));
                    }
                }
                Ok(Value::Bool(false))
            }
            Expr::Not(inner) => Ok(Value::Bool(self.eval(inner)? == Value::Bool(false))),
            Expr::Arithmetic { op, left, right, span } => {
                let (left, right) = (self.eval(left)?, self.eval(right)?);
                at(ops::arithmetic(*op, &left, &right), *span)
            }
            Expr::Call { function, args, span } => {
                let args = args.iter().map(|arg| self.eval(arg)).collect::<Result<Vec<Value>>>()?;
                match function.body {
                    Body::Call(call) => call(&self.context, &args)
                        .map_err(|error| Failure::new(format!("{}() failed: {}", function.name, error.0), *span)),
                    Body::Event(_) => Err(Failure::new(
                        format!("{}() was not resolved when the rule was compiled", function.name),
                        *span,
                    )),
                }
            }
            other => self.eval_rest(other),
        }
    }

    /// The rarer operators.
    fn eval_rest(&mut self, expr: &Expr) -> Result {
        match expr {
            Expr::Get { base, step, .. } => self.get(base, step),
            Expr::Slice { base, from, to, span } => {
                let (base, from, to) = (self.eval(base)?, self.eval(from)?, self.eval(to)?);
                at(ops::slice(&base, &from, &to), *span)
            }
            Expr::Range { from, to, span } => {
                let (from, to) = (self.eval(from)?, self.eval(to)?);
                at(ops::range(&from, &to), *span)
            }
            Expr::Put { base, path, value, decode, .. } => {
                let (base, value) = (self.eval(base)?, self.eval(value)?);
                Ok(ops::put(base, path, value, *decode))
            }
            Expr::OrElse { first, second } => match self.eval(first)? {
                Value::Missing => self.eval(second),
                value => Ok(value),
            },
            Expr::Concat { left, right, span } => {
                let (left, right) = (self.eval(left)?, self.eval(right)?);
                at(ops::concat(&left, &right), *span)
            }
            Expr::Negate { value, span } => {
                let value = self.eval(value)?;
                at(ops::negate(&value), *span)
            }
            Expr::IsNull { value, negated } => {
                let null = matches!(self.eval(value)?, Value::Missing | Value::Null);
                Ok(Value::Bool(null != *negated))
            }
            Expr::List(items) => {
                let items = items.iter().map(|item| self.eval(item)).collect::<Result<Vec<Value>>>()?;
                Ok(Value::list(
                    items.into_iter().map(|item| if item.is_missing() { Value::Null } else { item }).collect(),
                ))
            }
            Expr::Case { operand, branches, otherwise } => {
                self.case(operand.as_deref(), branches, otherwise.as_deref())
            }
            other => self.eval_condition(other),
        }
    }

    /// The rarer conditions.
    fn eval_condition(&mut self, expr: &Expr) -> Result {
        match expr {
            Expr::TopicMatch { topic, filter, span } => {
                let (topic, filter) = (self.eval(topic)?, self.eval(filter)?);
                at(ops::topic_matches(&topic, &filter), *span).map(Value::Bool)
            }
            Expr::Like { value, pattern, negated, span } => {
                let (value, pattern) = (self.eval(value)?, self.eval(pattern)?);
                let like = at(ops::like(&value, &pattern), *span)?;
                Ok(Value::Bool(like.is_some_and(|like| like != *negated)))
            }
            Expr::Between { value, low, high, negated, span } => {
                let (value, low, high) = (self.eval(value)?, self.eval(low)?, self.eval(high)?);
                if value.is_missing() || low.is_missing() || high.is_missing() {
                    return Ok(Value::Bool(false));
                }
                let inside = at(ops::compare(CompareOp::Ge, &value, &low), *span)?
                    && at(ops::compare(CompareOp::Le, &value, &high), *span)?;
                Ok(Value::Bool(inside != *negated))
            }
            Expr::In { value, items, negated, .. } => {
                let value = self.eval(value)?;
                let mut found = false;
                for item in items {
                    if ops::strict_eq(&value, &self.eval(item)?) {
                        found = true;
                        break;
                    }
                }
                Ok(Value::Bool(if value.is_missing() && !found { false } else { found != *negated }))
            }
            // Everything else is matched before; a new operator that is forgotten here fails its rows loudly.
            other => Err(Failure::new(format!("the operator {other:?} has no row evaluation"), Span::default())),
        }
    }

    fn shared_alias(&mut self, index: usize) -> Result {
        if let Some(Some(known)) = self.lets.get(index) {
            return Ok(known.clone());
        }
        let Some(shared) = self.plan.lets.get(index) else { return Ok(Value::Missing) };
        let value = self.eval(&shared.expr).map_err(|failure| failure.within(shared.class))?;
        if let Some(place) = self.lets.get_mut(index) {
            *place = Some(value.clone());
        }
        Ok(value)
    }

    fn get(&mut self, base: &Expr, step: &GetStep) -> Result {
        let base = self.eval(base)?;
        let step = match step {
            GetStep::Key(key) => Step::Key(key.clone()),
            GetStep::Index(index) => match self.eval(index)? {
                Value::Int(index) => Step::Index(index),
                Value::Text(key) => Step::Key(key),
                _ => return Ok(Value::Missing),
            },
        };
        Ok(ops::get(&base, &step))
    }

    fn case(&mut self, operand: Option<&Expr>, branches: &[(Expr, Expr)], otherwise: Option<&Expr>) -> Result {
        let operand = operand.map(|operand| self.eval(operand)).transpose()?;
        for (when, then) in branches {
            let when = self.eval(when)?;
            let taken = match &operand {
                Some(operand) => ops::strict_eq(operand, &when),
                None => ops::is_true(&when),
            };
            if taken {
                return self.eval(then);
            }
        }
        match otherwise {
            Some(otherwise) => self.eval(otherwise),
            None => Ok(Value::Missing),
        }
    }
}
