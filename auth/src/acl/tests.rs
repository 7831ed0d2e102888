//! Rules as tables: files on the left, what they say on the right.

use model::{ProtocolVersion, Str};

use super::*;

/// A client as rules see it.
pub(crate) fn client(id: &str, username: Option<&str>, address: &str) -> ClientInfo {
    ClientInfo {
        client_id: Str::new(id),
        username: username.map(Str::new),
        peer: Some((address.parse::<std::net::IpAddr>().unwrap(), 50_000).into()),
        local: None,
        version: ProtocolVersion::V5,
        keepalive_secs: 0,
        clean_start: true,
        session_expiry_secs: 0,
        is_bridge: false,
        mountpoint: Str::new(""),
        connected_at_ms: 0,
        is_superuser: false,
    }
}

fn settings(file: Option<PathBuf>, nomatch: Permission) -> AclSettings {
    AclSettings { file, nomatch, file_bytes_max: 10_000, rules_max: 100 }
}

fn acl(name: &str, text: &str) -> (tempfile::TempDir, Result<Acl, Problem>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name);
    std::fs::write(&file, text).unwrap();
    let acl = Acl::open(settings(Some(file), Permission::Deny), Arc::default());
    (folder, acl)
}

use Access::{Publish, Receive, Subscribe};

#[test]
fn manual_9_4_the_built_in_rules() {
    let acl = Acl::open(settings(None, Permission::Deny), Arc::default()).unwrap();
    let (local, local6) = (client("c", None, "127.0.0.1"), client("c", None, "::1"));
    let mapped = client("c", None, "::ffff:127.0.0.1");
    let (remote, dashboard) = (client("c", None, "10.1.2.3"), client("c", Some("dashboard"), "10.1.2.3"));
    for (who, access, topic, allowed) in [
        (&local, Subscribe, "#", true),
        (&local6, Subscribe, "#", true),
        (&mapped, Subscribe, "#", true),
        (&local, Subscribe, "$SYS/#", true),
        (&local, Receive, "$SYS/brokers", true),
        (&remote, Subscribe, "#", false),
        (&remote, Subscribe, "$SYS/#", false),
        (&remote, Subscribe, "$SYS/brokers/+/stats", false),
        (&remote, Receive, "$SYS/brokers", false),
        (&remote, Receive, "a/b", true),
        (&remote, Subscribe, "a/#", true),
        (&remote, Subscribe, "+/#", true),
        (&remote, Publish, "a/b", true),
        (&dashboard, Subscribe, "$SYS/#", true),
        (&dashboard, Receive, "$SYS/brokers", true),
        (&dashboard, Subscribe, "#", false),
    ] {
        let expected = if allowed { Permission::Allow } else { Permission::Deny };
        assert_eq!(acl.permission(who, access, topic), expected, "{:?} {access:?} {topic}", who.peer);
    }
}

/// The same rules in both forms.
const ERLANG: &str = r##"
%% people
{allow, {user, "ann"}, pubsub, ["office/%u/#"]}.
{allow, {'and', [{user, all}, {ipaddr, "10.0.0.0/8"}]}, subscribe, ["lab/+/temp", {eq, "lab/#"}]}.
{deny, {'or', [{client, "bad"}, {ipaddr, "192.168.0.7"}]}}.
{allow, all, publish, ["dev/%c/up"]}.
{allow, {client, all}, subscribe, ["dev/%c/down"]}.
"##;
const TOML: &str = r##"
[[rule]]
permission = "allow"
user = "ann"
topics = ["office/%u/#"]
[[rule]]
permission = "allow"
action = "subscribe"
user = "*"
ipaddr = "10.0.0.0/8"
topics = ["lab/+/temp", { eq = "lab/#" }]
[[rule]]
permission = "deny"
or = [{ client = "bad" }, { ipaddr = "192.168.0.7" }]
[[rule]]
permission = "allow"
action = "publish"
topics = ["dev/%c/up"]
[[rule]]
permission = "allow"
action = "subscribe"
client = "*"
topics = ["dev/%c/down"]
"##;

#[test]
fn erlang_terms_and_toml_say_the_same() {
    let ann = client("c1", Some("ann"), "1.1.1.1");
    let inside = client("c2", Some("bob"), "10.9.8.7");
    let nameless = client("c3", None, "10.9.8.7");
    let (bad, banned) = (client("bad", None, "1.1.1.1"), client("c4", None, "192.168.0.7"));
    let spoof = client("+", None, "1.1.1.1");
    for (name, text) in [("acl.conf", ERLANG), ("acl.toml", TOML)] {
        let (_folder, acl) = acl(name, text);
        let acl = acl.unwrap();
        assert_eq!(acl.rule_count(), 5);
        for (who, access, topic, allowed) in [
            (&ann, Publish, "office/ann/door", true),
            (&ann, Subscribe, "office/ann/#", true),
            (&ann, Subscribe, "office/+/#", false),
            (&ann, Publish, "office/bob/door", false),
            (&inside, Subscribe, "lab/1/temp", true),
            (&inside, Subscribe, "lab/#", true),
            (&inside, Receive, "lab/1/humidity", true),
            (&inside, Subscribe, "lab/1/#", false),
            (&inside, Publish, "lab/1/temp", false),
            (&nameless, Subscribe, "lab/1/temp", false),
            (&bad, Publish, "dev/bad/up", false),
            (&banned, Publish, "dev/c4/up", false),
            (&nameless, Publish, "dev/c3/up", true),
            (&nameless, Publish, "dev/c4/up", false),
            (&nameless, Subscribe, "dev/c3/down", true),
            (&nameless, Receive, "dev/c3/down", true),
            (&nameless, Receive, "dev/c3/up", false),
            (&spoof, Publish, "dev/c3/up", false),
            (&spoof, Subscribe, "dev/+/down", false),
        ] {
            let expected = if allowed { Permission::Allow } else { Permission::Deny };
            assert_eq!(acl.permission(who, access, topic), expected, "{name}: {} {access:?} {topic}", who.client_id);
        }
        assert_eq!(acl.counters.unsafe_names.get(), 2, "the two tries of the client called +");
    }
}

