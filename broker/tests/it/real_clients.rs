//! The clients that people use. `mosquitto_pub` and `mosquitto_sub` (Debian package `mosquitto-clients`) must be there.

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
