//! Pipeline files: what is refused and where the message points, what is checked, what applying changes.

use std::collections::BTreeMap;

use connector::Registry;
use pipelines::{Absent, Environment, Objects, Options, Pipeline, Problem, Severity, check, diff, load};
use serde_json::json;

/// Variables and files of a test.
#[derive(Default)]
struct Given(BTreeMap<&'static str, &'static str>);

impl Environment for Given {
    fn var(&self, name: &str) -> Option<String> {
        self.0.get(name).map(|value| (*value).to_owned())
    }

    fn file(&self, path: &str) -> Result<String, String> {
        self.0.get(path).map(|value| (*value).to_owned()).ok_or_else(|| "no such file".to_owned())
    }
}

fn given() -> Given {
    Given(BTreeMap::from([
        ("TABLE", "readings"),
        ("PASSWORD", "s3cret"),
        ("secret.txt", "from file\n"),
        ("INJECT", "x: [y, {z: 1}]\n- \"q\" # c"),
    ]))
}

fn registry() -> Registry {
    Registry::new([lake::connector(), webhook::connector()])
}

fn try_load(text: &str) -> Result<Pipeline, Vec<Problem>> {
    load("p.yaml", text, &Options { environment: &given(), absent: Absent::Fail })
}

fn lines(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

/// What loading, then checking says.
fn problems(text: &str) -> Vec<String> {
    match try_load(text) {
        Err(problems) => lines(&problems),
        Ok(pipeline) => lines(&check(&pipeline, &registry()).problems),
    }
}

const RULES: &str = "rules:\n  a:\n    sql: SELECT clientid AS c FROM \"t/#\"\n    sinks: [{action: inspect}]\n";

/// Line and column of the `§`.
fn mark(text: &str) -> (usize, usize) {
    let (before, _) = text.split_once('§').unwrap_or_default();
    (before.matches('\n').count() + 1, before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1)
}

/// The one problem of `text` stands at its `§`, with this message.
fn refuses(text: &str, message: &str) {
    let (line, column) = mark(text);
    assert_eq!(problems(&text.replacen('§', "", 1)), [format!("p.yaml:{line}:{column}: {message}")], "{text}");
}

#[test]
fn broken_files_say_where_and_what_to_write() {
    for (text, message) in [
        ("§", "the file is empty; a pipeline has at least rules"),
        ("rules: [§", "this is no YAML: while parsing a node, did not find expected node content"),
        ("§[]", "a pipeline is a map with the keys description, resources, sources, rules, sinks, tests, found a list"),
        ("§rule: {}", "unknown key rule of a pipeline; did you mean rules?"),
        (
            "rules:\n  a: {sql: SELECT 1 AS c FROM \"t\", sinks: [{action: inspect}], §sinsk: 1}",
            "unknown key sinsk of a rule; did you mean sinks?",
        ),
        ("rules: {}\nsinks: {}\n§rules: {}", "rules is given twice; the first is on line 1"),
        ("a: &x {}\n§<<: *x", "merge keys (<<) are not read; write the keys out"),
        ("rules: {}\n---\n§rules: {}", "a pipeline file holds one document; put the second one into a file of its own"),
        ("rules: {}\nsinks: §!x 1", "the tag !x is not used here; write a plain or quoted value"),
        ("rules:\n  §a:\n    sinks: [{action: inspect}]", "the rule a has no sql"),
        (
            "rules:\n  §a:\n    sql: SELECT 1",
            "the rule a has no sinks; name at least one, or write one such as - action: inspect",
        ),
        (
            "rules:\n  a:\n    sql: SELECT 1\n    sinks: [§reading]\nsinks:\n  readings: {action: inspect}",
            "there is no sink reading; did you mean readings?",
        ),
        (
            "rules:\n  §a b:\n    sql: SELECT 1\n    sinks: {action: inspect}",
            "\"a b\" is no name: letters, digits, _, - and .",
        ),
        (
            "sources:\n  s: [a/+, §b/#/c]",
            "\"b/#/c\" is no topic filter: # must be the last level of a filter, alone in its level, as in a/#",
        ),
        (
            "resources:\n  r: {type: lake, config: {path: §\"${env:NOPE}\"}}",
            "the environment variable NOPE is not set; write ${env:NOPE:-default} to give a default",
        ),
        (
            "resources:\n  r: {type: web_hook, config: {url: http://h/, password: {file: §nope.txt}}}",
            "the file nope.txt cannot be read: no such file",
        ),
        (
            "sinks:\n  s: {action: data_to_lake, resource: §lak}\nresources:\n  lake: {type: lake}",
            "there is no resource lak in this file; did you mean lake?; a resource of the server is named by its id, such as resource:1a2b3c4d",
        ),
        (
            &format!("{RULES}tests:\n  - input: {{topic: t/1}}\n    expect: {{§b: []}}"),
            "there is no rule or sink b; did you mean a?",
        ),
        (
            &format!("{RULES}tests:\n  - inputs: [§{{payload: 1}}]\n    expect: {{a: []}}"),
            "an input has a topic, or an event",
        ),
    ] {
        refuses(text, message);
    }
}

#[test]
fn settings_are_held_against_the_specifications() {
    let head = "resources:\n  lake: {type: lake, config: {path: /tmp/x}}\n  hook: {type: web_hook, config: {url: http://h/}}\n";
    for (rest, message) in [
        ("  x: {type: §lke, config: {}}", "there is no resource type lke; did you mean lake?"),
        ("  x: {type: lake, config: {§pth: /x, path: /y}}", "pth: unknown key; did you mean path?"),
        (
            "  x: {type: lake, config: {path: /y, compression: §gzip}}",
            "compression: expected one of zstd, snappy, none, found \"gzip\"",
        ),
        (
            "  §x: {type: lake}",
            "path: is required: Folder that holds one folder a table; made when it is not there. An embedded server fills in <data>/lake.",
        ),
        (
            "  x: {type: lake, config: {path: §{env: TABLE}}}",
            "path is no secret: write ${env:NAME} inside the value; {env: …} and {file: …} are for secrets",
        ),
    ] {
        refuses(&format!("{head}{rest}"), message);
    }
    for (sink, message) in [
        ("s: {action: §data_to_lak, resource: lake}", "there is no action data_to_lak; did you mean data_to_lake?"),
        ("§s: {action: data_to_lake, params: {table: t}}", "the action data_to_lake needs a resource of type lake"),
        (
            "s: {action: data_to_lake, resource: §hook, params: {table: t}}",
            "the action data_to_lake needs a resource of type lake, hook is a web_hook",
        ),
        ("s: {action: inspect, resource: §lake}", "the action inspect needs no resource"),
        (
            "§s: {action: inspect, delivery: maybe}",
            "delivery: expected one of at_most_once, at_least_once, found \"maybe\"",
        ),
        ("s: {action: inspect, §delivry: maybe}", "unknown key delivry of a sink; did you mean delivery?"),
        (
            "s: {action: data_to_lake, resource: lake, params: {table: §\"t_${sensr}\"}}",
            "${sensr}: the rule a has no column sensr; did you mean sensor?",
        ),
    ] {
        refuses(
            &format!(
                "{head}rules:\n  a: {{sql: 'SELECT clientid AS sensor FROM \"t\"', sinks: [s]}}\nsinks:\n  {sink}"
            ),
            message,
        );
    }
}

#[test]
fn parameters_of_built_in_actions_are_checked_as_the_server_does() {
    for (sink, message) in [
        ("{action: republish, params: {§target_topc: u}}", "target_topc: unknown key; did you mean target_topic?"),
        (
            "{action: republish, params: {target_topic: u, payload_tmpl: '${sensor}', target_qos: §3}}",
            "target_qos: 3 is out of range: from -1 to 2",
        ),
        (
            "{action: republish, params: {target_topic: u, payload_tmpl: §'${sensr}'}}",
            "payload_tmpl: ${sensr} is never there: the rule's output is sensor (select sensr, or give a default as in ${sensr:-none})",
        ),
        (
            "{action: republish, params: {topic: §'u/+/${sensor}', payload: '${sensor}'}}",
            "topic: \"u/+/${sensor}\": a topic to publish to has no wildcards",
        ),
        (
            "{action: republish, params: {target_topic: §t, payload_tmpl: '${sensor}'}}",
            "target_topic: the rule would select its own output: it republishes to t, which its FROM matches (republish to a topic outside the rule's FROM, or narrow FROM or the topic condition of WHERE)",
        ),
        (
            "{action: inspect, fallback: [{action: republish, params: {target_topic: u, payload_tmpl: x, retain: §7}}]}",
            "retain: expected true or false, found 7",
        ),
    ] {
        refuses(
            &format!("rules:\n  a: {{sql: 'SELECT clientid AS sensor FROM \"t\"', sinks: [s]}}\nsinks:\n  s: {sink}"),
            message,
        );
    }
    let broken =
        "rules:\n  a: {sql: 'SELECT nope(1) AS a FROM \"t\"', sinks: [{action: republish, params: {target_topc: u}}]}";
    assert!(
        problems(broken).iter().any(|problem| problem.contains("target_topc: unknown key")),
        "also when the SQL is broken"
    );
    let debug = "rules:\n  a:\n    sql: SELECT topic FROM \"t\"\n    sinks: [{action: inspect, params: {a: 1}}, {action: do_nothing, params: {b: 2}}]";
    assert_eq!(problems(debug), Vec::<String>::new(), "manual 7.3.1: the debug actions take any parameters");
}

#[test]
fn what_the_server_says_is_put_at_its_place_in_the_file() {
    let text = "resources:\n  lake:\n    type: lake\n    config: {path: /tmp/x}\nrules:\n  a:\n    sql: SELECT clientid AS c FROM \"t\"\n    sinks:\n      - action: data_to_lake\n        resource: lake\n        params: {table: t}\n        fallback:\n          - action: republish\n            params: {target_topic: u}\n";
    let pipeline = try_load(text).expect("a pipeline");
    for (id, field, byte, place) in [
        ("rule:a", "sql", Some(7), "7:17"),
        ("rule:a", "sql", None, "6:3"),
        ("rule:a", "actions[0].params.table", None, "11:25"),
        ("rule:a", "actions[0].params.$resource", None, "10:19"),
        ("rule:a", "actions[0].name", None, "9:17"),
        ("rule:a", "actions[0].queue.bytes_max", None, "9:9"),
        ("rule:a", "actions[0].fallback[0].params.target_topic", None, "14:36"),
        ("rule:a", "actions[7]", None, "6:3"),
        ("resource:lake", "path", None, "4:20"),
        ("resource:lake", "nothing", None, "2:3"),
    ] {
        let problem = pipeline.problem_of(id, field, byte, "m").expect("it is of this file");
        assert_eq!(problem.to_string(), format!("p.yaml:{place}: m"), "{id} {field}");
    }
    assert!(pipeline.problem_of("rule:b", "sql", None, "m").is_none());
}

/// The fault stands at `§` in the SQL, whatever the style of the scalar.
#[test]
fn sql_errors_point_into_the_scalar() {
    for (style, text) in [
        (
            "literal",
            "rules:\n  a:\n    sql: |  # comment\n      SELECT clientid AS c,\n        §nofunction(1) AS d\n      FROM s\n    sinks: &i [{action: inspect}]\n",
        ),
        (
            "literal, indented, stripped",
            "rules:\n  a:\n    sql: |2-\n      SELECT 'ü→😀' AS c, §nofunction(1) AS d FROM s\n    sinks: [{action: inspect}]\n",
        ),
        (
            "folded",
            "rules:\n  a:\n    sql: >\n      SELECT clientid\n      AS c,\n\n      §nofunction(1) AS d FROM s\n    sinks: [{action: inspect}]\n",
        ),
        (
            "plain",
            "rules:\n  a:\n    sql: SELECT clientid AS c,\n      §nofunction(1) AS d FROM s\n    sinks: [{action: inspect}]\n",
        ),
        (
            "single quoted",
            "rules:\n  a:\n    sql: 'SELECT ''it'' AS c,\n      §nofunction(1) AS d FROM s'\n    sinks: [{action: inspect}]\n",
        ),
        (
            "double quoted",
            "rules:\n  a:\n    sql: \"SELECT \\\"it\\\" AS c,\\n \\u0041 AS b, \\\n      §nofunction(1) AS d FROM s\"\n    sinks: [{action: inspect}]\n",
        ),
        (
            "behind a source name",
            "rules:\n  a:\n    sql: |\n      SELECT clientid AS c FROM s, \"t/x\"\n      WHERE §nofunction(1) = 2\n    sinks: [{action: inspect}]\n",
        ),
    ] {
        let (line, column) = mark(text);
        let text = format!("{}sources:\n  s: [sensors/+/temperature, sensors/+/pressure]\n", text.replace('§', ""));
        let found = problems(&text);
        assert_eq!(found.len(), 1, "{style}: {found:?}");
        assert!(
            found[0].starts_with(&format!("p.yaml:{line}:{column}: rule a: ")),
            "{style}: expected {line}:{column}, {found:?}"
        );
        assert!(found[0].contains("nofunction"), "{style}: {found:?}");
    }
}

#[test]
fn variables_fill_scalars_and_cannot_change_the_shape() {
    let pipeline = try_load(
        "resources:\n  lake:\n    type: lake\n    config: {path: '/data/${env:TABLE}/${env:NOPE:-d}', compression: '${env:INJECT}'}\n  hook:\n    type: web_hook\n    config: {url: http://h/, password: {file: secret.txt}, username: {env: PASSWORD}}\n",
    )
    .unwrap();
    assert_eq!(
        pipeline.resources[0].config,
        json!({"path": "/data/readings/d", "compression": "x: [y, {z: 1}]\n- \"q\" # c"})
    );
    assert_eq!(pipeline.resources[1].config["password"], "from file");
    // A variable that is not there is a warning when the file is only checked, and its setting is not validated.
    let text = "resources:\n  hook: {type: web_hook, config: {url: '${env:NOPE}'}}\n";
    let pipeline = load("p.yaml", text, &Options { environment: &given(), absent: Absent::Warn }).unwrap();
    let report = check(&pipeline, &registry());
    assert_eq!(report.problems.len(), 1);
    assert_eq!(report.problems[0].severity, Severity::Warning);
    assert!(report.passed());
}

#[test]
fn numbers_and_words_follow_the_core_schema() {
    let pipeline = try_load(&format!(
        "{RULES}tests:\n  - name: n\n    input: {{topic: t/1}}\n    expect:\n      a: [{{i: 12345678901234567890123, f: 1.50, h: 0x10, yes: yes, t: true, n: ~, q: '1', s: 1_000, d: 2026-01-01}}]"
    ))
    .unwrap();
    assert_eq!(
        pipeline.tests[0].expect[0].rows[0].to_string(),
        r#"{"i":12345678901234567890123,"f":1.50,"h":16,"yes":"yes","t":true,"n":null,"q":"1","s":"1_000","d":"2026-01-01"}"#
    );
}

#[test]
fn a_file_that_would_explode_is_refused() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..10 {
        let before = level - 1;
        text.push_str(&format!("a{level}: &a{level} [*a{before}, *a{before}, *a{before}, *a{before}, *a{before}, *a{before}, *a{before}, *a{before}, *a{before}]\n"));
    }
    let found = problems(&text);
    assert!(found.len() == 1 && found[0].contains("more than 100000 values"), "{found:?}");
    let deep = problems(&"[".repeat(10_000));
    assert_eq!(deep.len(), 1, "{deep:?}");
}

