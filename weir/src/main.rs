//! The one binary: parses the command line, and wires the rooms.
//!
//! Invariant: this is the only place that names concrete connectors (`connectors.rs`) and knows every room.

mod bench;
mod configuration;
mod connectors;
mod limits;
mod logging;
mod offline;
mod rule_test;
mod server;
mod signals;

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use cli::args::RulesCommand;
use cli::{Cli, Command, Exit, Failure};

fn main() -> ExitCode {
    // Called as `emqx_ctl`, it is the command line of EMQ X 3.4.5.
    let mut cli = match Cli::try_parse_from(words()) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors; clap prints to the right stream and knows the code (0 or 2).
            drop(error.print());
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match find_data_dir(&mut cli).and_then(|()| run(&cli)) {
        Ok(()) => Exit::Ok.into(),
        Err(failure) => {
            if !failure.message.is_empty() {
                // Without a stderr there is nobody left to tell.
                drop(writeln!(io::stderr(), "error: {failure}"));
            }
            failure.exit.into()
        }
    }
}

/// Commands look for the server's key in its data folder, which `weir.toml` may name.
fn find_data_dir(cli: &mut Cli) -> Result<(), Failure> {
    cli.global.config = cli.server_config().cloned().or_else(|| std::env::var_os("WEIR_CONFIG").map(Into::into));
    let is_server =
        matches!(cli.command, Command::Run(_) | Command::Start(_) | Command::Config { .. } | Command::Bench(_));
    if is_server || cli.global.data_dir.is_some() {
        return Ok(());
    }
    match configuration::load(&cli.global) {
        Ok(loaded) => cli.global.data_dir = Some(loaded.settings.node.data_dir),
        // A file that happens to lie here and is wrong must not stop a command that does not need it.
        Err(_) if cli.global.config.is_none() => {}
        Err(failure) => return Err(failure),
    }
    Ok(())
}

fn words() -> Vec<std::ffi::OsString> {
    let mut words: Vec<std::ffi::OsString> = std::env::args_os().collect();
    let is_ctl =
        words.first().is_some_and(|name| std::path::Path::new(name).file_name().is_some_and(|name| name == "emqx_ctl"));
    if is_ctl {
        words.insert(1, "ctl".into());
    }
    words
}

fn run(cli: &Cli) -> Result<(), Failure> {
    let mut out = BufWriter::new(io::stdout());
    let result = dispatch(cli, &mut out);
    // `weir … | head` closes the pipe early; that is no failure of ours.
    match (result, out.flush()) {
        (Ok(()), Err(error)) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        (result, _) => result,
    }
}

fn dispatch(cli: &Cli, out: &mut (dyn Write + Send)) -> Result<(), Failure> {
    match &cli.command {
        Command::Rules(RulesCommand::Test(args)) => rule_test::run(args, out),
        Command::Config { command, .. } => configuration::command(&cli.global, command, out),
        Command::Completion { shell } => {
            clap_complete::generate(*shell, &mut Cli::command(), "weir", &mut SendWriter(out));
            Ok(())
        }
        Command::Check(args) => offline::check(&cli.global, args, out),
        Command::Query(args) => block_on(offline::query(&cli.global, args, out)),
        Command::Bench(args) => block_on(bench::run(&cli.global, args, out)),
        Command::Run(args) => server::run(&cli.global, Some(args)),
        Command::Start(_) => server::run(&cli.global, None),
        _ => block_on(cli::run(cli, out)),
    }
}

/// `clap_complete` wants a sized writer.
struct SendWriter<'a>(&'a mut (dyn Write + Send));

impl Write for SendWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// A short-lived runtime for one command.
fn block_on<F: Future<Output = Result<(), Failure>>>(future: F) -> Result<(), Failure> {
    install_crypto();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Failed, format!("cannot start the async runtime: {error}")))?;
    runtime.block_on(future)
}

/// Two TLS providers are compiled in by dependencies; rustls panics unless one is chosen.
fn install_crypto() {
    // An error means that it is chosen already.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
}
