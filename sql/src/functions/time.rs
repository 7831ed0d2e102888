//! Time: now, time stamps and RFC 3339, time zones, unique ids.
//!
//! `now` is the time of the event, so that a replayed event gives the same row.

use chrono::{DateTime, FixedOffset, Local, Offset, SecondsFormat, TimeZone, Utc};
use model::Value;

use super::args::{arg, integer, text, word, wrong};
use super::{Context, Function, FunctionError, Outcome, Purity};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new(
        "now_timestamp([unit]) -> integer",
        "now_timestamp",
        (0, 1),
        now_timestamp,
        "The time of the event since the epoch, in seconds or another unit.",
    )
    .purity(Purity::EventTime)
    .example("now_timestamp('millisecond') = 1700000000000"),
    Function::new(
        "now_rfc3339([unit]) -> text",
        "now_rfc3339",
        (0, 1),
        now_rfc3339,
        "The time of the event as RFC 3339, in local time, with the unit's decimals.",
    )
    .purity(Purity::EventTime)
    .example("now_rfc3339() = '2023-11-14T22:13:20+00:00'"),
    Function::new(
        "unix_ts_to_rfc3339(ts[, unit]) -> text",
        "unix_ts_to_rfc3339",
        (1, 2),
        unix_ts_to_rfc3339,
        "A time stamp as RFC 3339, in local time.",
    )
    .example("unix_ts_to_rfc3339(1700000000) = '2023-11-14T22:13:20+00:00'"),
    Function::new(
        "rfc3339_to_unix_ts(text[, unit]) -> integer",
        "rfc3339_to_unix_ts",
        (1, 2),
        rfc3339_to_unix_ts,
        "The time stamp of an RFC 3339 time.",
    )
    .example("rfc3339_to_unix_ts('2023-11-14T22:13:20Z') = 1700000000"),
    Function::new(
        "timezone_to_offset_seconds(zone) -> integer",
        "timezone_to_offset_seconds",
        (1, 1),
        timezone,
        "Seconds east of UTC: '+08:00', 'Z', 'local' or a number of seconds.",
    )
    .aliases(&["timezone_to_second"])
    .nulls("missing is UTC")
    .example("timezone_to_offset_seconds('+08:00') = 28800"),
    Function::new(
        "mongo_date([ts[, unit]]) -> map",
        "mongo_date",
        (0, 2),
        mongo_date,
        "A date for MongoDB, {\"$date\": milliseconds}: of the event, or of a time stamp in milliseconds or another unit.",
    )
    .purity(Purity::EventTime)
    .example("mongo_date(1700000000123) = {\"$date\":1700000000123}"),
    Function::new("uuid_v4() -> text", "uuid_v4", (0, 0), uuid_v4, "A random UUID.")
        .purity(Purity::External)
        .example("uuid_v4() = '0b8a…-…'"),
    Function::new(
        "uuid_v4_no_hyphen() -> text",
        "uuid_v4_no_hyphen",
        (0, 0),
        uuid_v4_no_hyphen,
        "A random UUID without hyphens.",
    )
    .purity(Purity::External)
    .example("uuid_v4_no_hyphen() = '0b8a…'"),
];

/// A unit of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Unit {
    /// Units in a second.
    pub(super) per_second: i128,
    format: SecondsFormat,
}

const UNITS: [(&str, Unit); 4] = [
    ("second", Unit { per_second: 1, format: SecondsFormat::Secs }),
    ("millisecond", Unit { per_second: 1_000, format: SecondsFormat::Millis }),
    ("microsecond", Unit { per_second: 1_000_000, format: SecondsFormat::Micros }),
    ("nanosecond", Unit { per_second: 1_000_000_000, format: SecondsFormat::Nanos }),
];

impl Unit {
    const MILLISECOND: Self = Self { per_second: 1_000, format: SecondsFormat::Millis };

    /// Nanoseconds of a number of units.
    pub(super) fn to_ns(self, units: i128) -> Option<i128> {
        units.checked_mul(1_000_000_000 / self.per_second)
    }

    /// Whole units in nanoseconds, rounded down.
    pub(super) fn of_ns(self, ns: i128) -> i128 {
        ns.div_euclid(1_000_000_000 / self.per_second)
    }
}

/// The unit an argument names; seconds without one.
pub(super) fn unit(args: &[Value], index: usize) -> Result<Unit, FunctionError> {
    let names = UNITS.map(|(name, _)| name);
    let name = word(args, index, &names)?.unwrap_or("second");
    let found = UNITS.iter().find(|(known, _)| *known == name).map(|(_, unit)| *unit);
    found.map_or_else(|| wrong(args, index, "a unit of time"), Ok)
}

