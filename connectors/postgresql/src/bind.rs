//! A value in PostgreSQL's binary form, as the statement's parameter type asks.
//!
//! Missing and null become NULL whatever the type. What cannot be converted without loss is an error of that row.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime};
use connector::Template;
use connector::template::Resolver;
use model::{Row, Value};
use tokio_postgres::types::{IsNull, Kind, ToSql, Type};

use crate::numeric;
use crate::sql::slot_name;

/// Microseconds between 1970-01-01 and 2000-01-01, from which PostgreSQL counts.
const EPOCH_US: i64 = 946_684_800_000_000;
/// The same in days.
const EPOCH_DAYS: i64 = 10_957;

/// One parameter, encoded; `None` is NULL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bound(pub(crate) Option<Vec<u8>>);

impl ToSql for Bound {
    fn to_sql(&self, _: &Type, out: &mut bytes::BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        Ok(match &self.0 {
            None => IsNull::Yes,
            Some(bytes) => {
                out.extend_from_slice(bytes);
                IsNull::No
            }
        })
    }

    fn accepts(_: &Type) -> bool {
        // The bytes were made for the statement's own parameter types.
        true
    }

    tokio_postgres::types::to_sql_checked!();
}

/// The parameters of one row; the error names the placeholder.
pub(crate) fn row(slots: &[Template], types: &[Type], row: &Row) -> Result<Vec<Bound>, String> {
    // Shared, so that a payload with five placeholders is decoded once.
    let mut row = Resolver::new(row);
    slots
        .iter()
        .zip(types)
        .map(|(slot, ty)| {
            encode(&slot.bind_with(&mut row), ty).map(Bound).map_err(|why| format!("{}: {why}", slot_name(slot)))
        })
        .collect()
}

/// Several rows of one parameter as one array parameter.
pub(crate) fn array<'a>(element: &Type, items: impl ExactSizeIterator<Item = &'a Bound>) -> Bound {
    let mut out = Vec::with_capacity(20 + items.len() * 12);
    let length = u32::try_from(items.len()).unwrap_or(u32::MAX);
    // One dimension, nulls allowed, lower bound 1.
    for word in [1, 1, element.oid(), length, 1] {
        out.extend(word.to_be_bytes());
    }
    for item in items {
        match &item.0 {
            None => out.extend((-1i32).to_be_bytes()),
            Some(bytes) => {
                out.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
                out.extend_from_slice(bytes);
            }
        }
    }
    Bound(Some(out))
}

/// The binary form of `value` for a parameter of type `ty`.
pub(crate) fn encode(value: &Value, ty: &Type) -> Result<Option<Vec<u8>>, String> {
    if matches!(value, Value::Missing | Value::Null) {
        return Ok(None);
    }
    let cannot = || format!("cannot store {} {} as {ty}", value.kind_name(), shown(value));
    let bytes = match ty.kind() {
        Kind::Domain(base) => return encode(value, base),
        Kind::Enum(_) => text(value).map(String::into_bytes),
        Kind::Array(element) => {
            return list(value, element).map(|bound| bound.0).map_err(|why| format!("{}: {why}", cannot()));
        }
        _ => match *ty {
            Type::BOOL => boolean(value).map(|b| vec![u8::from(b)]),
            Type::INT2 => integer(value).and_then(|n| i16::try_from(n).ok()).map(|n| n.to_be_bytes().to_vec()),
            Type::INT4 => integer(value).and_then(|n| i32::try_from(n).ok()).map(|n| n.to_be_bytes().to_vec()),
            Type::INT8 => integer(value).map(|n| n.to_be_bytes().to_vec()),
            Type::OID => integer(value).and_then(|n| u32::try_from(n).ok()).map(|n| n.to_be_bytes().to_vec()),
            Type::FLOAT4 => float(value).map(single).map(|f| f.to_be_bytes().to_vec()),
            Type::FLOAT8 => float(value).map(|f| f.to_be_bytes().to_vec()),
            Type::NUMERIC => number_text(value).and_then(|digits| numeric::encode(&digits)),
            Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN | Type::XML => {
                text(value).map(String::into_bytes)
            }
            Type::JSON => json(value).map(String::into_bytes),
            // The leading 1 is the version of the binary form.
            Type::JSONB => json(value).map(|json| [&[1], json.as_bytes()].concat()),
            Type::BYTEA => match value {
                Value::Bytes(bytes) => Some(bytes.to_vec()),
                other => text(other).map(String::into_bytes),
            },
            Type::TIMESTAMPTZ | Type::TIMESTAMP => {
                timestamp_us(value).and_then(|us| us.checked_sub(EPOCH_US)).map(|us| us.to_be_bytes().to_vec())
            }
            Type::DATE => days(value).map(|days| days.to_be_bytes().to_vec()),
            Type::TIME => time_us(value).map(|us| us.to_be_bytes().to_vec()),
            Type::UUID => value.as_text().and_then(uuid),
            _ => {
                return Err(format!(
                    "the type {ty} is not supported as a parameter; write a cast by way of text, such as ${{x}}::text::{ty}"
                ));
            }
        },
    };
    bytes.map(Some).ok_or_else(cannot)
}

