//! How a server starts, refuses to start, and stops.

use std::net::TcpListener;

use crate::support::{Server, run, wait_for, weir};

#[test]
fn probes_follow_the_life_of_the_server_and_sigterm_is_a_success() {
    let mut server = Server::start();
    assert_eq!(server.plain("/livez").0, 200);
    let (status, head, body) = server.plain("/status");
    assert_eq!((status, body.as_str()), (200, "Node weir@127.0.0.1 is started\nweir is running"));
    assert!(head.contains("content-type: text/plain"), "{head}");
    assert_eq!(server.stop("TERM"), 0, "{}", server.log());
}

#[test]
fn sigint_is_a_success_too() {
    let mut server = Server::start();
    assert_eq!(server.stop("INT"), 0, "{}", server.log());
}

#[test]
fn a_second_server_on_the_same_folder_names_the_folder_and_the_process() {
    let first = Server::start();
    let mut command = weir(&["start"]);
    command
        .env("WEIR__NODE__DATA_DIR", first.data_dir())
        .env("WEIR__MQTT__BIND", "127.0.0.1:0")
        .env("WEIR__API__BIND", "127.0.0.1:0");
    let (code, out, err) = run(command);
    assert_eq!((code, out.as_str()), (4, ""), "{err}");
    assert!(err.contains(&first.data_dir().display().to_string()), "{err}");
    assert!(err.contains(&first.child.id().to_string()), "{err}");
    assert_eq!(first.plain("/readyz").0, 200, "the first one goes on");
}

#[test]
fn a_port_in_use_names_the_setting() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = taken.local_addr().expect("address").to_string();
    for (variable, other, setting) in
        [("WEIR__API__BIND", "WEIR__MQTT__BIND", "api.bind"), ("WEIR__MQTT__BIND", "WEIR__API__BIND", "mqtt.bind")]
    {
        let folder = tempfile::tempdir().expect("folder");
        let mut command = weir(&["start"]);
        command.env("WEIR__NODE__DATA_DIR", folder.path()).env(variable, &address).env(other, "127.0.0.1:0");
        let (code, _, err) = run(command);
        assert_eq!(code, 4, "{err}");
        assert!(err.contains(setting) && err.contains(&address), "{err}");
    }
}

#[test]
fn a_wrong_configuration_does_not_start() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("weir.toml");
    std::fs::write(&file, "[mqtt]\nbnd = \"127.0.0.1:1\"\n").expect("write");
    let (code, _, err) = run(weir(&["start", "--config", file.to_str().expect("UTF-8")]));
    assert_eq!(code, 6);
    assert!(err.contains("weir.toml:2:1: mqtt.bnd: unknown key; did you mean bind?"), "{err}");
    let (code, _, err) = run(weir(&["start", "--config", "/nonexistent/weir.toml"]));
    assert_eq!(code, 1);
    assert!(err.contains("/nonexistent/weir.toml"), "{err}");
}

#[test]
fn json_logs_are_json_on_every_line() {
    let mut server = Server::start_with(&[("WEIR__LOG__FORMAT", "json")]);
    assert_eq!(server.stop("TERM"), 0);
    let log = server.log();
    assert!(log.lines().count() >= 2, "{log}");
    for line in log.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|_| panic!("{line}"));
    }
}

#[test]
fn the_key_is_readable_by_its_owner_only_and_survives_a_restart() {
    use std::os::unix::fs::PermissionsExt as _;
    let server = Server::start();
    let path = server.data_dir().join("api-credentials.json");
    let mode = std::fs::metadata(&path).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let secret = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON")["app_secret"].to_string();
    let before = secret(&std::fs::read_to_string(&path).expect("read"));
    assert!(!server.log().contains(before.trim_matches('"')), "the secret is in the log");
    wait_for("the command to be let in", || (server.weir(&["rules", "list"]).0 == 0).then_some(()));
}

#[test]
fn a_stop_waits_for_the_queues_and_a_second_signal_does_not() {
    use std::io::{Read, Write};
    let mut server = Server::start();
    let hook =
        server.weir(&["resources", "create", "web_hook", "-c", r#"{"url":"http://127.0.0.1:1/"}"#, "-o", "name"]).1;
    let action = format!(
        r#"[{{"name":"data_to_webserver","params":{{"$resource":"{}"}},"delivery":"at_least_once"}}]"#,
        hook.trim()
    );
    let rule = server.weir(&["rules", "create", "SELECT payload FROM \"held\"", &action, "-o", "name"]).1;
    let mut stream = std::net::TcpStream::connect(server.mqtt()).expect("connect");
    // CONNECT with client id "a", then PUBLISH of QoS 1 to "held"; CONNACK and PUBACK are four bytes each.
    stream.write_all(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a").expect("send");
    stream.write_all(b"\x32\x09\x00\x04held\x00\x01x").expect("send");
    let mut answers = [0; 8];
    stream.read_exact(&mut answers).expect("CONNACK and PUBACK");
    assert_eq!(answers, [0x20, 2, 0, 0, 0x40, 2, 0, 1]);
    let show = server.weir(&["rules", "show", rule.trim(), "-o", "json"]).1;
    assert!(show.contains(rule.trim()), "{show}");
    std::process::Command::new("kill").arg(server.child.id().to_string()).status().expect("kill");
    wait_for("the stop to begin", || server.log().contains("a second signal stops at once").then_some(()));
    assert!(
        server.child.try_wait().expect("wait").is_none(),
        "the row cannot be delivered, so the queue drains until the deadline"
    );
    assert_eq!(server.stop("TERM"), 1, "{}", server.log());
}
