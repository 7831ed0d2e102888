//! From the command line's options to settings, and `weir config …`.

use std::io::Write;
use std::path::{Path, PathBuf};

use cli::args::{ConfigCommand, Format, Global};
use cli::{Exit, Failure};
use serde_json::json;
use settings::{Loaded, Sources};

/// The configuration file that is read when none is named.
const CONFIG_DEFAULT: &str = "weir.toml";

/// Reads the configuration that `global` names, with the environment and flags over it.
pub(crate) fn load(global: &Global) -> Result<Loaded, Failure> {
    let path = match &global.config {
        Some(path) => Some(path.clone()),
        None => Path::new(CONFIG_DEFAULT).is_file().then(|| PathBuf::from(CONFIG_DEFAULT)),
    };
    load_from(global, path.as_deref())
}

/// The same without looking for `weir.toml`: for `weir run`, whose file is the pipeline.
pub(crate) fn load_without_search(global: &Global) -> Result<Loaded, Failure> {
    load_from(global, global.config.as_deref())
}

fn load_from(global: &Global, path: Option<&Path>) -> Result<Loaded, Failure> {
    let file = match path {
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| {
                Failure::new(Exit::Failed, format!("cannot read the configuration {}: {error}", path.display()))
            })?;
            Some((path.display().to_string(), text))
        }
        None => None,
    };
    // Variables that are not Unicode cannot be ours: ours are ASCII names with text values.
    let env = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let mut flags = Vec::new();
    if let Some(folder) = &global.data_dir {
        flags.push(("node.data_dir", folder.display().to_string(), "--data-dir"));
    }
    if let Some(level) = &global.log_level {
        flags.push(("log.level", level.clone(), "--log-level"));
    }
    if let Some(format) = &global.log_format {
        flags.push(("log.format", format.clone(), "--log-format"));
    }
    settings::load(&Sources { file, env, flags }).map_err(|error| Failure::new(Exit::Invalid, error.to_string()))
}

/// `weir config reference|show|check`
pub(crate) fn command(global: &Global, command: &ConfigCommand, out: &mut dyn Write) -> Result<(), Failure> {
    match command {
        ConfigCommand::Reference => write!(out, "{}", settings::reference())?,
        ConfigCommand::Check => {
            load(global)?;
            writeln!(out, "ok")?;
        }
        ConfigCommand::Show { origin } => {
            let loaded = load(global)?;
            match global.output {
                Format::Json | Format::Jsonl | Format::Yaml => {
                    let columns = ["key", "value", "origin"].map(str::to_owned);
                    let row = |shown: &settings::Shown| {
                        vec![json!(shown.key), json!(shown.value), json!(shown.origin.to_string())]
                    };
                    let rows: Vec<_> = loaded.shown.iter().map(row).collect();
                    cli::output::rows(out, global.output, &columns, &rows)?;
                }
                _ => {
                    for shown in &loaded.shown {
                        write!(out, "{} = {}", shown.key, shown.value)?;
                        if *origin {
                            write!(out, "  # {}", shown.origin)?;
                        }
                        writeln!(out)?;
                    }
                }
            }
        }
    }
    Ok(())
}