#[test]
fn problems_name_file_line_column_and_remedy() {
    for (name, text, place, says) in [
        ("a.conf", "{allow, all}.\n{permit, all}.", "a.conf:2:2: ", "expected allow or deny, found the atom permit"),
        ("a.conf", "{allow, all, read, [\"a\"]}.", "a.conf:1:14: ", "publish, subscribe or pubsub"),
        ("a.conf", "{allow, all, publish, \"a\"}.", "a.conf:1:23: ", "a list of at least one topic"),
        ("a.conf", "{allow, all, publish, []}.", "a.conf:1:23: ", "a list of at least one topic"),
        ("a.conf", "{allow, all, publish, [\"a/#/b\"]}.", "a.conf:1:24: ", "last level"),
        ("a.conf", "{allow, {ipaddr, \"10.0.0.0/33\"}, publish, [\"a\"]}.", "a.conf:1:18: ", "10.0.0.0/8"),
        ("a.conf", "{allow, {role, \"x\"}, publish, [\"a\"]}.", "a.conf:1:9: ", "{user, \"name\"}"),
        ("a.conf", "{allow, {'or', []}}.", "a.conf:1:16: ", "at least one"),
        ("a.conf", "{allow}.", "a.conf:1:1: ", "a tuple of 1"),
        ("a.conf", "allow.", "a.conf:1:1: ", "found the atom allow"),
        ("a.toml", "[[rule]]\nuser = \"x\"\n", "a.toml:1:1: ", "has no permission"),
        ("a.toml", "[[rule]]\npermission = \"permit\"\n", "a.toml:2:14: ", "\"allow\" or \"deny\""),
        ("a.toml", "[[rule]]\npermission = \"deny\"\nusr = \"x\"", "a.toml:3:1: ", "unknown key usr"),
        ("a.toml", "[[rule]]\npermission = \"deny\"\nipaddr = \"x\"", "a.toml:3:10: ", "no address"),
        ("a.toml", "[[rule]]\npermission = \"deny\"\ntopics = []", "a.toml:3:10: ", "at least one topic"),
        ("a.toml", "[[rules]]\n", "a.toml:1:3: ", "has [[rule]]"),
        ("a.toml", "[[rule]\n", "a.toml:1:", ""),
    ] {
        let (_folder, acl) = acl(name, text);
        let problem = acl.err().unwrap_or_else(|| panic!("{text} was taken")).to_string();
        assert!(problem.contains(place) && problem.contains(says), "{text}: {problem}");
    }
    let missing = Acl::open(settings(Some(PathBuf::from("/nowhere/acl.conf")), Permission::Allow), Arc::default());
    assert!(missing.err().unwrap().to_string().contains("auth.acl_file"));
    let (_folder, large) = acl("a.conf", &"% \n".repeat(5_000));
    assert!(large.err().unwrap().to_string().contains("auth.acl_file_bytes_max"));
}

#[test]
fn a_failed_reload_keeps_the_last_good_rules() {
    let (folder, acl) = acl("acl.conf", "{deny, all, publish, [\"x\"]}. {allow, all}.");
    let acl = acl.unwrap();
    let me = client("c", None, "1.1.1.1");
    for broken in ["{allow, all}", "\u{fffd}", "{allow, all, publish, [\"#/x\"]}."] {
        std::fs::write(folder.path().join("acl.conf"), broken).unwrap();
        assert!(acl.reload().is_err());
        assert_eq!(acl.permission(&me, Publish, "x"), Permission::Deny);
        assert_eq!(acl.permission(&me, Publish, "y"), Permission::Allow);
    }
    std::fs::remove_file(folder.path().join("acl.conf")).unwrap();
    assert!(acl.reload().is_err(), "a file that is gone is no empty file");
    assert_eq!(acl.rule_count(), 2);
    std::fs::write(folder.path().join("acl.conf"), "").unwrap();
    assert_eq!(acl.reload(), Ok(0));
    assert_eq!(acl.permission(&me, Publish, "y"), Permission::Deny, "an empty file is what nomatch says");
}

/// Seeded: whatever the bytes, parsing ends with rules or with a problem inside the file.
#[test]
fn arbitrary_text_never_breaks_the_parsers() {
    let pieces = [
        "{",
        "}",
        "[",
        "]",
        ".",
        ",",
        "\"",
        "'",
        "<<",
        ">>",
        "%",
        "\n",
        "allow",
        "deny",
        "all",
        "user",
        "eq",
        "\\",
        "é",
        "#",
        "=",
        "[[rule]]",
        "permission",
        "\"a/+\"",
        " ",
        "'and'",
        "ipaddr",
        "\"10.0.0.0/8\"",
    ];
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..20_000 {
        let mut text = String::new();
        for _ in 0..(seed % 24) {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text.push_str(pieces[(seed >> 33) as usize % pieces.len()]);
        }
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        for result in [erlang_rules::parse(&text, 8), toml_rules::parse(&text, 8)] {
            if let Err(Problem { place: Some(place), .. }) = result {
                assert!(place.line <= text.matches('\n').count() + 1, "{text:?}");
            }
        }
    }
}
