//! Dates by a format: `%Y %m %d %H %M %S %N %3N %6N %z %:z %::z`; everything else stands for itself.

use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, Timelike};
use model::Value;

use super::args::{integer, text, wrong};
use super::time::{moment, offset, unit};
use super::{Context, Function, FunctionError, Outcome, Purity};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new(
        "format_date(unit, offset, format[, ts]) -> text",
        "format_date",
        (3, 4),
        format_date,
        "A time stamp (or the time of the event) by a format, at an offset from UTC.",
    )
    .purity(Purity::EventTime)
    .nulls("a missing offset is UTC")
    .example("format_date('second', '+08:00', '%Y-%m-%d', 1700000000) = '2023-11-15'"),
    Function::new(
        "date_to_unix_ts(unit[, offset], format, text) -> integer",
        "date_to_unix_ts",
        (3, 4),
        date_to_unix_ts,
        "The time stamp of a date in a format. An offset in the text wins over the argument; without either it is UTC.",
    )
    .example("date_to_unix_ts('second', '%Y-%m-%d', '2023-11-15') = 1700006400"),
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Piece {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    /// A fraction of this many digits.
    Fraction(usize),
    /// An offset, with so many colons.
    Zone(usize),
    Literal(char),
}

/// The longer marks first, so that `%3N` is not read as something else.
const MARKS: [(&str, Piece); 12] = [
    ("%::z", Piece::Zone(2)),
    ("%:z", Piece::Zone(1)),
    ("%z", Piece::Zone(0)),
    ("%3N", Piece::Fraction(3)),
    ("%6N", Piece::Fraction(6)),
    ("%N", Piece::Fraction(9)),
    ("%Y", Piece::Year),
    ("%m", Piece::Month),
    ("%d", Piece::Day),
    ("%H", Piece::Hour),
    ("%M", Piece::Minute),
    ("%S", Piece::Second),
];

fn pieces(format: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = format;
    while let Some(first) = rest.chars().next() {
        match MARKS.iter().find_map(|(mark, piece)| rest.strip_prefix(mark).map(|after| (after, *piece))) {
            Some((after, piece)) => {
                pieces.push(piece);
                rest = after;
            }
            None => {
                pieces.push(Piece::Literal(first));
                rest = rest.get(first.len_utf8()..).unwrap_or_default();
            }
        }
    }
    pieces
}

fn zone_text(time: &DateTime<FixedOffset>, colons: usize) -> String {
    let seconds = time.offset().local_minus_utc();
    let (sign, seconds) = (if seconds < 0 { '-' } else { '+' }, seconds.abs());
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match colons {
        0 => format!("{sign}{hours:02}{minutes:02}"),
        1 => format!("{sign}{hours:02}:{minutes:02}"),
        _ => format!("{sign}{hours:02}:{minutes:02}:{seconds:02}"),
    }
}

fn format_date(context: &Context, args: &[Value]) -> Outcome {
    let unit = unit(args, 0)?;
    let format = text(args, 2)?;
    let ns = if args.len() > 3 {
        match unit.to_ns(integer(args, 3)?) {
            Some(ns) => ns,
            None => return wrong(args, 3, "a time within range"),
        }
    } else {
        i128::from(context.now_ns)
    };
    let at = moment(ns)?;
    let time = at.with_timezone(&offset(args, 1, at)?);
    let mut out = String::with_capacity(format.len() + 16);
    for piece in pieces(&format) {
        match piece {
            Piece::Year => out.push_str(&format!("{:04}", time.year())),
            Piece::Month => out.push_str(&format!("{:02}", time.month())),
            Piece::Day => out.push_str(&format!("{:02}", time.day())),
            Piece::Hour => out.push_str(&format!("{:02}", time.hour())),
            Piece::Minute => out.push_str(&format!("{:02}", time.minute())),
            Piece::Second => out.push_str(&format!("{:02}", time.second())),
            Piece::Fraction(digits) => {
                let nanos = format!("{:09}", time.nanosecond());
                out.push_str(nanos.get(..digits).unwrap_or(&nanos));
            }
            Piece::Zone(colons) => out.push_str(&zone_text(&time, colons)),
            Piece::Literal(c) => out.push(c),
        }
    }
    Ok(Value::text(out))
}

