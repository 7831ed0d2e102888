//! The real binary as a child process, on free ports and a folder of its own.

use std::fs::{self, File};
use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How often a bounded wait looks again.
const POLL: Duration = Duration::from_millis(50);

/// The `weir` binary that was built beside this test.
pub fn binary() -> io::Result<PathBuf> {
    let mut folder = std::env::current_exe()?;
    folder.pop();
    if folder.ends_with("deps") {
        folder.pop();
    }
    let binary = folder.join("weir");
    if binary.is_file() {
        return Ok(binary);
    }
    Err(io::Error::other(format!("{} is not built; run the tests with `cargo xtask test`", binary.display())))
}

/// A port nobody listens on at this moment.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Waits until `ready` gives a value, at most `limit`.
pub fn wait_for<T>(what: &str, limit: Duration, mut ready: impl FnMut() -> Option<T>) -> io::Result<T> {
    let started = Instant::now();
    loop {
        if let Some(value) = ready() {
            return Ok(value);
        }
        if started.elapsed() > limit {
            return Err(io::Error::new(io::ErrorKind::TimedOut, format!("{what}: not within {limit:?}")));
        }
        thread::sleep(POLL);
    }
}

/// A server with its folder and ports; killed when dropped.
pub struct Server {
    child: Option<Child>,
    folder: PathBuf,
    mqtt: SocketAddr,
    api: SocketAddr,
    environment: Vec<(String, String)>,
}

impl Server {
    /// Starts `weir start` on free ports with its data in `folder`, and waits until it says it is ready.
    /// `environment` overrides settings, as in `("WEIR__MQTT__PACKET_BYTES_MAX", "16MB")`.
    pub fn start(folder: &Path, environment: &[(&str, &str)]) -> io::Result<Self> {
        let localhost = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut server = Self {
            child: None,
            folder: folder.to_path_buf(),
            mqtt: localhost(free_port()?),
            api: localhost(free_port()?),
            environment: environment.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        };
        server.start_again()?;
        Ok(server)
    }

    /// Starts the process again, on the same folder and ports, after [`Server::kill`] or [`Server::stop`].
    pub fn start_again(&mut self) -> io::Result<()> {
        self.spawn()?;
        let api = self.api;
        let result =
            wait_for("the server's readiness", Duration::from_secs(30), || http_ok(api, "/readyz").then_some(()));
        result.map_err(|error| io::Error::other(format!("{error}; its log:\n{}", self.log())))
    }

    /// Starts the process without waiting for anything.
    pub fn spawn(&mut self) -> io::Result<()> {
        let config = self.folder.join("weir.toml");
        fs::write(
            &config,
            format!(
                "[node]\ndata_dir = {:?}\n[mqtt]\nbind = [\"{}\"]\n[api]\nbind = \"{}\"\n",
                self.data_dir(),
                self.mqtt,
                self.api
            ),
        )?;
        let log = File::options().create(true).append(true).open(self.folder.join("server.log"))?;
        let child = Command::new(binary()?)
            .args(["start", "--config"])
            .arg(&config)
            .envs(self.environment.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        self.child = Some(child);
        Ok(())
    }

    /// The MQTT listener.
    pub fn mqtt(&self) -> SocketAddr {
        self.mqtt
    }

    /// The HTTP API.
    pub fn api(&self) -> SocketAddr {
        self.api
    }

    /// The data folder.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Everything the server printed so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("server.log")).unwrap_or_default()
    }

    /// Runs a `weir` command against this server.
    pub fn weir(&self, args: &[&str]) -> io::Result<Output> {
        Command::new(binary()?)
            .args(args)
            .env("WEIR_URL", format!("http://{}", self.api))
            .env("WEIR_DATA_DIR", self.data_dir())
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .output()
    }

    /// Runs a `weir` command that has to succeed and returns what it printed on stdout.
    pub fn weir_ok(&self, args: &[&str]) -> io::Result<String> {
        let output = self.weir(args)?;
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            return Ok(stdout);
        }
        Err(io::Error::other(format!(
            "weir {args:?} ended with {}:\n{stdout}{}\nserver log:\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr),
            self.log()
        )))
    }

    /// The process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// `kill -9`.
    pub fn kill(&mut self) -> io::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Sends SIGTERM and waits for the end.
    pub fn stop(&mut self) -> io::Result<ExitStatus> {
        let Some(mut child) = self.child.take() else { return Err(io::Error::other("the server is not running")) };
        Command::new("kill").arg(child.id().to_string()).status()?;
        wait_for("the server's end after SIGTERM", Duration::from_secs(30), || child.try_wait().ok().flatten())
    }

    /// Waits for a process that is expected to end by itself.
    pub fn wait(&mut self, limit: Duration) -> io::Result<ExitStatus> {
        let Some(child) = self.child.as_mut() else { return Err(io::Error::other("the server is not running")) };
        wait_for("the server's end", limit, || child.try_wait().ok().flatten())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// Whether a GET of `path` answers 200.
pub fn http_ok(api: SocketAddr, path: &str) -> bool {
    http_get(api, path).is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

/// The whole answer of an unauthenticated GET.
pub fn http_get(api: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&api, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    io::Write::write_all(
        &mut stream,
        format!("GET {path} HTTP/1.1\r\nhost: weir\r\nconnection: close\r\n\r\n").as_bytes(),
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
