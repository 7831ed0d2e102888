//! `new-connector NAME`: the smallest connector, copied under a new name and wired.
//!
//! A connector touches three lines outside its folder (dependency, registry, and the workspace entry that carries it)
//! and a row each in two tables that tests compare with the crates.

use std::fs;
use std::path::Path;

const MODEL: &str = "file";

/// Copies `connectors/file` to `connectors/NAME` below `root` and adds the lines. Gives what to do next.
pub(crate) fn create(root: &Path, name: &str) -> Result<String, String> {
    let proper = name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if !proper {
        return Err(format!("a connector is named by a lower-case word such as redis, not {name:?}"));
    }
    let (from, to) = (root.join("connectors").join(MODEL), root.join("connectors").join(name));
    if to.exists() {
        return Err(format!("connectors/{name} is already there"));
    }
    // Every edit is made in memory before anything is written, so that a failure leaves nothing half done.
    let edits = wiring(root, name)?;
    copy(&from, &to, name)?;
    for (file, text) in edits {
        fs::write(root.join(&file), text).map_err(|error| format!("cannot write {file}: {error}"))?;
    }
    Ok(format!(
        "connectors/{name} is there and wired. Next:
  1. src/settings.rs: the fields of the resource and of its action, each with its default and unit
  2. src/client.rs and src/sink.rs: replace what writes files; remove roles it does not have
  3. tests/it.rs: the cases of the conformance menu it claims, against the real service
     (a new server for tests: one file in xtask/src/services, one entry in its list)
  4. README.md: the ten-line example, which a test parses
  5. connectors/STATUS.csv: say what it was tested against
  cargo test -p {name}"
    ))
}

/// The files outside the new folder with the lines for the new connector in them.
fn wiring(root: &Path, name: &str) -> Result<Vec<(String, String)>, String> {
    let lines = [
        ("Cargo.toml", format!("  \"connectors/{MODEL}\","), format!("  \"connectors/{name}\",")),
        (
            "Cargo.toml",
            format!("{MODEL} = {{ path = \"connectors/{MODEL}\" }}"),
            format!("{name} = {{ path = \"connectors/{name}\" }}"),
        ),
        ("weir/Cargo.toml", format!("{MODEL}.workspace = true"), format!("{name}.workspace = true")),
        ("connectors/STATUS.csv", format!("{MODEL},"), format!("{name},sink,none,,")),
    ];
    let mut files: Vec<(String, String)> = Vec::new();
    for (file, beside, line) in lines {
        let index = match files.iter().position(|(known, _)| *known == file) {
            Some(index) => index,
            None => {
                files.push((file.to_owned(), read(root, file)?));
                files.len() - 1
            }
        };
        if let Some((_, text)) = files.get_mut(index) {
            *text = add_after(text, &beside, &line)
                .ok_or_else(|| format!("{file} has no line that begins with {beside:?}"))?;
        }
    }
    let rooms = read(root, "tests/rooms.tsv")?;
    let row = rooms
        .lines()
        .find(|line| line.starts_with(&format!("{MODEL}\t")))
        .ok_or("tests/rooms.tsv has no row of the file connector")?;
    let fresh = row.replacen(MODEL, name, 1);
    let binary =
        rooms.lines().find(|line| line.starts_with("weir\t")).ok_or("tests/rooms.tsv has no row of the binary")?;
    let wired = binary.replacen(&format!(" {MODEL} "), &format!(" {MODEL} {name} "), 1);
    files.push((
        "tests/rooms.tsv".to_owned(),
        rooms.replacen(row, &format!("{row}\n{fresh}"), 1).replacen(binary, &wired, 1),
    ));
    files.push(registry(root, name)?);
    Ok(files)
}

/// The file of the binary that lists the connectors, with the new one in its list.
fn registry(root: &Path, name: &str) -> Result<(String, String), String> {
    let wanted = format!("{MODEL}::connector()");
    let folder = root.join("weir/src");
    let entries = fs::read_dir(&folder).map_err(|error| format!("cannot read {}: {error}", folder.display()))?;
    for file in entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
        let path = format!("weir/src/{file}");
        let Ok(text) = read(root, &path) else { continue };
        let line = text.lines().find(|line| line.trim_start().starts_with(&wanted)).map(str::to_owned);
        if let Some(line) = line {
            let fresh = line.replace(&wanted, &format!("{name}::connector()"));
            return add_after(&text, &line, &fresh).map(|text| (path, text)).ok_or_else(|| format!("{file} changed"));
        }
    }
    Err(format!("no file in weir/src lists {wanted}"))
}

/// `line` put after the first line that begins with `beside`.
fn add_after(text: &str, beside: &str, line: &str) -> Option<String> {
    let mut found = false;
    let mut out = String::with_capacity(text.len() + line.len() + 1);
    for old in text.split_inclusive('\n') {
        out.push_str(old);
        if !found && old.starts_with(beside) {
            found = true;
            if !old.ends_with('\n') {
                out.push('\n');
            }
            out.push_str(line);
            out.push('\n');
        }
    }
    found.then_some(out)
}

