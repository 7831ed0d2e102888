//! Dynamic values into typed cells: which type a column gets, and whether a value fits it without loss.
//!
//! Invariant: a value that is stored reads back as the same value; what would lose something is refused.

use arrow::datatypes::{DataType, TimeUnit};
use bytes::Bytes;
use chrono::{DateTime, NaiveDate};
use model::{Str, Value};

/// The column types weir writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    Long,
    Double,
    Text,
    Binary,
    /// Microseconds, UTC.
    Timestamp,
    Date,
    /// A type some other writer chose; weir can only leave such a column null.
    Other(DataType),
}

/// Integers of this size and below are exact in a double.
pub(crate) const DOUBLE_EXACT_MAX: i64 = 1 << 53;

impl Kind {
    /// The words of the `columns` setting.
    pub(crate) const NAMES: [&'static str; 7] = ["boolean", "bigint", "double", "text", "binary", "timestamp", "date"];

    pub(crate) fn parse(word: &str) -> Option<Self> {
        Some(match word.to_ascii_lowercase().as_str() {
            "boolean" | "bool" => Self::Bool,
            "bigint" | "int" | "integer" | "long" | "int64" => Self::Long,
            "double" | "float" | "float64" => Self::Double,
            "text" | "string" | "varchar" | "json" => Self::Text,
            "binary" | "bytes" | "bytea" => Self::Binary,
            "timestamp" | "timestamptz" => Self::Timestamp,
            "date" => Self::Date,
            _ => return None,
        })
    }

    /// The word for messages.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Bool => "boolean".to_owned(),
            Self::Long => "bigint".to_owned(),
            Self::Double => "double".to_owned(),
            Self::Text => "text".to_owned(),
            Self::Binary => "binary".to_owned(),
            Self::Timestamp => "timestamp".to_owned(),
            Self::Date => "date".to_owned(),
            Self::Other(other) => other.to_string(),
        }
    }

    pub(crate) fn arrow(&self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Long => DataType::Int64,
            Self::Double => DataType::Float64,
            Self::Text => DataType::Utf8,
            Self::Binary => DataType::Binary,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Date => DataType::Date32,
            Self::Other(other) => other.clone(),
        }
    }

    pub(crate) fn from_arrow(data_type: &DataType) -> Self {
        match data_type {
            DataType::Boolean => Self::Bool,
            DataType::Int64 => Self::Long,
            DataType::Float64 => Self::Double,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Self::Text,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Self::Binary,
            DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => Self::Timestamp,
            DataType::Date32 => Self::Date,
            other => Self::Other(other.clone()),
        }
    }

    /// The type a value asks for; `None` when it says nothing.
    pub(crate) fn of(value: &Value) -> Option<Self> {
        Some(match value {
            Value::Missing | Value::Null => return None,
            Value::Bool(_) => Self::Bool,
            Value::Int(_) => Self::Long,
            Value::Float(_) => Self::Double,
            Value::Bytes(_) => Self::Binary,
            // Integers beyond 64 bits keep every digit only as text; lists and maps are JSON text.
            Value::Big(_) | Value::Text(_) | Value::List(_) | Value::Map(_) => Self::Text,
        })
    }

    /// The type that holds the values of both within one first batch.
    pub(crate) fn merge(self, other: Self) -> Self {
        match (self, other) {
            (a, b) if a == b => a,
            (Self::Long, Self::Double) | (Self::Double, Self::Long) => Self::Double,
            (Self::Binary, Self::Text) | (Self::Text, Self::Binary) => Self::Binary,
            _ => Self::Text,
        }
    }
}

/// One value in the type of its column.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    Null,
    Bool(bool),
    Long(i64),
    Double(f64),
    Text(Str),
    Binary(Bytes),
    Micros(i64),
    Days(i32),
}

