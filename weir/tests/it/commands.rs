//! The text of the commands against a running server.

use crate::support::{Server, golden, run, weir, without_ids};

#[test]
fn manual_7_3_1_the_commands_print_what_the_manual_prints() {
    let server = Server::start();
    let ok = |args: &[&str]| {
        let (code, out, err) = server.weir(args);
        assert_eq!(code, 0, "{args:?}: {out}{err}");
        out
    };
    let mut said = String::new();
    let mut say = |args: &[&str]| {
        let out = ok(args);
        said.push_str(&format!("$ weir {}\n{out}", args.join(" ")));
        out
    };
    let rule = say(&[
        "rules",
        "create",
        "select * from \"message.publish\"",
        r#"[{"name":"inspect", "params": {"a": 1}}]"#,
        "-d",
        "Rule for debug",
    ]);
    let rule =
        rule.strip_prefix("Rule ").and_then(|rest| rest.strip_suffix(" created\n")).expect("Rule … created").to_owned();
    say(&["rules", "list"]);
    say(&["rules", "list", "-o", "name"]);
    say(&["rules", "disable", &rule]);
    let hook = say(&[
        "resources",
        "create",
        "web_hook",
        "--config",
        r#"{"url": "http://127.0.0.1:1/chats"}"#,
        "-d",
        "forward msgs",
    ]);
    let hook = hook
        .strip_prefix("Resource ")
        .and_then(|rest| rest.strip_suffix(" created\n"))
        .expect("Resource … created")
        .to_owned();
    say(&["resources", "list", "--type=web_hook", "-o", "name"]);
    say(&["rule-actions", "show", "inspect", "-o", "manual"]);
    say(&["ctl", "rules", "show", &rule]);
    say(&["resource-types", "show", "web_hook", "-o", "manual"]);
    say(&["resources", "delete", &hook]);
    say(&["rules", "delete", &rule]);
    say(&["rules", "list", "-o", "json"]);
    say(&["dead-letters", "list"]);
    say(&["clients", "list"]);
    say(&["status"]);
    golden("commands", &without_ids(&said));
}

const PIPELINE: &str = "\
resources:
  hook:
    type: web_hook
    config: {url: 'http://127.0.0.1:1/'}
rules:
  hot:
    sql: SELECT topic FROM \"t/#\"
    sinks: [{action: data_to_webserver, resource: hook}]
  seen:
    sql: SELECT topic FROM \"u/#\"
    sinks: [{action: inspect}]
";