fn list(value: &Value, element: &Type) -> Result<Bound, String> {
    let Value::List(items) = value else { return Err("it is no list".to_owned()) };
    let items = items.iter().map(|item| encode(item, element).map(Bound)).collect::<Result<Vec<_>, _>>()?;
    if items.is_empty() {
        // An empty array has no dimension.
        return Ok(Bound(Some([0, 0, element.oid()].iter().flat_map(|word: &u32| word.to_be_bytes()).collect())));
    }
    Ok(array(element, items.iter()))
}

fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(b) => Some(*b),
        Value::Int(n @ (0 | 1)) => Some(*n == 1),
        Value::Text(text) => match text.to_ascii_lowercase().as_str() {
            "true" | "t" | "on" | "yes" | "1" => Some(true),
            "false" | "f" | "off" | "no" | "0" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Int(n) => Some(*n),
        // A flag such as retain into an integer column, as in manual section 8.2.
        Value::Bool(b) => Some(i64::from(*b)),
        Value::Float(f) => whole(*f),
        Value::Text(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// The integer a float is, if it is one; doubles hold every integer up to 2^53 exactly.
fn whole(f: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "the bounds were checked, and the fraction is zero")]
    (f.fract() == 0.0 && f.abs() <= EXACT).then_some(f as i64)
}

