//! FOREACH (rule-language §4).

use super::check;

#[test]
fn each_item_of_the_list_gives_a_row() {
    const DOC: &str = r#"{"k":"z","s":[{"c":1,"n":"a"},{"c":2},{"n":"b"}],"m":{"a":1},"t":"[7,8]"}"#;
    for (sql, expected) in [
        (
            r#"FOREACH payload.s AS e DO e.c AS c, payload.k AS k FROM "t/#""#,
            r#"{"c":1,"k":"z"} {"c":2,"k":"z"} {"k":"z"}"#,
        ),
        (r#"FOREACH payload.s DO item.c AS c INCASE is_not_null(item.c) FROM "t/#""#, r#"{"c":1} {"c":2}"#),
        (
            r#"FOREACH payload.k AS k, payload.s AS e DO k, e.c FROM "t/#""#,
            r#"{"k":"z","e":{"c":1}} {"k":"z","e":{"c":2}} {"k":"z","e":{}}"#,
        ),
        (
            r#"FOREACH payload.s AS e DO e.c * 2 AS d, d + 1 AS f INCASE e.c >= 1 FROM "t/#""#,
            r#"{"d":2,"f":3} {"d":4,"f":5}"#,
        ),
        (r#"FOREACH payload.s AS e DO e.c AS c INCASE e.c = 2 FROM "t/#" WHERE payload.k = 'z'"#, r#"{"c":2}"#),
        (r#"FOREACH payload.s AS e DO e.c AS c FROM "t/#" WHERE payload.k = 'y'"#, "no match…"),
        (r#"FOREACH payload.m AS e DO e FROM "t/#""#, ""),
        (r#"FOREACH payload.nope AS e DO e FROM "t/#""#, ""),
        (r#"FOREACH payload.t AS e DO e FROM "t/#""#, r#"{"e":7} {"e":8}"#),
        (r#"FOREACH [1..3] AS i DO i * i AS sq FROM "t/#""#, r#"{"sq":1} {"sq":4} {"sq":9}"#),
        (r#"FOREACH payload.s AS e DO e.c + 'x' AS c FROM "t/#""#, "do error…"),
        (r#"FOREACH payload.s AS e DO e INCASE e.n > 1 FROM "t/#""#, "incase error…"),
        (r#"FOREACH upper(payload.nope) AS e DO e FROM "t/#""#, "foreach error…"),
    ] {
        check(sql, DOC, expected);
    }
}

#[test]
fn without_do_a_row_is_the_event_and_the_item() {
    check(
        r#"FOREACH qos AS q, payload AS x FROM "t/#""#,
        "[1,2]",
        r#"{"topic":"t/a","qos":1,"clientid":"c1","payload":"[1,2]","event":"message.publish","timestamp":1700000000123,"node":"weir@127.0.0.1","q":1,"x":1} {"topic":"t/a"…"#,
    );
}
