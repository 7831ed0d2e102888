//! Properties over generated input, against naive oracles.

use model::{Str, Value};
use proptest::prelude::*;

use crate::json::{self, PathSet};
use crate::ops::{self, CompareOp, LikePattern, Step};
use crate::{Options, compile};

/// Pieces of the language, so that generated texts get past the lexer.
fn sql_text() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "SELECT ",
        "FOREACH ",
        "FROM ",
        "WHERE ",
        "DO ",
        "INCASE ",
        "AS ",
        "a",
        "payload",
        ".b",
        "[1]",
        "[-0]",
        "[1..2]",
        "\"t/#\"",
        "'x'",
        "1",
        "1.5",
        "(",
        ")",
        ",",
        " + ",
        " = ",
        " =~ ",
        " AND ",
        " OR ",
        "NOT ",
        " IN (",
        "CASE ",
        "WHEN ",
        "THEN ",
        "ELSE ",
        "END ",
        "upper(",
        "*",
        "--c\n",
        "ü",
        "\"",
        "'",
        " BETWEEN ",
        " LIKE ",
        ";",
        "..",
        "EXCEPT (",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn spans_are_within(sql: &str) -> Result<(), TestCaseError> {
    if let Err(diagnostics) = compile(sql, &Options::default()) {
        prop_assert!(!diagnostics.is_empty());
        for diagnostic in diagnostics {
            prop_assert!(sql.get(diagnostic.span.clone()).is_some(), "{:?} in {sql:?}", diagnostic.span);
            prop_assert!(diagnostic.line >= 1 && diagnostic.column >= 1);
            prop_assert!(!diagnostic.to_string().is_empty());
        }
    }
    Ok(())
}

fn json_value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        (-1e15f64..1e15).prop_map(Into::into),
        "[a-c\\\\\"\\n\u{e9}\u{1f600}]{0,4}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 40, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::Array),
            prop::collection::vec(("[abc]", inner.clone()), 0..4)
                .prop_map(|pairs| serde_json::Value::Object(pairs.into_iter().collect())),
            // JSON inside text, which paths look into.
            inner.prop_map(|value| serde_json::Value::String(value.to_string())),
        ]
    })
}

fn path() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => "[abc]".prop_map(|key| Step::Key(Str::from(key))),
        1 => (-3i64..4).prop_map(Step::Index),
    ];
    prop::collection::vec(step, 1..4)
}

fn naive_like(pattern: &[char], text: &[char]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some(('%', rest)), _) => {
            naive_like(rest, text) || text.split_first().is_some_and(|(_, after)| naive_like(pattern, after))
        }
        (Some(('_', rest)), Some((_, after))) => naive_like(rest, after),
        (Some((wanted, rest)), Some((found, after))) => wanted == found && naive_like(rest, after),
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_text_compiles_or_is_refused_with_spans_inside_it(sql in ".{0,60}") {
        spans_are_within(&sql)?;
    }

    #[test]
    fn pieces_of_the_language_compile_or_are_refused_with_spans_inside_them(sql in sql_text()) {
        spans_are_within(&sql)?;
    }

    #[test]
    fn a_document_reads_as_serde_json_reads_it(document in json_value()) {
        for text in [document.to_string(), serde_json::to_string_pretty(&document).unwrap()] {
            prop_assert_eq!(json::parse(text.as_bytes()).unwrap(), Value::from_json(&serde_json::from_str(&text).unwrap()));
        }
    }

    #[test]
    fn extraction_in_one_pass_equals_reading_the_whole_document(document in json_value(), paths in prop::collection::vec(path(), 1..6)) {
        let text = document.to_string();
        let whole = Value::from_json(&document);
        let mut set = PathSet::new();
        let slots: Vec<usize> = paths.iter().map(|path| set.insert(path)).collect();
        let values = set.extract(text.as_bytes()).unwrap();
        prop_assert_eq!(&values, &set.extract_from(&whole));
        for (path, slot) in paths.iter().zip(slots) {
            prop_assert_eq!(&values[slot], &ops::get_path(&whole, path), "{:?} of {}", path, text);
        }
    }

    #[test]
    fn documents_read_by_the_shape_of_earlier_ones_read_the_same(
        documents in prop::collection::vec(json_value(), 1..4), paths in prop::collection::vec(path(), 1..6),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), "[\\[\\]{}:,\"a1.e\\- n0]"), 0..8),
    ) {
        let mut learned = PathSet::new();
        for path in &paths {
            learned.insert(path);
        }
        let mut texts: Vec<String> = documents.iter().map(ToString::to_string).collect();
        // Twice, so that the second time finds the shapes; then with a character replaced, so that shapes fit nearly.
        texts.extend(texts.clone());
        for (which, place, with) in changes {
            let mut chars: Vec<char> = which.get(&texts).chars().collect();
            let place = place.index(chars.len());
            chars.splice(place..=place, with.chars());
            texts.push(chars.into_iter().collect());
        }
        for text in &texts {
            // A copy has no shapes.
            let fresh = learned.clone();
            prop_assert_eq!(learned.extract(text.as_bytes()), fresh.extract(text.as_bytes()), "{}", text);
        }
    }

    #[test]
    fn numbers_are_the_nearest_doubles(text in "-?(0|[1-9][0-9]{0,17})(\\.[0-9]{1,17})?(e-?[0-9]{1,2})?") {
        let expected = Value::from_number_text(&text);
        let found = json::parse(text.as_bytes()).unwrap();
        match (&found, &expected) {
            (Value::Float(found), Value::Float(expected)) => prop_assert_eq!(found.to_bits(), expected.to_bits(), "{}", text),
            _ => prop_assert_eq!(&found, &expected, "{}", text),
        }
    }

    #[test]
    fn broken_documents_are_refused_when_serde_json_refuses_them(text in "[\\[\\]{}:,\"a1.eE+\\- \\\\tnu0]{0,24}") {
        let mut set = PathSet::new();
        set.insert(&[Step::Key(Str::new("a"))]);
        let theirs = serde_json::from_str::<serde_json::Value>(&text);
        let ours = set.extract(text.as_bytes());
        // A number beyond a double is kept by serde_json as text and refused here.
        let huge = theirs.as_ref().is_ok_and(|value| value.to_string().contains(['e', 'E']));
        if !huge {
            prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{}", text);
        }
    }

    #[test]
    fn like_agrees_with_the_naive_matcher(pattern in "[ab%_]{0,8}", text in "[ab]{0,8}") {
        let naive = naive_like(&pattern.chars().collect::<Vec<_>>(), &text.chars().collect::<Vec<_>>());
        prop_assert_eq!(LikePattern::new(&pattern).matches(&text), naive);
    }

    #[test]
    fn integers_and_floats_are_ordered_exactly(a in any::<i64>(), b in prop_oneof![any::<i64>().prop_map(|n| n as f64), -10.0f64..10.0]) {
        // The oracle compares as integers of 128 bits, with the float's fraction deciding a tie.
        let (whole, fraction) = (b.trunc() as i128, b.fract());
        let expected = i128::from(a).cmp(&whole).then(0.0f64.partial_cmp(&fraction).unwrap());
        prop_assert_eq!(ops::order(&Value::Int(a), &Value::Float(b)), expected);
        prop_assert_eq!(ops::compare(CompareOp::Eq, &Value::Int(a), &Value::Float(b)).unwrap(), expected.is_eq());
    }
}

