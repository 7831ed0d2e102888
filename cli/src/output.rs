//! How data is printed: columns, JSON, JSON lines, YAML, names.

use std::io::{self, Write};

use serde_json::Value as Json;

use crate::args::Format;

/// A column of the table form: its title and the JSON pointer of its value.
pub type Column = (&'static str, &'static str);

/// How one kind of object is printed.
pub struct View {
    /// Columns of the table form.
    pub columns: &'static [Column],
    /// Pointer of the name or id.
    pub name: &'static str,
    /// The line of the EMQ X 3.4.5 command line.
    pub manual: fn(&Json) -> String,
}

/// Prints a list.
pub fn list(out: &mut dyn Write, format: Format, view: &View, items: &[Json]) -> io::Result<()> {
    match format {
        Format::Table => {
            let titles: Vec<String> = view.columns.iter().map(|(title, _)| (*title).to_owned()).collect();
            let rows: Vec<Vec<String>> = items
                .iter()
                .map(|item| view.columns.iter().map(|(_, pointer)| cell(item.pointer(pointer))).collect())
                .collect();
            table(out, &titles, &rows)
        }
        Format::Json => writeln!(out, "{}", pretty(&Json::Array(items.to_vec()))),
        Format::Jsonl => items.iter().try_for_each(|item| writeln!(out, "{item}")),
        Format::Yaml => write!(out, "{}", yaml(&Json::Array(items.to_vec()))),
        Format::Name => items.iter().try_for_each(|item| writeln!(out, "{}", cell(item.pointer(view.name)))),
        Format::Manual => items.iter().try_for_each(|item| writeln!(out, "{}", (view.manual)(item))),
    }
}

/// Prints one object.
pub fn object(out: &mut dyn Write, format: Format, view: &View, item: &Json) -> io::Result<()> {
    match format {
        Format::Table => write!(out, "{}", yaml(item)),
        Format::Json => writeln!(out, "{}", pretty(item)),
        Format::Jsonl => writeln!(out, "{item}"),
        Format::Yaml => write!(out, "{}", yaml(item)),
        Format::Name => writeln!(out, "{}", cell(item.pointer(view.name))),
        Format::Manual => writeln!(out, "{}", (view.manual)(item)),
    }
}

/// Prints the rows of a query: one value a column, in the order of the SELECT. Column names may repeat; JSON keys may not,
/// so the second `a` becomes `a_2`.
pub fn rows(out: &mut dyn Write, format: Format, columns: &[String], rows: &[Vec<Json>]) -> io::Result<()> {
    let mut keys: Vec<String> = Vec::with_capacity(columns.len());
    for name in columns {
        let earlier = columns.iter().take(keys.len()).filter(|other| *other == name).count();
        keys.push(if earlier == 0 { name.clone() } else { format!("{name}_{}", earlier + 1) });
    }
    let object = |row: &Vec<Json>| Json::Object(keys.iter().cloned().zip(row.iter().cloned()).collect());
    match format {
        Format::Table | Format::Manual => {
            let cells: Vec<Vec<String>> =
                rows.iter().map(|row| row.iter().map(|value| cell(Some(value))).collect()).collect();
            table(out, columns, &cells)
        }
        Format::Json => writeln!(out, "{}", pretty(&rows.iter().map(object).collect())),
        Format::Jsonl => rows.iter().try_for_each(|row| writeln!(out, "{}", object(row))),
        Format::Yaml => write!(out, "{}", yaml(&rows.iter().map(object).collect())),
        Format::Name => rows.iter().try_for_each(|row| writeln!(out, "{}", cell(row.first()))),
    }
}

fn pretty(json: &Json) -> String {
    format!("{json:#}")
}

