//! Access control from outside: `mosquitto_pub` and `mosquitto_sub` that may and may not, the commands that decide it, and
//! what a restart keeps.

use std::fs;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use tests::server::{Server, wait_for};

const PATIENCE: Duration = Duration::from_secs(20);

const RULES: &str = r##"
%% Everybody writes below its own name; ann reads everything below "in".
{allow, {user, "ann"}, subscribe, ["in/#"]}.
{allow, all, publish, ["in/%u/#"]}.
{deny, all}.
"##;

fn command(server: &Server, program: &str, user: Option<(&str, &str)>, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(["-h", "127.0.0.1", "-p", &server.mqtt().port().to_string(), "-V", "mqttv5"]);
    if let Some((name, password)) = user {
        command.args(["-u", name, "-P", password]);
    }
    command.args(args).stdin(Stdio::null());
    command
}

fn run(server: &Server, program: &str, user: Option<(&str, &str)>, args: &[&str]) -> Output {
    command(server, program, user, args).output().expect("apt install mosquitto-clients")
}

/// Everything a program printed.
fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Publishes at QoS 1; whether the server took it.
fn publishes(server: &Server, user: Option<(&str, &str)>, topic: &str) -> bool {
    let output = run(server, "mosquitto_pub", user, &["-q", "1", "-t", topic, "-m", "x"]);
    output.status.success() && !said(&output).contains("ot authori")
}

/// Subscribes; whether the server granted it.
fn subscribes(server: &Server, user: Option<(&str, &str)>, filter: &str) -> bool {
    let output = run(server, "mosquitto_sub", user, &["-q", "1", "-t", filter, "-E"]);
    output.status.success() && !said(&output).contains("denied")
}

/// A client that stays subscribed to `in/#` under this identifier; ended when dropped.
struct Listener(Child);

impl Listener {
    fn start(server: &Server, id: &str, user: (&str, &str)) -> Self {
        let args = ["-i", id, "-q", "1", "-t", "in/#", "-v"];
        let child = command(server, "mosquitto_sub", Some(user), &args).stdout(Stdio::piped()).spawn();
        let listener = Self(child.expect("apt install mosquitto-clients"));
        wait_for("the listener's subscription", PATIENCE, || (subscriptions(server, id) == Some(1)).then_some(()))
            .expect("subscribed");
        listener
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// How many subscriptions the connected client has; `None` when it is not connected.
fn subscriptions(server: &Server, id: &str) -> Option<u64> {
    let output = server.weir(&["clients", "show", id, "-o", "json"]).ok().filter(|output| output.status.success())?;
    let shown: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
    let client = if shown.is_array() { &shown[0] } else { &shown };
    client["subscription_count"].as_u64()
}

#[test]
fn rules_users_and_their_reload_decide_what_clients_may() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("acl.conf");
    fs::write(&file, RULES).expect("rules");
    let environment =
        [("WEIR__AUTH__ACL_FILE", file.to_str().expect("path")), ("WEIR__MQTT__ALLOW_ANONYMOUS", "never")];
    let server = Server::start(folder.path(), &environment).expect("server");
    let (ann, bob) = (Some(("ann", "secret")), Some(("bob", "public")));
    assert!(!publishes(&server, ann, "in/ann/1"), "nobody is known yet");
    for (name, password) in [("ann", "secret"), ("bob", "public")] {
        server.weir_ok(&["users", "add", name, password]).expect("users add");
    }
    for (user, topic, allowed) in [
        (ann, "in/ann/1", true),
        (bob, "in/bob/1", true),
        (bob, "in/ann/1", false),
        (ann, "$SYS/x", false),
        (Some(("ann", "wrong")), "in/ann/1", false),
        (Some(("eve", "secret")), "in/eve/1", false),
        (None, "in/x", false),
    ] {
        assert_eq!(publishes(&server, user, topic), allowed, "{user:?} to {topic}");
    }
    for (user, filter, allowed) in [
        (ann, "in/#", true),
        (ann, "in/+/1", true),
        (ann, "$share/g/in/#", true),
        (ann, "#", false),
        (bob, "in/#", false),
    ] {
        assert_eq!(subscribes(&server, user, filter), allowed, "{user:?} from {filter}");
    }
    let listener = Listener::start(&server, "listener", ("ann", "secret"));
    fs::write(&file, "{allow, all}.\n{allow all}.\n").expect("rules");
    let broken = server.weir(&["acl", "reload"]).expect("run");
    assert_eq!(broken.status.code(), Some(6), "{}", said(&broken));
    assert!(said(&broken).contains("acl.conf:2:8: "), "{}", said(&broken));
    assert!(!publishes(&server, bob, "in/ann/1"), "the last good rules are in force");
    assert_eq!(subscriptions(&server, "listener"), Some(1));
    fs::write(&file, "{allow, {user, \"bob\"}}.\n").expect("rules");
    assert_eq!(server.weir_ok(&["ctl", "acl", "reload"]).expect("reload").trim(), "reload acl_internal successfully");
    let gone = || (subscriptions(&server, "listener") == Some(0)).then_some(());
    wait_for("the subscription that is no longer allowed", PATIENCE, gone).expect("removed");
    assert!(publishes(&server, bob, "in/ann/1") && !publishes(&server, ann, "in/ann/1"));
    drop(listener);
    fs::write(&file, "{allow, {user, \"ann\"}}.\n").expect("rules");
    let pid = server.pid().expect("it runs").to_string();
    assert!(Command::new("kill").args(["-HUP", &pid]).status().expect("kill").success());
    wait_for("SIGHUP to reload", PATIENCE, || publishes(&server, ann, "in/ann/1").then_some(())).expect("reloaded");
    server.weir_ok(&["users", "del", "ann"]).expect("users del");
    assert!(!publishes(&server, ann, "in/ann/1"));
    assert!(!server.log().contains("secret") && !server.log().contains("public"), "a password is in the log");
}

#[test]
fn a_mistake_in_the_rules_stops_the_start() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("acl.toml");
    fs::write(&file, "[[rule]]\npermission = \"allow\"\n").expect("rules");
    let environment = [("WEIR__AUTH__ACL_FILE", file.to_str().expect("path"))];
    let mut server = Server::start(folder.path(), &environment).expect("server");
    server.stop().expect("stop");
    fs::write(&file, "[[rule]]\npermission = \"alow\"\n").expect("rules");
    server.spawn().expect("spawn");
    assert_eq!(server.wait(PATIENCE).expect("it ends by itself").code(), Some(6), "{}", server.log());
    assert!(server.log().contains("acl.toml:2:14: expected \"allow\" or \"deny\""), "{}", server.log());
}