#[test]
fn apply_makes_the_difference_once_and_prune_takes_back_only_its_own() {
    let server = Server::start();
    let file = server.folder().join("p.yaml");
    std::fs::write(&file, PIPELINE).expect("write");
    let apply = |more: &[&str]| {
        let mut args = vec!["apply", "-f", "p.yaml", "-o", "jsonl"];
        args.extend(more);
        let (code, out, err) = server.weir(&args);
        assert_eq!(code, 0, "{err}");
        let change = |line: &str| {
            let change: serde_json::Value = serde_json::from_str(line).expect("JSON");
            format!("{} {}", change["change"].as_str().unwrap_or_default(), change["id"].as_str().unwrap_or_default())
        };
        out.lines().map(change).collect::<Vec<_>>()
    };
    let all = ["create resource:hook", "create rule:hot", "create rule:seen"];
    assert_eq!(apply(&["--dry-run"]), all);
    assert_eq!(server.weir(&["rules", "list", "-o", "name"]).1, "", "a dry run changes nothing");
    assert_eq!(apply(&[]), all);
    assert_eq!(apply(&[]), Vec::<String>::new(), "the second time there is nothing to do");
    let (code, _, err) = server.weir(&["rules", "delete", "rule:hot"]);
    assert_eq!((code, err.contains("p.yaml:6")), (4, true), "the file owns it: {err}");
    let made = server.weir(&["rules", "create", "SELECT * FROM \"mine\"", r#"[{"name":"inspect"}]"#, "-o", "name"]).1;
    let shorter = PIPELINE.split("  seen:").next().expect("text").replace("t/#", "v/#");
    std::fs::write(&file, shorter).expect("write");
    assert_eq!(apply(&["--prune"]), ["update rule:hot", "delete rule:seen"]);
    let left = server.weir(&["rules", "list", "-o", "name"]).1;
    let mut left: Vec<&str> = left.lines().collect();
    left.sort_unstable();
    let mut expected = vec![made.trim(), "rule:hot"];
    expected.sort_unstable();
    assert_eq!(left, expected);
}

#[test]
fn apply_refuses_a_file_with_a_mistake_and_changes_nothing() {
    let server = Server::start();
    std::fs::write(
        server.folder().join("p.yaml"),
        PIPELINE.replace("SELECT topic FROM \"u/#\"", "SELECT uper(topic) AS t FROM \"u/#\""),
    )
    .expect("write");
    let (code, out, err) = server.weir(&["apply", "-f", "p.yaml"]);
    assert_eq!((code, out.as_str()), (6, ""), "{err}");
    assert!(err.contains("p.yaml:10:17: ") && err.contains("upper"), "{err}");
    assert_eq!(server.weir(&["resources", "list", "-o", "name"]).1, "");
}

#[test]
fn exit_codes_say_what_happened() {
    let server = Server::start();
    let table: &[(&[&str], i32, &str)] = &[
        (&["rules", "list"], 0, ""),
        (&["rules", "nonsense"], 2, "nonsense"),
        (&["rules", "create", "a", "b", "c"], 2, "NAME EVENT SQL ACTIONS"),
        (&["rules", "show", "rule:00000000"], 3, "rule:00000000"),
        (&["rules", "create", "SELECT", r#"[{"name":"inspect"}]"#], 6, "error"),
        (&["rules", "create", "SELECT * FROM \"t\"", "{"], 6, "ACTIONS is not JSON"),
        (&["clients", "kick", "nobody"], 3, "nobody"),
        (&["dead-letters", "show", "0"], 3, "0"),
        (&["rules", "list", "--app-id", "x", "--app-secret", "y"], 1, "does not accept the key"),
        (&["rules", "list", "--app-id", "x"], 2, "go together"),
        (&["rules", "list", "--url", "http://127.0.0.1:1"], 5, "no server at http://127.0.0.1:1"),
        (&["rules", "list", "--url", "nonsense"], 2, "not the address of a server"),
        (&["apply", "-f", "/nonexistent.yaml"], 2, "/nonexistent.yaml"),
    ];
    for (args, code, words) in table {
        let (got, out, err) = server.weir(args);
        assert_eq!(got, *code, "{args:?}: {out}{err}");
        assert!(err.contains(words), "{args:?}: {err}");
        if *code != 0 {
            assert_eq!(out, "", "{args:?}: what went wrong belongs on stderr");
        }
    }
}

#[test]
fn without_a_key_the_command_says_where_it_looked() {
    let server = Server::start();
    let empty = tempfile::tempdir().expect("folder");
    let mut command = weir(&["rules", "list", "--url", &format!("http://{}", server.address)]);
    command.current_dir(empty.path());
    let (code, _, err) = run(command);
    assert_eq!(code, 1);
    assert!(err.contains("weir-data/api-credentials.json") && err.contains("--data-dir"), "{err}");
}

#[test]
fn an_apply_that_fails_halfway_is_taken_back_and_says_so() {
    let server = Server::start();
    let write = |name: &str, text: &str| std::fs::write(server.folder().join(name), text).expect("write");
    write("a.yaml", PIPELINE);
    assert_eq!(server.weir(&["apply", "-f", "a.yaml"]).0, 0);
    let state = || {
        let rules = server.weir(&["rules", "list", "-o", "json"]).1;
        let resources = server.weir(&["resources", "list", "-o", "json"]).1;
        let rules: serde_json::Value = serde_json::from_str(&rules).expect("JSON");
        let shown = |rule: &serde_json::Value| (rule["id"].clone(), rule["rawsql"].clone(), rule["created_at"].clone());
        let rules: Vec<_> = rules.as_array().expect("list").iter().map(shown).collect();
        let resources: serde_json::Value = serde_json::from_str(&resources).expect("JSON");
        let shown = |one: &serde_json::Value| (one["id"].clone(), one["config"].clone());
        (rules, resources.as_array().expect("list").iter().map(shown).collect::<Vec<_>>())
    };
    let before = state();

    // Everything in a.yaml changes and works; the rule in b.yaml cannot open its queue.
    let changed = PIPELINE.replace("127.0.0.1:1", "127.0.0.1:2").replace("t/#", "v/#").replace("  seen:", "  seen2:");
    write("a.yaml", &changed);
    write(
        "b.yaml",
        "rules:\n  safe:\n    sql: SELECT topic FROM \"s\"\n    sinks: [{action: inspect, delivery: at_least_once}]\n",
    );
    let queue = server.data_dir().join("queues/rule%3Asafe%2F0");
    std::fs::create_dir_all(queue.parent().expect("parent")).expect("folder");
    std::fs::write(&queue, "").expect("a file in the place of the folder");
    let apply = ["apply", "-f", "a.yaml", "-f", "b.yaml", "--prune"];
    let (code, out, err) = server.weir(&apply);
    assert_eq!((code, out.as_str()), (1, ""), "{err}");
    assert!(err.contains("b.yaml:2:3: rule:safe: the action inspect cannot be started"), "{err}");
    assert!(
        err.contains(
            "everything is as it was; taken back: update of resource:hook, update of rule:hot, create of rule:seen2"
        ),
        "{err}"
    );
    assert_eq!(state(), before);

    // What the server would refuse is known before anything is touched.
    std::fs::remove_file(&queue).expect("remove");
    write("b.yaml", "rules:\n  hot:\n    sql: SELECT topic FROM \"s\"\n    sinks: [{action: inspect}]\n");
    let (code, _, err) = server.weir(&["apply", "-f", "b.yaml"]);
    assert_eq!(code, 4, "{err}");
    assert!(
        err.contains("b.yaml:2:3: rule:hot: rule:hot is owned by a.yaml:6") && err.contains("nothing was changed"),
        "{err}"
    );
    write(
        "b.yaml",
        "rules:\n  more:\n    sql: SELECT topic FROM \"s\"\n    sinks:\n      - action: data_to_webserver\n        resource: resource:nowhere\n",
    );
    for dry in [&["apply", "-f", "b.yaml"][..], &["apply", "-f", "b.yaml", "--dry-run"]] {
        let (code, _, err) = server.weir(dry);
        assert_eq!(code, 6, "{err}");
        assert!(
            err.contains("b.yaml:6:19: rule:more: ") && err.contains("there is no resource resource:nowhere"),
            "{err}"
        );
    }
    assert_eq!(state(), before);
    write(
        "b.yaml",
        "rules:\n  safe:\n    sql: SELECT topic FROM \"s\"\n    sinks: [{action: inspect, delivery: at_least_once}]\n",
    );
    let (code, _, err) = server.weir(&apply);
    assert_eq!(code, 0, "and then all of it works: {err}");
    assert_eq!(state().0.len(), 3);
}
