//! The configuration as users meet it: precise errors, origins, and a reference page that agrees with the code.

use std::fs;
use std::path::Path;

use settings::{Anonymous, Origin, Sources, load, reference};

fn sources(file: &str, env: &[(&str, &str)]) -> Sources {
    Sources {
        file: Some(("weir.toml".to_owned(), file.to_owned())),
        env: env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        flags: Vec::new(),
    }
}

#[track_caller]
fn check(file: &str, env: &[(&str, &str)], expect: &[&str]) {
    let Err(error) = load(&sources(file, env)) else { panic!("accepted: {file:?} {env:?}") };
    let got: Vec<String> = error.problems.iter().map(ToString::to_string).collect();
    assert_eq!(got, expect);
}

#[test]
fn every_problem_has_its_place_and_a_remedy() {
    check("[mqtt]\nbnd = \"127.0.0.1:1\"\n", &[], &["weir.toml:2:1: mqtt.bnd: unknown key; did you mean bind?"]);
    check("[mqt]\n", &[], &["weir.toml:1:2: mqt: unknown section; did you mean mqtt?"]);
    check(
        "[nothing_like_it]\n",
        &[],
        &[
            "weir.toml:1:2: nothing_like_it: unknown section; the sections are node, mqtt, zones.NAME, listeners.tcp.NAME, api, log, engine, dead_letters, resources",
        ],
    );
    check("data_dir = \"x\"\n", &[], &["weir.toml:1:1: data_dir: belongs into the section [node]"]);
    check("node = 3\n", &[], &["weir.toml:1:1: node: is a section; write [node] and its keys below it"]);
    check(
        "[log]\nstop_deadline = \"3s\"\n",
        &[],
        &["weir.toml:2:1: log.stop_deadline: unknown key here; it belongs into the section [node]"],
    );
    check(
        "[node]\n  stop_deadline = 30\n",
        &[],
        &[
            "weir.toml:2:3: node.stop_deadline: expected a duration with its unit, such as 500ms, 30s, 5m, 2h, 7d, found \"30\"",
        ],
    );
    check(
        "[api]\nbind = \"localhost\"\nbody_bytes_max = \"1 furlong\"\n",
        &[],
        &[
            "weir.toml:2:1: api.bind: expected an address and port such as 127.0.0.1:1883 or [::1]:1883, found \"localhost\"",
            "weir.toml:3:1: api.body_bytes_max: expected a size such as 64KB, 16MB, 1GB, found \"1 furlong\"",
        ],
    );
    check(
        "[log]\nformat = { a = 1 }\n",
        &[],
        &["weir.toml:2:1: log.format: expected one value, found a table or a date"],
    );
    check("[log]\nformat = \"xml\"\n", &[], &["weir.toml:2:1: log.format: expected one of text json, found \"xml\""]);
}

#[test]
fn a_syntax_error_has_line_and_column() {
    let error = load(&sources("[mqtt]\nbind = \n", &[])).expect_err("not TOML");
    assert_eq!(error.problems.len(), 1);
    assert!(matches!(error.problems[0].origin, Origin::File { line: 2, .. }), "{error}");
}

#[test]
fn environment_variables_are_checked_like_keys() {
    check(
        "",
        &[("WEIR__MQTT__BNID", "x")],
        &["environment WEIR__MQTT__BNID: mqtt.bnid: unknown key; did you mean bind?"],
    );
    check(
        "",
        &[("WEIR__MQTT", "x")],
        &["environment WEIR__MQTT: expected WEIR__SECTION__KEY, such as WEIR__MQTT__BIND"],
    );
    check(
        "",
        &[("WEIR__API__BIND", "x")],
        &[
            "environment WEIR__API__BIND: api.bind: expected an address and port such as 127.0.0.1:1883 or [::1]:1883, found \"x\"",
        ],
    );
}

