//! Cases of templates, one a line.

use model::{Row, Value};
use serde_json::{Value as Json, json};

use super::*;

fn row(bindings: &Json) -> Row {
    let Json::Object(object) = bindings else { panic!("bindings are an object") };
    Row::from_pairs(object.iter().map(|(key, value)| {
        let missing = value.get("$undef").is_some();
        (key.as_str(), if missing { Value::Missing } else { Value::from_json(value) })
    }))
}

fn check(template: &str, bindings: &Json, expected: &str) {
    assert_eq!(Template::parse(template).unwrap().text(&row(bindings)), expected, "{template}");
}

#[test]
fn text() {
    let all = json!({"a": "a", "b": 1, "c": 1.0, "d": {"d1": "hi"}, "l": [0, 1, 1000], "n": null, "u": {"$undef": true},
        "big": 123456789012345678901234567890_f64, "p": "{\"x\":{\"y\":\"{\\\"z\\\":7}\"},\"k v\":2}", "ü": "ö"});
    for (template, expected) in [
        ("a:${a},b:${b}", "a:a,b:1"),
        ("a:$a,b:b},c:{c},d:${d", "a:$a,b:b},c:{c},d:${d"),
        ("a:${a},b:${$}{b},c:${$}{${b}},lit:${$}{$}", "a:a,b:${b},c:${1},lit:${$}"),
        ("${.a}", "a"),
        ("no placeholders", "no placeholders"),
        ("", ""),
        ("${c}|${d}|${l}|${n}", "1.0|{\"d1\":\"hi\"}|[0,1,1000]|null"),
        ("${u}|${nothing}|${d.nothing}|${a.b}", "undefined|undefined|undefined|undefined"),
        ("${u:-x}|${d.e:-a b}|${a:-x}|${n:-x}|${u:-}", "x|a b|a|null|"),
        ("${d.d1}|${p.x.y.z}|${p.'k v'}|${p.\"k v\"}|${ü}", "hi|7|2|2|ö"),
        ("${a b}|${a.}|${..a}|${a..b}|${'a}|${a:x}", "${a b}|${a.}|${..a}|${a..b}|${'a}|${a:x}"),
        ("${${a}}", "${a}"),
        ("$${a}$", "$a$"),
    ] {
        check(template, &all, expected);
    }
    check("user:${ts}", &json!({"ts": 1700000000000_i64}), "user:1700000000000");
    check("${payload}", &json!({"payload": "{\"x\":1}"}), "{\"x\":1}");
    check("${}|${.}", &json!({"a": "a", "m": {"$undef": true}}), "{\"a\":\"a\"}|{\"a\":\"a\"}");
}

#[test]
fn numbers_print_exactly_and_shortest() {
    for (number, expected) in [
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("18446744073709551615", "18446744073709551615"),
        ("0.1", "0.1"),
        ("1e300", "1e300"),
        ("-0.0", "-0.0"),
        ("3.0", "3.0"),
    ] {
        check("${n}", &serde_json::from_str(&format!("{{\"n\":{number}}}")).unwrap(), expected);
    }
}

#[test]
fn bytes_go_through_untouched() {
    let row = Row::from_pairs([("b", Value::Bytes(vec![0xff, 0, b'x'].into())), ("t", Value::text("ü"))]);
    let template = Template::parse("<${b}${t}>").unwrap();
    assert_eq!(template.bytes(&row), [&b"<\xff\0x"[..], "ü>".as_bytes()].concat());
    assert_eq!(template.text(&row), "<FF0078ü>");
}

#[test]
fn prepared_statements_bind_every_value() {
    let bindings = json!({"a": "a", "b": 2, "u": {"$undef": true}});
    for (style, template, statement, params) in [
        (ParamStyle::Colon, "a=${a},b=${b}", "a=:1,b=:2", json!(["a", 2])),
        (ParamStyle::Dollar, "a:\"${a}\",b:\"${b}\"", "a:\"$1\",b:\"$2\"", json!(["a", 2])),
        (ParamStyle::Question, "VALUES (${a}, ${u}, ${u:-d})", "VALUES (?, ?, ?)", json!(["a", null, "d"])),
        (
            ParamStyle::Dollar,
            "VALUES ('${b}', 'x-${a}', 'it''s ${b}', 'it''s')",
            "VALUES ($1, $2, $3, 'it''s')",
            json!([2, "x-a", "it's 2"]),
        ),
        (
            ParamStyle::Dollar,
            "SELECT ${a} -- don't ${b}\n, '${b}' /* ' */, ${}",
            "SELECT $1 -- don't \n, $2 /* ' */, $3",
            json!(["a", 2, {"a": "a", "b": 2}]),
        ),
        (ParamStyle::Dollar, "open '${a}", "open '", json!([])),
    ] {
        let prepared = Template::parse(template).unwrap().prepared(style);
        let found: Vec<Json> = prepared.params(&row(&bindings)).iter().map(Value::to_json).collect();
        assert_eq!((prepared.statement.as_str(), Json::Array(found)), (statement, params), "{template}");
    }
}

