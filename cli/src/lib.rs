//! The command line of weir: noun-verb commands over the HTTP API.
//!
//! Invariants:
//! - It owns no logic: a command is one or more requests and a way to print the answers. What works without a server
//!   (`run`, `start`, `check`, `rules test`, `query`, `config`, `bench`) is parsed here and done by the binary.
//! - Data goes to stdout, messages to stderr; the exit codes are those of [`Exit`].
//! - Text that came from outside is stripped of control characters before it reaches a terminal.

mod access_args;
mod api_client;
pub mod args;
mod broker_args;
mod commands;
mod credentials;
mod exit;
mod manual_text;
pub mod output;

pub use api_client::ApiClient;
pub use args::{Cli, Command};
pub use credentials::{CREDENTIALS_FILE, Credentials};
pub use exit::{Exit, Failure};

/// Runs a command that talks to a server and writes its data to `out`.
///
/// Commands that need no server are the binary's; giving one here is an error of the caller, reported as such.
pub async fn run(cli: &Cli, out: &mut (dyn std::io::Write + Send)) -> Result<(), Failure> {
    commands::run(cli, out).await
}
