//! The function library: results, failures, and the promises each entry makes.

use super::value;
use crate::functions::{self, Body};

const DOC: &str = r#"{"l":[1,2,3],"m":{"a":{"b":1},"a.b":2},"s":"x y","j":"{\"k\":1}"}"#;

const RESULTS: &[(&str, &str)] = &[
    ("trim('  a ') + ltrim('xxa', 'x') + rtrim('ayy', 'y')", "\"aaa\""),
    ("substr('héllo', 1, 3)", "\"éll\""),
    ("strlen('e\u{301}')", "1"),
    ("reverse('abc')", "\"cba\""),
    ("pad('ab', 5, 'both', '*')", "\"*ab**\""),
    ("replace('a-b-c', '-', '+', 'trailing')", "\"a-b+c\""),
    ("find('a/b/c', '/', 'trailing')", "\"/c\""),
    ("sprintf('~s=~b ~.2f ~p~n', 'k', 5, 1.005, 'q')", "\"k=5 1.00 \\\"q\\\"\\n\""),
    ("sprintf('~s')", "select error…"),
    ("split('a//b', '/')", "[\"a\",\"b\"]"),
    ("split('a//b', '/', 'notrim')", "[\"a\",\"\",\"b\"]"),
    ("tokens('a, b\\n', ', ')", "[\"a\",\"b\\\\n\"]"),
    ("regex_replace('accbcd', 'c+', '[&]')", "\"a[cc]b[c]d\""),
    ("regex_replace('ab', '(a)(b)', '\\2\\1\\&')", "\"ba&\""),
    ("regex_match('a', '(')", "select error: regex_match() failed: the regular expression is not valid…"),
    ("nth(2, payload.l)", "2"),
    (
        "nth(4, payload.l)",
        "select error: nth() failed: argument 1 must be from 1 to 3, the length of the list, got 4 (integer)",
    ),
    ("sublist(2, payload.l)", "[1,2]"),
    ("contains(2, payload.l)", "true"),
    ("contains(2.0, payload.l)", "false"),
    ("map_get('a.b', payload.m)", "1"),
    ("mget('a.b', payload.m)", "2"),
    ("map_get('k', payload.j)", "1"),
    ("map_get('x.y', payload.m, 'd')", "\"d\""),
    ("map_put('a.c', 2, payload.m)", r#"{"a":{"b":1,"c":2},"a.b":2}"#),
    ("mput('a.c', 2, map_new())", r#"{"a.c":2}"#),
    ("map_size(payload.m) + length(map_keys(payload.m))", "4"),
    ("map_to_entries(payload.m.a)", r#"[{"key":"b","value":1}]"#),
    ("json_encode(payload.l)", "\"[1,2,3]\""),
    ("base64_decode(base64_encode('ä'))", "\"ä\""),
    ("base64_encode(hexstr2bin('fbef'), 'urlsafe', 'no_padding')", "\"--8\""),
    ("bin2hexstr(hexstr2bin('abc'))", "\"0ABC\""),
    ("hexstr2bin('zz')", "select error…"),
    ("subbits(hexstr2bin('fffe'), 1, 16, 'integer', 'signed', 'little')", "-257"),
    ("subbits(hexstr2bin('3ff8000000000000'), 1, 64, 'float')", "1.5"),
    ("subbits(hexstr2bin('3c00'), 1, 16, 'float')", "1.0"),
    ("subbits(hexstr2bin('a5'), 1, 3, 'bits')", r#"{"$bits":"101"}"#),
    ("subbits(hexstr2bin('a5'), 9, 3)", "{}"),
    ("subbits(hexstr2bin('a5'), 5, 100)", "5"),
    ("bitsize(subbits(hexstr2bin('a5'), 1, 3, 'bits'))", "3"),
    ("bitnot(0)", "-1"),
    ("bitsl(1, 64)", "18446744073709551616"),
    ("bitsl(1, 200)", "select error…"),
    ("bitsr(-8, 1)", "-4"),
    ("int('7.9') + int(-1.5)", "5"),
    ("float('3.14159', 2)", "3.14"),
    ("bool('false')", "false"),
    ("bool('yes')", "select error…"),
    ("round(2.5) + ceil(1.1) + floor(1.9)", "6"),
    ("sqrt(-1)", "select error: sqrt() failed: it has no value at -1"),
    ("now_timestamp()", "1700000000"),
    ("now_timestamp('nanosecond')", "1700000000123000000"),
    ("rfc3339_to_unix_ts('2023-11-14T22:13:20.5Z', 'millisecond')", "1700000000500"),
    ("format_date('second', '+01:00', '%Y-%m-%d %H:%M:%S %:z', 0)", "\"1970-01-01 01:00:00 +01:00\""),
    ("format_date('millisecond', 'Z', '%S.%3N', -1)", "\"59.999\""),
    ("date_to_unix_ts('second', '%Y-%m-%d %H:%M:%S%z', '1970-01-01 01:00:00+0100')", "0"),
    ("date_to_unix_ts('second', '%Y-%m-%d', '2023-02-29')", "select error…"),
    ("strlen(uuid_v4()) + strlen(uuid_v4_no_hyphen())", "68"),
    ("unzip(zip('aaa')) + gunzip(gzip('bbb')) + zip_uncompress(zip_compress('ccc'))", "\"aaabbbccc\""),
    ("gunzip('no gzip')", "select error…"),
    ("hash('SHA256', 'a') = sha256('a')", "true"),
    ("coalesce(payload.nope, null, 5)", "5"),
    ("coalesce_ne('', payload.s)", "\"x y\""),
    ("is_empty(map_new()) AND is_empty([]) AND is_empty('')", "true"),
    ("payload('m.a.b')", "1"),
    ("payload('l[' + '2]')", "2"),
    ("upper(payload.nope)", "select error: upper() failed: argument 1 must be text, got nothing (missing)"),
    ("UPPER('a')", "\"A\""),
];

#[test]
fn results() {
    for (expr, expected) in RESULTS {
        value(expr, DOC, expected);
    }
}

#[test]
fn names_are_unique_and_every_entry_is_documented() {
    let mut names: Vec<&str> = functions::all()
        .flat_map(|function| std::iter::once(function.name).chain(function.aliases.iter().copied()))
        .collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    for function in functions::all() {
        for (what, text) in [
            ("signature", function.signature),
            ("doc", function.doc),
            ("example", function.example),
            ("nulls", function.nulls),
        ] {
            assert!(!text.is_empty(), "{} has no {what}", function.name);
        }
        assert!(function.signature.starts_with(function.name), "{}", function.signature);
        assert!(function.max_args.is_none_or(|max| max >= function.min_args), "{}", function.name);
        assert!(functions::unbuilt(function.name).is_none(), "{} is built and listed as not built", function.name);
    }
}

#[test]
fn no_function_panics_on_odd_arguments() {
    use model::Value;
    let odd = [
        Value::Missing,
        Value::Null,
        Value::Int(i64::MIN),
        Value::Int(-1),
        Value::Int(0),
        Value::Int(i64::MAX),
        Value::integer(i128::MAX),
        Value::integer(i128::MIN),
        Value::Big("9".repeat(60).into()),
        Value::Float(f64::MAX),
        Value::Float(-0.5),
        Value::text(""),
        Value::text("%ü\\"),
        Value::text("second"),
        Value::Bytes(bytes::Bytes::from_static(b"\xff\x00")),
        Value::list(vec![]),
        Value::list(vec![Value::Missing, Value::text("é")]),
        Value::map([("$bits", Value::text("101"))]),
    ];
    let context = crate::Context::at_ms(i64::MAX);
    for function in functions::all() {
        let Body::Call(call) = function.body else { continue };
        for count in function.min_args..=function.max_args.unwrap_or(function.min_args + 1).min(4) {
            // Every value in every place, the others rotating, instead of the whole product.
            for place in 0..count.max(1) {
                for (index, value) in odd.iter().enumerate() {
                    for shift in 0..odd.len() {
                        let mut args: Vec<Value> =
                            (0..count).map(|at| odd[(index + shift * (at + 1)) % odd.len()].clone()).collect();
                        if let Some(slot) = args.get_mut(place) {
                            *slot = value.clone();
                        }
                        // pad with a huge length is bounded; everything else is small.
                        drop(call(&context, &args));
                    }
                }
            }
        }
    }
}