#[test]
fn applying_changes_only_what_differs() {
    let text = "resources:\n  lake: {type: lake, config: {path: /tmp/x}}\nsources:\n  s: t/#\nrules:\n  a:\n    sql: SELECT clientid AS c FROM s\n    sinks:\n      - {action: data_to_lake, resource: lake, params: {table: t}, delivery: at_least_once}\n  b:\n    sql: SELECT 1 AS c FROM \"x\"\n    sinks: {action: inspect}\n    enabled: false\n";
    let desired = try_load(text).unwrap().objects();
    assert_eq!(desired.rules[0].sql, "SELECT clientid AS c FROM \"t/#\"");
    assert_eq!(
        serde_json::to_value(&desired.rules[0].actions).unwrap(),
        json!([{"name": "data_to_lake", "params": {"table": "t", "$resource": "resource:lake"}, "delivery": "at_least_once"}])
    );
    assert_eq!(desired.rules[1].origin.as_ref().map(ToString::to_string).as_deref(), Some("p.yaml:10"));
    let all = diff(&Objects::default(), &desired, &["p.yaml"]);
    assert_eq!((all.resources.create.len(), all.rules.create.len()), (1, 2));
    assert!(diff(&desired, &desired, &["p.yaml"]).is_empty());

    // A comment in front moves everything and changes nothing; a rule that is gone is deleted, and b is now on.
    let moved = try_load(&format!("# moved\n{}", text.replace("    enabled: false\n", ""))).unwrap().objects();
    let mut current = desired.clone();
    let mut foreign = desired.rules[0].clone();
    foreign.id = Some("rule:by-hand".into());
    foreign.origin = None;
    let mut gone = desired.rules[0].clone();
    gone.id = Some("rule:gone".into());
    current.rules.extend([foreign, gone]);
    let changes = diff(&current, &moved, &["p.yaml"]);
    let ids = |ids: &[model::Str]| ids.iter().map(|id| id.as_str().to_owned()).collect::<Vec<_>>();
    assert_eq!(ids(&changes.rules.update), ["rule:b"]);
    assert_eq!(ids(&changes.rules.unchanged), ["rule:a"]);
    assert_eq!(ids(&changes.rules.delete), ["rule:gone"]);
    assert_eq!(ids(&changes.resources.unchanged), ["resource:lake"]);
}

