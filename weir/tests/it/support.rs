//! The real binary on free ports, a small HTTP client, and golden files.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::Value as Json;

/// The longest any step of a test may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Looks again and again until `ready` gives a value.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(started.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// `weir` with a clean environment: no variable of the developer's shell changes what a test sees.
pub(crate) fn weir(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command.args(args).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("WEIR") {
            command.env_remove(name);
        }
    }
    command
}

/// Exit code, stdout, stderr.
pub(crate) fn run(mut command: Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().expect("the binary runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

/// A server with a folder of its own on free ports; killed when dropped.
pub(crate) struct Server {
    pub(crate) child: Child,
    folder: tempfile::TempDir,
    pub(crate) address: String,
    key: String,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(environment: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let log = fs::File::create(folder.path().join("log")).expect("log");
        let mut command = weir(&["start"]);
        command.current_dir(folder.path()).stdout(log.try_clone().expect("log")).stderr(log);
        command.env("WEIR__NODE__DATA_DIR", folder.path().join("data"));
        command.envs([("WEIR__MQTT__BIND", "127.0.0.1:0"), ("WEIR__API__BIND", "127.0.0.1:0")]);
        command.envs(environment.iter().copied());
        let child = command.spawn().expect("the binary runs");
        let mut server = Self { child, folder, address: String::new(), key: String::new() };
        let credentials = server.data_dir().join("api-credentials.json");
        let (address, key) = wait_for("the server's key and address", || {
            if let Ok(Some(status)) = server.child.try_wait() {
                panic!("the server ended with {status}:\n{}", server.log());
            }
            let stored: Json = serde_json::from_str(&fs::read_to_string(&credentials).ok()?).ok()?;
            let address = stored["url"].as_str()?.strip_prefix("http://")?.to_owned();
            let key = format!("{}:{}", stored["app_id"].as_str()?, stored["app_secret"].as_str()?);
            Some((address, base64::engine::general_purpose::STANDARD.encode(key)))
        });
        (server.address, server.key) = (address, key);
        wait_for("readiness", || (server.plain("/readyz").0 == 200).then_some(()));
        server
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// The MQTT address, as the server printed it.
    pub(crate) fn mqtt(&self) -> String {
        let log = self.log();
        let line = log.lines().find_map(|line| line.split_once("listening for MQTT on ")).expect("the banner");
        line.1.trim().to_owned()
    }

    /// A request with the key; HTTP status and JSON body.
    pub(crate) fn call(&self, method: &str, path: &str, body: &str) -> (u16, Json) {
        let (status, _, body) = self.request(method, path, body, Some(&format!("Basic {}", self.key)));
        (status, serde_json::from_str(&body).unwrap_or_else(|_| panic!("{method} {path} answered {status} {body}")))
    }

    /// A GET without credentials.
    pub(crate) fn plain(&self, path: &str) -> (u16, String, String) {
        self.request("GET", path, "", None)
    }

    /// HTTP status, headers, body.
    pub(crate) fn request(
        &self,
        method: &str,
        path: &str,
        body: &str,
        authorization: Option<&str>,
    ) -> (u16, String, String) {
        let mut stream = TcpStream::connect(&self.address).expect("connect");
        stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
        let authorization = authorization.map(|value| format!("authorization: {value}\r\n")).unwrap_or_default();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: weir\r\n{authorization}content-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).expect("send");
        // A server that refuses a large body may close before it has read all of it.
        drop(stream.write_all(body.as_bytes()));
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer));
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        (status, head.to_ascii_lowercase(), body.to_owned())
    }

    /// A command against this server.
    pub(crate) fn weir(&self, args: &[&str]) -> (i32, String, String) {
        let mut command = weir(args);
        command.env("WEIR_DATA_DIR", self.data_dir()).current_dir(self.folder.path());
        run(command)
    }

    /// Sends a signal by name and waits for the end.
    pub(crate) fn stop(&mut self, signal: &str) -> i32 {
        Command::new("kill").args([format!("-{signal}"), self.child.id().to_string()]).status().expect("kill");
        wait_for("the server's end", || self.child.try_wait().expect("wait")).code().unwrap_or(-1)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Compares with `tests/golden/NAME.txt`; `WEIR_UPDATE=1` writes it.
#[track_caller]
pub(crate) fn golden(name: &str, got: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{name}.txt"));
    if std::env::var_os("WEIR_UPDATE").is_some() {
        fs::write(&path, got).expect("writable");
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(got, expected, "{} differs; WEIR_UPDATE=1 writes it anew", path.display());
}

/// Replaces the random part of ids, so that output can be compared.
pub(crate) fn without_ids(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((place, prefix)) = ["rule:", "resource:"].iter().filter_map(|p| Some((rest.find(p)?, *p))).min() {
        let end = place + prefix.len();
        let digits = rest[end..].bytes().take_while(u8::is_ascii_hexdigit).count();
        out.push_str(&rest[..end]);
        if digits == 8 {
            out.push_str("xxxxxxxx");
            rest = &rest[end + 8..];
        } else {
            rest = &rest[end..];
        }
    }
    out + rest
}
