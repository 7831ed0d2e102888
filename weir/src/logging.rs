//! Structured log lines on stderr.

use std::io;

use cli::{Exit, Failure};
use settings::LogFormat;
use tracing_subscriber::EnvFilter;

/// Starts logging for the rest of the process.
pub(crate) fn start(log: &settings::Log) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(directives(&log.level)).map_err(|error| {
        Failure::new(Exit::Invalid, format!("log.level: {:?} is no log filter: {error}", log.level))
    })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_target(true);
    let started = match log.format {
        LogFormat::Text => builder.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| Failure::new(Exit::Failed, format!("cannot start logging: {error}")))
}

/// The rooms; what they say is meant for operators.
const ROOMS: [&str; 17] = [
    "api",
    "broker",
    "cli",
    "connector",
    "engine",
    "file",
    "kafka",
    "lake",
    "model",
    "pipelines",
    "postgresql",
    "resources",
    "settings",
    "sql",
    "store",
    "webhook",
    "weir",
];

/// A level alone is about the rooms: dependencies get warnings only, because one of them that reports every file it reads
/// would bury the rest. A filter is taken as it is.
fn directives(level: &str) -> String {
    if !["info", "debug", "trace"].contains(&level) {
        return level.to_owned();
    }
    ROOMS.iter().fold("warn".to_owned(), |all, room| format!("{all},{room}={level}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_for_the_rooms_and_a_filter_is_taken_as_it_is() {
        assert!(directives("debug").starts_with("warn,api=debug,"));
        assert_eq!(directives("error"), "error");
        assert_eq!(directives("info,broker=debug"), "info,broker=debug");
        assert!(EnvFilter::try_new(directives("trace")).is_ok());
    }
}