/// The moment of nanoseconds since the epoch.
pub(super) fn moment(ns: i128) -> Result<DateTime<Utc>, FunctionError> {
    let seconds = i64::try_from(ns.div_euclid(1_000_000_000)).ok();
    let nanos = ns.rem_euclid(1_000_000_000) as u32;
    seconds
        .and_then(|seconds| DateTime::from_timestamp(seconds, nanos))
        .ok_or_else(|| FunctionError::new("the time is out of range"))
}

fn now_timestamp(context: &Context, args: &[Value]) -> Outcome {
    Ok(Value::integer(unit(args, 0)?.of_ns(i128::from(context.now_ns))))
}

fn local_text(ns: i128, unit: Unit) -> Outcome {
    Ok(Value::text(moment(ns)?.with_timezone(&Local).to_rfc3339_opts(unit.format, false)))
}

fn now_rfc3339(context: &Context, args: &[Value]) -> Outcome {
    local_text(i128::from(context.now_ns), unit(args, 0)?)
}

fn unix_ts_to_rfc3339(_: &Context, args: &[Value]) -> Outcome {
    let unit = unit(args, 1)?;
    match unit.to_ns(integer(args, 0)?) {
        Some(ns) => local_text(ns, unit),
        None => wrong(args, 0, "a time within range"),
    }
}

fn rfc3339_to_unix_ts(_: &Context, args: &[Value]) -> Outcome {
    let source = text(args, 0)?;
    let unit = unit(args, 1)?;
    match DateTime::parse_from_rfc3339(&source) {
        Ok(time) => {
            let ns = i128::from(time.timestamp()) * 1_000_000_000 + i128::from(time.timestamp_subsec_nanos());
            Ok(Value::integer(unit.of_ns(ns)))
        }
        Err(_) => wrong(args, 0, "a time as in 2023-11-14T22:13:20Z"),
    }
}

/// The offset from UTC an argument names, for a moment (a local zone may change its offset).
pub(super) fn offset(args: &[Value], index: usize, at: DateTime<Utc>) -> Result<FixedOffset, FunctionError> {
    const WANTED: &str = "an offset such as '+08:00', 'Z', 'local' or a number of seconds";
    let seconds = match arg(args, index) {
        Value::Missing => Some(0),
        Value::Int(seconds) => i32::try_from(*seconds).ok(),
        Value::Text(zone) => match zone.as_str() {
            "Z" | "z" | "" => Some(0),
            "local" => Some(Local.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc()),
            zone => parse_offset(zone),
        },
        _ => None,
    };
    seconds.and_then(FixedOffset::east_opt).map_or_else(|| wrong(args, index, WANTED), Ok)
}

/// `+08:00`, `-02:30`, `+02:00:00`.
fn parse_offset(zone: &str) -> Option<i32> {
    let (sign, rest) = match zone.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let mut parts = rest.split(':').map(|part| {
        let plain = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        if plain { part.parse::<i32>().ok() } else { None }
    });
    let (hours, minutes) = (parts.next()??, parts.next()??);
    let seconds = match parts.next() {
        Some(seconds) => seconds?,
        None => 0,
    };
    if parts.next().is_some() || hours > 23 || minutes > 59 || seconds > 59 {
        return None;
    }
    Some(sign * (hours * 3600 + minutes * 60 + seconds))
}

fn timezone(context: &Context, args: &[Value]) -> Outcome {
    if let seconds @ Value::Int(_) = arg(args, 0) {
        return Ok(seconds.clone());
    }
    let at = moment(i128::from(context.now_ns))?;
    Ok(Value::Int(i64::from(offset(args, 0, at)?.local_minus_utc())))
}

fn mongo_date(context: &Context, args: &[Value]) -> Outcome {
    let ns = match args.len() {
        0 => Some(i128::from(context.now_ns)),
        1 => Unit::MILLISECOND.to_ns(integer(args, 0)?),
        _ => unit(args, 1)?.to_ns(integer(args, 0)?),
    };
    match ns {
        Some(ns) => Ok(Value::map([("$date", Value::integer(Unit::MILLISECOND.of_ns(ns)))])),
        None => wrong(args, 0, "a time within range"),
    }
}

fn uuid_v4(_: &Context, _: &[Value]) -> Outcome {
    Ok(Value::text(uuid::Uuid::new_v4().hyphenated().to_string()))
}

fn uuid_v4_no_hyphen(_: &Context, _: &[Value]) -> Outcome {
    Ok(Value::text(uuid::Uuid::new_v4().simple().to_string()))
}
