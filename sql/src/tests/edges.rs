//! The edges of the language and of each family of functions: what is exact, what is missing, what fails.

use super::{check, value};

const DOC: &str = r#"{"a":[1,2,3],"o":{"k":1,"a.b":2},"s":"x","n":null,"b":true,"big":9007199254740993,
"huge":123456789012345678901234567890,"u64":18446744073709551615,"t":"{\"k\":[7,{\"z\":\"[1,2]\"}]}","e":"","neg":-3,
"dup":0,"dup":1,"l2":[[1,2],[3]]}"#;

fn values(table: &[(&str, &str)]) {
    for (expr, expected) in table {
        value(expr, DOC, expected);
    }
}

#[test]
fn integers_are_exact_beyond_two_to_the_53_and_63() {
    values(&[
        ("payload.big + 1", "9007199254740994"),
        ("payload.huge", "123456789012345678901234567890"),
        ("payload.huge + 1", "123456789012345678901234567891"),
        ("payload.huge div 10", "12345678901234567890123456789"),
        ("payload.u64 mod 10", "5"),
        ("payload.u64 > 18446744073709551614", "true"),
        ("payload.big = 9007199254740992", "false"),
        ("payload.big = 9007199254740992.0", "false"),
        ("9223372036854775807 + 1", "9223372036854775808"),
        ("9223372036854775807 * 9223372036854775807", "85070591730234615847396907784232501249"),
        ("payload.huge * payload.huge", "select error: the result is too large for an exact integer"),
        ("int('123456789012345678901234567890')", "123456789012345678901234567890"),
        ("json_encode(payload.huge)", "\"123456789012345678901234567890\""),
        ("1.5e300 * 1.5e300", "select error: the result is too large for a float"),
        ("str(0.1 + 0.2)", "\"0.30000000000000004\""),
        ("'' + 123456789.123", "\"123456789.123\""),
    ]);
}

#[test]
fn missing_null_and_text_are_three_things() {
    values(&[
        ("payload.nope + 1", "select error…"),
        ("payload.n + 1", "select error…"),
        ("'a' + payload.n", "\"anull\""),
        ("payload.n = payload.nope", "false"),
        ("payload.nope = payload.nope2", "true"),
        ("payload.nope != 1", "false"),
        ("payload.nope > 1", "false"),
        ("payload.n = 'null'", "true"),
        ("true = 'true'", "true"),
        ("'10' > 9", "true"),
        ("'10' > '9'", "false"),
        ("'abc' > 5", "select error…"),
        ("1 < true", "true"),
        ("payload.a < payload.o", "false"),
        ("[1, 2.0, 3] = payload.a", "true"),
        ("coalesce(payload.nope, payload.n, false)", "false"),
        ("is_empty(payload.e)", "true"),
        ("is_empty(' ')", "false"),
        ("is_empty('{ }')", "true"),
        ("is_null(payload.n)", "false"),
        ("is_null_var(payload.n)", "true"),
        ("eq(payload.nope, null)", "false"),
    ]);
}