/// What a date text says.
#[derive(Default)]
struct Fields {
    year: Option<i32>,
    month: Option<u32>,
    day: Option<u32>,
    hour: u32,
    minute: u32,
    second: u32,
    nanos: u32,
    zone_seconds: Option<i64>,
}

/// Takes `digits` digits off the front.
fn take_number(rest: &mut &str, digits: usize) -> Option<u32> {
    let (head, tail) = rest.split_at_checked(digits)?;
    *rest = tail;
    if head.bytes().all(|byte| byte.is_ascii_digit()) { head.parse().ok() } else { None }
}

fn take_zone(rest: &mut &str, colons: usize) -> Option<i64> {
    let (sign, tail) = rest.split_at_checked(1)?;
    *rest = tail;
    let sign = match sign {
        "+" => 1,
        "-" => -1,
        _ => return None,
    };
    let colon = |rest: &mut &str| -> Option<()> {
        *rest = rest.strip_prefix(':')?;
        Some(())
    };
    let hours = take_number(rest, 2)?;
    if colons > 0 {
        colon(rest)?;
    }
    let minutes = take_number(rest, 2)?;
    let mut seconds = 0;
    if colons > 1 {
        colon(rest)?;
        seconds = take_number(rest, 2)?;
    }
    Some(sign * i64::from(hours * 3600 + minutes * 60 + seconds))
}

fn parse(format: &str, source: &str) -> Option<Fields> {
    let mut fields = Fields::default();
    let mut rest = source;
    for piece in pieces(format) {
        match piece {
            Piece::Year => fields.year = Some(i32::try_from(take_number(&mut rest, 4)?).ok()?),
            Piece::Month => fields.month = Some(take_number(&mut rest, 2)?),
            Piece::Day => fields.day = Some(take_number(&mut rest, 2)?),
            Piece::Hour => fields.hour = take_number(&mut rest, 2)?,
            Piece::Minute => fields.minute = take_number(&mut rest, 2)?,
            Piece::Second => fields.second = take_number(&mut rest, 2)?,
            Piece::Fraction(digits) => {
                let scale = 10_u32.pow(u32::try_from(9 - digits).ok()?);
                fields.nanos = take_number(&mut rest, digits)? * scale;
            }
            Piece::Zone(colons) => fields.zone_seconds = Some(take_zone(&mut rest, colons)?),
            // A literal is passed over by its length; which character stands there does not matter.
            Piece::Literal(_) => rest = rest.get(rest.chars().next()?.len_utf8()..)?,
        }
    }
    rest.is_empty().then_some(fields)
}

fn date_to_unix_ts(_: &Context, args: &[Value]) -> Outcome {
    let unit = unit(args, 0)?;
    let zoned = args.len() == 4;
    let format = text(args, if zoned { 2 } else { 1 })?;
    let at = if zoned { 3 } else { 2 };
    let source = text(args, at)?;
    let wrong_date = || wrong(args, at, &format!("a date as in the format {format}"));
    let Some(fields) = parse(&format, &source) else { return wrong_date() };
    let (Some(year), Some(month), Some(day)) = (fields.year, fields.month, fields.day) else {
        return Err(FunctionError::new("the format must have %Y, %m and %d"));
    };
    let time = NaiveDate::from_ymd_opt(year, month, day)
        .and_then(|date| date.and_hms_nano_opt(fields.hour, fields.minute, fields.second, fields.nanos));
    let Some(time) = time else { return wrong_date() };
    let zone_seconds = match fields.zone_seconds {
        Some(seconds) => seconds,
        None if zoned => i64::from(offset(args, 1, time.and_utc())?.local_minus_utc()),
        None => 0,
    };
    let seconds = i128::from(time.and_utc().timestamp() - zone_seconds);
    Ok(Value::integer(unit.of_ns(seconds * 1_000_000_000 + i128::from(fields.nanos))))
}