/// One cell: text without quotes, lists with commas, the rest as JSON; no control characters.
fn cell(json: Option<&Json>) -> String {
    match json {
        None | Some(Json::Null) => String::new(),
        Some(Json::String(text)) => printable(text),
        Some(Json::Array(items)) => items.iter().map(|item| cell(Some(item))).collect::<Vec<_>>().join(","),
        Some(other) => printable(&other.to_string()),
    }
}

/// `text` on one line, with control characters made visible, so that what a client sent cannot steer a terminal.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => ' ',
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}

fn table(out: &mut dyn Write, titles: &[String], rows: &[Vec<String>]) -> io::Result<()> {
    let width = |index: usize| {
        let cells = rows.iter().filter_map(|row| row.get(index)).map(|text| text.chars().count());
        cells.chain(titles.get(index).map(|title| title.chars().count())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..titles.len()).map(width).collect();
    for row in std::iter::once(titles).chain(rows.iter().map(Vec::as_slice)) {
        let mut line = String::new();
        for (text, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{text:<width$}  "));
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// JSON as YAML, block style. Text that YAML could read as something else is quoted as JSON, which YAML contains.
pub fn yaml(json: &Json) -> String {
    let mut text = String::new();
    yaml_into(&mut text, json, 0, false);
    text
}

fn yaml_into(text: &mut String, json: &Json, depth: usize, in_line: bool) {
    let indent = "  ".repeat(depth);
    match json {
        Json::Object(map) if !map.is_empty() => {
            for (index, (key, value)) in map.iter().enumerate() {
                if index > 0 || !in_line {
                    text.push_str(&indent);
                }
                text.push_str(&yaml_scalar(key));
                text.push(':');
                yaml_child(text, value, depth + 1);
            }
        }
        Json::Array(items) if !items.is_empty() => {
            for item in items {
                text.push_str(&indent);
                text.push('-');
                match item {
                    Json::Object(map) if !map.is_empty() => {
                        text.push(' ');
                        yaml_into(text, item, depth + 1, true);
                    }
                    _ => yaml_child(text, item, depth + 1),
                }
            }
        }
        scalar => {
            text.push_str(&if let Json::String(plain) = scalar { yaml_scalar(plain) } else { scalar.to_string() });
            text.push('\n');
        }
    }
}

fn yaml_child(text: &mut String, value: &Json, depth: usize) {
    let is_block = match value {
        Json::Object(map) => !map.is_empty(),
        Json::Array(items) => !items.is_empty(),
        _ => false,
    };
    if is_block {
        text.push('\n');
        yaml_into(text, value, depth, false);
    } else {
        text.push(' ');
        yaml_into(text, value, depth, true);
    }
}

fn yaml_scalar(text: &str) -> String {
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-./$@ ".contains(c))
        && !text.ends_with(' ')
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&text.to_ascii_lowercase().as_str());
    if is_plain { text.to_owned() } else { Json::String(text.to_owned()).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn yaml_is_readable_and_quotes_what_would_change_its_meaning() {
        let json = json!({"id": "rule:1", "on": true, "text": "no", "list": [1, {"a": {"b": []}, "c": "x y"}, ["z"]], "empty": {}});
        assert_eq!(
            yaml(&json),
            "id: \"rule:1\"\n\"on\": true\ntext: \"no\"\nlist:\n  - 1\n  - a:\n      b: []\n    c: x y\n  -\n    - z\nempty: {}\n"
        );
    }

    #[test]
    fn tables_align_and_cannot_steer_the_terminal() {
        let view =
            View { columns: &[("ID", "/id"), ("FOR", "/for"), ("NOTE", "/n")], name: "/id", manual: |_| String::new() };
        let items = [
            json!({"id": "a\u{1b}[2J", "for": ["x", "y"], "n": null}),
            json!({"id": "b", "for": [], "n": "two\nlines"}),
        ];
        let mut out = Vec::new();
        list(&mut out, Format::Table, &view, &items).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "ID     FOR  NOTE\na\u{fffd}[2J  x,y\nb           two lines\n");
    }
}
