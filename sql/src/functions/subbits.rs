//! Pieces of bit strings, for binary payloads.

use model::Value;

use super::args::{count, word, wrong};
use super::bitstring::Bits;
use super::{Context, Function, FunctionError, Outcome};

/// An integer piece has at most this many bits.
const INTEGER_BITS_MAX: usize = 128;

pub(super) const FUNCTIONS: &[Function] = &[Function::new(
    "subbits(value[, start], length[, 'integer'|'float'|'bits'[, 'unsigned'|'signed'[, 'big'|'little']]]) -> value",
    "subbits",
    (2, 6),
    subbits,
    "Bits from a start position, counted from 1, as an integer, a float or a bit string. A piece beyond the end is shorter; one that starts beyond it is missing.",
)
.example("subbits(payload, 9, 16, 'integer', 'signed', 'little') = -257")];

fn subbits(_: &Context, args: &[Value]) -> Outcome {
    let bits = Bits::of(args, 0)?;
    let (start, length) = if args.len() == 2 { (1, count(args, 1)?) } else { (count(args, 1)?, count(args, 2)?) };
    let Some(begin) = start.checked_sub(1) else { return wrong(args, 1, "a position from 1 on") };
    let kind = word(args, 3, &["integer", "float", "bits"])?.unwrap_or("integer");
    let signed = word(args, 4, &["unsigned", "signed"])? == Some("signed");
    let little = word(args, 5, &["big", "little"])? == Some("little");
    if begin >= bits.len() {
        return Ok(Value::Missing);
    }
    let end = begin.saturating_add(length).min(bits.len());
    let piece: Bits<'_> = Bits::from_bits((begin..end).map(|at| bits.bit(at)));
    match kind {
        "bits" => Ok(piece.into_value()),
        "float" => float(&piece, little),
        _ => integer(&piece, signed, little),
    }
}

/// The bits in the order of their weight, the heaviest first. Little endian turns the bytes around; a last byte that is
/// not full is the heaviest.
fn by_weight(piece: &Bits<'_>, little: bool) -> Vec<bool> {
    if !little {
        return (0..piece.len()).map(|at| piece.bit(at)).collect();
    }
    (0..piece.len().div_ceil(8))
        .rev()
        .flat_map(|byte| (byte * 8..((byte + 1) * 8).min(piece.len())).map(|at| piece.bit(at)))
        .collect()
}

fn unsigned(piece: &Bits<'_>, little: bool) -> Result<u128, FunctionError> {
    if piece.len() > INTEGER_BITS_MAX {
        return Err(FunctionError(format!("an integer may have at most {INTEGER_BITS_MAX} bits")));
    }
    Ok(by_weight(piece, little).into_iter().fold(0, |sum, bit| sum << 1 | u128::from(bit)))
}

fn integer(piece: &Bits<'_>, signed: bool, little: bool) -> Outcome {
    let plain = unsigned(piece, little)?;
    // The sign bit moves to the top, and comes back with copies of itself.
    let above = (128 - piece.len()) as u32;
    if signed && piece.len() > 0 {
        return Ok(Value::integer(plain.wrapping_shl(above).cast_signed() >> above));
    }
    Ok(match i128::try_from(plain) {
        Ok(exact) => Value::integer(exact),
        Err(_) => Value::Big(plain.to_string().into()),
    })
}

fn float(piece: &Bits<'_>, little: bool) -> Outcome {
    let raw = unsigned(piece, little)?;
    let value = match piece.len() {
        16 => half(raw as u16),
        32 => f64::from(f32::from_bits(raw as u32)),
        64 => f64::from_bits(raw as u64),
        other => return Err(FunctionError(format!("a float has 16, 32 or 64 bits, not {other}"))),
    };
    if value.is_finite() { Ok(Value::Float(value)) } else { Err(FunctionError::new("the bits are no finite float")) }
}

/// A half-precision float (IEEE 754 binary16).
fn half(raw: u16) -> f64 {
    let sign = if raw >> 15 == 1 { -1.0 } else { 1.0 };
    let exponent = i32::from(raw >> 10 & 0x1f);
    let fraction = f64::from(raw & 0x3ff) / 1024.0;
    sign * match exponent {
        0 => fraction * 2f64.powi(-14),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction) * 2f64.powi(exponent - 15),
    }
}
