//! docs/functions.md is what the function list says. `WEIR_WRITE_DOCS=1 cargo test -p sql function_page` rewrites it.

use std::path::Path;

use crate::functions::{self, Function, Purity};

const HEADER: &str = "\
# Functions

<!-- Generated from the function list of the room `sql`. Do not edit: change the list and run
     `WEIR_WRITE_DOCS=1 cargo test -p sql function_page`. Without the variable the same test fails when this file and
     the list differ. -->

Names are read in any case. A function that fails, fails the row: it is counted, and the rule's error log shows the
function, the argument and the value. *Pure* functions give the same result for the same arguments; those marked
*event* depend on the event or its time, so that a replay gives the same result; those marked *external* depend on the
world.

";

/// Text in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// Code in a cell of a table.
fn code(text: &str) -> String {
    format!("`{}`", cell(text))
}

fn line(page: &mut String, function: &Function) {
    let purity = match function.purity {
        Purity::Pure => "pure",
        Purity::EventTime => "event",
        Purity::External => "external",
    };
    let mut does = cell(function.doc);
    if !function.aliases.is_empty() {
        let aliases: Vec<String> = function.aliases.iter().map(|alias| code(alias)).collect();
        does.push_str(&format!(" Also called {}.", aliases.join(", ")));
    }
    page.push_str(&format!(
        "| {} | {does} | {} | {} | {purity} |\n",
        code(function.signature),
        code(function.example),
        cell(function.nulls)
    ));
}

fn page() -> String {
    let mut page = HEADER.to_owned();
    for (family, functions) in functions::FAMILIES {
        let (first, rest) = family.split_at(1);
        page.push_str(&format!("## {}{rest}\n\n", first.to_uppercase()));
        page.push_str("| Function | What it does | Example | Null and missing | Purity |\n|---|---|---|---|---|\n");
        for function in *functions {
            line(&mut page, function);
        }
        page.push('\n');
    }
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

#[test]
fn the_page_of_functions_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/functions.md");
    let wanted = page();
    if std::env::var_os("WEIR_WRITE_DOCS").is_some() {
        std::fs::write(&path, &wanted).unwrap();
        return;
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == wanted, "docs/functions.md is out of date: WEIR_WRITE_DOCS=1 cargo test -p sql function_page");
    for function in functions::all() {
        assert!(wanted.contains(&code(function.signature)), "{}", function.name);
    }
}
