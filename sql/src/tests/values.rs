//! Value semantics: arithmetic, comparison, text forms, paths (rule-language §3).

use super::{check, value};

const DOC: &str = r#"{"i":7,"f":1.0,"s":"12","w":"abc","t":true,"z":null,"l":[10,20,[30]],"m":{"a":[1,{"k":"v"}]},"j":"{\"x\":{\"y\":\"[1,2]\"}}","big":18446744073709551615,"huge":123456789012345678901234567890,"neg":-9223372036854775808,"e":1e3}"#;

#[test]
fn arithmetic() {
    for (expr, expected) in [
        ("1 + 2 * 3", "7"),
        ("2 * 3 mod 4", "2"),
        ("7 div 2", "3"),
        ("-7 div 2", "-3"),
        ("-7 mod 2", "-1"),
        ("7 MOD -2", "1"),
        ("7 / 2", "3.5"),
        ("4 / 2", "2.0"),
        ("1 + 1.5", "2.5"),
        ("payload.f + 1", "2.0"),
        ("9223372036854775807 + 1", "9223372036854775808"),
        ("payload.big + 1", "18446744073709551616"),
        ("payload.neg - 1", "-9223372036854775809"),
        ("-payload.i", "-7"),
        ("- -payload.i", "7"),
        ("+payload.i", "7"),
        ("'a' + 1", "\"a1\""),
        ("1.5 + 'a'", "\"1.5a\""),
        ("'a' || 'b' || 1", "\"ab1\""),
        ("'a' || payload.nope", "null"),
        ("'a' + payload.l", "\"a[10,20,[30]]\""),
        ("1 div 0", "select error: div by zero"),
        ("1 mod 0", "select error: mod by zero"),
        ("1 / 0", "select error: division by zero"),
        ("1.5 div 2", "select error: div works on integers, not on floats"),
        ("payload.nope + 1", "select error: + needs numbers, got missing (missing) and 1 (integer)"),
        ("payload.z + 1", "select error…"),
        ("payload.t * 2", "select error…"),
        ("payload.s - 1", "select error…"),
        ("-payload.w", "select error…"),
    ] {
        value(expr, DOC, expected);
    }
}

#[test]
fn comparison() {
    for (expr, expected) in [
        ("1 = 1.0", "true"),
        ("9007199254740993 = 9007199254740992.0", "false"),
        ("payload.i >= 7", "true"),
        ("payload.s = 12", "true"),
        ("payload.s < 100", "true"),
        ("payload.s = '12.0'", "false"),
        ("'10' > '9'", "false"),
        ("payload.w > 5", "select error: cannot compare a number with the text \"abc\", which is no number"),
        ("payload.t = 'true'", "true"),
        ("payload.z = 'null'", "true"),
        ("payload.t = 1", "false"),
        ("payload.nope = 1", "false"),
        ("payload.nope != 1", "false"),
        ("payload.nope < 1", "false"),
        ("payload.nope = payload.nada", "true"),
        ("payload.nope != payload.nada", "false"),
        ("payload.l = [10, 20.0, [30]]", "true"),
        ("payload.l != [10, 20]", "true"),
        ("payload.m = payload.m", "true"),
        ("payload.big > 18446744073709551614", "true"),
        ("payload.huge = payload.huge", "true"),
        ("'sport/tennis' =~ 'sport/+'", "true"),
        ("'$SYS/x' =~ '#'", "false"),
        ("5 =~ '#'", "select error…"),
        ("payload.i = 7 AND payload.t", "true"),
        ("CASE payload.i WHEN 7.0 THEN 'float' WHEN 7 THEN 'int' END", "\"int\""),
        ("CASE WHEN payload.nope > 1 THEN 'a' ELSE 'b' END", "\"b\""),
        ("coalesce(CASE WHEN false THEN 1 END, 'none')", "\"none\""),
    ] {
        value(expr, DOC, expected);
    }
}

#[test]
fn paths_reach_into_lists_maps_and_json_text() {
    for (expr, expected) in [
        ("payload.l[1]", "10"),
        ("payload.l[-1][1]", "30"),
        ("payload.l[0]", "{}"),
        ("payload.l[4]", "{}"),
        ("payload.i[1]", "{}"),
        ("payload.m.a[2].k", "\"v\""),
        ("payload.j.x.y[2]", "2"),
        ("payload.l[payload.m.a[1]]", "10"),
        ("payload.l[1 + 1]", "20"),
        ("payload.l[1..2]", "[10,20]"),
        ("payload.l[-2..-1]", "[20,[30]]"),
        ("payload.l[2..99]", "[20,[30]]"),
        ("payload.l[0..1]", "select error: a slice has no position 0…"),
        ("payload.i[1..2]", "select error: a slice needs a list…"),
        ("payload.l['x']", "{}"),
        ("payload.\"m\".'a'[1]", "1"),
        ("[1..3]", "[1,2,3]"),
        ("[1, 'a', [payload.i], payload.nope]", "[1,\"a\",[7],null]"),
        ("json_decode('{\"a\":[5]}').a[1]", "5"),
        ("[3..1]", "select error: a range goes upward…"),
    ] {
        value(expr, DOC, expected);
    }
}

#[test]
fn what_is_passed_through_leaves_as_it_came() {
    for (path, expected) in [
        ("payload.big", "18446744073709551615"),
        ("payload.huge", "123456789012345678901234567890"),
        ("payload.neg", "-9223372036854775808"),
        ("payload.f", "1.0"),
        ("payload.e", "1000.0"),
        ("payload.z", "null"),
        ("payload.j", r#""{\"x\":{\"y\":\"[1,2]\"}}""#),
    ] {
        value(path, DOC, expected);
    }
}

#[test]
fn text_forms_are_the_shortest_that_read_back() {
    for (expr, expected) in [
        ("str(0.1)", "\"0.1\""),
        ("str(2.0)", "\"2.0\""),
        ("str(123456789.123)", "\"123456789.123\""),
        ("str(1.0e-11)", "\"1e-11\""),
        ("CAST('12' AS INTEGER)", "12"),
        ("CAST(12 AS TEXT)", "\"12\""),
        ("CAST('x' AS FLOAT)", "select error…"),
        ("'it''s'", "\"it's\""),
    ] {
        value(expr, "", expected);
    }
}

#[test]
fn an_undecodable_payload_fails_the_row_only_when_a_path_looks_inside() {
    check(
        r#"SELECT payload.x AS x FROM "t/#""#,
        "no json",
        "select error: decode_json_failed: the payload is no JSON: expected a value at byte 0",
    );
    check(r#"SELECT payload.x AS x FROM "t/#""#, r#"{"x":1,}"#, "select error: decode_json_failed…");
    check(r#"SELECT topic FROM "t/#" WHERE payload.x = 1"#, "no json", "where error: decode_json_failed…");
    check(r#"SELECT payload FROM "t/#""#, "no json", r#"{"payload":"no json"}"#);
    check(r#"SELECT payload.x AS x, topic FROM "message.publish""#, "no json", r#"{"topic":"t/a"}"#);
}
