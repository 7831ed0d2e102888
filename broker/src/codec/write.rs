//! The data types of MQTT, appended to a buffer.

use super::MAX_REMAINING_LENGTH;

/// Bytes that `value` takes as a variable byte integer.
pub fn varint_len(value: usize) -> usize {
    match value {
        0..=0x7f => 1,
        0x80..=0x3fff => 2,
        0x4000..=0x1f_ffff => 3,
        _ => 4,
    }
}

/// Appends a variable byte integer; values above the protocol's limit are capped, callers check sizes before.
pub fn put_varint(out: &mut Vec<u8>, value: usize) {
    debug_assert!(value <= MAX_REMAINING_LENGTH);
    let mut rest = value.min(MAX_REMAINING_LENGTH);
    while rest > 0x7f {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

pub(super) fn put_u16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(super) fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Appends binary data with its length; more than 65,535 bytes are cut, which no decoded field can be.
pub(super) fn put_binary(out: &mut Vec<u8>, bytes: &[u8]) {
    let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    put_u16(out, len);
    out.extend_from_slice(bytes.get(..usize::from(len)).unwrap_or(bytes));
}

/// Appends a string with its length.
pub fn put_string(out: &mut Vec<u8>, text: &str) {
    put_binary(out, text.as_bytes());
}

/// Appends a packet: its first byte, then the length of what `body` appends, then that.
pub fn with_length(out: &mut Vec<u8>, first: u8, body: impl FnOnce(&mut Vec<u8>)) {
    out.push(first);
    let at = out.len();
    // Most packets are shorter than 128 bytes: leave one byte for the length and make room only when it takes more.
    out.push(0);
    body(out);
    let len = out.len() - at - 1;
    let mut length = Vec::with_capacity(4);
    put_varint(&mut length, len);
    out.splice(at..=at, length);
}