/// The value as a cell of type `kind`; the error says why not.
pub(crate) fn cast(value: &Value, kind: &Kind) -> Result<Cell, &'static str> {
    if matches!(value, Value::Missing | Value::Null) {
        return Ok(Cell::Null);
    }
    match kind {
        Kind::Bool => to_bool(value),
        Kind::Long => to_long(value),
        Kind::Double => to_double(value),
        Kind::Text => to_text(value),
        Kind::Binary => match value {
            Value::Bytes(bytes) => Ok(Cell::Binary(bytes.clone())),
            Value::Text(text) => Ok(Cell::Binary(Bytes::copy_from_slice(text.as_bytes()))),
            _ => Err("only bytes and text can be stored there"),
        },
        Kind::Timestamp => to_timestamp(value),
        Kind::Date => to_date(value),
        Kind::Other(_) => Err("weir does not write this type, only null can be stored there"),
    }
}

fn to_bool(value: &Value) -> Result<Cell, &'static str> {
    match value {
        Value::Bool(b) => Ok(Cell::Bool(*b)),
        Value::Text(text) if *text == "true" => Ok(Cell::Bool(true)),
        Value::Text(text) if *text == "false" => Ok(Cell::Bool(false)),
        _ => Err("only true and false can be stored there"),
    }
}

fn to_long(value: &Value) -> Result<Cell, &'static str> {
    match value {
        Value::Int(n) => Ok(Cell::Long(*n)),
        Value::Big(_) => Err("the number has more than 64 bits"),
        // Strictly below 2^63: i64::MAX itself is not a double, so `as` cannot saturate here.
        Value::Float(f)
            if f.fract() == 0.0 && *f >= -9_223_372_036_854_775_808.0 && *f < 9_223_372_036_854_775_808.0 =>
        {
            Ok(Cell::Long(*f as i64))
        }
        Value::Float(_) => Err("the number has a fraction"),
        Value::Text(text) => text.trim().parse().map(Cell::Long).map_err(|_| "the text is no whole number of 64 bits"),
        _ => Err("only whole numbers can be stored there"),
    }
}

fn to_double(value: &Value) -> Result<Cell, &'static str> {
    match value {
        Value::Float(f) => Ok(Cell::Double(*f)),
        Value::Int(n) if (-DOUBLE_EXACT_MAX..=DOUBLE_EXACT_MAX).contains(n) => Ok(Cell::Double(*n as f64)),
        Value::Int(_) | Value::Big(_) => Err("the whole number is too large to be exact there"),
        Value::Text(text) => match text.trim().parse::<f64>() {
            Ok(f) if f.is_finite() => Ok(Cell::Double(f)),
            _ => Err("the text is no number"),
        },
        _ => Err("only numbers can be stored there"),
    }
}

fn to_text(value: &Value) -> Result<Cell, &'static str> {
    match value {
        Value::Text(text) | Value::Big(text) => Ok(Cell::Text(text.clone())),
        Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Cell::Text(Str::new(text))),
            Err(_) => Err("the bytes are not UTF-8 text"),
        },
        other => Ok(Cell::Text(Str::from(other.to_json().to_string()))),
    }
}

fn to_timestamp(value: &Value) -> Result<Cell, &'static str> {
    match value {
        Value::Int(ms) => ms.checked_mul(1_000).map(Cell::Micros).ok_or("the milliseconds are out of range"),
        Value::Text(text) => DateTime::parse_from_rfc3339(text)
            .map(|at| Cell::Micros(at.timestamp_micros()))
            .map_err(|_| "the text is no RFC 3339 time such as 2026-01-31T12:00:00Z"),
        _ => Err("only milliseconds since 1970 and RFC 3339 text can be stored there"),
    }
}

fn to_date(value: &Value) -> Result<Cell, &'static str> {
    let date = match value {
        Value::Int(ms) => DateTime::from_timestamp_millis(*ms).map(|at| at.date_naive()),
        Value::Text(text) => NaiveDate::parse_from_str(text, "%Y-%m-%d").ok(),
        _ => None,
    };
    let days = date.and_then(|date| i32::try_from(date.signed_duration_since(NaiveDate::default()).num_days()).ok());
    days.map(Cell::Days).ok_or("only milliseconds since 1970 and dates such as 2026-01-31 can be stored there")
}
