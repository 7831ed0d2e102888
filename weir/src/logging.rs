//! Structured log lines on stderr.

use std::io;

use cli::{Exit, Failure};
use settings::LogFormat;
use tracing_subscriber::EnvFilter;

/// Starts logging for the rest of the process.
pub(crate) fn start(log: &settings::Log) -> Result<(), Failure> {
    // One noisy dependency must not bury what the server says: they get warnings only, unless the filter names them.
    let plain = ["error", "warn", "info", "debug", "trace", "off"].contains(&log.level.as_str());
    let directives = if plain && matches!(log.level.as_str(), "info" | "debug" | "trace") {
        format!("{},hyper=warn,hyper_util=warn,h2=warn,rustls=warn,reqwest=warn,datafusion=warn,tokio_postgres=warn", log.level)
    } else {
        log.level.clone()
    };
    let filter = EnvFilter::try_new(&directives)
        .map_err(|error| Failure::new(Exit::Invalid, format!("log.level: {:?} is no log filter: {error}", log.level)))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_target(true);
    let started = match log.format {
        LogFormat::Text => builder.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| Failure::new(Exit::Failed, format!("cannot start logging: {error}")))
}
