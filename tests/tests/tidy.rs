//! Tests of the repository itself: rooms import only what the table allows, files say what they are.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests room lies in the workspace").to_path_buf()
}

struct Room {
    imports: BTreeSet<String>,
    banned: BTreeSet<String>,
}

fn table() -> BTreeMap<String, Room> {
    let words = |cell: Option<&str>| cell.unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    fs::read_to_string(root().join("tests/rooms.tsv"))
        .expect("tests/rooms.tsv")
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .map(|line| {
            let mut cells = line.split('\t');
            let name = cells.next().unwrap_or_default().to_owned();
            (name, Room { imports: words(cells.next()), banned: words(cells.next()) })
        })
        .collect()
}

fn manifest(path: &Path) -> toml::Table {
    fs::read_to_string(path).expect("manifest").parse().expect("manifest is TOML")
}

fn members() -> Vec<(String, toml::Table)> {
    let workspace = manifest(&root().join("Cargo.toml"));
    workspace["workspace"]["members"]
        .as_array()
        .expect("members")
        .iter()
        .map(|member| {
            let manifest = manifest(&root().join(member.as_str().expect("text")).join("Cargo.toml"));
            let name = manifest["package"]["name"].as_str().expect("name").to_owned();
            assert_eq!(
                member.as_str().unwrap_or_default().rsplit('/').next(),
                Some(name.as_str()),
                "a folder is named like its crate"
            );
            (name, manifest)
        })
        .collect()
}

#[test]
fn rooms_import_only_what_the_table_allows() {
    let table = table();
    let members = members();
    let rooms: BTreeSet<String> = members.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(rooms, table.keys().cloned().collect(), "every room has a line in tests/rooms.tsv");
    let mut wrong = Vec::new();
    for (name, manifest) in &members {
        let room = &table[name];
        let dependencies = manifest.get("dependencies").and_then(toml::Value::as_table).cloned().unwrap_or_default();
        for dependency in dependencies.keys() {
            if rooms.contains(dependency) && !room.imports.contains(dependency) {
                wrong.push(format!("{name} imports the room {dependency}; tests/rooms.tsv does not allow it"));
            }
            if room.banned.contains(dependency) {
                wrong.push(format!("{name} must never name {dependency}"));
            }
        }
        let inherits = manifest.get("lints").and_then(|lints| lints.get("workspace")).and_then(toml::Value::as_bool);
        if inherits != Some(true) {
            wrong.push(format!("{name} does not inherit the workspace lints"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn third_party_crates_are_declared_once_in_the_workspace() {
    let mut wrong = Vec::new();
    for (name, manifest) in members() {
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(dependencies) = manifest.get(section).and_then(toml::Value::as_table) else { continue };
            for (dependency, value) in dependencies {
                let inherited = value.get("workspace").and_then(toml::Value::as_bool) == Some(true);
                if !inherited {
                    wrong.push(format!("{name}: {dependency} must be `{dependency}.workspace = true`"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// One version each of the big ones: two would compile twice and give types that do not fit each other.
#[test]
fn the_big_crates_have_one_version() {
    let lock = manifest(&root().join("Cargo.lock"));
    for big in ["arrow", "parquet", "datafusion", "object_store", "sqlparser", "tokio", "rustls"] {
        let versions: Vec<&str> = lock["package"]
            .as_array()
            .expect("packages")
            .iter()
            .filter(|package| package["name"].as_str() == Some(big))
            .filter_map(|package| package["version"].as_str())
            .collect();
        assert_eq!(versions.len(), 1, "{big} has the versions {versions:?}");
    }
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("folder").flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            rust_files(&path, found);
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_source_file_says_what_it_is() {
    let mut files = Vec::new();
    rust_files(&root(), &mut files);
    assert!(files.len() > 50, "found only {} source files", files.len());
    let silent: Vec<String> = files
        .iter()
        .filter(|path| {
            let text = fs::read_to_string(path).unwrap_or_default();
            // A connector's crate documentation is its README.
            !text.starts_with("//!") && !text.starts_with("#![doc = include_str!")
        })
        .map(|path| path.display().to_string())
        .collect();
    assert!(silent.is_empty(), "these files have no //! header:\n{}", silent.join("\n"));
}

/// Files past this length are too long for one reader. The list of exceptions only shrinks.
#[test]
fn no_source_file_outgrows_its_reader() {
    const LINES_MAX: usize = 900;
    let mut files = Vec::new();
    rust_files(&root(), &mut files);
    let long: Vec<String> = files
        .iter()
        .map(|path| (path, fs::read_to_string(path).unwrap_or_default().lines().count()))
        .filter(|(_, lines)| *lines > LINES_MAX)
        .map(|(path, lines)| format!("{} has {lines} lines", path.display()))
        .collect();
    assert!(long.is_empty(), "split these:\n{}", long.join("\n"));
}

#[test]
fn architecture_stays_short_enough_to_be_read() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    assert!(text.lines().count() <= 300, "ARCHITECTURE.md has {} lines; 300 is the bound", text.lines().count());
    for room in table().keys() {
        assert!(
            text.contains(&format!("`{room}`")) || text.contains(&format!("/{room}`")),
            "ARCHITECTURE.md does not mention the room {room}"
        );
    }
}
