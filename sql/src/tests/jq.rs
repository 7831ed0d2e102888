//! jq: results, what is closed to a rule, and that every runaway program stops with a reason.

use super::value;

const DOC: &str = r#"{"b":{"c":[1,2.5,null,"x"]},"n":12345678901234567890123,"t":"{\"k\":[7]}"}"#;

fn quoted(program: &str) -> String {
    // Texts in a rule have no escapes; single quotes do not occur in these programs.
    assert!(!program.contains('\''), "{program}");
    format!("'{program}'")
}

#[test]
fn programs_give_the_list_of_their_values() {
    for (program, on, expected) in [
        (".", "payload", r#"[{"b":{"c":[1,2.5,null,"x"]},"n":12345678901234567890123,"t":"{\"k\":[7]}"}]"#),
        (".b.c[]", "payload", r#"[1,2.5,null,"x"]"#),
        (".k[0]", "payload.t", "[7]"),
        (".[] | . * 2", "[1, 2]", "[2,4]"),
        ("empty", "payload", "[]"),
        (". / 2", "6", "[3]"),
        (". / 4", "6", "[1.5]"),
        (".", "[1.0, 2.5, 1e300]", "[[1.0,2.5,1e+300]]"),
        (".[] | . * 2", "[1.0, 2.5]", "[2,5]"),
        ("[(1,2) * (3,4)]", "null", "[[3,4,6,8]]"),
        (". *= 3", "4", "[12]"),
        (". * 3", "json_encode('ab')", r#"["ababab"]"#),
        (".n", "payload", "[12345678901234567890123]"),
        ("[.[] | select(. > 1)] | add", "[1, 2, 3]", "[5]"),
        ("reduce .[] as $x (0; . + $x)", "[1, 2, 3]", "[6]"),
        ("to_entries | map(.key) | join(\",\")", "map_put('a', 1, map_put('b', 2, map_new()))", r#"["b,a"]"#),
        ("{a, \"z\": .b}", r#"'{"a":1,"b":2}'"#, r#"[{"a":1,"z":2}]"#),
        (".a.b |= . + 1", r#"'{"a":{"b":1}}'"#, r#"[{"a":{"b":2}}]"#),
        ("del(.a)", r#"'{"a":1,"b":2}'"#, r#"[{"b":2}]"#),
        ("[paths]", r#"'{"a":[1]}'"#, r#"[[["a"],["a",0]]]"#),
        ("def f: if . > 9999 then . else . + 1 | f end; f", "0", "[10000]"),
        ("[limit(3; repeat(1))]", "null", "[[1,1,1]]"),
        ("try error(\"x\") catch .", "null", r#"["x"]"#),
        ("\"a\\(.b)\"", r#"'{"b":1}'"#, r#"["a1"]"#),
        ("now", "null", "[1700000000.123]"),
        ("test(\"a+\")", "json_encode('caat')", "[true]"),
        ("todate", "0", r#"["1970-01-01T00:00:00Z"]"#),
    ] {
        value(&format!("jq({}, {on})", quoted(program)), DOC, expected);
    }
}

#[test]
fn what_a_rule_must_not_do_fails_the_row() {
    for (program, expected) in [
        ("bad syntax (((", "select error: jq() failed: the jq program is not valid: expected …"),
        (".a.", "select error: jq() failed: the jq program is not valid: expected …"),
        ("nosuch", "select error: jq() failed: the jq program is not valid: filter nosuch is not defined"),
        ("env", "select error: jq() failed: the jq program failed: a rule cannot read the environment"),
        ("halt", "select error: jq() failed: the jq program failed: a rule cannot halt"),
        ("import \"a\" as a; .", "select error: jq() failed: the jq program is not valid…"),
        ("input", "select error: jq() failed: the jq program is not valid…"),
        (".a", "select error: jq() failed: the jq program failed: …"),
        ("error(\"mine\")", "select error: jq() failed: the jq program failed: mine"),
        ("range(100000)", "select error: jq() failed: the jq program gives more than 10000 values"),
    ] {
        value(&format!("jq({}, 1)", quoted(program)), DOC, expected);
    }
    value("jq('.', 'no json')", DOC, "select error: jq() failed: argument 2 is no JSON…");
    value("jq('.', payload.nope)", DOC, "select error…");
    value("jq('.', 1, 'soon')", DOC, "select error…");
}

#[test]
fn every_runaway_stops() {
    let programs = [
        "def while(cond; update): def _while: if cond then (update | _while) else . end; _while; while(. < 42; . * 2)",
        "def f: f; f",
        "def f: 1 + f; f",
        "def f: [f]; f",
        "def f: try f catch f; f",
        "def f: f, f; f",
        "last(range(infinite))",
        "last(range(infinite) | select(false))",
        "[range(infinite)]",
        "[range(infinite)?]",
        "range(infinite)[]?",
        "range(infinite) as $x | empty",
        "first(range(infinite) | if . < 0 then . else empty end)",
        "range(infinite) and empty",
        "try (range(infinite) | error) catch empty, last(repeat(1))",
        "skip(1e15; repeat(1))",
        "reduce range(infinite) as $x (0; . + 1)",
        "foreach range(infinite) as $x (0; .; empty)",
        "reduce range(100) as $x (\"abcdefgh\"; . + .)",
        "reduce range(100) as $x (\"abcdefgh\"; \"\\(.)\\(.)\")",
        "\"abc\" * 1000000000000",
        "1000000000000 as $n | \"abc\" | . *= $n",
        "reduce range(1000000) as $x (null; [.])",
        "reduce range(1000000) as $x (null; {a: .})",
        "reduce repeat(1) as $x (0; .)",
        "label $out | repeat(1) | select(false) | break $out",
        "reduce range(60) as $x (1; [., .]) | tostring",
        "reduce range(60) as $x (1; [0, ., 0, ., 0]) | tojson",
        "reduce range(60) as $x (1; {a: ., b: .}) | . == .",
        "(\"a\" * 8000000) as $s | [range(1000000) | $s + \"x\"]",
        "(\"a\" * 8000000) as $s | [range(100000) | $s] | tostring",
        "until(false; .)",
        "[recurse(.)]",
        "..|= (repeat(1) | select(false))",
        "isempty(repeat(1) | select(false))",
        "{a: (repeat(1) | select(. == 2))}",
    ];
    for program in programs {
        let stopped = "select error: jq() failed: the jq program …";
        value(&format!("jq({}, '-2', 50)", quoted(program)), DOC, stopped);
    }
    for deep in ["[".repeat(4000), "-".repeat(4000), ".|".repeat(1990) + ".", "(".repeat(2000) + &")".repeat(2000)] {
        value(&format!("jq({}, 1)", quoted(&deep)), DOC, "select error: jq() failed: the jq program is not valid…");
    }
}
