//! Every console block of README.md is run, in order, in a network of its own where the default ports are free.
//!
//! In a `console` block a line after `$ ` is a command, the lines below it must appear in its output (`…` stands for
//! anything). `cargo xtask run` is run as what it runs, the binary on the quickstart pipeline, because a test never calls
//! cargo; commands that install or test are checked by CI itself.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tests::server::{binary, wait_for};

struct Step {
    command: String,
    expected: Vec<String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("workspace").to_path_buf()
}

fn steps(readme: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for line in readme.lines() {
        match line {
            "```console" => inside = true,
            "```" => inside = false,
            _ if !inside => {}
            _ => match (line.strip_prefix("$ "), steps.last_mut()) {
                (Some(command), _) => steps.push(Step { command: command.to_owned(), expected: Vec::new() }),
                (None, Some(step)) if step.command.ends_with('\\') => {
                    step.command.pop();
                    step.command.push_str(line.trim_start());
                }
                (None, Some(step)) => step.expected.push(line.to_owned()),
                (None, None) => panic!("a console block starts with a command: {line}"),
            },
        }
    }
    steps
}

/// Whether every expected line appears in the output, in order.
fn shows(output: &str, expected: &[String]) -> bool {
    let mut lines = output.lines();
    expected.iter().all(|wanted| {
        let pieces: Vec<&str> = wanted.split('…').map(str::trim).filter(|piece| !piece.is_empty()).collect();
        lines.any(|line| pieces.iter().all(|piece| line.contains(piece)))
    })
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn the_readme_does_what_it_says() {
    let readme = fs::read_to_string(root().join("README.md")).expect("README.md");
    let steps = steps(&readme);
    assert!(steps.iter().any(|step| step.command == "cargo xtask run"), "the README starts with cargo xtask run");
    assert!(steps.len() >= 4, "the README has only {} commands", steps.len());
    let network = Command::new("unshare").args(["-n", "true"]).output();
    if !network.is_ok_and(|output| output.status.success()) {
        assert!(std::env::var_os("CI").is_none(), "CI runs as a user who may make a network namespace");
        eprintln!("missing: no right to make a network namespace, the README's blocks did not run here");
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    let weir = binary().expect("binary");
    let path = format!("{}:{}", weir.parent().expect("folder").display(), std::env::var("PATH").unwrap_or_default());
    let log = folder.path().join("server.log");
    let mut server: Option<Running> = None;
    for step in steps {
        if step.command.starts_with("git clone")
            || step.command.starts_with("cd ")
            || step.command == "cargo xtask test"
        {
            continue;
        }
        if step.command == "cargo xtask run" {
            let file = File::create(&log).expect("log");
            let child = Command::new("unshare")
                .args(["-n", "sh", "-c", "ip link set lo up && exec weir run examples/quickstart.yaml"])
                .env("PATH", &path)
                .env("WEIR_DATA_DIR", folder.path().join("data"))
                .current_dir(root())
                .stdin(Stdio::null())
                .stdout(file.try_clone().expect("log"))
                .stderr(file)
                .spawn()
                .expect("server");
            server = Some(Running(child));
            let output = || fs::read_to_string(&log).unwrap_or_default();
            wait_for("what the README says the server prints", Duration::from_secs(30), || {
                shows(&output(), &step.expected).then_some(())
            })
            .unwrap_or_else(|error| panic!("{error}: expected {:#?} in\n{}", step.expected, output()));
            continue;
        }
        let pid = server.as_ref().expect("the server runs before the other commands").0.id().to_string();
        let mut last = String::new();
        wait_for("what the README says a command prints", Duration::from_secs(15), || {
            let output = Command::new("nsenter")
                .args(["-t", &pid, "-n", "sh", "-c", &step.command])
                .env("PATH", &path)
                .env("WEIR_DATA_DIR", folder.path().join("data"))
                .current_dir(root())
                .stdin(Stdio::null())
                .output()
                .ok()?;
            last = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            (output.status.success() && shows(&last, &step.expected)).then_some(())
        })
        .unwrap_or_else(|error| {
            let log = fs::read_to_string(&log).unwrap_or_default();
            panic!("{error}\n$ {}\nexpected {:#?}, printed:\n{last}\nserver:\n{log}", step.command, step.expected)
        });
    }
}
