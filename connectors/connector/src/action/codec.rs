//! Records as bytes, for disk queues and dead letters.
//!
//! Layout: a version byte, then the values rule, id, at_ms, passed rules and event (missing where it was not kept) in
//! the form of [`model::codec`], then the row.

use std::sync::Arc;

use model::codec::{DecodeError, decode_row, decode_value, encode_row, encode_value};
use model::{Str, Value};

use crate::Record;

const VERSION: u8 = 1;

/// Appends `record` to `out`.
pub(crate) fn encode_record(record: &Record, out: &mut Vec<u8>) {
    out.push(VERSION);
    encode_value(&Value::Text(record.rule.clone()), out);
    encode_value(&Value::Text(record.id.clone()), out);
    encode_value(&Value::Int(record.at_ms), out);
    encode_value(&Value::list(record.passed_rules.iter().cloned().map(Value::Text).collect()), out);
    encode_value(record.event.as_deref().unwrap_or(&Value::Missing), out);
    encode_row(&record.row, out);
}

/// Reads one record from the front of `input` and advances it.
pub(crate) fn decode_record(input: &mut &[u8]) -> Result<Record, DecodeError> {
    let (version, rest) = input.split_first().ok_or(DecodeError::Truncated)?;
    if *version != VERSION {
        return Err(DecodeError::Corrupt);
    }
    *input = rest;
    let rule = text(input)?;
    let id = text(input)?;
    let Value::Int(at_ms) = decode_value(input)? else { return Err(DecodeError::Corrupt) };
    let Value::List(passed) = decode_value(input)? else { return Err(DecodeError::Corrupt) };
    let passed = passed
        .iter()
        .map(|rule| match rule {
            Value::Text(rule) => Ok(rule.clone()),
            _ => Err(DecodeError::Corrupt),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let event = match decode_value(input)? {
        Value::Missing => None,
        event => Some(Arc::new(event)),
    };
    let row = decode_row(input)?;
    Ok(Record { row, rule, id, at_ms, event, passed_rules: Arc::new(passed) })
}

fn text(input: &mut &[u8]) -> Result<Str, DecodeError> {
    match decode_value(input)? {
        Value::Text(text) => Ok(text),
        _ => Err(DecodeError::Corrupt),
    }
}

/// What a record counts against a memory queue's `bytes_max`: about what it would be on disk. Names are shared by all
/// rows of a rule and are not counted.
pub(crate) fn record_bytes(record: &Record) -> u64 {
    let fixed = 64 + record.id.len();
    let values: usize = record.row.values.iter().map(value_bytes).sum();
    (fixed + values + record.event.as_deref().map_or(0, value_bytes)) as u64
}

fn value_bytes(value: &Value) -> usize {
    9 + match value {
        Value::Text(text) | Value::Big(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::List(items) => items.iter().map(value_bytes).sum(),
        Value::Map(map) => map.iter().map(|(key, item)| key.len() + value_bytes(item)).sum(),
        Value::Missing | Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use model::Row;

    use super::*;

    #[test]
    fn records_round_trip_and_truncations_are_errors() {
        let record = Record {
            row: Row::from_pairs([("a", Value::Int(1)), ("b", Value::Bytes(vec![0xff].into())), ("c", Value::Missing)]),
            rule: Str::new("rule:1"),
            id: Str::new("0A/0"),
            at_ms: 1_700_000_000_000,
            event: Some(Arc::new(Value::map([("topic", Value::text("t/ü"))]))),
            passed_rules: Arc::new(vec![Str::new("rule:0")]),
        };
        for record in [Record { event: None, passed_rules: Arc::default(), ..record.clone() }, record] {
            let mut bytes = Vec::new();
            encode_record(&record, &mut bytes);
            assert_eq!(decode_record(&mut bytes.as_slice()), Ok(record));
            for end in 0..bytes.len() {
                assert!(decode_record(&mut &bytes[..end]).is_err());
            }
        }
    }
}
