//! SELECT: fields, aliases, targets, `*` (rule-language §1 and §3).

use super::{check, compare, run};
use serde_json::json;

#[test]
fn aliases_are_seen_by_later_fields_and_by_where() {
    for (sql, payload, expected) in [
        (r#"SELECT 1 AS a, a + 1 AS b, b * 10 AS c FROM "t/#""#, "", r#"{"a":1,"b":2,"c":20}"#),
        (r#"SELECT payload.x AS x FROM "t/#" WHERE x = 1"#, r#"{"x":1}"#, r#"{"x":1}"#),
        (
            r#"SELECT payload.x AS x FROM "t/#" WHERE x = 1"#,
            r#"{"x":2}"#,
            "no match: WHERE x = 1 is not true with payload.x = 2",
        ),
        (r#"SELECT payload.x AS topic, topic AS t2 FROM "t/#""#, r#"{"x":"s"}"#, r#"{"topic":"s","t2":"s"}"#),
        (r#"SELECT payload.x + 1 AS y, y * y AS z FROM "t/#" WHERE y > 2"#, r#"{"x":2}"#, r#"{"y":3,"z":9}"#),
        (r#"SELECT payload AS p, p.a.b AS c FROM "t/#""#, r#"{"a":{"b":0}}"#, r#"{"p":"{\"a\":{\"b\":0}}","c":0}"#),
    ] {
        check(sql, payload, expected);
    }
}

#[test]
fn a_row_that_where_rejects_does_not_fail_on_a_field_that_where_does_not_need() {
    check(r#"SELECT 1 div 0 AS a FROM "t/#" WHERE payload.x = 2"#, r#"{"x":1}"#, "no match…");
    check(r#"SELECT 1 div 0 AS a FROM "t/#" WHERE payload.x = 1"#, r#"{"x":1}"#, "select error: div by zero");
    check(r#"SELECT 1 div payload.x AS a FROM "t/#" WHERE a = 2"#, r#"{"x":0}"#, "select error: div by zero");
    check(r#"SELECT topic FROM "t/#" WHERE 1 div 0 = 1"#, "", "where error: div by zero");
}

#[test]
fn a_field_without_alias_keeps_the_shape_of_its_path() {
    for (sql, expected) in [
        (r#"SELECT payload.a.b FROM "t/#""#, r#"{"payload":{"a":{"b":5}}}"#),
        (r#"SELECT payload.l[2] FROM "t/#""#, r#"{"payload":{"l":[2]}}"#),
        (r#"SELECT payload.l[1..2] FROM "t/#""#, r#"{"payload":{"l":[1,2]}}"#),
        (r#"SELECT payload.a, payload.l FROM "t/#""#, r#"{"payload":{"a":{"b":5},"l":[1,2,3]}}"#),
        (r#"SELECT topic tp, qos "q o s" FROM "t/#""#, r#"{"tp":"t/a","q o s":1}"#),
        (r#"SELECT payload.a.b + 1 FROM "t/#""#, r#"{"payload.a.b + 1":6}"#),
    ] {
        check(sql, r#"{"a":{"b":5},"l":[1,2,3]}"#, expected);
    }
}

#[test]
fn targets_write_paths_and_list_ends() {
    for (sql, expected) in [
        (r#"SELECT 1 AS a.b[1].c FROM "t/#""#, r#"{"a":{"b":[{"c":1}]}}"#),
        (r#"SELECT 1 AS c[-0], 2 AS c[-0], 0 AS c[0] FROM "t/#""#, r#"{"c":[0,1,2]}"#),
        (r#"SELECT false AS x.y, true AS c[-0], 2 AS x.z FROM "t/#""#, r#"{"x":{"y":false,"z":2},"c":[true]}"#),
        (r#"SELECT [1..3] AS a, 9 AS a[2], 8 AS a[-1], 7 AS a[5] FROM "t/#""#, r#"{"a":[1,9,8]}"#),
        (r#"SELECT payload, 5 AS payload.n FROM "t/#""#, r#"{"payload":{"a":1,"n":5}}"#),
        (r#"SELECT payload AS p, 5 AS p.n FROM "t/#""#, r#"{"p":{"n":5}}"#),
        (r#"SELECT json_decode(payload) AS p, payload.a AS p.z FROM "t/#""#, r#"{"p":{"a":1,"z":1}}"#),
        (r#"SELECT 1 AS payload.b, payload.a AS c, payload.b AS d FROM "t/#""#, r#"{"payload":{"b":1},"c":1,"d":1}"#),
    ] {
        check(sql, r#"{"a":1}"#, expected);
    }
}

#[test]
fn star_gives_the_event_and_the_last_write_wins() {
    for (sql, expected) in [
        (
            r#"SELECT *, 'over' AS topic FROM "t/#""#,
            r#"{"topic":"over","qos":1,"payload":"{\"a\":1}","event":"message.publish","timestamp":1700000000123,"node":"weir@127.0.0.1"}"#,
        ),
        (
            r#"SELECT 'x' AS topic, 'y' AS mine, * EXCEPT (payload, node, event, timestamp) FROM "t/#""#,
            r#"{"topic":"t/a","mine":"y","qos":1}"#,
        ),
        (
            r#"SELECT * EXCEPT (node, event, timestamp, qos), 2 AS payload.b FROM "t/#""#,
            r#"{"topic":"t/a","payload":{"a":1,"b":2}}"#,
        ),
    ] {
        let got = run(sql, "message.publish", &json!({"topic": "t/a", "qos": 1, "payload": "{\"a\":1}"}));
        compare(sql, &got, expected);
    }
}

#[test]
fn a_missing_field_is_left_out_and_null_is_kept() {
    check(r#"SELECT payload.a AS a, payload.b AS b, payload.c.d AS c FROM "t/#""#, r#"{"a":null}"#, r#"{"a":null}"#);
}

#[test]
fn where_conditions() {
    for (condition, holds) in [
        ("payload.b", true),
        ("NOT payload.b", false),
        ("NOT payload.n", false),
        ("payload.n", false),
        ("NOT (payload.n = 1 AND payload.s = 'x')", true),
        ("payload.n IN (1, 5)", true),
        ("payload.n IN (5.0)", false),
        ("payload.n NOT IN (1, 2)", true),
        ("payload.nope NOT IN (1, 2)", false),
        ("payload.s LIKE 'te%t'", true),
        ("payload.s NOT LIKE 'te%t'", false),
        ("payload.s LIKE 't__t'", true),
        ("payload.nope LIKE '%'", false),
        ("payload.n BETWEEN 1 AND 5", true),
        ("payload.n NOT BETWEEN 1 AND 4", true),
        ("payload.nope BETWEEN 1 AND 5", false),
        ("payload.z IS NULL", true),
        ("payload.nope IS NULL", true),
        ("payload.n IS NOT NULL", true),
        ("topic =~ 't/+' AND qos = 1 OR false", true),
        ("topic =~ 'x/#'", false),
        ("payload.nope =~ '#'", false),
        ("payload.n = 5 or 1 div 0 = 1", true),
        ("payload.n = 6 and 1 div 0 = 1", false),
        ("topic(1) = 't' and topic(2) = 'a' and is_null(topic(3))", true),
        ("clientid() = 'c1'", true),
    ] {
        let sql = format!("SELECT topic FROM \"t/#\" WHERE {condition}");
        check(&sql, r#"{"b":true,"n":5,"s":"text","z":null}"#, if holds { r#"{"topic":"t/a"}"# } else { "no match…" });
    }
}