#[test]
fn tests_report_what_was_expected_what_came_and_why() {
    let rules = "rules:\n  hot:\n    sql: SELECT payload.t AS t FROM \"s/+\" WHERE payload.t > 30\n    sinks: [all]\nsinks:\n  all: {action: inspect}\n";
    let pipeline = try_load(&format!(
        "{rules}tests:\n  - name: passes\n    inputs: [{{topic: s/1, payload: {{t: 31}}}}, {{topic: s/1, payload: '{{\"t\": 32.5}}'}}]\n    expect: {{hot: [{{t: 31.0}}, {{t: 32.5}}], all: [{{t: 31}}, {{t: 32.5}}]}}\n  - name: fails\n    input: {{topic: s/1, payload: {{t: 3}}}}\n    expect: {{hot: [{{t: 3}}]}}\n"
    ))
    .unwrap();
    let report = check(&pipeline, &registry());
    assert_eq!(report.problems, []);
    assert!(report.tests[0].failures.is_empty(), "{report:?}");
    let failure = &report.tests[1].failures[0];
    assert_eq!((failure.place.line, failure.place.column), (13, 14));
    assert_eq!((failure.expected.len(), failure.got.len(), failure.reasons.len()), (1, 0, 1));
    assert!(!report.passed());
}

/// Their settings need every connector and are checked where those are; here their SQL and their tests.
#[test]
fn the_examples_compile_and_their_tests_pass() {
    let mut seen = 0;
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let pipeline =
            pipelines::load_file(&path, Absent::Warn).unwrap_or_else(|problems| panic!("{:?}", lines(&problems)));
        let report = check(&pipeline, &registry());
        assert!(!report.tests.is_empty(), "{}: {:?}", path.display(), lines(&report.problems));
        for test in report.tests {
            assert!(test.failures.is_empty(), "{}: {test:?}", path.display());
        }
        seen += 1;
    }
    assert!(seen >= 2);
}
