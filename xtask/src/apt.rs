//! Debian packages: asked for first, installed only when missing, never when there is nothing to do.

use std::path::Path;
use std::process::Command;

use crate::project::{is_root, output, step, which};

/// What the build needs besides the Rust toolchain: librdkafka is compiled from source (C, C++, zlib, OpenSSL).
const BUILD_PACKAGES: &[&str] = &["gcc", "g++", "make", "pkg-config", "libssl-dev", "zlib1g-dev"];

/// Installs what the build needs. On a system without apt it names what is missing and goes on.
pub(crate) fn setup() -> Result<(), String> {
    if which("dpkg-query").is_none() {
        let missing: Vec<&str> =
            ["gcc", "g++", "make", "pkg-config"].into_iter().filter(|tool| which(tool).is_none()).collect();
        return if missing.is_empty() {
            println!("setup: this is no Debian; the compilers are there, OpenSSL and zlib headers are assumed");
            Ok(())
        } else {
            Err(format!("this is no Debian; please install {}, and the OpenSSL and zlib headers", missing.join(", ")))
        };
    }
    install(BUILD_PACKAGES)
}

/// Installs those of `packages` that are not there.
pub(crate) fn install(packages: &[&str]) -> Result<(), String> {
    let missing: Vec<&str> = packages.iter().copied().filter(|package| !installed(package)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if which("apt-get").is_none() {
        return Err(format!("please install {} (this system has no apt-get)", missing.join(" ")));
    }
    if !is_root() && which("sudo").is_none() {
        return Err(format!("please run as root: apt-get install {}", missing.join(" ")));
    }
    let policy = Policy::daemons_stay_off();
    // The package lists may be fresh enough; asking for them again is slow, so it is only done when needed.
    let done = apt_get(&missing)? || (step(&mut privileged(&["apt-get", "update", "-q"]))? && apt_get(&missing)?);
    drop(policy);
    if done { Ok(()) } else { Err(format!("apt-get install {} failed", missing.join(" "))) }
}

fn installed(package: &str) -> bool {
    let mut query = Command::new("dpkg-query");
    query.args(["-W", "-f=${db:Status-Status}", package]);
    output(&mut query).is_ok_and(|status| status.trim() == "installed")
}

fn apt_get(packages: &[&str]) -> Result<bool, String> {
    let mut words = vec!["apt-get", "install", "-y", "-q", "--no-install-recommends"];
    words.extend(packages);
    step(privileged(&words).stdin(std::process::Stdio::null()))
}

fn privileged(words: &[&str]) -> Command {
    let words: Vec<&str> =
        if is_root() { words.to_vec() } else { ["sudo", "-n"].iter().chain(words).copied().collect() };
    let mut command = Command::new(words.first().copied().unwrap_or("true"));
    command.args(words.iter().skip(1)).env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// Debian starts a daemon when its package is installed. Ours must not: tests bring their own instance, and a
/// developer's machine should not gain a server. Debian's hook for that is a policy file; an existing one is kept.
struct Policy {
    written: bool,
}

impl Policy {
    const FILE: &'static str = "/usr/sbin/policy-rc.d";

    fn daemons_stay_off() -> Self {
        use std::os::unix::fs::PermissionsExt;
        if !is_root() || Path::new(Self::FILE).exists() {
            return Self { written: false };
        }
        let written = std::fs::write(Self::FILE, "#!/bin/sh\nexit 101\n").is_ok()
            && std::fs::set_permissions(Self::FILE, std::fs::Permissions::from_mode(0o755)).is_ok();
        Self { written }
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        if self.written
            && let Err(error) = std::fs::remove_file(Self::FILE)
        {
            eprintln!("xtask: cannot remove {}: {error}", Self::FILE);
        }
    }
}
