//! Comparison, its order across kinds, strict equality and truth.

use std::cmp::Ordering;

use model::Value;

use super::{Number, OpError, number_of, parse_number, show};

/// A comparison operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say the operator")]
pub enum CompareOp {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

impl CompareOp {
    /// As written.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Eq => "=",
            Self::Ne => "!=",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Gt => ">",
            Self::Ge => ">=",
        }
    }

    /// Whether an ordering satisfies the operator.
    pub fn accepts(self, ordering: Ordering) -> bool {
        match self {
            Self::Eq => ordering.is_eq(),
            Self::Ne => ordering.is_ne(),
            Self::Lt => ordering.is_lt(),
            Self::Le => ordering.is_le(),
            Self::Gt => ordering.is_gt(),
            Self::Ge => ordering.is_ge(),
        }
    }
}

/// Whether a condition holds: only of `true` itself.
pub fn is_true(value: &Value) -> bool {
    matches!(value, Value::Bool(true))
}

/// `left op right`. Missing against present is false for every operator; a number against text reads the text as a
/// number and fails when it is none; a boolean or null against text compares as text.
pub fn compare(op: CompareOp, left: &Value, right: &Value) -> Result<bool, OpError> {
    match (left, right) {
        (Value::Int(a), Value::Int(b)) => Ok(op.accepts(a.cmp(b))),
        (Value::Text(a), Value::Text(b)) => Ok(op.accepts(a.as_bytes().cmp(b.as_bytes()))),
        (Value::Missing, Value::Missing) => Ok(op.accepts(Ordering::Equal)),
        (Value::Missing, _) | (_, Value::Missing) => Ok(false),
        (Value::Int(_) | Value::Float(_) | Value::Big(_), Value::Text(text)) => {
            Ok(op.accepts(order_numbers(number(left)?, read_number(text)?)))
        }
        (Value::Text(text), Value::Int(_) | Value::Float(_) | Value::Big(_)) => {
            Ok(op.accepts(order_numbers(read_number(text)?, number(right)?)))
        }
        (Value::Bool(_) | Value::Null, Value::Text(text)) => Ok(op.accepts(word(left).as_bytes().cmp(text.as_bytes()))),
        (Value::Text(text), Value::Bool(_) | Value::Null) => {
            Ok(op.accepts(text.as_bytes().cmp(word(right).as_bytes())))
        }
        _ => Ok(op.accepts(order(left, right))),
    }
}

fn number(value: &Value) -> Result<Number, OpError> {
    number_of(value).ok_or_else(|| OpError(format!("{} is not a number", show(value))))
}

fn read_number(text: &str) -> Result<Number, OpError> {
    parse_number(text).ok_or_else(|| {
        OpError(format!("cannot compare a number with the text {}, which is no number", show(&Value::text(text))))
    })
}

fn word(value: &Value) -> &'static str {
    match value {
        Value::Bool(true) => "true",
        Value::Bool(false) => "false",
        _ => "null",
    }
}

fn order_numbers(a: Number, b: Number) -> Ordering {
    match (a, b) {
        (Number::Int(a), Number::Int(b)) => a.cmp(&b),
        (Number::Float(a), Number::Float(b)) => a.total_cmp(&b).then(Ordering::Equal).pipe_zero(a, b),
        (Number::Int(a), Number::Float(b)) => order_int_float(a, b),
        (Number::Float(a), Number::Int(b)) => order_int_float(b, a).reverse(),
    }
}

trait ZeroIsZero {
    fn pipe_zero(self, a: f64, b: f64) -> Ordering;
}

impl ZeroIsZero for Ordering {
    /// `total_cmp` puts -0.0 before 0.0; in the language they are equal.
    fn pipe_zero(self, a: f64, b: f64) -> Ordering {
        if a == b { Self::Equal } else { self }
    }
}

/// An integer against a double, exactly: no rounding of integers above 2^53.
fn order_int_float(a: i128, b: f64) -> Ordering {
    // Within 2^53 every integer is a double, and comparing doubles is exact. NaN has no order and goes on below.
    const EXACT: i128 = 1 << 53;
    if (-EXACT..=EXACT).contains(&a)
        && let Some(ordering) = (a as f64).partial_cmp(&b)
    {
        return ordering;
    }
    if b.is_nan() {
        return Ordering::Less;
    }
    if b >= 1.7e38 {
        return Ordering::Less;
    }
    if b <= -1.7e38 {
        return Ordering::Greater;
    }
    let whole = b.trunc();
    a.cmp(&(whole as i128)).then_with(|| 0.0_f64.partial_cmp(&(b - whole)).unwrap_or(Ordering::Equal))
}

/// The order of any two present values: numbers, then booleans and null (as words), maps, lists, text and bytes.
/// Numbers compare by value, text bytewise, lists item by item, maps by size, then keys, then values.
pub fn order(left: &Value, right: &Value) -> Ordering {
    if let (Some(a), Some(b)) = (number_of(left), number_of(right)) {
        if let (Value::Big(a), Value::Big(b)) = (left, right)
            && a == b
        {
            return Ordering::Equal;
        }
        return order_numbers(a, b);
    }
    match (left, right) {
        (Value::Bool(_) | Value::Null, Value::Bool(_) | Value::Null) => word(left).cmp(word(right)),
        (Value::List(a), Value::List(b)) => {
            for (x, y) in a.iter().zip(b.iter()) {
                let ordering = order(x, y);
                if ordering.is_ne() {
                    return ordering;
                }
            }
            a.len().cmp(&b.len())
        }
        (Value::Map(a), Value::Map(b)) => order_maps(a, b),
        _ => match (bytes_of(left), bytes_of(right)) {
            (Some(a), Some(b)) => a.cmp(b),
            _ => rank(left).cmp(&rank(right)),
        },
    }
}

fn order_maps(a: &model::Map, b: &model::Map) -> Ordering {
    let by_size = a.len().cmp(&b.len());
    if by_size.is_ne() {
        return by_size;
    }
    let (mut left, mut right): (Vec<_>, Vec<_>) = (a.iter().collect(), b.iter().collect());
    left.sort_by(|x, y| x.0.cmp(y.0));
    right.sort_by(|x, y| x.0.cmp(y.0));
    let by_keys = left.iter().map(|pair| pair.0).cmp(right.iter().map(|pair| pair.0));
    if by_keys.is_ne() {
        return by_keys;
    }
    left.iter().zip(&right).map(|(x, y)| order(x.1, y.1)).find(|ordering| ordering.is_ne()).unwrap_or(Ordering::Equal)
}

fn bytes_of(value: &Value) -> Option<&[u8]> {
    match value {
        Value::Text(text) => Some(text.as_bytes()),
        Value::Bytes(bytes) => Some(bytes),
        _ => None,
    }
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Missing => 0,
        Value::Int(_) | Value::Big(_) | Value::Float(_) => 1,
        Value::Bool(_) | Value::Null => 2,
        Value::Map(_) => 3,
        Value::List(_) => 4,
        Value::Text(_) | Value::Bytes(_) => 5,
    }
}

/// Strict equality, of IN, `CASE e WHEN` and `contains`: 1 is not 1.0, text is never read as a number.
pub fn strict_eq(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b.iter()).all(|(x, y)| strict_eq(x, y)),
        (Value::Map(a), Value::Map(b)) => {
            a.len() == b.len() && a.iter().all(|(key, x)| b.get(key).is_some_and(|y| strict_eq(x, y)))
        }
        (Value::Text(_) | Value::Bytes(_), Value::Text(_) | Value::Bytes(_)) => bytes_of(left) == bytes_of(right),
        _ => left == right,
    }
}
