//! Bits of integers, sizes, and bytes in hexadecimal.

use model::Value;

use super::args::{arg, integer as exact, text, wrong};
use super::bitstring::Bits;
use super::{Context, Function, FunctionError, Outcome};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("bitnot(a) -> integer", "bitnot", (1, 1), bitnot, "All bits turned over.")
        .example("bitnot(10) = -11"),
    Function::new("bitand(a, b) -> integer", "bitand", (2, 2), bitand, "Bits set in both.")
        .example("bitand(12, 10) = 8"),
    Function::new("bitor(a, b) -> integer", "bitor", (2, 2), bitor, "Bits set in either.")
        .example("bitor(12, 10) = 14"),
    Function::new("bitxor(a, b) -> integer", "bitxor", (2, 2), bitxor, "Bits set in one of the two.")
        .example("bitxor(12, 10) = 6"),
    Function::new("bitsl(a, n) -> integer", "bitsl", (2, 2), bitsl, "Shifted left by n bits.")
        .example("bitsl(1, 10) = 1024"),
    Function::new("bitsr(a, n) -> integer", "bitsr", (2, 2), bitsr, "Shifted right by n bits, keeping the sign.")
        .example("bitsr(1024, 3) = 128"),
    Function::new(
        "bitsize(value) -> integer",
        "bitsize",
        (1, 1),
        bitsize,
        "How many bits a text, bytes or a bit string has.",
    )
    .example("bitsize('ab') = 16"),
    Function::new(
        "bytesize(value) -> integer",
        "bytesize",
        (1, 1),
        bytesize,
        "How many bytes a text, bytes or a bit string takes.",
    )
    .example("bytesize('你') = 3"),
    Function::new(
        "bin2hexstr(value[, prefix]) -> text",
        "bin2hexstr",
        (1, 2),
        bin2hexstr,
        "Bytes in upper-case hexadecimal, after the prefix.",
    )
    .example("bin2hexstr('AB', '0x') = '0x4142'"),
    Function::new(
        "hexstr2bin(text[, prefix]) -> bytes",
        "hexstr2bin",
        (1, 2),
        hexstr2bin,
        "The bytes of hexadecimal text; an odd digit is filled with a zero on its left.",
    )
    .example("hexstr2bin('4142') = 'AB'"),
    Function::new(
        "sqlserver_bin2hexstr(value) -> text",
        "sqlserver_bin2hexstr",
        (1, 1),
        sqlserver_bin2hexstr,
        "Bytes in hexadecimal with 0x before them, as SQL Server writes them.",
    )
    .example("sqlserver_bin2hexstr('A') = '0x41'"),
];

fn bitnot(_: &Context, args: &[Value]) -> Outcome {
    Ok(Value::integer(!exact(args, 0)?))
}

fn bitand(_: &Context, args: &[Value]) -> Outcome {
    Ok(Value::integer(exact(args, 0)? & exact(args, 1)?))
}

fn bitor(_: &Context, args: &[Value]) -> Outcome {
    Ok(Value::integer(exact(args, 0)? | exact(args, 1)?))
}

fn bitxor(_: &Context, args: &[Value]) -> Outcome {
    Ok(Value::integer(exact(args, 0)? ^ exact(args, 1)?))
}

/// Shifts left by `by` bits, or right when it is negative.
fn shifted(value: i128, by: i128) -> Outcome {
    if by <= 0 {
        let by = u32::try_from(by.unsigned_abs()).unwrap_or(127).min(127);
        return Ok(Value::integer(value >> by));
    }
    let factor = u32::try_from(by).ok().filter(|by| *by < 127).map(|by| 1_i128 << by);
    let product = if value == 0 { Some(0) } else { factor.and_then(|factor| value.checked_mul(factor)) };
    product.map(Value::integer).ok_or_else(|| FunctionError::new("the result is too large for an exact integer"))
}

fn bitsl(_: &Context, args: &[Value]) -> Outcome {
    shifted(exact(args, 0)?, exact(args, 1)?)
}

fn bitsr(_: &Context, args: &[Value]) -> Outcome {
    shifted(exact(args, 0)?, exact(args, 1)?.saturating_neg())
}

fn bitsize(_: &Context, args: &[Value]) -> Outcome {
    Ok(Value::Int(Bits::of(args, 0)?.len() as i64))
}

fn bytesize(_: &Context, args: &[Value]) -> Outcome {
    Ok(Value::Int(Bits::of(args, 0)?.len().div_ceil(8) as i64))
}

fn bin2hexstr(_: &Context, args: &[Value]) -> Outcome {
    let hex = Bits::of(args, 0)?.hex();
    if args.len() == 1 {
        return Ok(Value::text(hex));
    }
    Ok(Value::text(format!("{}{hex}", text(args, 1)?)))
}

fn sqlserver_bin2hexstr(_: &Context, args: &[Value]) -> Outcome {
    Ok(Value::text(format!("0x{}", Bits::of(args, 0)?.hex())))
}

fn hexstr2bin(_: &Context, args: &[Value]) -> Outcome {
    let source = text(args, 0)?;
    let mut digits = source.as_ref();
    if args.len() > 1 {
        let prefix = text(args, 1)?;
        match digits.strip_prefix(prefix.as_ref()) {
            Some(rest) => digits = rest,
            None => return wrong(args, 0, &format!("hexadecimal text that begins with {prefix}")),
        }
    }
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return wrong(args, 0, "hexadecimal text");
    }
    let padded = if digits.len() % 2 == 1 { format!("0{digits}") } else { digits.to_owned() };
    let bytes: Option<Vec<u8>> =
        (0..padded.len()).step_by(2).map(|at| u8::from_str_radix(padded.get(at..at + 2)?, 16).ok()).collect();
    bytes
        .map(|bytes| Value::Bytes(bytes.into()))
        .ok_or_else(|| FunctionError(format!("{} is no hexadecimal text", crate::ops::show(arg(args, 0)))))
}
