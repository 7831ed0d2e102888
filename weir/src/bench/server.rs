//! The server under test: this same program as a process of its own, on free loopback ports and a temporary data folder.
//!
//! Invariants:
//! - It runs with the defaults or the configuration file that was named; only the ports, the data folder and the log format
//!   are set here. A `weir.toml` of the current folder is not found: the child starts in its own.
//! - It ends with this value: a drop kills it.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use cli::args::Global;
use cli::{ApiClient, Exit, Failure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value as Json;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::oneshot;

/// Longest time until the server is ready.
const START_MAX: Duration = Duration::from_secs(30);
/// Longest time for a clean stop; then it is killed.
const STOP_MAX: Duration = Duration::from_secs(15);
/// Log lines kept for an error message.
const LOG_LINES_MAX: usize = 12;

/// A running server.
pub(super) struct Server {
    child: Child,
    log: Arc<Mutex<VecDeque<String>>>,
    /// Address of its MQTT listener.
    pub(super) mqtt: String,
    /// Its API.
    pub(super) api: ApiClient,
}

impl Server {
    /// Starts it with `data` as its data folder and `cwd` as its current folder, and waits until it is ready.
    pub(super) async fn start(global: &Global, data: &Path, cwd: &Path) -> Result<Self, Failure> {
        let failed = |what: &str, error: io::Error| Failure::new(Exit::Failed, format!("{what}: {error}"));
        let program = std::env::current_exe().map_err(|error| failed("cannot find this program's file", error))?;
        let mut command = Command::new(program);
        command.arg("start").arg("--data-dir").arg(data).args(["--log-format", "json"]);
        if let Some(level) = &global.log_level {
            command.args(["--log-level", level]);
        }
        if let Some(file) = &global.config {
            command.arg("--config").arg(std::path::absolute(file).map_err(|error| failed("--config", error))?);
        }
        command.env("WEIR__MQTT__BIND", "127.0.0.1:0").env("WEIR__API__BIND", "127.0.0.1:0").current_dir(cwd);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| failed("cannot start the server", error))?;
        let stderr = child.stderr.take().ok_or_else(|| Failure::new(Exit::Failed, "the server has no stderr"))?;
        let log = Arc::new(Mutex::new(VecDeque::new()));
        let (ready, is_ready) = oneshot::channel();
        model::task::spawn("bench-server-log", read_log(stderr, Arc::clone(&log), ready));
        let mqtt = match tokio::time::timeout(START_MAX, is_ready).await {
            Ok(Ok(mqtt)) => mqtt,
            Ok(Err(_)) => return Err(with_log("the server ended while starting", &log)),
            Err(_) => {
                return Err(with_log(&format!("the server was not ready within {} s", START_MAX.as_secs()), &log));
            }
        };
        // The key and the address are in the data folder; what the options say about another server is not meant here.
        let own =
            Global { url: None, app_id: None, app_secret: None, data_dir: Some(data.to_path_buf()), ..global.clone() };
        Ok(Self { child, log, mqtt, api: ApiClient::new(&own)? })
    }

    /// `failure` with the last lines of the server's log.
    pub(super) fn explain(&self, failure: Failure) -> Failure {
        Failure { message: with_log(&failure.message, &self.log).message, ..failure }
    }

    /// Stops it cleanly, or kills it when that takes too long.
    pub(super) async fn stop(mut self) {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let asked = pid.is_some_and(|pid| kill_process(pid, Signal::TERM).is_ok());
        if !asked || tokio::time::timeout(STOP_MAX, self.child.wait()).await.is_err() {
            // It has ended already, or the drop kills it as well.
            drop(self.child.kill().await);
        }
    }
}

/// Reads the log to its end, so that the server never waits for us; tells the address of MQTT when it is announced.
async fn read_log(stderr: ChildStderr, log: Arc<Mutex<VecDeque<String>>>, ready: oneshot::Sender<String>) {
    let mut lines = BufReader::new(stderr).lines();
    let mut ready = Some(ready);
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some(mqtt) = announced(&line)
            && let Some(ready) = ready.take()
        {
            // Without a receiver the start was given up.
            drop(ready.send(mqtt));
        }
        if let Ok(mut log) = log.lock() {
            if log.len() == LOG_LINES_MAX {
                log.pop_front();
            }
            log.push_back(line);
        }
    }
}

/// The first address of MQTT in the line that says that the server is ready.
fn announced(line: &str) -> Option<String> {
    let json: Json = serde_json::from_str(line).ok()?;
    if json.get("message")?.as_str()? != "ready" {
        return None;
    }
    Some(json.get("mqtt")?.as_str()?.split(',').next()?.trim().to_owned())
}

fn with_log(message: &str, log: &Mutex<VecDeque<String>>) -> Failure {
    let lines: Vec<String> =
        log.lock().map(|log| log.iter().map(|line| cli::output::printable(line)).collect()).unwrap_or_default();
    let said = if lines.is_empty() {
        "; it logged nothing".to_owned()
    } else {
        format!("; the server's last lines:\n  {}", lines.join("\n  "))
    };
    Failure::new(Exit::Failed, format!("{message}{said}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_taken_from_the_line_that_says_ready() {
        let check = |line: &str, expected: Option<&str>| assert_eq!(announced(line).as_deref(), expected, "{line}");
        check(
            r#"{"level":"INFO","message":"ready","mqtt":"127.0.0.1:41,127.0.0.1:42","api":"http://127.0.0.1:43"}"#,
            Some("127.0.0.1:41"),
        );
        check(r#"{"message":"ready"}"#, None);
        check(r#"{"message":"starting","mqtt":"127.0.0.1:41"}"#, None);
        check("weir is ready", None);
    }
}