#[test]
fn a_second_document_of_the_same_shape_is_read_by_it_and_one_of_another_is_not() {
    let mut set = PathSet::new();
    let temp = set.insert(&[Step::Key(Str::new("a")), Step::Key(Str::new("temp"))]);
    let name = set.insert(&[Step::Key(Str::new("name"))]);
    for (text, expected_temp, expected_name) in [
        (r#"{"a": {"temp": 1.5, "x": [1]}, "name": "n1"}"#, Value::Float(1.5), Value::text("n1")),
        (r#"{"a": {"temp": -7, "x": {"y": 1}}, "name": null}"#, Value::Int(-7), Value::Null),
        (r#"{"a": {"temp":   "t" , "x": 0}, "name": "é"}"#, Value::text("t"), Value::text("é")),
        (r#"{"a": {"temp": 1, "y": [1]}, "name": "n1"}"#, Value::Int(1), Value::text("n1")),
        (r#"{"a": "{\"temp\": 3}", "name": "n1"}"#, Value::Int(3), Value::text("n1")),
        (r#"{"a": {"temp": 1.5, "x": [1]}, "name": "n1", "name": "n2"}"#, Value::Float(1.5), Value::text("n2")),
    ] {
        let values = set.extract(text.as_bytes()).unwrap();
        assert_eq!((&values[temp], &values[name]), (&expected_temp, &expected_name), "{text}");
    }
    for broken in
        [r#"{"a": {"temp": 01, "x": [1]}, "name": "n1"}"#, r#"{"a": {"temp": 1.5, "x": [1]}, "name": "n1"} x"#]
    {
        assert!(set.extract(broken.as_bytes()).is_err(), "{broken}");
    }
}

#[test]
fn the_last_of_equal_keys_wins_in_every_form() {
    let text = br#"{"a":{"b":1},"a":{"c":2}}"#;
    let mut set = PathSet::new();
    let b = set.insert(&[Step::Key(Str::new("a")), Step::Key(Str::new("b"))]);
    let c = set.insert(&[Step::Key(Str::new("a")), Step::Key(Str::new("c"))]);
    let values = set.extract(text).unwrap();
    assert_eq!((&values[b], &values[c]), (&Value::Missing, &Value::Int(2)));
}

#[test]
fn a_document_deeper_than_the_bound_is_refused() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!("{}1{}", open.repeat(200), close.repeat(200));
        assert_eq!(json::parse(deep.as_bytes()).unwrap_err().reason, "nested too deep");
        let mut set = PathSet::new();
        set.insert(&[Step::Key(Str::new("a"))]);
        assert!(set.extract(deep.as_bytes()).is_err());
    }
}
