//! From a rule's row to the row that is stored: added, computed and typed columns, and names that a table can have.

use std::sync::Arc;

use chrono::{DateTime, Datelike, Timelike, Utc};
use connector::{Error, Template};
use model::{Row, Str, Value};

use crate::cast::Kind;

/// A column that the action computes, types or both.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) source: Source,
    pub(crate) kind: Option<Kind>,
}

/// Where a column's value comes from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// The rule's column of the same name.
    Same,
    /// A template: its value when it is one slot and nothing else, its text otherwise.
    Template(Template),
    /// A part of the time in another column.
    Part(Part, String),
}

/// A part of a time, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Year,
    Month,
    Day,
    Hour,
    Date,
}

impl Part {
    const ALL: [Self; 5] = [Self::Year, Self::Month, Self::Day, Self::Hour, Self::Date];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Year => "year",
            Self::Month => "month",
            Self::Day => "day",
            Self::Hour => "hour",
            Self::Date => "date",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.name().eq_ignore_ascii_case(word))
    }

    fn of(self, at: DateTime<Utc>) -> Value {
        match self {
            Self::Year => Value::Int(i64::from(at.year())),
            Self::Month => Value::Int(i64::from(at.month())),
            Self::Day => Value::Int(i64::from(at.day())),
            Self::Hour => Value::Int(i64::from(at.hour())),
            Self::Date => Value::text(at.format("%Y-%m-%d").to_string()),
        }
    }
}

/// The row with the action's computed columns. Rows that need none share the rule's names.
pub(crate) fn shape(row: &Row, columns: &[Column], names: &mut NamesCache) -> Result<Row, Error> {
    if columns.iter().all(|column| matches!(column.source, Source::Same)) {
        return Ok(row.clone());
    }
    let mut values = row.values.clone();
    let shaped = names.of(row, columns);
    values.resize(shaped.names.len(), Value::Missing);
    for (column, place) in columns.iter().zip(&shaped.places) {
        let value = match &column.source {
            Source::Same => continue,
            Source::Template(template) => template.bind(row),
            Source::Part(part, from) => match row.get(from).and_then(time_of) {
                Some(at) => part.of(at),
                None => Value::Null,
            },
        };
        if let Some(slot) = values.get_mut(*place) {
            *slot = value;
        }
    }
    Ok(Row { names: Arc::clone(&shaped.names), values })
}

/// The names of shaped rows, kept for as long as rows come from the same plan.
#[derive(Default)]
pub(crate) struct NamesCache {
    from: Option<Arc<[Str]>>,
    shaped: Shaped,
}

#[derive(Default)]
struct Shaped {
    names: Arc<[Str]>,
    /// Position of each of the action's columns.
    places: Vec<usize>,
}

impl NamesCache {
    fn of(&mut self, row: &Row, columns: &[Column]) -> &Shaped {
        let known = self.from.as_ref().is_some_and(|from| Arc::ptr_eq(from, &row.names) || **from == *row.names);
        if !known {
            let mut names: Vec<Str> = row.names.to_vec();
            let places = columns
                .iter()
                .map(|column| {
                    names.iter().position(|name| *name == *column.name).unwrap_or_else(|| {
                        names.push(Str::new(&column.name));
                        names.len() - 1
                    })
                })
                .collect();
            self.shaped = Shaped { names: names.into(), places };
            self.from = Some(Arc::clone(&row.names));
        }
        &self.shaped
    }
}

/// The time a value names: milliseconds since the epoch, or RFC 3339 text.
fn time_of(value: &Value) -> Option<DateTime<Utc>> {
    match value {
        Value::Int(ms) => DateTime::from_timestamp_millis(*ms),
        Value::Text(text) => DateTime::parse_from_rfc3339(text).ok().map(|at| at.with_timezone(&Utc)),
        _ => None,
    }
}

/// The name a column has in the table. Parquet and Delta refuse space , ; { } ( ) = and control characters in names:
/// each becomes `_`; so does an empty name.
pub(crate) fn column_name(name: &str) -> String {
    if name.is_empty() {
        return "_".to_owned();
    }
    name.chars().map(|c| if c.is_control() || " ,;{}()=".contains(c) { '_' } else { c }).collect()
}
