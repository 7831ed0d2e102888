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
            "weir.toml:1:2: nothing_like_it: unknown section; the sections are node, mqtt, sessions, broker, alarms, os_mon, trace, auth, api, log, engine, dead_letters, resources",
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
fn passwords_are_hashed_often_enough() {
    let error = load(&sources("[auth]\npassword_iterations = 1\n", &[])).expect_err("refused").to_string();
    assert!(error.starts_with("weir.toml:2:1: auth.password_iterations: must be at least 4096"), "{error}");
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
        for key in section.keys {
            assert!(key.doc.trim().ends_with('.'), "{}.{}", section.name, key.name);
        }
    }
}
