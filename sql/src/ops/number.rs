//! Numbers: exact integers first, doubles where the operands are doubles.

use std::borrow::Cow;

use model::Value;

/// A numeric operand. Integers of more than 128 bits are only passed through and compared for equality of digits;
/// for arithmetic they become doubles.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// An exact integer.
    Int(i128),
    /// A double.
    Float(f64),
}

impl Number {
    /// The nearest double.
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Int(n) => n as f64,
            Self::Float(f) => f,
        }
    }

    /// Back to a value.
    pub fn into_value(self) -> Value {
        match self {
            Self::Int(n) => Value::integer(n),
            Self::Float(f) => Value::Float(f),
        }
    }
}

/// The number a value is, without any conversion from text.
pub fn number_of(value: &Value) -> Option<Number> {
    match value {
        Value::Int(n) => Some(Number::Int(i128::from(*n))),
        Value::Float(f) => Some(Number::Float(*f)),
        Value::Big(digits) => Some(big_number(digits)),
        _ => None,
    }
}

fn big_number(digits: &str) -> Number {
    match digits.parse::<i128>() {
        Ok(n) => Number::Int(n),
        Err(_) => Number::Float(digits.parse().unwrap_or(f64::INFINITY)),
    }
}

/// The number a text spells: an optional sign, digits, optionally a fraction and an exponent; no blanks, no `inf`,
/// no bare point.
pub fn parse_number(text: &str) -> Option<Number> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let first = unsigned.bytes().next()?;
    if !first.is_ascii_digit() {
        return None;
    }
    if unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(big_number(text.strip_prefix('+').unwrap_or(text)));
    }
    let wellformed =
        unsigned.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'-' | b'+'));
    if !wellformed || unsigned.ends_with('.') || unsigned.contains(".e") || unsigned.contains(".E") {
        return None;
    }
    text.parse::<f64>().ok().filter(|f| f.is_finite()).map(Number::Float)
}

/// A double as the shortest text that reads back as the same double; whole numbers keep a `.0`.
pub fn float_text(f: f64) -> Cow<'static, str> {
    if f == 0.0 && f.is_sign_positive() {
        return Cow::Borrowed("0.0");
    }
    Cow::Owned(format!("{f:?}"))
}
