//! A TOML file as a flat list of keys with their places. Knows nothing of which keys exist.

use toml::de::{DeTable, DeValue};

use crate::problem::{Origin, Problem};

/// One `key = value` of the file, the value in its text form.
pub(crate) struct Entry {
    /// The names in the section's brackets.
    pub(crate) section: Vec<String>,
    /// `None` for a section without keys, and for a value where a section should be.
    pub(crate) key: Option<String>,
    /// `None` where the value is something no setting can be (a table, a date, a list of lists).
    pub(crate) text: Option<String>,
    pub(crate) origin: Origin,
}

/// Reads the file. `depth` says how many names a section has whose first name is the given one: `[zones.inside]` has two. A
/// syntax error is one problem with its line and column.
pub(crate) fn read(path: &str, text: &str, depth: impl Fn(&str) -> usize) -> Result<Vec<Entry>, Problem> {
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
    for (name, value) in table.get_ref() {
        let mut section = vec![name.get_ref().to_string()];
        let names = depth(name.get_ref());
        walk(&mut section, names, value.get_ref(), name.span().start, &place, &mut entries);
    }
    entries.sort_by_key(|entry| match entry.origin {
        Origin::File { line, column, .. } => (line, column),
        _ => (0, 0),
    });
    Ok(entries)
}

/// Goes down to the keys; `start` is where the last name of `section` is. As deep as sections may be, and no deeper.
fn walk(
    section: &mut Vec<String>,
    depth: usize,
    value: &DeValue<'_>,
    start: usize,
    place: &impl Fn(usize) -> Origin,
    entries: &mut Vec<Entry>,
) {
    let table = value.as_table().filter(|table| !table.is_empty());
    let Some(table) = table else {
        // An empty section still has to be a known one.
        let text = text_of(value);
        return entries.push(Entry { section: section.clone(), key: None, text, origin: place(start) });
    };
    for (name, value) in table {
        let name_start = name.span().start;
        if section.len() < depth {
            section.push(name.get_ref().to_string());
            walk(section, depth, value.get_ref(), name_start, place, entries);
            section.pop();
        } else {
            let key = Some(name.get_ref().to_string());
            let text = text_of(value.get_ref());
            entries.push(Entry { section: section.clone(), key, text, origin: place(name_start) });
        }
    }
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
