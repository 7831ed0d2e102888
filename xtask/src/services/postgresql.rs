//! A PostgreSQL of Debian's package, as its own cluster: superuser `postgres`, password `public` by SCRAM-SHA-256,
//! TLS with a certificate made here. fsync is off: it holds nothing but test data.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Process, Service};
use crate::apt;
use crate::project::{is_root, output, which};

pub(super) const SERVICE: Service = Service {
    name: "postgresql",
    install: || if bin().is_some() { Ok(()) } else { apt::install(&["postgresql"]) },
    start: Some(start),
    healthy,
    // INT is PostgreSQL's fast shutdown: sessions are ended, data is written.
    stop_signal: "INT",
    env: |port| {
        vec![
            ("WEIR_TEST_PG_URL", format!("postgres://postgres:public@127.0.0.1:{port}/postgres")),
            ("WEIR_TEST_PG_CA", certificate().display().to_string()),
        ]
    },
    data,
};

fn start(process: &Process, port: u16) -> Result<(), String> {
    let bin = bin().ok_or("postgresql is installed, but /usr/lib/postgresql/*/bin/initdb is not there")?;
    let home = data(process.folder());
    let cluster = home.join("cluster");
    if !cluster.join("PG_VERSION").is_file() {
        std::fs::create_dir_all(&home).map_err(|error| format!("cannot create {}: {error}", home.display()))?;
        let password = home.join("password");
        std::fs::write(&password, "public").map_err(|error| format!("cannot write {}: {error}", password.display()))?;
        make_certificate(process.folder(), &home)?;
        if is_root() {
            output(Command::new("chown").args(["-R", "postgres:postgres"]).arg(&home))?;
        }
        output(
            as_postgres(&bin.join("initdb"), &home)
                .arg("-D")
                .arg(&cluster)
                .args(["-U", "postgres", "-A", "scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"])
                .arg(format!("--pwfile={}", password.display())),
        )?;
    }
    let mut server = as_postgres(&bin.join("postgres"), &home);
    server.arg("-D").arg(&cluster).arg("-k").arg(&home).args(["-h", "127.0.0.1", "-p", &port.to_string()]);
    let (crt, key) = (home.join("server.crt"), home.join("server.key"));
    for setting in [
        "fsync=off".to_owned(),
        "synchronous_commit=off".to_owned(),
        "full_page_writes=off".to_owned(),
        "shared_buffers=64MB".to_owned(),
        "max_connections=200".to_owned(),
        "ssl=on".to_owned(),
        format!("ssl_cert_file={}", crt.display()),
        format!("ssl_key_file={}", key.display()),
    ] {
        server.args(["-c", &setting]);
    }
    process.spawn(&server)
}

fn healthy(port: u16) -> bool {
    bin().is_some_and(|bin| {
        output(Command::new(bin.join("pg_isready")).args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()])).is_ok()
    })
}

/// The newest installed server. Debian keeps these out of the path.
fn bin() -> Option<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, bin)| bin.join("initdb").is_file())
        .collect();
    found.sort();
    found.pop().map(|(_, bin)| bin).or_else(|| which("initdb")?.parent().map(Path::to_path_buf))
}

/// PostgreSQL refuses to run as root, and its user cannot reach into root's home: then the data lies elsewhere.
fn data(folder: &Path) -> PathBuf {
    if is_root() { PathBuf::from("/var/lib/weir-test-postgresql") } else { folder.join("data") }
}

fn as_postgres(program: &Path, home: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=postgres", "--regid=postgres", "--init-groups", "env"])
        .arg("-C")
        .arg(home)
        .arg(format!("HOME={}", home.display()))
        .arg(program);
    command
}

fn certificate() -> PathBuf {
    super::folder(&SERVICE).join("ca.crt")
}

/// A self-signed certificate for 127.0.0.1 and localhost; the copy in the service folder is for the clients.
fn make_certificate(folder: &Path, home: &Path) -> Result<(), String> {
    if which("openssl").is_none() {
        apt::install(&["openssl"])?;
    }
    output(
        Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
                "-days",
                "3650",
            ])
            .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .arg("-keyout")
            .arg(home.join("server.key"))
            .arg("-out")
            .arg(home.join("server.crt")),
    )?;
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(home.join("server.key"), std::fs::Permissions::from_mode(0o600))
        .and_then(|()| std::fs::copy(home.join("server.crt"), folder.join("ca.crt")))
        .map(drop)
        .map_err(|error| format!("cannot place the certificate: {error}"))
}
