//! Formatting by the control sequences of Erlang's `io:format`, which the later EMQ X versions document for `sprintf`:
//! `~F.P.PadC`, where F is a field width (negative: to the left), P a precision (for integers a base), Pad a character.

use model::Value;

use super::args::{list, text};
use super::{Context, Function, FunctionError, MANY, Outcome};
use crate::ops;

/// A field is at most this wide.
const FIELD_CHARS_MAX: i64 = 1000;
/// Digits after the point.
const PRECISION_MAX: i64 = 253;
/// Without a precision, floats get so many digits.
const FLOAT_DIGITS: usize = 6;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new(
        "sprintf_s(format, list) -> text",
        "sprintf_s",
        (2, 2),
        sprintf_s,
        "The format with ~s (text), ~p ~w (any value), ~b ~B (integer, in the base of the precision), ~f ~e ~g (float), ~c (character), ~i (nothing), ~n and ~~ filled in. ~8s is a field of 8 characters, ~-8s one to the left, ~4..0b one filled with zeros, ~.2f has 2 decimals.",
    )
    .nulls("null is shown as null; a missing value fails the row")
    .example("sprintf_s('~s: ~3..0b', ['a', 1]) = 'a: 001'"),
    Function::new(
        "sprintf(format, value, …) -> text",
        "sprintf",
        (1, MANY),
        sprintf,
        "As sprintf_s, with the values as arguments.",
    )
    .nulls("null is shown as null; a missing value fails the row")
    .example("sprintf('~s', 'a') = 'a'"),
];

fn sprintf_s(_: &Context, args: &[Value]) -> Outcome {
    format(&text(args, 0)?, list(args, 1)?)
}

fn sprintf(_: &Context, args: &[Value]) -> Outcome {
    format(&text(args, 0)?, args.get(1..).unwrap_or_default())
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;
type Values<'a> = std::slice::Iter<'a, Value>;

/// One control sequence after its `~`.
struct Directive {
    /// Negative: the text stands to the left.
    width: Option<i64>,
    precision: Option<usize>,
    pad: char,
    letter: char,
}

/// An integer, or `*` for the next value.
fn parameter(chars: &mut Chars<'_>, values: &mut Values<'_>) -> Result<Option<i64>, FunctionError> {
    if chars.next_if_eq(&'*').is_some() {
        return match values.next() {
            Some(Value::Int(n)) => Ok(Some(*n)),
            _ => Err(FunctionError::new("* in the format needs an integer")),
        };
    }
    let mut digits = String::new();
    digits.extend(chars.next_if_eq(&'-'));
    while let Some(digit) = chars.next_if(char::is_ascii_digit) {
        digits.push(digit);
    }
    if digits.is_empty() {
        return Ok(None);
    }
    digits.parse().map(Some).map_err(|_| FunctionError(format!("{digits} in the format is no number")))
}

fn directive(chars: &mut Chars<'_>, values: &mut Values<'_>) -> Result<Directive, FunctionError> {
    let width = parameter(chars, values)?;
    if width.is_some_and(|width| width.saturating_abs() > FIELD_CHARS_MAX) {
        return Err(FunctionError(format!("a field of the format may have at most {FIELD_CHARS_MAX} characters")));
    }
    let (mut precision, mut pad) = (None, ' ');
    if chars.next_if_eq(&'.').is_some() {
        precision = parameter(chars, values)?;
        if chars.next_if_eq(&'.').is_some() {
            pad = chars.next().ok_or_else(|| FunctionError::new("the format ends within a directive"))?;
        }
    }
    if precision.is_some_and(|precision| !(0..=PRECISION_MAX).contains(&precision)) {
        return Err(FunctionError(format!("a precision in the format may be at most {PRECISION_MAX}")));
    }
    // The modifiers t (Unicode) and l (no lists as text) change nothing here.
    while chars.next_if(|c| matches!(c, 't' | 'l')).is_some() {}
    let letter = chars.next().ok_or_else(|| FunctionError::new("the format ends within a directive"))?;
    Ok(Directive { width, precision: precision.and_then(|precision| usize::try_from(precision).ok()), pad, letter })
}

fn format(template: &str, values: &[Value]) -> Outcome {
    let mut out = String::new();
    let mut values = values.iter();
    let mut chars = template.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '~' {
            out.push(c);
            continue;
        }
        let directive = directive(&mut chars, &mut values)?;
        match directive.letter {
            '~' => out.push('~'),
            'n' => out.push('\n'),
            letter => {
                let value = values.next().ok_or_else(|| FunctionError(format!("there is no value for ~{letter}")))?;
                if letter != 'i' {
                    out.push_str(&directive.field(directive.show(value)?));
                }
            }
        }
    }
    match values.next() {
        None => Ok(Value::text(out)),
        Some(_) => Err(FunctionError::new("there are more values than directives in the format")),
    }
}