#[test]
fn manual_5_11_a_client_that_flaps_is_banned_for_a_while() {
    let folder = tempfile::tempdir().expect("folder");
    let environment = [("WEIR__AUTH__FLAPPING_DETECT", "true"), ("WEIR__AUTH__FLAPPING_CHANGES_MAX", "4")];
    let server = Server::start(folder.path(), &environment).expect("server");
    let connects = || {
        let output = run(&server, "mosquitto_pub", None, &["-i", "flapper", "-q", "1", "-t", "t", "-m", "x"]);
        output.status.success()
    };
    wait_for("the ban", PATIENCE, || (!connects()).then_some(())).expect("banned");
    let listed = server.weir_ok(&["banned", "list", "-o", "json"]).expect("banned list");
    let listed: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!((&listed[0]["who"], &listed[0]["by"]), (&"flapper".into(), &"flapping_detect".into()));
    assert!(publishes(&server, None, "t"), "others are not concerned");
}

#[test]
fn bans_disconnect_refuse_and_survive_a_restart() {
    let folder = tempfile::tempdir().expect("folder");
    let mut server = Server::start(folder.path(), &[]).expect("server");
    let mut listener = Listener::start(&server, "dev-7", ("eve", "x"));
    assert!(publishes(&server, Some(("eve", "x")), "in/1"), "a fresh start lets everybody of this machine in");
    let banned = server.weir_ok(&["banned", "add", "username", "eve", "--reason", "noise", "--for", "1h"]);
    assert!(banned.expect("banned add").contains("1 connections ended"));
    let refused = |listener: &mut Listener| {
        listener.0.try_wait().ok().flatten().or_else(|| {
            // It tries again and again; what counts is that it is not let in.
            subscriptions(&server, "dev-7").is_none().then(Default::default)
        })
    };
    wait_for("the banned client's end", PATIENCE, || refused(&mut listener)).expect("ended");
    drop(listener);
    assert!(!publishes(&server, Some(("eve", "x")), "in/1"));
    assert!(publishes(&server, Some(("ann", "x")), "in/1"));
    server.kill().expect("kill");
    server.start_again().expect("restart");
    assert!(!publishes(&server, Some(("eve", "x")), "in/1"), "a ban survives kill -9");
    let listed = server.weir_ok(&["banned", "list", "-o", "json"]).expect("banned list");
    let listed: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!(
        (&listed[0]["who"], &listed[0]["reason"], &listed[0]["by"]),
        (&"eve".into(), &"noise".into(), &"admin".into())
    );
    server.weir_ok(&["banned", "del", "username", "eve"]).expect("banned del");
    assert!(publishes(&server, Some(("eve", "x")), "in/1"));
    server.weir_ok(&["banned", "add", "ip_address", "127.0.0.0/8"]).expect("banned add");
    assert!(!publishes(&server, Some(("ann", "x")), "in/1"));
}
