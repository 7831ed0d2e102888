//! One node of the real Apache Kafka in KRaft mode, from its published jars, with a small heap.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{Process, Service, free_port, kept_port};
use crate::apt;
use crate::project::{cache, output, root, which};

pub(super) const SERVICE: Service = Service {
    name: "kafka",
    install,
    start: Some(start),
    healthy,
    stop_signal: "TERM",
    env: |port| {
        let mut env = vec![("WEIR_TEST_KAFKA_SERVERS", format!("127.0.0.1:{port}"))];
        if let Some(sasl) = kept_port(&super::folder(&SERVICE), "sasl-port") {
            // User weir, password public, mechanism PLAIN.
            env.push(("WEIR_TEST_KAFKA_SASL_SERVERS", format!("127.0.0.1:{sasl}")));
        }
        env
    },
    data: |folder| folder.join("data"),
};

/// Java and the jars of `xtask/services/kafka/pom.xml`, kept in the cache until the pom changes.
fn install() -> Result<(), String> {
    let mut packages = Vec::new();
    if which("java").is_none() {
        packages.push("default-jre-headless");
    }
    let pom = root().join("xtask/services/kafka/pom.xml");
    let wanted = std::fs::read_to_string(&pom).map_err(|error| format!("cannot read {}: {error}", pom.display()))?;
    let marker = jars().join("pom.xml");
    let complete = std::fs::read_to_string(&marker).is_ok_and(|have| have == wanted);
    if !complete && which("mvn").is_none() {
        packages.push("maven");
    }
    apt::install(&packages)?;
    if complete {
        return Ok(());
    }
    println!("services: fetching Kafka's jars with maven (once)");
    super::remove_dir(&jars())?;
    output(
        Command::new("mvn")
            .args(["-q", "-B", "-f"])
            .arg(&pom)
            .arg("org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies")
            .arg("-DincludeScope=runtime")
            .arg(format!("-DoutputDirectory={}", jars().display())),
    )?;
    // Written last: its presence says that the folder is complete.
    std::fs::write(&marker, wanted).map_err(|error| format!("cannot write {}: {error}", marker.display()))
}

fn start(process: &Process, port: u16) -> Result<(), String> {
    let folder = process.folder();
    let data = folder.join("data");
    let config = folder.join("server.properties");
    let logging = folder.join("log4j2.properties");
    std::fs::write(&logging, LOGGING).map_err(|error| format!("cannot write {}: {error}", logging.display()))?;
    let controller = free_port()?;
    // Like the first port it stays the same when the broker is restarted.
    let sasl = kept_port(folder, "sasl-port").map_or_else(free_port, Ok)?;
    std::fs::write(folder.join("sasl-port"), sasl.to_string())
        .map_err(|error| format!("cannot write the port file: {error}"))?;
    std::fs::write(&config, properties(port, sasl, controller, &data))
        .map_err(|error| format!("cannot write {}: {error}", config.display()))?;
    if !data.join("meta.properties").is_file() {
        // Any valid cluster id will do: 16 bytes in URL-safe base64.
        output(
            java(folder).args(["kafka.tools.StorageTool", "format", "-t", "d2Vpci10ZXN0LWthZmthMQ", "-c"]).arg(&config),
        )?;
    }
    process.spawn(java(folder).arg("kafka.Kafka").arg(&config))
}

/// Asks for the API versions. A KRaft broker takes requests only once it is registered and unfenced.
fn healthy(port: u16) -> bool {
    let ask = || -> std::io::Result<[u8; 10]> {
        let mut socket = TcpStream::connect(("127.0.0.1", port))?;
        socket.set_read_timeout(Some(Duration::from_secs(2)))?;
        // Length 10, ApiVersions (18) version 0, correlation id 7, no client id.
        socket.write_all(&[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff])?;
        let mut answer = [0; 10];
        socket.read_exact(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.ends_with(&[0, 0, 0, 7, 0, 0]))
}

fn jars() -> PathBuf {
    cache().join("kafka-jars")
}

fn java(folder: &Path) -> Command {
    let mut command = Command::new("java");
    command
        .args(["-Xms64m", "-Xmx320m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"])
        .arg(format!("-Dlog4j2.configurationFile={}", folder.join("log4j2.properties").display()))
        .arg("-cp")
        .arg(format!("{}/*", jars().display()));
    command
}

fn properties(port: u16, sasl: u16, controller: u16, data: &Path) -> String {
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},SASL_PLAINTEXT://127.0.0.1:{sasl},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},SASL_PLAINTEXT://127.0.0.1:{sasl}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_weir=\"public\";
log.dirs={}
num.partitions=1
num.network.threads=2
num.io.threads=2
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=4194304
auto.create.topics.enable=true
",
        data.display()
    )
}

const LOGGING: &str = "rootLogger.level=WARN
rootLogger.appenderRefs=c
rootLogger.appenderRef.c.ref=C
appender.c.type=Console
appender.c.name=C
appender.c.layout.type=PatternLayout
appender.c.layout.pattern=%d %p %c %m%n
";