#[test]
fn flags_win_over_environment_over_file_over_defaults() {
    let mut given = sources(
        "[node]\nname = \"file\"\ndata_dir = \"file\"\n[log]\nlevel = \"warn\"\n",
        &[
            ("WEIR__NODE__NAME", "env"),
            ("WEIR__NODE__DATA_DIR", "env"),
            ("HOME", "not ours"),
            ("WEIR_URL", "not ours either"),
        ],
    );
    given.flags.push(("node.data_dir", "flag".to_owned(), "--data-dir"));
    let loaded = load(&given).expect("valid");
    assert_eq!((loaded.settings.node.name.as_str(), loaded.settings.log.level.as_str()), ("env", "warn"));
    let origin = |key: &str| loaded.shown.iter().find(|shown| shown.key == key).map(|shown| shown.origin.to_string());
    assert_eq!(origin("node.data_dir").as_deref(), Some("flag --data-dir"));
    assert_eq!(origin("node.name").as_deref(), Some("environment WEIR__NODE__NAME"));
    assert_eq!(origin("log.level").as_deref(), Some("weir.toml:5:1"));
    assert_eq!(origin("api.bind").as_deref(), Some("default"));
}

#[test]
fn the_defaults_are_valid_and_listen_only_on_this_machine() {
    let settings = load(&Sources::default()).expect("the defaults are valid").settings;
    assert!(settings.mqtt.bind.iter().all(|address| address.ip().is_loopback()));
    assert!(settings.api.bind.ip().is_loopback());
    assert_eq!(settings.mqtt.allow_anonymous, Anonymous::Loopback);
}

#[test]
fn an_anonymous_listener_on_the_network_has_to_be_asked_for() {
    let error = load(&sources("[mqtt]\nbind = [\"127.0.0.1:1883\", \"0.0.0.0:1883\"]\n", &[])).expect_err("refused");
    let text = error.to_string();
    assert!(text.starts_with("weir.toml:2:1: mqtt.bind: 0.0.0.0:1883 can be reached from the network"), "{text}");
    load(&sources("[mqtt]\nbind = \"0.0.0.0:1883\"\nallow_anonymous = \"everywhere\"\n", &[])).expect("asked for");
}

/// `WEIR_UPDATE=1 cargo test -p settings` writes the page.
#[test]
fn the_reference_page_is_the_one_the_code_prints() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    if std::env::var_os("WEIR_UPDATE").is_some() {
        fs::write(&page, reference()).expect("writable");
    }
    let written = fs::read_to_string(&page).expect("docs/configuration.md");
    assert!(
        written == reference(),
        "docs/configuration.md is not what `weir config reference` prints; run the test with WEIR_UPDATE=1"
    );
}

#[test]
fn every_key_says_what_it_does() {
    for section in settings::SECTIONS {
        assert!(!section.doc.trim().is_empty(), "[{}]", section.name);
        for key in section.keys() {
            assert!(key.doc.trim().ends_with('.'), "{}.{}", section.name, key.name);
        }
    }
}

#[test]
fn a_zone_goes_before_mqtt_and_mqtt_before_the_default() {
    let given = sources(
        "[mqtt]\ninflight_max = 10\n[zones.inside]\nqos_max = 1\n[zones.outside]\ninflight_max = 5\n[zones.same]\n",
        &[("WEIR__ZONES__INSIDE__TOPIC_LEVELS_MAX", "7")],
    );
    let loaded = load(&given).expect("valid");
    let zones = &loaded.settings.zones;
    assert_eq!(zones.keys().collect::<Vec<_>>(), ["inside", "outside", "same"]);
    let shown = |key: &str| {
        let found = loaded.shown.iter().find(|shown| shown.key == key).expect("every value is shown");
        (found.value.clone(), found.origin.to_string())
    };
    for (key, value, origin) in [
        ("mqtt.inflight_max", "10", "weir.toml:2:1"),
        ("zones.inside.inflight_max", "10", "weir.toml:2:1"),
        ("zones.outside.inflight_max", "5", "weir.toml:6:1"),
        ("zones.inside.qos_max", "1", "weir.toml:4:1"),
        ("zones.outside.qos_max", "2", "default"),
        ("zones.inside.topic_levels_max", "7", "environment WEIR__ZONES__INSIDE__TOPIC_LEVELS_MAX"),
        ("zones.same.inflight_max", "10", "weir.toml:2:1"),
    ] {
        assert_eq!(shown(key), (value.to_owned(), origin.to_owned()), "{key}");
    }
    assert_eq!((zones["inside"].inflight_max, zones["outside"].inflight_max), (10, 5));
}

