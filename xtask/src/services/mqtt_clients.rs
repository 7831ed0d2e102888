//! MQTT clients that people use, from their registries: paho-mqtt (Python) and mqtt.js (Node). Nothing runs in the
//! background; the versions are pinned here.

use std::path::PathBuf;
use std::process::Command;

use super::Service;
use crate::apt;
use crate::project::{cache, output, which};

const PAHO: &str = "paho-mqtt==2.2.0";
const MQTTJS: &str = "mqtt@5";

/// A Python with paho-mqtt.
pub(super) const PAHO_SERVICE: Service = Service {
    name: "paho",
    install: install_paho,
    start: None,
    healthy: |_| python().is_file() && marked("paho", PAHO),
    stop_signal: "TERM",
    env: |_| vec![("WEIR_TEST_PAHO_PYTHON", python().display().to_string())],
    data: |folder| folder.join("data"),
};

/// The folder of Node modules with mqtt.js; Node itself is in the path.
pub(super) const MQTTJS_SERVICE: Service = Service {
    name: "mqttjs",
    install: install_mqttjs,
    start: None,
    healthy: |_| which("node").is_some() && modules().join("mqtt/package.json").is_file() && marked("mqttjs", MQTTJS),
    stop_signal: "TERM",
    env: |_| vec![("WEIR_TEST_MQTTJS_MODULES", modules().display().to_string())],
    data: |folder| folder.join("data"),
};

fn folder(name: &str) -> PathBuf {
    cache().join("mqtt-clients").join(name)
}

fn python() -> PathBuf {
    folder("paho").join("bin/python")
}

fn modules() -> PathBuf {
    folder("mqttjs").join("node_modules")
}

/// The marker is written last: it says which version is there completely.
fn marked(name: &str, version: &str) -> bool {
    std::fs::read_to_string(folder(name).join("installed")).is_ok_and(|have| have == version)
}

fn mark(name: &str, version: &str) -> Result<(), String> {
    let file = folder(name).join("installed");
    std::fs::write(&file, version).map_err(|error| format!("cannot write {}: {error}", file.display()))
}

fn install_paho() -> Result<(), String> {
    if (PAHO_SERVICE.healthy)(0) {
        return Ok(());
    }
    apt::install(&["python3", "python3-venv"])?;
    super::remove_dir(&folder("paho"))?;
    output(Command::new("python3").args(["-m", "venv"]).arg(folder("paho")))?;
    output(Command::new(python()).args(["-m", "pip", "install", "--quiet", PAHO]))?;
    mark("paho", PAHO)
}

fn install_mqttjs() -> Result<(), String> {
    if (MQTTJS_SERVICE.healthy)(0) {
        return Ok(());
    }
    if which("node").is_none() || which("npm").is_none() {
        apt::install(&["nodejs", "npm"])?;
    }
    let folder = folder("mqttjs");
    super::remove_dir(&folder)?;
    std::fs::create_dir_all(&folder).map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
    output(
        Command::new("npm")
            .args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"])
            .arg(&folder)
            .arg(MQTTJS),
    )?;
    mark("mqttjs", MQTTJS)
}
