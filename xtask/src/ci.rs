//! The commands built from cargo: run, check, test, ci, bench.

use std::io::{BufRead, BufReader};
use std::process::Command;

use crate::project::{cargo, in_ci, step, target_dir};
use crate::summary::Summary;
use crate::{apt, features, services};

/// Builds weir and runs it: `weir run examples/quickstart.yaml`, or `weir ARGS`.
pub(crate) fn run(args: &[&str]) -> Result<bool, String> {
    apt::setup()?;
    if !step(&mut cargo(&["build", "--package", "weir", "--bin", "weir"]))? {
        return Ok(false);
    }
    let args = if args.is_empty() { &["run", "examples/quickstart.yaml"] } else { args };
    let built = target_dir().join("debug");
    println!("weir is {}; in other terminals: export PATH=\"{}:$PATH\"", built.join("weir").display(), built.display());
    // Not through cargo: the server then gets Ctrl-C and its exit code directly.
    step(Command::new(built.join("weir")).args(args).current_dir(crate::project::root()))
}

/// Formatting, lints and documentation, all with warnings denied, and one set of features for all selections of packages. Every part runs, so one report shows all faults.
pub(crate) fn check() -> Result<bool, String> {
    apt::setup()?;
    let formatted = step(&mut cargo(&["fmt", "--all", "--check"]))?;
    let linted = step(&mut cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    let documented = step(cargo(&["doc", "--workspace", "--no-deps", "--quiet"]).env("RUSTDOCFLAGS", "-D warnings"))?;
    let unified = features::agree()?;
    let parts =
        [("formatting", formatted), ("lints", linted), ("documentation", documented), ("one set of features", unified)];
    for (what, good) in parts {
        println!("check: {what} {}", if good { "ok" } else { "FAILED" });
    }
    Ok(parts.iter().all(|(_, good)| *good))
}

/// Check, then test. The tests come last so that the output ends with their summary.
pub(crate) fn ci() -> Result<bool, String> {
    let checked = check()?;
    let tested = test(None)?;
    Ok(checked && tested)
}

/// Starts the services, runs every test (or those whose name contains `filter`), stops what was started.
pub(crate) fn test(filter: Option<&str>) -> Result<bool, String> {
    apt::setup()?;
    let report = services::up(&[])?;
    let outcome = run_tests(filter, &report.env);
    let stopped = stop_started(&report);
    services::print_report(&report);
    let mut summary = outcome?;
    stopped?;
    if in_ci() && !report.missing.is_empty() {
        println!("services: CI has to have every service");
        summary.broken = true;
    }
    println!("{summary}");
    Ok(summary.good())
}

/// Criterion benches (those whose name contains `filter`), then the end-to-end bench of the binary.
pub(crate) fn bench(filter: Option<&str>) -> Result<bool, String> {
    apt::setup()?;
    let report = services::up(&[])?;
    let mut benches = cargo(&["bench", "--workspace", "--benches"]);
    benches.envs(report.env.iter().cloned());
    if let Some(filter) = filter {
        benches.args(["--", filter]);
    }
    let measured = step(&mut benches);
    let whole = if filter.is_none() {
        step(cargo(&["run", "--release", "--package", "weir", "--", "bench"]).envs(report.env.iter().cloned()))
    } else {
        Ok(true)
    };
    stop_started(&report)?;
    services::print_report(&report);
    Ok(measured? && whole?)
}

/// What ran before this call belongs to somebody else.
fn stop_started(report: &services::Report) -> Result<(), String> {
    if report.started.is_empty() { Ok(()) } else { services::stop(&report.started, true) }
}

/// Builds everything first, so that compiling is not taken for testing, and so that the binary is there for the
/// end-to-end tests, which find it by `WEIR_BIN`.
fn run_tests(filter: Option<&str>, env: &[(&'static str, String)]) -> Result<Summary, String> {
    let mut summary = Summary::default();
    if !step(&mut cargo(&["build", "--workspace", "--lib", "--bins", "--tests"]))? {
        summary.broken = true;
        return Ok(summary);
    }
    let mut tests = cargo(&["test", "--workspace", "--no-fail-fast"]);
    tests.args(filter).env("WEIR_BIN", target_dir().join("debug/weir")).envs(env.iter().cloned());
    // One pipe for both streams keeps their order; the summary is read from what passes by.
    let (reader, writer) = std::io::pipe().map_err(|error| format!("no pipe: {error}"))?;
    let both = writer.try_clone().map_err(|error| format!("no pipe: {error}"))?;
    tests.stdout(writer).stderr(both);
    println!("$ cargo test --workspace --no-fail-fast {}", filter.unwrap_or_default());
    let mut child = tests.spawn().map_err(|error| format!("cannot run cargo test: {error}"))?;
    // The command still holds the writing ends; without this the pipe would never end.
    drop(tests);
    let mut lines = BufReader::new(reader);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).map_err(|error| format!("cannot read the test output: {error}"))? > 0 {
        let text = String::from_utf8_lossy(&line);
        print!("{text}");
        summary.take(text.trim_end());
        line.clear();
    }
    let status = child.wait().map_err(|error| format!("cannot wait for cargo test: {error}"))?;
    // A test binary that crashed prints no result line.
    summary.broken = !status.success() && summary.failed == 0;
    Ok(summary)
}