impl Directive {
    /// The piece in its field. Text that is too long is cut; anything else that is too long becomes stars, because a
    /// part of a number would be another number.
    fn field(&self, piece: String) -> String {
        let Some(width) = self.width else { return piece };
        let wanted = usize::try_from(width.unsigned_abs()).unwrap_or_default();
        let length = piece.chars().count();
        let fill = || self.pad.to_string().repeat(wanted.saturating_sub(length));
        match (length > wanted, self.letter) {
            (true, 's') => piece.chars().take(wanted).collect(),
            (true, _) => "*".repeat(wanted),
            (false, _) if width < 0 => format!("{piece}{}", fill()),
            (false, _) => format!("{}{piece}", fill()),
        }
    }

    fn show(&self, value: &Value) -> Result<String, FunctionError> {
        let bad =
            || FunctionError(format!("~{} cannot show {} ({})", self.letter, ops::show(value), value.kind_name()));
        let float = || ops::number_of(value).map(ops::Number::as_f64).ok_or_else(bad);
        let digits = self.precision.unwrap_or(FLOAT_DIGITS);
        Ok(match self.letter {
            's' => {
                let full = ops::text_of(value)?;
                match self.precision {
                    Some(precision) => full.chars().take(precision).collect(),
                    None => full.into_owned(),
                }
            }
            'p' | 'w' => match value {
                Value::Text(_) => value.to_json().to_string(),
                other => ops::text_of(other)?.into_owned(),
            },
            'b' | 'B' | 'd' => self.integer(value).ok_or_else(bad)?,
            'f' => format!("{:.digits$}", float()?),
            'e' => exponential(float()?, digits),
            'g' => {
                let f = float()?;
                let plain = f == 0.0 || (0.1..10_000.0).contains(&f.abs());
                if plain { format!("{f:.*}", digits.saturating_sub(1)) } else { exponential(f, digits) }
            }
            'c' => match value {
                Value::Int(code) => {
                    let c = u32::try_from(*code).ok().and_then(char::from_u32).ok_or_else(bad)?;
                    c.to_string().repeat(self.precision.unwrap_or(1))
                }
                _ => return Err(bad()),
            },
            other => return Err(FunctionError(format!("there is no directive ~{other}"))),
        })
    }

    /// An integer in the base of the precision.
    fn integer(&self, value: &Value) -> Option<String> {
        let base = match self.precision.unwrap_or(10) {
            10 => {
                return matches!(value, Value::Int(_) | Value::Big(_))
                    .then(|| ops::text_of(value).ok())?
                    .map(Into::into);
            }
            base @ 2..=36 => u32::try_from(base).ok()?,
            _ => return None,
        };
        let Some(ops::Number::Int(number)) = ops::number_of(value) else { return None };
        let mut rest = number.unsigned_abs();
        let mut digits = Vec::new();
        loop {
            let digit = char::from_digit(u32::try_from(rest % u128::from(base)).ok()?, base)?;
            digits.push(if self.letter == 'B' { digit.to_ascii_uppercase() } else { digit });
            rest /= u128::from(base);
            if rest == 0 {
                break;
            }
        }
        if number < 0 {
            digits.push('-');
        }
        Some(digits.into_iter().rev().collect())
    }
}

/// `1.23457e+4`: so many digits in all, and a sign in the exponent.
fn exponential(f: f64, digits: usize) -> String {
    let shown = format!("{f:.*e}", digits.saturating_sub(1));
    match shown.split_once('e') {
        Some((mantissa, exponent)) if !exponent.starts_with('-') => format!("{mantissa}e+{exponent}"),
        _ => shown,
    }
}
