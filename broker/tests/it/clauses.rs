//! `tests/clauses.tsv` is the table of every normative statement of MQTT 3.1.1 and 5.0, with what tests it or why nothing
//! does. This keeps the table complete and true.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use broker::codec::Version;

use crate::cases;

const COLUMNS: [&str; 5] = ["version", "clause", "what it asks for", "binds", "tests or reason"];

struct Row {
    version: String,
    clause: String,
    binds: String,
    tests: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn table() -> Vec<Row> {
    let text = std::fs::read_to_string(root().join("tests/clauses.tsv")).unwrap();
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    assert_eq!(lines.next().unwrap().split('\t').collect::<Vec<_>>(), COLUMNS);
    lines
        .map(|line| {
            let fields: Vec<&str> = line.split('\t').collect();
            assert_eq!(fields.len(), COLUMNS.len(), "{line}");
            assert!(fields.iter().all(|field| !field.trim().is_empty()), "an empty field: {line}");
            let field = |at: usize| fields[at].to_owned();
            Row { version: field(0), clause: field(1), binds: field(3), tests: field(4) }
        })
        .collect()
}

/// Every Rust file and every table of the room.
fn sources() -> Vec<(String, String)> {
    let mut folders = vec![root().join("src"), root().join("tests/it"), root().join("tests/cases")];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push((path.display().to_string(), std::fs::read_to_string(path).unwrap()));
            }
        }
    }
    found
}

/// The clause identifiers in a text: `MQTT-` and what looks like a number after it.
fn mentioned(text: &str) -> BTreeSet<String> {
    let number = |c: char| c.is_ascii_digit() || c == '.' || c == '-';
    text.match_indices("MQTT-")
        .map(|(at, _)| {
            let rest = &text[at + 5..];
            let len = rest.find(|c| !number(c)).unwrap_or(rest.len());
            format!("MQTT-{}", rest[..len].trim_end_matches(['.', '-']))
        })
        .filter(|id| id.len() > 8 && id.contains('.'))
        .collect()
}

fn name_of(version: Version) -> &'static str {
    match version {
        Version::V3_1 | Version::V3_1_1 => "3.1.1",
        Version::V5 => "5.0",
    }
}

#[test]
fn the_table_is_complete() {
    let rows = table();
    let count = |version: &str| rows.iter().filter(|row| row.version == version).count();
    assert!(count("3.1.1") >= 137, "3.1.1 has {} clauses", count("3.1.1"));
    assert!(count("5.0") >= 240, "5.0 has {} clauses", count("5.0"));
    let ids: BTreeSet<(&str, &str)> = rows.iter().map(|row| (row.version.as_str(), row.clause.as_str())).collect();
    assert_eq!(ids.len(), rows.len(), "a clause appears twice");
    assert!(rows.iter().all(|row| ["server", "client", "both"].contains(&row.binds.as_str())));
    let known: BTreeSet<&str> = rows.iter().map(|row| row.clause.as_str()).collect();
    let mut unknown = Vec::new();
    for (file, text) in sources() {
        unknown.extend(
            mentioned(&text).into_iter().filter(|id| !known.contains(id.as_str())).map(|id| format!("{id} in {file}")),
        );
    }
    assert!(unknown.is_empty(), "not in the table: {unknown:#?}");
}

#[test]
fn every_test_of_the_table_exists() {
    let mut cases: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for case in cases::all() {
        let file = case.place.split('.').next().unwrap().to_owned();
        for clause in &case.clauses {
            cases.entry((name_of(case.version).to_owned(), clause.clone())).or_default().insert(file.clone());
        }
    }
    let sources = sources();
    let mut wrong = Vec::new();
    for Row { version, clause, binds, tests } in table() {
        if let Some(reason) = tests.strip_prefix("none: ") {
            let tested = cases.contains_key(&(version.clone(), clause.clone()));
            if reason.len() < 10 || (tested && binds != "client") {
                wrong.push(format!("{version} {clause}: a reason is given, and there is a case or hardly a reason"));
            }
            continue;
        }
        for test in tests.split(", ") {
            let exists = match test.strip_prefix("cases/") {
                Some(file) => cases.get(&(version.clone(), clause.clone())).is_some_and(|files| files.contains(file)),
                None => sources.iter().any(|(_, text)| text.contains(&format!("fn {test}("))),
            };
            if !exists {
                wrong.push(format!("{version} {clause}: there is no {test}"));
            }
        }
    }
    for (version, clause) in cases.keys() {
        if !table().iter().any(|row| &row.version == version && &row.clause == clause) {
            wrong.push(format!("{version} {clause}: a case cites it, and the table does not know it"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
