//! PostgreSQL's binary form of `numeric`: base 10000 digits around a decimal point (src/backend/utils/adt/numeric.c,
//! `numeric_recv`). Exact: no float is involved.

const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xC000;

/// The binary form of a decimal text such as `-12.50`, `1e-7` or `NaN`; `None` when it is no number or out of range.
pub(crate) fn encode(text: &str) -> Option<Vec<u8>> {
    if text.eq_ignore_ascii_case("nan") {
        return Some(wire(0, NAN, 0, &[]));
    }
    let (negative, text) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty()
        || !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit())
    {
        return None;
    }
    let digits = format!("{whole}{fraction}");
    // Where the point is, counted from the start of the digits; and how many digits are shown behind it.
    let point = i32::try_from(whole.len()).ok()?.checked_add(exponent)?;
    let scale = i32::try_from(fraction.len()).ok()?.checked_sub(exponent)?.max(0);
    // The server itself allows 131072 digits before the point and 16383 after it.
    if !(-16_383..=131_072).contains(&point) || scale > 16_383 {
        return None;
    }
    let (groups, weight) = groups(digits.as_bytes(), point);
    let first = groups.iter().position(|group| *group != 0);
    let Some(first) = first else { return Some(wire(0, 0, u16::try_from(scale).ok()?, &[])) };
    let last = groups.iter().rposition(|group| *group != 0).unwrap_or(first);
    let weight = i16::try_from(weight - i32::try_from(first).ok()?).ok()?;
    Some(wire(weight, if negative { NEGATIVE } else { 0 }, u16::try_from(scale).ok()?, groups.get(first..=last)?))
}

/// Digits cut into groups of four that are aligned to the point; and the weight (power of 10000) of the first group.
fn groups(digits: &[u8], point: i32) -> (Vec<u16>, i32) {
    let weight = (point - 1).div_euclid(4);
    // Zeros in front, so that the first group is full.
    let pad = usize::try_from((weight + 1) * 4 - point).unwrap_or(0);
    let padded: Vec<u8> = std::iter::repeat_n(b'0', pad).chain(digits.iter().copied()).collect();
    let groups = padded
        .chunks(4)
        .map(|chunk| {
            let value = chunk.iter().fold(0u16, |sum, digit| sum * 10 + u16::from(digit - b'0'));
            // A last group that is cut short stands for digits with zeros behind them.
            value * [1, 1000, 100, 10, 1].get(chunk.len()).copied().unwrap_or(1)
        })
        .collect();
    (groups, weight)
}

fn wire(weight: i16, sign: u16, scale: u16, groups: &[u16]) -> Vec<u8> {
    let mut out = Vec::with_capacity(8 + groups.len() * 2);
    out.extend(u16::try_from(groups.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend(weight.to_be_bytes());
    out.extend(sign.to_be_bytes());
    out.extend(scale.to_be_bytes());
    for group in groups {
        out.extend(group.to_be_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_text_becomes_base_10000() {
        fn check(text: &str, weight: i16, sign: u16, scale: u16, groups: &[u16]) {
            assert_eq!(encode(text), Some(wire(weight, sign, scale, groups)), "{text}");
        }
        check("0", 0, 0, 0, &[]);
        check("0.00", 0, 0, 2, &[]);
        check("1", 0, 0, 0, &[1]);
        check("-1", 0, NEGATIVE, 0, &[1]);
        check("10000", 1, 0, 0, &[1]);
        check("12345.678", 1, 0, 3, &[1, 2345, 6780]);
        check("0.0001", -1, 0, 4, &[1]);
        check("0.00001", -2, 0, 5, &[1000]);
        check("1e3", 0, 0, 0, &[1000]);
        check("1.5e-7", -2, 0, 8, &[15]);
        check("NaN", 0, NAN, 0, &[]);
        for bad in ["", "-", ".", "1a", "1e", "١", "1e999999"] {
            assert_eq!(encode(bad), None, "{bad:?}");
        }
    }
}
