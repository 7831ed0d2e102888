//! Where a real service is: the environment, or what `cargo xtask services up` wrote into the user's cache.

use std::io::Write as _;
use std::path::PathBuf;

/// A running service.
#[derive(Debug)]
pub struct Service {
    name: &'static str,
    /// What its variable holds.
    pub address: String,
    tool: Option<String>,
}

impl Service {
    /// The service, if it is there. A missing one fails in CI; elsewhere it is printed, past the capture of the test
    /// runner, and counted by `cargo xtask test`.
    pub fn find(name: &'static str, variable: &str, test: &str) -> Option<Self> {
        if let Some(address) = lookup(variable) {
            return Some(Self { name, address, tool: lookup("WEIR_XTASK") });
        }
        let ci = std::env::var("CI").is_ok_and(|value| !value.is_empty() && value != "false");
        assert!(!ci, "{name} is missing: {variable} is not set and CI has to have it (cargo xtask services up {name})");
        // Without stderr there is nobody to read it.
        drop(writeln!(
            std::io::stderr(),
            "missing service: {name} (test {test}); start it with cargo xtask services up {name}"
        ));
        None
    }

    /// Whether `cargo xtask services` started it.
    pub fn can_restart(&self) -> bool {
        self.tool.is_some()
    }

    /// Runs `xtask services ACTION NAME`. The tool itself, because a test must not start cargo.
    pub async fn run(&self, action: &str) -> Result<(), String> {
        let tool = self.tool.as_ref().ok_or("the service was not started by cargo xtask services")?;
        let out = tokio::process::Command::new(tool).args(["services", action, self.name]).output().await;
        match out {
            Ok(out) if out.status.success() => Ok(()),
            Ok(out) => Err(format!("services {action} {}: {}", self.name, String::from_utf8_lossy(&out.stdout))),
            Err(error) => Err(format!("{tool}: {error}")),
        }
    }
}

fn lookup(variable: &str) -> Option<String> {
    if let Some(value) = std::env::var(variable).ok().filter(|value| !value.is_empty()) {
        return Some(value);
    }
    let cache = std::env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let cache = cache.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))?;
    let text = std::fs::read_to_string(cache.join("weir/services/env")).ok()?;
    let prefix = format!("{variable}=");
    text.lines().find_map(|line| line.strip_prefix(&prefix)).map(str::to_owned)
}