#[test]
fn sql_literals_are_escaped() {
    let bindings = json!({"a": "1", "b": 1, "c": 1.0, "d": {"d1": "hi"}, "n": {"$undef": true}, "u": "utf8's cool 🐸", "e": "\\'; --"});
    for (escape, template, expected) in [
        (
            SqlEscape::Backslash,
            "a:${a},b:${b},c:${c},d:${d},n:${n},u:${u}",
            "a:'1',b:1,c:1.0,d:'{\"d1\":\"hi\"}',n:NULL,u:'utf8\\'s cool 🐸'",
        ),
        (SqlEscape::Backslash, "${e}", "'\\\\\\'; --'"),
        (SqlEscape::Doubled, "${u}|${e}", "'utf8''s cool 🐸'|'\\''; --'"),
        (SqlEscape::MySql, "'x ${a}'", "'x 1'"),
    ] {
        assert_eq!(Template::parse(template).unwrap().sql_literal(&row(&bindings), escape), expected, "{template}");
    }
    let bytes = Row::from_pairs([("b", Value::Bytes(vec![0xff].into()))]);
    let template = Template::parse("${b}").unwrap();
    assert_eq!(template.sql_literal(&bytes, SqlEscape::MySql), "0xFF");
    assert_eq!(template.sql_literal(&bytes, SqlEscape::Doubled), "X'FF'");
}

#[test]
fn json_documents_stay_json_whatever_the_row_holds() {
    let bindings = json!({"t": 1.5, "s": "a\"b\n", "doc": "{\"k\":[1]}", "num": "12", "l": [1, "x"], "u": {"$undef": true}, "n": null});
    for (template, expected) in [
        ("{\"t\": ${t}, \"s\": ${s}}", Some("{\"t\": 1.5, \"s\": \"a\\\"b\\n\"}")),
        ("{\"s\": \"<${s}|${t}>\"}", Some("{\"s\": \"<a\\\"b\\n|1.5>\"}")),
        ("{\"d\": ${doc}, \"n\": ${num}, \"l\": ${l}}", Some("{\"d\": {\"k\":[1]}, \"n\": \"12\", \"l\": [1,\"x\"]}")),
        ("[${u}, ${u:-3}, ${u:-x}, ${n}, \"${u}\"]", Some("[null, 3, \"x\", null, \"undefined\"]")),
        ("${.}", None),
        ("temp=${t}", None),
        ("{\"a\": ${t}", None),
    ] {
        let found = Template::parse(template).unwrap().json().map(|json| json.text(&row(&bindings)));
        if let Some(found) = &found {
            assert!(serde_json::from_str::<Json>(found).is_ok(), "{found}");
        }
        // A template that is one slot and nothing else is a document too: the row itself.
        let expected =
            if template == "${.}" { Some(row(&bindings).to_json().to_string()) } else { expected.map(str::to_owned) };
        assert_eq!(found, expected, "{template}");
    }
}

#[test]
fn a_value_cannot_choose_its_destination() {
    for (template, allow_dynamic, accepted) in [
        ("a/${b}", false, true),
        ("${b}/a", false, false),
        ("${b}", true, true),
        ("fixed", false, true),
        ("", false, true),
    ] {
        assert_eq!(
            literal_prefix("topic", &Template::parse(template).unwrap(), allow_dynamic).is_ok(),
            accepted,
            "{template}"
        );
    }
    let template = Template::parse("http://h/d/${id}?q=${q}").unwrap();
    let url = |id: &str, q: &str| template.url(&row(&json!({"id": id, "q": q})));
    assert_eq!(url("a/../b?x", "ü&z=1").unwrap(), "http://h/d/a%2F..%2Fb%3Fx?q=%C3%BC%26z%3D1");
    assert_eq!(url("..", "x").unwrap_err().kind, crate::ErrorKind::Rejected);
    assert!(header_value("X-Id", "plain\tü").is_ok());
    for bad in ["a\r\nX: 1", "a\n", "\0"] {
        assert!(header_value("X-Id", bad).is_err());
    }
}

#[test]
fn names_are_the_columns_a_template_reads() {
    assert_eq!(Template::parse("${a.b} ${.c} ${a.d} ${} ${$}").unwrap().names(), ["a", "c"]);
}