#[test]
fn positions_count_from_one_and_zero_is_missing() {
    values(&[
        ("payload.a[0]", "{}"),
        ("payload.a[-1]", "3"),
        ("payload.a[-4]", "{}"),
        ("payload.a[4]", "{}"),
        ("payload.a[payload.a[1]]", "1"),
        ("payload.a[payload.nope]", "{}"),
        ("payload.l2[1][2]", "2"),
        ("payload.a[2..-1]", "[2,3]"),
        ("payload.a[-2..-1]", "[2,3]"),
        ("payload.a[2..100]", "[2,3]"),
        ("payload.a[3..1]", "[]"),
        ("payload.a[0..1]", "select error…"),
        ("payload.s[1..2]", "select error…"),
        ("payload.o.'a.b'", "2"),
        ("payload.dup", "1"),
        ("payload.t.k[2].z[-1]", "2"),
        ("[-1..2]", "[-1,0,1,2]"),
        ("topic(0)", "{}"),
        ("topic(-1)", "{}"),
        ("nth(0, payload.a)", "select error…"),
        ("sublist(0, 1, payload.a)", "select error…"),
        ("sublist(5, 2, payload.a)", "[]"),
    ]);
    check("SELECT 1 AS a.b[1].c FROM \"t/#\"", "{}", r#"{"a":{"b":[{"c":1}]}}"#);
    check("SELECT 1 AS a[1], 2 AS a[-0], 0 AS a[0], 9 AS a[2] FROM \"t/#\"", "{}", r#"{"a":[0,9,2]}"#);
    check("SELECT payload AS p, 9 AS p.x FROM \"t/#\"", r#"{"k":1}"#, r#"{"p":{"x":9}}"#);
    check("SELECT 9 AS payload.o.k, payload.o FROM \"t/#\"", r#"{"o":{"z":1}}"#, r#"{"payload":{"o":{"k":9}}}"#);
}

#[test]
fn formats() {
    values(&[
        ("sprintf('~5b|~-5b|', 1, 2)", "\"    1|2    |\""),
        ("sprintf('~5..0b ~3..*b', 42, 7)", "\"00042 **7\""),
        ("sprintf('~2b', 1234)", "\"**\""),
        ("sprintf('~.16b ~.16B ~.2b', 255, 255, -5)", "\"ff FF -101\""),
        ("sprintf('~8.16.0B', 48879)", "\"0000BEEF\""),
        ("sprintf('~10s|~-10s|~2s', 'ab', 'cd', 'xyz')", "\"        ab|cd        |xy\""),
        ("sprintf('~.2s', 'xyz')", "\"xy\""),
        ("sprintf('~*s', 4, 'a')", "\"   a\""),
        ("sprintf('~f ~.1f ~8.2f', 1, 2.25, 3.14159)", "\"1.000000 2.2     3.14\""),
        ("sprintf('~e ~.3e', 12345.678, 0.001)", "\"1.23457e+4 1.00e-3\""),
        ("sprintf('~g ~g', 1.5, 1.5e9)", "\"1.50000 1.50000e+9\""),
        ("sprintf('~c~3c', 97, 98)", "\"a  b\""),
        ("sprintf('~i~s ~ts~n~~', 1, 'a', '你')", "\"a 你\\n~\""),
        ("sprintf('~s ~s', 'a')", "select error: sprintf() failed: there is no value for ~s"),
        ("sprintf('~s', 'a', 'b')", "select error: sprintf() failed: there are more values…"),
        ("sprintf('~', 1)", "select error: sprintf() failed: the format ends…"),
        ("sprintf('~b', 1.5)", "select error…"),
        ("sprintf('~1001s', 'a')", "select error…"),
        ("sprintf('~.99b', 1)", "select error…"),
        ("float2str(1.5, 0)", "\"2\""),
        ("float2str(1, 2)", "\"1.0\""),
        ("pad('abc', 6, 'both', 'x')", "\"xabcxx\""),
        ("pad('a', -1)", "select error…"),
    ]);
}

#[test]
fn texts() {
    values(&[
        ("concat(['a', 'b', 1])", "\"ab1\""),
        ("concat([], 'x')", "\"[]x\""),
        ("strlen('👨‍👩‍👧')", "1"),
        ("str_utf16_le('😀') = hexstr2bin('3dd800de')", "true"),
        ("substr('abcdef', 1, 0)", "\"\""),
        ("substr('abc', -1)", "select error…"),
        ("replace('abc', '', 'x')", "\"abc\""),
        ("find('abc', 'z')", "\"\""),
        ("split('', ',')", "[]"),
        ("split('', ',', 'notrim')", "[\"\"]"),
        ("split('/a', '/', 'leading')", "[\"a\"]"),
        ("regex_extract('abc', 'b')", "[]"),
        ("regex_match('x', '(?=x)')", "select error…"),
        ("unescape('\\q')", "select error…"),
        ("join_to_string('-', [1, 2.5, 'a', true, null])", "\"1-2.5-a-true-null\""),
        ("ascii('')", "select error…"),
    ]);
}

#[test]
fn bits_and_bytes() {
    values(&[
        ("subbits(hexstr2bin('0102030405060708'), 1, 64, 'integer', 'unsigned', 'little')", "578437695752307201"),
        ("subbits(hexstr2bin('ffffffffffffffff'), 1, 64)", "18446744073709551615"),
        ("subbits(hexstr2bin('ffffffffffffffff'), 1, 64, 'integer', 'signed')", "-1"),
        ("subbits(hexstr2bin('ffffffffffffffffffffffffffffffff'), 1, 128)", "340282366920938463463374607431768211455"),
        ("subbits(hexstr2bin('fffffffffffffffffffffffffffffffe'), 1, 128, 'integer', 'signed')", "-2"),
        ("subbits(hexstr2bin('f0'), 1, 3, 'integer', 'signed')", "-1"),
        ("subbits(hexstr2bin('3333333333331540'), 1, 64, 'float', 'unsigned', 'little')", "5.3"),
        ("subbits(hexstr2bin('41'), 1, 32, 'float')", "select error…"),
        ("subbits('abc', 0, 8)", "select error…"),
        ("subbits('abc', 1, 0)", "0"),
        ("subbits('abc', 25, 8)", "{}"),
        ("subbits(payload.a, 1, 8)", "select error…"),
        ("bitsl(1, -1) + bitsr(1, -3)", "8"),
        ("base64_decode('YQ')", "select error…"),
        ("base64_decode('YQ==', 'no_padding')", "\"a\""),
        ("base64_decode('YT5iP2N-')", "select error…"),
        ("bin2hexstr(base64_decode('/w=='))", "\"FF\""),
    ]);
}

#[test]
fn maps_and_json() {
    values(&[
        ("map([['a', 1], ['b', [2]]])", r#"{"a":1,"b":[2]}"#),
        ("map([['a', 1, 2]])", "select error…"),
        ("map('[1]')", "select error…"),
        ("map_get('a.b[2]', '{\"a\":{\"b\":[1,2]}}')", "2"),
        ("map_get('a', '{\"a\":null}', 5)", "null"),
        ("map_get('x', null, 'd')", "\"d\""),
        ("map_get('x', 'no json', 'd')", "select error…"),
        ("map_put('a[1]', 5, '{\"a\":[1,2]}')", r#"{"a":[5,2]}"#),
        (
            "map_to_redis_hset_args('{\"a\":1,\"b\":null,\"c\":[1],\"d\":true,\"e\":1.5}')",
            r#"["a","1","d","true","e","1.5"]"#,
        ),
        ("json_decode('{\"a\":1,\"a\":2}')", r#"{"a":2}"#),
        ("json_decode('[1,]')", "select error…"),
        ("json_decode('0123')", "select error…"),
        ("contains('a', 'abc')", "select error…"),
    ]);
}

#[test]
fn times() {
    values(&[
        ("timezone_to_offset_seconds(100000)", "100000"),
        ("timezone_to_offset_seconds('-01:30')", "-5400"),
        ("timezone_to_offset_seconds('+08')", "select error…"),
        ("format_date('second', '-05:30', '%:z %z', 0)", "\"-05:30 -0530\""),
        ("format_date('microsecond', 28800, '%6N %::z', 1653561612345678)", "\"345678 +08:00:00\""),
        ("format_date('second', 'Z', '%y %j %%', 0)", "\"%y %j %%\""),
        ("format_date('day', 'Z', '%Y', 0)", "select error…"),
        ("format_date('second', '+25:00', '%Y', 0)", "select error…"),
        ("date_to_unix_ts('second', '%Y-%m-%d %H:%M:%S', '1969-12-31 23:59:59')", "-1"),
        ("date_to_unix_ts('second', '%Y-%m-%d %H:%M:%S%::z', '2022-05-26 18:40:12+08:00:00')", "1653561612"),
        ("date_to_unix_ts('second', '%Y-%m-%d', '2022-5-6')", "select error…"),
        ("date_to_unix_ts('second', '%Y-%m-%d', '2022-05-06 ')", "select error…"),
        ("rfc3339_to_unix_ts('1969-12-31T23:59:59.5Z', 'millisecond')", "-500"),
        ("rfc3339_to_unix_ts('2022-05-26T10:40:12')", "select error…"),
    ]);
}

#[test]
fn scopes_of_foreach() {
    for (sql, expected) in [
        ("FOREACH payload.a AS x DO x, x * 2 AS y INCASE x > 1 FROM \"t/#\"", r#"{"x":2,"y":4} {"x":3,"y":6}"#),
        (
            "FOREACH payload.s AS s, payload.a AS x DO s, x INCASE x = 1 FROM \"t/#\" WHERE s = 'x'",
            r#"{"s":"x","x":1}"#,
        ),
        ("FOREACH payload.a AS topic DO topic INCASE topic = 2 FROM \"t/#\"", r#"{"topic":2}"#),
        ("FOREACH payload.t.k AS x DO x FROM \"t/#\"", r#"{"x":7} {"x":{"z":"[1,2]"}}"#),
        ("FOREACH payload.a AS x DO 1/0 AS y FROM \"t/#\"", "do error: division by zero"),
        ("FOREACH payload.a AS x DO x INCASE 1/0 = 1 FROM \"t/#\"", "incase error: division by zero"),
        ("FOREACH 1/0 AS x DO x FROM \"t/#\"", "foreach error: division by zero"),
        ("FOREACH payload.a AS x DO x FROM \"t/#\" WHERE 1/0 = 1", "where error: division by zero"),
        ("FOREACH payload.o DO item FROM \"t/#\"", ""),
    ] {
        check(sql, DOC, expected);
    }
}
