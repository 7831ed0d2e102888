//! Errors at creation: class, place, words and hint (rule-language §5).

use crate::{Options, compile};

/// The first diagnostic: class, the text under the caret, message, hint.
fn check(sql: &str, class: &str, at: &str, message: &str, hint: &str) {
    let Err(diagnostics) = compile(sql, &Options::default()) else { panic!("{sql} compiled") };
    let first = &diagnostics[0];
    assert_eq!(first.class.name(), class, "{sql}: {first}");
    assert_eq!(sql.get(first.span.clone()).unwrap(), at, "{sql}: {first}");
    assert!(first.message.contains(message), "{sql}: {first}");
    assert!(first.hint.as_deref().unwrap_or_default().contains(hint), "{sql}: {first}");
}

#[test]
fn grammar_errors_say_what_was_expected_where() {
    for (sql, at, message) in [
        ("", "", "expected SELECT or FOREACH, found the end"),
        ("SELEC * FROM \"t\"", "SELEC", "expected SELECT or FOREACH, found 'SELEC'"),
        ("SELECT FROM \"t\"", "FROM", "expected a field"),
        ("SELECT a", "", "expected FROM"),
        ("SELECT a FROM", "", "expected a topic filter"),
        ("SELECT a FROM \"t\" WHERE", "", "expected an expression"),
        ("SELECT * FROM abc ec", "ec", "expected the end of the statement"),
        ("SELECT a,, b FROM \"t\"", ",", "expected an expression"),
        ("SELECT (a FROM \"t\"", "FROM", "expected ')'"),
        ("SELECT 'a FROM t", "'a FROM t", "not closed"),
        ("SELECT a = 1 = 1 FROM \"t\"", "=", "cannot be chained"),
        ("SELECT a FROM \"t\" WHERE topic ~= 'x'", "~=", "does not exist"),
        ("SELECT a.1.100 FROM \"t\"", "1.1", "float"),
        ("SELECT a[1..2].b FROM \"t\"", ".", "a slice cannot be continued"),
        ("SELECT 1 AS a[1..2] FROM \"t\"", "1..", "a range cannot be written to"),
        ("SELECT 1 AS FROM \"t\"", "FROM", "expected a name after AS"),
        ("SELECT CASE WHEN a THEN 1 FROM \"t\"", "FROM", "expected END"),
        ("SELECT CASE END FROM \"t\"", "END", "expected an expression"),
        ("FOREACH a DO FROM \"t\"", "FROM", "expected a field"),
        ("SELECT a # FROM \"t\"", "#", "unexpected character"),
        ("SELECT 1a FROM \"t\"", "1a", "cannot begin with a digit"),
        ("SELECT a IN () FROM \"t\"", ")", "IN needs at least one value"),
        ("SELECT CAST(a INT) FROM \"t\"", "INT", "expected AS"),
    ] {
        check(sql, "parse", at, message, "");
    }
}

#[test]
fn checks_say_what_is_wrong_and_what_to_do() {
    for (sql, class, at, message, hint) in [
        ("SELECT uper(a) FROM \"t\"", "select", "uper", "there is no function uper()", "did you mean upper"),
        ("SELECT a FROM \"t\" WHERE lenght(a) > 1", "where", "lenght", "no function", "length"),
        ("SELECT upper(a, b) FROM \"t\"", "select", "upper(a, b)", "takes 1 argument, got 2", "upper(text) -> text"),
        ("SELECT avro_encode('.', payload) FROM \"t\"", "select", "avro_encode", "not built yet", "schema registry"),
        ("SELECT * FROM \"Client.Connected\"", "plan", "\"Client.Connected\"", "there is no event", "client.connected"),
        ("SELECT * FROM \"client.conected\"", "plan", "\"client.conected\"", "there is no event", "client.connected"),
        (
            "SELECT * FROM \"$events/client_conected\"",
            "plan",
            "\"$events/client_conected\"",
            "there is no event",
            "$events/client",
        ),
        ("SELECT * FROM \"$bridges/mqtt:b\"", "plan", "\"$bridges/mqtt:b\"", "not built yet", ""),
        ("SELECT * FROM \"a/#/b\"", "plan", "\"a/#/b\"", "# must be the last level", ""),
        ("SELECT a FROM \"t\" WHERE topic =~ 'a#'", "where", "'a#'", "can never match", ""),
        ("SELECT x + 1 AS y, 2 AS x FROM \"t\"", "select", "x", "x is used before it exists", "to the left"),
        ("SELECT * EXCEPT (nope) FROM \"t\"", "select", "nope", "do not have", ""),
        ("SELECT CAST(a AS BLOB) FROM \"t\"", "select", "BLOB", "cannot cast", "types"),
        ("FOREACH a, * DO a FROM \"t\"", "foreach", "*", "must be a list", "FOREACH payload.items"),
        ("SELECT a FROM \"t\" GROUP BY a", "plan", "GROUP", "GROUP BY is not built yet", ""),
        ("SELECT a FROM \"t\" WHERE a = 1 LIMIT 5", "plan", "LIMIT", "LIMIT is not built yet", ""),
        ("SELECT count(*) FROM \"t\"", "parse", "*", "expected an expression", ""),
        ("SELECT sum(a) FROM \"t\"", "select", "sum", "not built yet", "windows"),
    ] {
        check(sql, class, at, message, hint);
    }
}

#[test]
fn all_checks_of_a_statement_are_reported() {
    let diagnostics =
        compile("SELECT uper(a), lowr(b) FROM \"a/#/b\" WHERE trm(c) = 1", &Options::default()).unwrap_err();
    assert_eq!(diagnostics.len(), 4);
}

#[test]
fn a_diagnostic_shows_its_line_and_a_caret() {
    let diagnostics = compile("SELECT\n  ü, uper(a)\nFROM \"t\"", &Options::default()).unwrap_err();
    let first = &diagnostics[0];
    assert_eq!((first.line, first.column), (2, 6));
    assert_eq!(
        first.to_string(),
        "select error at line 2, column 6: there is no function uper()\n  |   ü, uper(a)\n  |      ^^^^\n  = did you mean upper?"
    );
}

#[test]
fn deep_nesting_is_refused_and_does_not_exhaust_the_stack() {
    let deep = [
        format!("SELECT {}1{} FROM \"t\"", "(".repeat(50_000), ")".repeat(50_000)),
        format!("SELECT {}1 FROM \"t\"", "- ".repeat(50_000)),
        format!("SELECT 1{} FROM \"t\"", " + 1".repeat(50_000)),
        format!("SELECT a{} FROM \"t\" WHERE {} a", "", "not ".repeat(50_000)),
        format!("SELECT {} FROM \"t\"", "[".repeat(100_000)),
    ];
    for sql in &deep {
        let diagnostics = compile(sql, &Options::default()).unwrap_err();
        assert!(diagnostics[0].message.contains("levels deep"), "{}", diagnostics[0].message);
    }
    let wide = format!("SELECT a FROM \"t\" WHERE a = 1{}", " OR a = 2".repeat(5_000));
    assert!(compile(&wide, &Options::default()).is_ok(), "a long chain of OR is flat");
}
