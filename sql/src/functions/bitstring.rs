//! Bit strings: bytes whose length need not be a multiple of 8.
//!
//! The language has no value of its own for them. One that fills whole bytes is text or bytes; any other is the map
//! `{"$bits": "0101…"}`, which every bit function takes and gives.

use std::borrow::Cow;

use model::Value;

use super::FunctionError;
use super::args::{arg, wrong};
use crate::view::text_or_bytes;

/// A bit string; the last byte's unused low bits are zero.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bits<'a> {
    bytes: Cow<'a, [u8]>,
    len: usize,
}

impl<'a> Bits<'a> {
    /// The bit string an argument is: text, bytes, or a `$bits` map.
    pub(super) fn of(args: &'a [Value], index: usize) -> Result<Self, FunctionError> {
        match arg(args, index) {
            Value::Text(text) => Ok(Self { bytes: Cow::Borrowed(text.as_bytes()), len: text.len() * 8 }),
            Value::Bytes(bytes) => Ok(Self { bytes: Cow::Borrowed(bytes), len: bytes.len() * 8 }),
            Value::Map(map) => match map.get("$bits").and_then(Value::as_text).and_then(Self::parse) {
                Some(bits) => Ok(bits),
                None => wrong(args, index, "text, bytes or a bit string"),
            },
            _ => wrong(args, index, "text, bytes or a bit string"),
        }
    }

    fn parse(digits: &str) -> Option<Self> {
        let bits: Vec<bool> = digits
            .chars()
            .map(|digit| match digit {
                '0' => Some(false),
                '1' => Some(true),
                _ => None,
            })
            .collect::<Option<_>>()?;
        Some(Self::from_bits(bits.into_iter()))
    }

    pub(super) fn from_bits(bits: impl Iterator<Item = bool>) -> Self {
        let (mut bytes, mut len) = (Vec::new(), 0);
        for bit in bits {
            if len % 8 == 0 {
                bytes.push(0);
            }
            if let Some(last) = bytes.last_mut() {
                *last |= u8::from(bit) << (7 - len % 8);
            }
            len += 1;
        }
        Self { bytes: Cow::Owned(bytes), len }
    }

    /// How many bits.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The bit at an offset from 0; zero beyond the end.
    pub(super) fn bit(&self, at: usize) -> bool {
        self.bytes.get(at / 8).is_some_and(|byte| byte >> (7 - at % 8) & 1 == 1)
    }

    /// As a value of the language.
    pub(super) fn into_value(self) -> Value {
        if self.len.is_multiple_of(8) {
            return text_or_bytes(self.bytes.into_owned());
        }
        let digits: String = (0..self.len).map(|at| if self.bit(at) { '1' } else { '0' }).collect();
        Value::map([("$bits", Value::text(digits))])
    }

    /// In upper-case hexadecimal; a first digit of fewer than four bits is filled with zeros on its left.
    pub(super) fn hex(&self) -> String {
        if self.len.is_multiple_of(8) {
            return upper_hex(&self.bytes);
        }
        let short = (4 - self.len % 4) % 4;
        let digits = (self.len + short) / 4;
        (0..digits)
            .map(|digit| {
                let nibble = (0..4).fold(0, |nibble, bit| {
                    let at = (digit * 4 + bit).checked_sub(short);
                    nibble << 1 | u32::from(at.is_some_and(|at| self.bit(at)))
                });
                char::from_digit(nibble, 16).unwrap_or('0').to_ascii_uppercase()
            })
            .collect()
    }
}

pub(super) fn upper_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

pub(super) fn lower_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
