//! `+ - * / div mod`, `||` and unary minus.

use model::Value;

use super::{Number, OpError, number_of, show, text_of};

/// An arithmetic operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ArithmeticOp {
    /// `+`: a sum, or a concatenation when a side is text.
    Add,
    /// `-`.
    Subtract,
    /// `*`.
    Multiply,
    /// `/`: always a float.
    Divide,
    /// `div`: integers, truncating toward zero.
    Div,
    /// `mod`: integers, the sign of the dividend.
    Mod,
}

impl ArithmeticOp {
    /// As written.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Div => "div",
            Self::Mod => "mod",
        }
    }
}

/// `left op right`. Numbers only, but `+` also concatenates when a side is text.
pub fn arithmetic(op: ArithmeticOp, left: &Value, right: &Value) -> Result<Value, OpError> {
    // The common case first: two small integers that stay small.
    if let (Value::Int(a), Value::Int(b)) = (left, right) {
        let small = match op {
            ArithmeticOp::Add => a.checked_add(*b),
            ArithmeticOp::Subtract => a.checked_sub(*b),
            ArithmeticOp::Multiply => a.checked_mul(*b),
            _ => None,
        };
        if let Some(n) = small {
            return Ok(Value::Int(n));
        }
    }
    match (number_of(left), number_of(right)) {
        (Some(a), Some(b)) => numbers(op, a, b),
        _ if op == ArithmeticOp::Add && (is_texty(left) || is_texty(right)) => add_text(left, right),
        _ => Err(operands(op.symbol(), left, right)),
    }
}

fn is_texty(value: &Value) -> bool {
    matches!(value, Value::Text(_) | Value::Bytes(_))
}

fn add_text(left: &Value, right: &Value) -> Result<Value, OpError> {
    if left.is_missing() || right.is_missing() {
        return Err(operands("+", left, right));
    }
    join(left, right)
}

fn join(left: &Value, right: &Value) -> Result<Value, OpError> {
    if let (Ok(a), Ok(b)) = (text_of(left), text_of(right)) {
        let mut joined = String::with_capacity(a.len() + b.len());
        joined.push_str(&a);
        joined.push_str(&b);
        return Ok(Value::text(joined));
    }
    let mut joined = super::binary_of(left)?.to_vec();
    joined.extend_from_slice(&super::binary_of(right)?);
    Ok(Value::Bytes(joined.into()))
}

/// `left || right`: both as text; null when a side is null or missing, as in standard SQL.
pub fn concat(left: &Value, right: &Value) -> Result<Value, OpError> {
    match (left, right) {
        (Value::Missing | Value::Null, _) | (_, Value::Missing | Value::Null) => Ok(Value::Null),
        _ => join(left, right),
    }
}

/// `-value`.
pub fn negate(value: &Value) -> Result<Value, OpError> {
    match number_of(value) {
        Some(Number::Int(n)) => n.checked_neg().map(Value::integer).ok_or_else(overflow),
        Some(Number::Float(f)) => Ok(Value::Float(-f)),
        None => Err(OpError(format!("cannot negate {} ({})", show(value), value.kind_name()))),
    }
}

fn numbers(op: ArithmeticOp, a: Number, b: Number) -> Result<Value, OpError> {
    match (op, a, b) {
        (ArithmeticOp::Divide, _, _) => {
            if b.as_f64() == 0.0 {
                return Err(OpError::new("division by zero"));
            }
            finite(a.as_f64() / b.as_f64())
        }
        (ArithmeticOp::Div | ArithmeticOp::Mod, Number::Int(_), Number::Int(0)) => {
            Err(OpError(format!("{} by zero", op.symbol())))
        }
        (ArithmeticOp::Div | ArithmeticOp::Mod, Number::Int(a), Number::Int(b)) => {
            let result = if op == ArithmeticOp::Div { a.checked_div(b) } else { a.checked_rem(b) };
            result.map(Value::integer).ok_or_else(overflow)
        }
        (ArithmeticOp::Div | ArithmeticOp::Mod, _, _) => {
            Err(OpError(format!("{} works on integers, not on floats", op.symbol())))
        }
        (_, Number::Int(a), Number::Int(b)) => {
            let result = match op {
                ArithmeticOp::Add => a.checked_add(b),
                ArithmeticOp::Subtract => a.checked_sub(b),
                _ => a.checked_mul(b),
            };
            result.map(Value::integer).ok_or_else(overflow)
        }
        _ => {
            let (a, b) = (a.as_f64(), b.as_f64());
            finite(match op {
                ArithmeticOp::Add => a + b,
                ArithmeticOp::Subtract => a - b,
                _ => a * b,
            })
        }
    }
}

fn finite(f: f64) -> Result<Value, OpError> {
    if f.is_finite() { Ok(Value::Float(f)) } else { Err(OpError::new("the result is too large for a float")) }
}

fn overflow() -> OpError {
    OpError::new("the result is too large for an exact integer")
}

fn operands(symbol: &str, left: &Value, right: &Value) -> OpError {
    OpError(format!(
        "{symbol} needs numbers, got {} ({}) and {} ({})",
        show(left),
        left.kind_name(),
        show(right),
        right.kind_name()
    ))
}
