//! Whether the binary alone and the whole workspace choose the same features of every third-party crate. Where they do not,
//! `cargo build -p weir` and `cargo test --workspace` each build a DataFusion of their own, minutes at a time.

use std::collections::{BTreeMap, BTreeSet};

use crate::project::{cargo, output};

/// Crate and version → features.
type Chosen = BTreeMap<String, BTreeSet<String>>;

/// `Ok(true)` when they agree; prints each crate on which they do not.
pub(crate) fn agree() -> Result<bool, String> {
    let alone = chosen(&["--package", "weir", "--edges", "normal,build"])?;
    let whole = chosen(&["--workspace", "--edges", "normal,build,dev"])?;
    let mut good = true;
    for (name, features) in &alone {
        let extra: Vec<&String> = whole.get(name).map(|all| all.difference(features).collect()).unwrap_or_default();
        if !extra.is_empty() {
            good = false;
            println!(
                "features: {name} has {extra:?} in the workspace but not in `-p weir`; `cargo tree --workspace -i {} -e features` says who asks",
                name.split(' ').next().unwrap_or(name)
            );
        }
    }
    Ok(good)
}

fn chosen(selection: &[&str]) -> Result<Chosen, String> {
    let mut tree = cargo(&["tree", "--quiet", "--prefix", "none", "--format", "{p}|{f}"]);
    tree.args(selection);
    let text = output(&mut tree)?;
    let mut chosen = Chosen::new();
    // Rooms carry their path in parentheses; a repeated crate ends in "(*)".
    for line in text.lines().map(|line| line.trim_end_matches(" (*)")).filter(|line| !line.contains("(/")) {
        if let Some((package, features)) = line.split_once('|') {
            let features = features.split(',').filter(|feature| !feature.is_empty()).map(str::to_owned);
            chosen.entry(package.to_owned()).or_default().extend(features);
        }
    }
    Ok(chosen)
}
