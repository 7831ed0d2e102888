//! `cargo xtask`: what a person or CI does with this repository, as commands.
//!
//! Only the standard library, because it is the first thing compiled on a fresh machine. It runs programs and edits
//! files; it knows no room of weir. One cargo runs at a time, and never from inside a test.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool talks on its standard streams")]

mod apt;
mod ci;
mod features;
mod new_connector;
mod project;
mod services;
mod summary;

use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask COMMAND

  run [ARGS]                 build weir and run examples/quickstart.yaml (or `weir ARGS`)
  test [FILTER]              start the real services, run every test, stop them again
  ci                         everything CI does: check, then test
  check                      formatting, lints with warnings denied, documentation
  bench [FILTER]             criterion benches, then `weir bench`
  setup                      install what the build needs (apt), if something is missing
  services up [NAMES]        install, start and wait for the services the tests use
  services down [NAMES]      stop them and drop their data
  services stop [NAMES]      stop them and keep their data
  services restart NAME      stop and start one, same address, same data
  services status            what runs and where
  new-connector NAME         a new connector crate, wired";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match dispatch(&words) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::from(2)
        }
    }
}

/// Runs one command. `Ok(false)` means the work was done and found something wrong; `Err` that it could not be done.
fn dispatch(words: &[&str]) -> Result<bool, String> {
    match words {
        ["setup"] => apt::setup().map(|()| true),
        ["run", args @ ..] => ci::run(args),
        ["test"] => ci::test(None),
        ["test", filter] => ci::test(Some(filter)),
        ["check"] => ci::check(),
        ["ci"] => ci::ci(),
        ["bench"] => ci::bench(None),
        ["bench", filter] => ci::bench(Some(filter)),
        ["services", action, names @ ..] => services::command(action, names),
        ["new-connector", name] => new_connector::create(&project::root(), name).map(|next| {
            println!("{next}");
            true
        }),
        [] | ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(true)
        }
        _ => Err(format!("no such command: {}\n\n{USAGE}", words.join(" "))),
    }
}
