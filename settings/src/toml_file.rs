//! A TOML file as a flat list of keys with their places. Knows nothing of which keys exist.

use toml::de::{DeTable, DeValue};

use crate::problem::{Origin, Problem};

/// One `section.key = value` of the file, the value in its text form.
pub(crate) struct Entry {
    pub(crate) section: String,
    /// `None` for a key at the top of the file whose value is no table.
    pub(crate) key: Option<String>,
    /// `None` where the value is something no setting can be (a table, a date, a list of lists).
    pub(crate) text: Option<String>,
    pub(crate) origin: Origin,
}

/// Reads the file. A syntax error is one problem with its line and column.
pub(crate) fn read(path: &str, text: &str) -> Result<Vec<Entry>, Problem> {
    let place = |offset: usize| {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Origin::File {
            path: path.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
        }
    };
    let table = DeTable::parse(text).map_err(|error| Problem {
        origin: place(error.span().map_or(0, |span| span.start)),
        key: String::new(),
        message: error.message().to_owned(),
    })?;
    let mut entries = Vec::new();
    for (section, value) in table.get_ref() {
        let Some(keys) = value.get_ref().as_table() else {
            entries.push(Entry {
                section: section.get_ref().to_string(),
                key: None,
                text: text_of(value.get_ref()),
                origin: place(section.span().start),
            });
            continue;
        };
        if keys.is_empty() {
            // An empty section still has to be a known one.
            entries.push(Entry {
                section: section.get_ref().to_string(),
                key: None,
                text: None,
                origin: place(section.span().start),
            });
        }
        for (key, value) in keys {
            entries.push(Entry {
                section: section.get_ref().to_string(),
                key: Some(key.get_ref().to_string()),
                text: text_of(value.get_ref()),
                origin: place(key.span().start),
            });
        }
    }
    entries.sort_by_key(|entry| match entry.origin {
        Origin::File { line, column, .. } => (line, column),
        _ => (0, 0),
    });
    Ok(entries)
}

fn text_of(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.as_str().to_owned()),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(flag) => Some(flag.to_string()),
        DeValue::Array(items) => {
            // Commas of an item are marked, so that they do not end it.
            let item = |item: &DeValue<'_>| text_of(item).map(|text| text.replace(',', "\\,"));
            items.iter().map(|each| item(each.get_ref())).collect::<Option<Vec<_>>>().map(|texts| texts.join(","))
        }
        DeValue::Datetime(_) | DeValue::Table(_) => None,
    }
}