fn copy(from: &Path, to: &Path, name: &str) -> Result<(), String> {
    let fault = |error: std::io::Error| format!("cannot copy {} to {}: {error}", from.display(), to.display());
    fs::create_dir_all(to).map_err(fault)?;
    for entry in fs::read_dir(from).map_err(fault)? {
        let entry = entry.map_err(fault)?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target, name)?;
        } else {
            let text = fs::read_to_string(entry.path()).map_err(fault)?;
            fs::write(&target, renamed(&text, name)).map_err(fault)?;
        }
    }
    Ok(())
}

/// The names that identify a connector, replaced; prose about files stays for the author to rewrite.
fn renamed(text: &str, name: &str) -> String {
    text.replace("data_to_file", &format!("data_to_{name}"))
        .replace("\"file\"", &format!("\"{name}\""))
        .replace("`file`", &format!("`{name}`"))
        .replace("file::connector", &format!("{name}::connector"))
        .replace("use file::", &format!("use {name}::"))
        .replace("type: file", &format!("type: {name}"))
}

fn read(root: &Path, file: &str) -> Result<String, String> {
    fs::read_to_string(root.join(file)).map_err(|error| format!("cannot read {file}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project;

    /// A copy of the real files it edits, so that this test notices when one of them changes its shape.
    fn checkout(tag: &str) -> std::path::PathBuf {
        let copy = std::env::temp_dir().join(format!("weir-xtask-{tag}-{}", std::process::id()));
        let root = project::root();
        for file in [
            "Cargo.toml",
            "weir/Cargo.toml",
            "connectors/STATUS.csv",
            "tests/rooms.tsv",
            "connectors/file/Cargo.toml",
            "connectors/file/src/lib.rs",
        ] {
            fs::create_dir_all(copy.join(file).parent().unwrap()).unwrap();
            fs::copy(root.join(file), copy.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        }
        // One entry a line is all that is asked of the list.
        fs::create_dir_all(copy.join("weir/src")).unwrap();
        fs::write(copy.join("weir/src/registry.rs"), "fn all() {\n    [\n        file::connector(),\n    ]\n}\n")
            .unwrap();
        copy
    }

    #[test]
    fn a_new_connector_is_wired_everywhere() {
        let root = checkout("new");
        create(&root, "redis").unwrap();
        for (file, line) in [
            ("Cargo.toml", "  \"connectors/redis\","),
            ("Cargo.toml", "redis = { path = \"connectors/redis\" }"),
            ("weir/Cargo.toml", "redis.workspace = true"),
            ("weir/src/registry.rs", "        redis::connector(),"),
            ("connectors/STATUS.csv", "redis,sink,none,,"),
            ("connectors/redis/Cargo.toml", "name = \"redis\""),
        ] {
            let text = fs::read_to_string(root.join(file)).unwrap();
            assert!(text.lines().any(|have| have == line), "{file} has no line {line:?}");
        }
        let rooms = fs::read_to_string(root.join("tests/rooms.tsv")).unwrap();
        assert!(rooms.lines().any(|row| row.starts_with("redis\tconnector model")), "{rooms}");
        assert!(rooms.lines().any(|row| row.starts_with("weir\t") && row.contains(" redis ")), "{rooms}");
        let again = create(&root, "redis").unwrap_err();
        assert!(again.contains("already there"), "{again}");
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn a_name_that_is_no_crate_name_is_refused() {
        for name in ["", "Redis", "../x", "a b", "9p"] {
            assert!(create(Path::new("/nonexistent"), name).unwrap_err().contains("lower-case word"), "{name:?}");
        }
    }

    /// Every connector crate has a row that says what it was tested against.
    #[test]
    fn status_has_a_row_for_every_connector() {
        let root = project::root();
        let status = fs::read_to_string(root.join("connectors/STATUS.csv")).unwrap();
        let mut lines = status.lines();
        assert_eq!(lines.next(), Some("connector,roles,tested_against,product,conformance"));
        let mut rows = Vec::new();
        for line in lines {
            let cells: Vec<&str> = line.split(',').collect();
            assert_eq!(cells.len(), 5, "{line}");
            assert!(["real", "compatible", "emulator", "none"].contains(&cells[2]), "{line}");
            assert_eq!(
                cells[2] == "none",
                cells[4].is_empty(),
                "a tested connector names its cases, an untested one has none: {line}"
            );
            rows.push(cells[0].to_owned());
        }
        let mut crates: Vec<String> = fs::read_dir(root.join("connectors"))
            .unwrap()
            .flatten()
            .filter(|entry| entry.path().join("Cargo.toml").is_file())
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|name| !["connector", "testkit"].contains(&name.as_str()))
            .collect();
        rows.sort();
        crates.sort();
        assert_eq!(rows, crates);
    }
}