fn float(value: &Value) -> Option<f64> {
    match value {
        Value::Float(f) => Some(*f),
        Value::Int(_) | Value::Big(_) => number_text(value)?.parse().ok(),
        Value::Text(text) => text.trim().parse().ok(),
        Value::Bool(b) => Some(f64::from(u8::from(*b))),
        _ => None,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the column has single precision; rounding is what its type means")]
fn single(f: f64) -> f32 {
    f as f32
}

fn number_text(value: &Value) -> Option<String> {
    match value {
        Value::Int(n) => Some(n.to_string()),
        Value::Big(digits) => Some(digits.to_string()),
        Value::Float(f) if f.is_finite() || f.is_nan() => Some(f.to_string()),
        Value::Text(text) => Some(text.trim().to_owned()),
        Value::Bool(b) => Some(u8::from(*b).to_string()),
        _ => None,
    }
}

/// Text for a text column. PostgreSQL text holds no NUL, and bytes that are no UTF-8 belong into bytea.
fn text(value: &Value) -> Option<String> {
    let text = match value {
        Value::Text(text) => text.to_string(),
        Value::Bytes(bytes) => std::str::from_utf8(bytes).ok()?.to_owned(),
        Value::Float(f) => f.to_string(),
        other => other.to_json().to_string(),
    };
    (!text.contains('\0')).then_some(text)
}

/// A JSON document. Text that is a JSON object or list is that document (a payload passed through); other text is a
/// JSON string.
fn json(value: &Value) -> Option<String> {
    let raw = match value {
        Value::Text(text) => Some(text.as_str()),
        Value::Bytes(bytes) => Some(std::str::from_utf8(bytes).ok()?),
        _ => None,
    };
    match raw {
        Some(raw)
            if raw.trim_start().starts_with(['{', '['])
                && serde_json::from_str::<&serde_json::value::RawValue>(raw).is_ok() =>
        {
            Some(raw.to_owned())
        }
        _ => Some(value.to_json().to_string()),
    }
}

/// Microseconds since 1970: a number is milliseconds since 1970, text is RFC 3339 or `YYYY-MM-DD HH:MM:SS[.f]` in UTC.
fn timestamp_us(value: &Value) -> Option<i64> {
    match value {
        Value::Int(ms) => ms.checked_mul(1000),
        Value::Float(ms) => whole((ms * 1000.0).round()),
        Value::Text(text) => {
            let text = text.trim();
            if let Ok(ms) = text.parse::<i64>() {
                return ms.checked_mul(1000);
            }
            DateTime::parse_from_rfc3339(text).map(|moment| moment.timestamp_micros()).ok().or_else(|| {
                ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f"]
                    .iter()
                    .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
                    .map(|moment| moment.and_utc().timestamp_micros())
            })
        }
        _ => None,
    }
}

fn days(value: &Value) -> Option<i32> {
    let date = value.as_text().and_then(|text| NaiveDate::parse_from_str(text.trim(), "%Y-%m-%d").ok());
    let since_1970 = match date {
        Some(date) => date.signed_duration_since(NaiveDate::default()).num_days(),
        None => timestamp_us(value)?.div_euclid(86_400_000_000),
    };
    i32::try_from(since_1970 - EPOCH_DAYS).ok()
}

fn time_us(value: &Value) -> Option<i64> {
    let text = value.as_text()?.trim();
    let time = ["%H:%M:%S%.f", "%H:%M"].iter().find_map(|format| NaiveTime::parse_from_str(text, format).ok())?;
    time.signed_duration_since(NaiveTime::MIN).num_microseconds()
}

fn uuid(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> =
        text.trim().chars().filter(|c| !matches!(c, '-' | '{' | '}')).map(|c| c.to_digit(16)).collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits
        .chunks_exact(2)
        .filter_map(|pair| match pair {
            [high, low] => u8::try_from(high * 16 + low).ok(),
            _ => None,
        })
        .collect();
    (digits.len() == 32 && bytes.len() == 16).then_some(bytes)
}

/// A short form for messages; a payload can be megabytes.
fn shown(value: &Value) -> String {
    let text = value.to_json().to_string();
    match text.char_indices().nth(60) {
        Some((cut, _)) => format!("{}…", text.get(..cut).unwrap_or_default()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: Value, ty: Type, expect: Result<&[u8], &str>) {
        let got = encode(&value, &ty);
        match (&got, expect) {
            (Ok(Some(bytes)), Ok(expect)) => assert_eq!(bytes.as_slice(), expect, "{value:?} as {ty}"),
            (Err(why), Err(expect)) => assert!(why.contains(expect), "{value:?} as {ty}: {why}"),
            _ => panic!("{value:?} as {ty}: {got:?}"),
        }
    }

    #[test]
    fn values_take_the_form_of_the_parameter() {
        check(Value::from(true), Type::BOOL, Ok(&[1]));
        check(Value::from(1), Type::BOOL, Ok(&[1]));
        check(Value::from(2), Type::BOOL, Err("cannot store integer 2 as bool"));
        check(Value::from(-2), Type::INT2, Ok(&[0xff, 0xfe]));
        check(Value::from(40_000), Type::INT2, Err("cannot store integer 40000 as int2"));
        check(Value::from(true), Type::INT4, Ok(&[0, 0, 0, 1]));
        check(Value::from(3.0), Type::INT4, Ok(&[0, 0, 0, 3]));
        check(Value::from(3.5), Type::INT4, Err("cannot store float 3.5 as int4"));
        check(Value::from("12"), Type::INT8, Ok(&[0, 0, 0, 0, 0, 0, 0, 12]));
        check(Value::from("x"), Type::INT8, Err("cannot store text \"x\" as int8"));
        check(Value::from(1.5), Type::FLOAT8, Ok(&1.5f64.to_be_bytes()));
        check(Value::from(7), Type::FLOAT8, Ok(&7f64.to_be_bytes()));
        check(Value::from(31.5), Type::TEXT, Ok(b"31.5"));
        check(Value::from(7), Type::VARCHAR, Ok(b"7"));
        check(Value::from("a\0b"), Type::TEXT, Err("as text"));
        check(Value::Bytes(vec![0xff, 0].into()), Type::TEXT, Err("as text"));
        check(Value::Bytes(vec![0xff, 0].into()), Type::BYTEA, Ok(&[0xff, 0]));
        check(Value::map([("a", Value::from(1))]), Type::TEXT, Ok(br#"{"a":1}"#));
        check(Value::map([("a", Value::from(1))]), Type::JSONB, Ok(b"\x01{\"a\":1}"));
        check(Value::from(r#"{"a": 1}"#), Type::JSON, Ok(br#"{"a": 1}"#));
        check(Value::from("31"), Type::JSON, Ok(b"\"31\""));
        check(Value::from("{no"), Type::JSON, Ok(b"\"{no\""));
        check(Value::from(946_684_800_001), Type::TIMESTAMPTZ, Ok(&1000i64.to_be_bytes()));
        check(Value::from("2000-01-01T01:00:00+01:00"), Type::TIMESTAMPTZ, Ok(&0i64.to_be_bytes()));
        check(Value::from("2000-01-01 00:00:00.5"), Type::TIMESTAMP, Ok(&500_000i64.to_be_bytes()));
        check(Value::from("yesterday"), Type::TIMESTAMP, Err("cannot store text \"yesterday\" as timestamp"));
        check(Value::from("2000-01-02"), Type::DATE, Ok(&[0, 0, 0, 1]));
        check(Value::from("00:00:01"), Type::TIME, Ok(&1_000_000i64.to_be_bytes()));
        check(
            Value::from("00000000-0000-0000-0000-0000000000ff"),
            Type::UUID,
            Ok(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255]),
        );
        check(Value::from("00ff"), Type::UUID, Err("as uuid"));
        check(Value::from("10.0.0.1"), Type::INET, Err("${x}::text::inet"));
        check(Value::list(vec![]), Type::INT4_ARRAY, Ok(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 23]));
        check(Value::list(vec![Value::from("x")]), Type::INT4_ARRAY, Err("as int4"));
    }

    #[test]
    fn missing_and_null_are_null_for_every_type() {
        for ty in [Type::BOOL, Type::INT4, Type::TEXT, Type::JSONB, Type::INET, Type::INT4_ARRAY] {
            assert_eq!(encode(&Value::Missing, &ty), Ok(None));
            assert_eq!(encode(&Value::Null, &ty), Ok(None));
        }
    }
}
