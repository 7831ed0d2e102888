//! The clients that people use. `mosquitto_pub` and `mosquitto_sub` (Debian package `mosquitto-clients`) must be there;
//! paho-mqtt and mqtt.js come with `cargo xtask services up`, and are printed as missing outside CI.

use std::process::{Command, Stdio};

use broker::Handle;

use crate::client::{start, until};

fn client(handle: &Handle, program: &str, arguments: &[&str]) -> Command {
    let address = handle.local_addrs()[0].1;
    let mut command = Command::new(program);
    command.args(["-h", "127.0.0.1", "-p", &address.port().to_string()]).args(arguments);
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mosquitto_clients_of_every_version_talk_to_each_other() {
    let handle = start();
    for version in ["mqttv31", "mqttv311", "mqttv5"] {
        let arguments = ["-V", version, "-i", "listener", "-t", "a/+", "-q", "2", "-C", "3", "-v", "-W", "20"];
        let listener = client(&handle, "mosquitto_sub", &arguments).stdout(Stdio::piped()).spawn();
        let listener = listener.expect("mosquitto_sub is needed: apt install mosquitto-clients");
        until("the listener has subscribed", || {
            handle.client("listener").is_some_and(|client| client.subscription_count == 1)
        })
        .await;
        for qos in ["0", "1", "2"] {
            let sent = client(&handle, "mosquitto_pub", &["-V", version, "-t", "a/b", "-m", qos, "-q", qos]).status();
            assert!(sent.unwrap().success(), "{version} QoS {qos}");
        }
        let output = tokio::task::spawn_blocking(move || listener.wait_with_output()).await.unwrap().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "a/b 0\na/b 1\na/b 2\n", "{version}");
        until("the listener is gone", || handle.client("listener").is_none()).await;
    }
}

/// What `cargo xtask test` sets for a tool; without it the test says that it did not run, and fails in CI.
#[expect(clippy::print_stderr, reason = "the point is to print that something was not tested")]
fn tool(variable: &str) -> Option<String> {
    let value = std::env::var(variable).ok().filter(|value| !value.is_empty());
    if value.is_none() {
        assert!(std::env::var_os("CI").is_none(), "CI needs {variable}; `cargo xtask test` sets it");
        eprintln!("missing service: {variable} is not set, this test did not run against the real client");
    }
    value
}

async fn talks(mut command: Command) {
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "ok\n", "{complaint}");
}

fn script(name: &str) -> String {
    format!("{}/tests/clients/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paho_of_every_version_goes_through_qos_retained_will_session_and_properties() {
    let Some(python) = tool("WEIR_TEST_PAHO_PYTHON") else { return };
    let handle = start();
    let mut command = Command::new(python);
    command.arg(script("paho_client.py")).arg(handle.local_addrs()[0].1.port().to_string());
    talks(command).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mqttjs_of_every_version_goes_through_qos_retained_will_session_and_properties() {
    let Some(modules) = tool("WEIR_TEST_MQTTJS_MODULES") else { return };
    let handle = start();
    let mut command = Command::new("node");
    command.env("NODE_PATH", modules).arg(script("mqttjs.js")).arg(format!("mqtt://{}", handle.local_addrs()[0].1));
    talks(command).await;
}