#[test]
fn repeated_sections_are_checked_like_others() {
    check("[zones.a]\nqos_mx = 1\n", &[], &["weir.toml:2:1: zones.a.qos_mx: unknown key; did you mean qos_max?"]);
    check("[zones]\na = 3\n", &[], &["weir.toml:2:1: zones.a: is a section; write [zones.NAME] and its keys below it"]);
    check("zones = 3\n", &[], &["weir.toml:1:1: zones: is a section; write [zones.NAME] and its keys below it"]);
    check("[zone.a]\nqos_max = 1\n", &[], &["weir.toml:1:7: zone: unknown section; did you mean zones?"]);
    check(
        "[listeners.tpc.a]\nbind = \"127.0.0.1:1\"\n",
        &[],
        &["weir.toml:2:1: listeners.tpc.a: unknown section; did you mean listeners.tcp?"],
    );
    check(
        "[zones.\"a.b\"]\nqos_max = 1\ninflight_max = 3\n",
        &[],
        &["weir.toml:2:1: zones.a.b: a name has 1 to 64 small letters, digits, - and single _"],
    );
    check(
        "[zones.a]\nconnections_max = 1\n",
        &[],
        &["weir.toml:2:1: zones.a.connections_max: unknown key here; it belongs into the section [mqtt]"],
    );
    check("[zones.a]\nqos_max = 3\n", &[], &["weir.toml:2:1: zones.a.qos_max: expected 0, 1 or 2, found \"3\""]);
    check(
        "[mqtt]\nqos_max = 3\n[zones.a]\n[zones.b]\n",
        &[],
        &["weir.toml:2:1: mqtt.qos_max: expected 0, 1 or 2, found \"3\""],
    );
    check(
        "[zones.default]\nqos_max = 1\n",
        &[],
        &[
            "weir.toml:2:1: zones.default.qos_max: default is the zone of listeners without one; write its keys into [mqtt]",
        ],
    );
    check(
        "",
        &[("WEIR__ZONES__A", "1")],
        &["environment WEIR__ZONES__A: expected WEIR__ZONES__NAME__KEY, such as WEIR__MQTT__BIND"],
    );
}

#[test]
fn listeners_have_an_address_and_a_zone_that_exists() {
    let text = "[listeners.tcp.a]\nzone = \"inside\"\n";
    check(
        text,
        &[],
        &[
            "default: listeners.tcp.a.bind: is missing: the address and port to listen on, such as 127.0.0.1:1884",
            "weir.toml:2:1: listeners.tcp.a.zone: there is no section [zones.inside]",
        ],
    );
    let text = "[zones.inside]\n[listeners.tcp.a]\nzone = \"inside\"\nbind = \"127.0.0.1:1884\"\n";
    let settings = load(&sources(text, &[])).expect("valid").settings;
    assert_eq!(settings.listeners.tcp["a"].zone, "inside");
    assert!(settings.mqtt.bind.is_empty(), "the default gives way to listeners of the user's own");
    let both = format!("{text}[mqtt]\nbind = \"127.0.0.1:1885\"\n");
    assert_eq!(load(&sources(&both, &[])).expect("valid").settings.mqtt.bind.len(), 1);
}

#[test]
fn no_kind_of_listener_opens_the_network_to_anonymous_clients_unasked() {
    let text = "[listeners.tcp.a]\nbind = \"0.0.0.0:1884\"\n";
    let error = load(&sources(text, &[])).expect_err("refused").to_string();
    assert!(
        error.starts_with("weir.toml:2:1: listeners.tcp.a.bind: 0.0.0.0:1884 can be reached from the network"),
        "{error}"
    );
    load(&sources(&format!("{text}[mqtt]\nallow_anonymous = \"everywhere\"\n"), &[])).expect("asked for");
}
