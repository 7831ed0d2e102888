//! A compact binary form of values and rows, for queues and dead letters on disk.
//!
//! Layout (little endian): a tag byte, then the content; lengths are unsigned LEB128. The first byte of a row is the
//! format version. Decoding never allocates from a declared length: it grows as bytes are really there.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::{Map, Row, Str, Value};

const ROW_VERSION: u8 = 1;
/// Values may nest this deep; the JSON decoder has the same bound.
pub const DEPTH_MAX: usize = 128;

/// Why bytes are not a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The bytes end inside a value.
    Truncated,
    /// An unknown tag, version, or text that is not UTF-8.
    Corrupt,
    /// Nested deeper than [`DEPTH_MAX`].
    TooDeep,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "the stored value ends early",
            Self::Corrupt => "the stored value is corrupt",
            Self::TooDeep => "the stored value is nested too deep",
        })
    }
}

impl std::error::Error for DecodeError {}

/// Appends `row` to `out`.
pub fn encode_row(row: &Row, out: &mut Vec<u8>) {
    out.push(ROW_VERSION);
    put_len(out, row.names.len());
    for (name, value) in row.names.iter().zip(&row.values) {
        put_bytes(out, name.as_bytes());
        encode_value(value, out);
    }
}

/// Reads one row from the front of `input` and advances it.
pub fn decode_row(input: &mut &[u8]) -> Result<Row, DecodeError> {
    if take(input, 1)? != [ROW_VERSION] {
        return Err(DecodeError::Corrupt);
    }
    let count = get_len(input)?;
    let mut names: Vec<Str> = Vec::new();
    let mut values = Vec::new();
    for _ in 0..count {
        names.push(get_str(input)?);
        values.push(decode_value(input)?);
    }
    Ok(Row { names: names.into(), values })
}

/// Appends `value` to `out`.
pub fn encode_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Missing => out.push(0),
        Value::Null => out.push(1),
        Value::Bool(false) => out.push(2),
        Value::Bool(true) => out.push(3),
        Value::Int(n) => {
            out.push(4);
            out.extend_from_slice(&n.to_le_bytes());
        }
        Value::Big(digits) => {
            out.push(5);
            put_bytes(out, digits.as_bytes());
        }
        Value::Float(f) => {
            out.push(6);
            out.extend_from_slice(&f.to_le_bytes());
        }
        Value::Text(text) => {
            out.push(7);
            put_bytes(out, text.as_bytes());
        }
        Value::Bytes(bytes) => {
            out.push(8);
            put_bytes(out, bytes);
        }
        Value::List(items) => {
            out.push(9);
            put_len(out, items.len());
            for item in items.iter() {
                encode_value(item, out);
            }
        }
        Value::Map(map) => {
            out.push(10);
            put_len(out, map.len());
            for (key, item) in map.iter() {
                put_bytes(out, key.as_bytes());
                encode_value(item, out);
            }
        }
    }
}

/// Reads one value from the front of `input` and advances it.
pub fn decode_value(input: &mut &[u8]) -> Result<Value, DecodeError> {
    decode_nested(input, 0)
}

fn decode_nested(input: &mut &[u8], depth: usize) -> Result<Value, DecodeError> {
    if depth > DEPTH_MAX {
        return Err(DecodeError::TooDeep);
    }
    let [tag] = take_array::<1>(input)?;
    Ok(match tag {
        0 => Value::Missing,
        1 => Value::Null,
        2 => Value::Bool(false),
        3 => Value::Bool(true),
        4 => Value::Int(i64::from_le_bytes(take_array(input)?)),
        5 => Value::Big(get_str(input)?),
        6 => Value::Float(f64::from_le_bytes(take_array(input)?)),
        7 => Value::Text(get_str(input)?),
        8 => {
            let len = get_len(input)?;
            Value::Bytes(Bytes::copy_from_slice(take(input, len)?))
        }
        9 => {
            let mut items = Vec::new();
            for _ in 0..get_len(input)? {
                items.push(decode_nested(input, depth + 1)?);
            }
            Value::List(Arc::new(items))
        }
        10 => {
            let mut map = Map::default();
            for _ in 0..get_len(input)? {
                let key = get_str(input)?;
                map.insert(key, decode_nested(input, depth + 1)?);
            }
            Value::Map(Arc::new(map))
        }
        _ => return Err(DecodeError::Corrupt),
    })
}

fn put_len(out: &mut Vec<u8>, len: usize) {
    let mut rest = len;
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_len(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn get_len(input: &mut &[u8]) -> Result<usize, DecodeError> {
    let mut len = 0usize;
    for shift in (0..64).step_by(7) {
        let [byte] = take_array::<1>(input)?;
        len |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(len);
        }
    }
    Err(DecodeError::Corrupt)
}

fn get_str(input: &mut &[u8]) -> Result<Str, DecodeError> {
    let len = get_len(input)?;
    let text = std::str::from_utf8(take(input, len)?).map_err(|_| DecodeError::Corrupt)?;
    Ok(Str::new(text))
}

fn take<'a>(input: &mut &'a [u8], len: usize) -> Result<&'a [u8], DecodeError> {
    let (head, tail) = input.split_at_checked(len).ok_or(DecodeError::Truncated)?;
    *input = tail;
    Ok(head)
}

fn take_array<const N: usize>(input: &mut &[u8]) -> Result<[u8; N], DecodeError> {
    take(input, N)?.try_into().map_err(|_| DecodeError::Truncated)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Row {
        Row::from_pairs([
            ("a", Value::Int(-5)),
            ("b", Value::Missing),
            ("c", Value::Null),
            ("d", Value::list(vec![Value::Float(1.5), Value::Bool(true), Value::text("ü")])),
            ("e", Value::map([("k", Value::Bytes(Bytes::from_static(b"\xff\x00")))])),
            ("f", Value::integer(1 << 100)),
        ])
    }

    #[test]
    fn rows_round_trip() {
        let mut bytes = Vec::new();
        encode_row(&sample(), &mut bytes);
        let mut rest = bytes.as_slice();
        assert_eq!(decode_row(&mut rest), Ok(sample()));
        assert!(rest.is_empty());
    }

    #[test]
    fn every_truncation_is_an_error_and_never_a_panic() {
        let mut bytes = Vec::new();
        encode_row(&sample(), &mut bytes);
        for end in 0..bytes.len() {
            assert!(decode_row(&mut &bytes[..end]).is_err());
        }
    }

    #[test]
    fn a_declared_length_of_the_whole_address_space_allocates_nothing() {
        let bytes = [9, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
        assert_eq!(decode_value(&mut bytes.as_slice()), Err(DecodeError::Truncated));
    }
}
