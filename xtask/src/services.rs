//! Real servers for the tests: installed, started on loopback and free ports, waited for, stopped again.
//!
//! Invariants:
//! - Only processes that this tool started are ever signalled: a process file holds the id and the start time the
//!   kernel gives, and both must match.
//! - `up` may be called again at any time; a service that already runs and answers is left alone.
//! - A service that cannot be had is printed and counted, and the exit code says so.
//! - Addresses are written to `env` in the state folder as `NAME=value` lines, and printed.

mod kafka;
mod mosquitto;
mod mqtt_clients;
mod postgresql;
mod process;

use std::fmt::Write as _;
use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::project::cache;
use process::Process;

/// One thing the tests need. Each service is a file below this one with these functions as data.
struct Service {
    name: &'static str,
    /// Makes the programs available: packages, jars.
    install: fn() -> Result<(), String>,
    /// Starts it on this port, with its data below this folder, and returns once it answers. Not called for tools.
    start: Option<Start>,
    /// Whether it answers now.
    healthy: fn(u16) -> bool,
    /// The signal that ends it cleanly.
    stop_signal: &'static str,
    /// What tests read from the environment.
    env: fn(u16) -> Vec<(&'static str, String)>,
    /// Folders beyond its own that hold its data.
    data: fn(&Path) -> PathBuf,
}

type Start = fn(&Process, u16) -> Result<(), String>;

const ALL: &[Service] = &[
    postgresql::SERVICE,
    kafka::SERVICE,
    mosquitto::SERVICE,
    mqtt_clients::PAHO_SERVICE,
    mqtt_clients::MQTTJS_SERVICE,
];

/// What `up` found.
#[derive(Default)]
pub(crate) struct Report {
    /// Names of the services that answer.
    pub(crate) present: Vec<&'static str>,
    /// Those of them that this call started.
    pub(crate) started: Vec<&'static str>,
    /// Services that could not be had, with the reason.
    pub(crate) missing: Vec<(&'static str, String)>,
    /// Environment of the tests.
    pub(crate) env: Vec<(&'static str, String)>,
}

/// `cargo xtask services ACTION [NAMES]`.
pub(crate) fn command(action: &str, names: &[&str]) -> Result<bool, String> {
    match (action, names) {
        ("up" | "start", _) => {
            let report = up(names)?;
            for (name, value) in &report.env {
                println!("{name}={value}");
            }
            print_report(&report);
            Ok(report.missing.is_empty())
        }
        ("down", _) => stop(names, true).map(|()| true),
        ("stop", _) => stop(names, false).map(|()| true),
        ("restart", [name]) => {
            stop(&[name], false)?;
            let report = up(&[name])?;
            print_report(&report);
            Ok(report.missing.is_empty())
        }
        ("status", []) => {
            for service in ALL {
                println!("{:<12} {}", service.name, state_of(service));
            }
            Ok(true)
        }
        _ => Err(format!("services takes up, down, stop, restart NAME or status, not {action:?}")),
    }
}

/// Starts the named services, or all, and waits until each answers.
pub(crate) fn up(names: &[&str]) -> Result<Report, String> {
    let lock = lock()?;
    let mut report = Report::default();
    for service in chosen(names)? {
        match bring_up(service) {
            Ok(started) => {
                report.present.push(service.name);
                if started {
                    report.started.push(service.name);
                }
            }
            Err(reason) => report.missing.push((service.name, reason)),
        }
    }
    report.env = write_env()?;
    drop(lock);
    Ok(report)
}

/// Stops the named services, or all that this tool started; `wipe` drops their data too.
pub(crate) fn stop(names: &[&str], wipe: bool) -> Result<(), String> {
    let lock = lock()?;
    for service in chosen(names)?.into_iter().filter(|service| service.start.is_some()) {
        let process = Process::new(&folder(service));
        if process.stop(service.stop_signal, Duration::from_secs(20))? {
            println!("services: stopped {}", service.name);
        }
        if wipe {
            remove_dir(&(service.data)(&folder(service)))?;
            remove_dir(&folder(service))?;
        }
    }
    write_env()?;
    drop(lock);
    Ok(())
}

/// Prints which services are there and which are not.
pub(crate) fn print_report(report: &Report) {
    for (name, reason) in &report.missing {
        println!("services: MISSING {name}: {reason}");
    }
    println!(
        "services: {} present ({}), {} missing",
        report.present.len(),
        report.present.join(", "),
        report.missing.len()
    );
}

/// Whether it had to be started.
fn bring_up(service: &Service) -> Result<bool, String> {
    let folder = folder(service);
    let Some(start) = service.start else {
        (service.install)()?;
        return if (service.healthy)(0) {
            Ok(false)
        } else {
            Err("installed, but its programs are not in the path".to_owned())
        };
    };
    let process = Process::new(&folder);
    if let Some(port) = port_of(&folder).filter(|port| process.alive() && (service.healthy)(*port)) {
        println!("services: {} already runs on 127.0.0.1:{port}", service.name);
        return Ok(false);
    }
    process.stop(service.stop_signal, Duration::from_secs(20))?;
    (service.install)()?;
    std::fs::create_dir_all(&folder).map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
    let port =
        port_of(&folder).filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).map_or_else(free_port, Ok)?;
    std::fs::write(folder.join("port"), port.to_string())
        .map_err(|error| format!("cannot write the port file: {error}"))?;
    let begun = Instant::now();
    start(&process, port)?;
    wait_for(service, &process, port)?;
    println!("services: {} answers on 127.0.0.1:{port} after {:.1} s", service.name, begun.elapsed().as_secs_f32());
    Ok(true)
}

/// A healthy service within a minute, or the end of its log.
fn wait_for(service: &Service, process: &Process, port: u16) -> Result<(), String> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline {
        if (service.healthy)(port) {
            return Ok(());
        }
        if !process.alive() {
            return Err(format!("it ended while starting:\n{}", process.log_tail()));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Err(format!("no answer within 60 s:\n{}", process.log_tail()))
}

fn state_of(service: &Service) -> String {
    let folder = folder(service);
    if service.start.is_none() {
        return if (service.healthy)(0) { "installed".to_owned() } else { "not installed".to_owned() };
    }
    match port_of(&folder) {
        Some(port) if Process::new(&folder).alive() => {
            format!("127.0.0.1:{port} {}", if (service.healthy)(port) { "answers" } else { "runs, no answer" })
        }
        _ => "stopped".to_owned(),
    }
}

/// The `env` file: the addresses of what runs now, for tests that are started by hand.
fn write_env() -> Result<Vec<(&'static str, String)>, String> {
    let mut env: Vec<(&'static str, String)> = ALL
        .iter()
        .filter_map(|service| {
            let port = port_of(&folder(service)).unwrap_or(0);
            let runs = service.start.is_none() || Process::new(&folder(service)).alive();
            (runs && (service.healthy)(port)).then(|| (service.env)(port))
        })
        .flatten()
        .collect();
    if let Ok(tool) = std::env::current_exe() {
        // Tests must not start cargo; this is how they restart a service.
        env.push(("WEIR_XTASK", tool.display().to_string()));
    }
    let mut text = String::new();
    for (name, value) in &env {
        writeln!(text, "{name}={value}").map_err(|error| error.to_string())?;
    }
    let file = base().join("env");
    let fresh = base().join("env.new");
    std::fs::write(&fresh, text)
        .and_then(|()| std::fs::rename(&fresh, &file))
        .map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    Ok(env)
}

fn chosen(names: &[&str]) -> Result<Vec<&'static Service>, String> {
    if names.is_empty() {
        return Ok(ALL.iter().collect());
    }
    let known: Vec<&str> = ALL.iter().map(|service| service.name).collect();
    names
        .iter()
        .map(|name| {
            ALL.iter()
                .find(|service| service.name == *name)
                .ok_or_else(|| format!("no service {name:?}; there are {}", known.join(", ")))
        })
        .collect()
}

fn base() -> PathBuf {
    cache().join("services")
}

fn folder(service: &Service) -> PathBuf {
    base().join(service.name)
}

/// Two calls at once would start everything twice.
fn lock() -> Result<File, String> {
    std::fs::create_dir_all(base()).map_err(|error| format!("cannot create {}: {error}", base().display()))?;
    let file = File::create(base().join("lock")).map_err(|error| format!("cannot create the lock file: {error}"))?;
    file.lock().map_err(|error| format!("cannot lock {}: {error}", base().display()))?;
    Ok(file)
}

fn port_of(folder: &Path) -> Option<u16> {
    kept_port(folder, "port")
}

/// A port number that was written into the folder of a service.
fn kept_port(folder: &Path, file: &str) -> Option<u16> {
    std::fs::read_to_string(folder.join(file)).ok()?.trim().parse().ok()
}

fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(|error| format!("no free port: {error}"))?;
    listener.local_addr().map(|addr| addr.port()).map_err(|error| format!("no free port: {error}"))
}

fn remove_dir(dir: &Path) -> Result<(), String> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("cannot remove {}: {error}", dir.display()))
        }
        _ => Ok(()),
    }
}
