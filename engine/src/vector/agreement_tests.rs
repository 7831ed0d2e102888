//! The two forms of a plan agree row by row, errors included.

use std::sync::Arc;

use model::{Body, Event, EventKind, Message, MessageId, Origin, Qos};
use proptest::prelude::*;

use crate::{Evaluator, Form};

/// Statements over `payload.x`, `payload.y`, `payload.s`, `payload.l`, `topic` and `qos`.
const STATEMENTS: [&str; 30] = [
    "SELECT payload.x as x FROM \"#\" WHERE payload.x > 1",
    "SELECT payload.x as x, payload.y as y FROM \"#\" WHERE payload.x = payload.y",
    "SELECT payload.x + payload.y as z FROM \"#\"",
    "SELECT payload.x + 1 as a, a * 2 as b, payload.y - a as c FROM \"#\" WHERE a > 2",
    "SELECT payload.x / payload.y as q, payload.x div 2 as d, payload.x mod 3 as m FROM \"#\"",
    "SELECT payload.s || '!' as s FROM \"#\" WHERE payload.s LIKE 'a%'",
    "SELECT upper(payload.s) as s FROM \"#\" WHERE payload.s != 'b'",
    "SELECT topic, qos FROM \"#\" WHERE topic =~ 't/+' AND qos >= 1 AND payload.x < 3",
    "SELECT payload.x as x FROM \"#\" WHERE payload.x > 1 OR payload.y > 1 OR payload.s = 'a'",
    "SELECT payload.x as x FROM \"#\" WHERE NOT payload.x > 1",
    "SELECT CASE WHEN payload.x > 1 THEN 'big' WHEN payload.x = 1 THEN 'one' ELSE payload.s END as c FROM \"#\"",
    "SELECT CASE payload.x WHEN 1 THEN 'one' WHEN 'a' THEN 'text' END as c FROM \"#\"",
    "SELECT payload.x as x FROM \"#\" WHERE payload.x IN (1, 2.0, 'a', payload.y)",
    "SELECT payload.x as x FROM \"#\" WHERE payload.x NOT IN (1, 'a')",
    "SELECT payload.x as x FROM \"#\" WHERE payload.x BETWEEN 0 AND payload.y",
    "SELECT payload.x as x FROM \"#\" WHERE payload.x IS NULL",
    "SELECT payload.x as x FROM \"#\" WHERE payload.x IS NOT NULL AND payload.x >= 0.5",
    "SELECT payload.l[1] as first, payload.l[-1] as last, payload.l[payload.x] as at FROM \"#\"",
    "SELECT payload.l[1..2] as part FROM \"#\"",
    "SELECT payload.x, payload.s FROM \"#\"",
    "SELECT payload.x as a.b, payload.y as a.c FROM \"#\"",
    "SELECT payload as p, p.x as x FROM \"#\" WHERE p.x > 0",
    "SELECT * FROM \"#\" WHERE payload.x > 1",
    "FOREACH payload.l as e DO e as v, payload.x as x INCASE e > 1 FROM \"#\" WHERE qos > 0",
    "SELECT -payload.x as n FROM \"#\" WHERE payload.x <= 2 AND payload.y != 1",
    "SELECT abs(payload.x) as a, str(payload.y) as s FROM \"#\"",
    "SELECT payload.x as x FROM \"message.publish\" WHERE payload.x > 1",
    "SELECT timestamp as t, [payload.x, payload.y] as list FROM \"#\"",
    "SELECT 1 as one FROM \"#\"",
    "SELECT payload.s as s FROM \"#\" WHERE payload.s > 'a' AND payload.s < topic",
];

fn scalar() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => (-3_i64..5).prop_map(|n| n.to_string()),
        3 => prop::sample::select(&["0.5", "1.0", "2.0", "-0.0", "1e300", "1.5"][..]).prop_map(str::to_owned),
        2 => prop::sample::select(&["\"a\"", "\"ab\"", "\"b\"", "\"1\"", "\"\""][..]).prop_map(str::to_owned),
        1 => prop::sample::select(&["true", "false", "null"][..]).prop_map(str::to_owned),
        1 => prop::sample::select(&["9223372036854775807", "18446744073709551616", "[1,2,3]", "{\"k\":1}"][..]).prop_map(str::to_owned),
    ]
}

/// A payload; mostly one kind for each field, as devices send, and sometimes anything.
fn payload() -> impl Strategy<Value = String> {
    let whole = (
        prop::option::weighted(0.9, scalar()),
        prop::option::weighted(0.9, scalar()),
        prop::option::of(scalar()),
        prop::option::of(prop::collection::vec(scalar(), 0..4)),
    )
        .prop_map(|(x, y, s, l)| {
            let mut fields: Vec<String> = Vec::new();
            fields.extend(x.map(|x| format!("\"x\":{x}")));
            fields.extend(y.map(|y| format!("\"y\":{y}")));
            fields.extend(s.map(|s| format!("\"s\":{s}")));
            fields.extend(l.map(|l| format!("\"l\":[{}]", l.join(","))));
            format!("{{{}}}", fields.join(","))
        });
    let plain =
        (0_i64..5, 0_i64..5, "[ab]{0,2}").prop_map(|(x, y, s)| format!("{{\"x\":{x},\"y\":{y},\"s\":\"{s}\"}}"));
    prop_oneof![
        6 => whole,
        3 => plain,
        1 => prop::sample::select(&["", "no json", "[1,2]", "{\"x\":"][..]).prop_map(str::to_owned),
    ]
}

fn event((topic, qos, payload): (&str, u8, String)) -> Event {
    let message = Message {
        id: MessageId(7),
        topic: topic.into(),
        payload: payload.into(),
        qos: Qos::from_u8(qos).unwrap(),
        retain: false,
        dup: false,
        publisher: None,
        properties: None,
        received_at_ms: 5,
        origin: Origin::Client,
    };
    Event { kind: EventKind::MessagePublish, at_ms: 6, node: "n".into(), body: Body::Publish(Arc::new(message)) }
}

fn check(sql: &str, events: &[Event]) -> Result<(), TestCaseError> {
    let evaluator = Evaluator::new(sql, None).unwrap_or_else(|error| panic!("{sql}: {error}"));
    let (rows, columns) = (evaluator.evaluate(events, Form::Rows), evaluator.evaluate(events, Form::Columns));
    prop_assert_eq!(rows.len(), columns.len());
    for (place, (row, column)) in rows.iter().zip(&columns).enumerate() {
        prop_assert_eq!(row, column, "{} on {:?}", sql, &events[place].body);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn both_forms_agree_row_by_row(
        inputs in prop::collection::vec((prop::sample::select(&["t/1", "t/1/x", "u"][..]), 0_u8..3, payload()), 1..24),
    ) {
        let events: Vec<Event> = inputs.into_iter().map(event).collect();
        for sql in STATEMENTS {
            check(sql, &events)?;
        }
    }
}

#[test]
fn a_failing_row_fails_alone() {
    let events: Vec<Event> = ["{\"x\":1}", "{\"x\":\"a\"}", "no json", "{\"x\":3}"]
        .map(|payload| event(("t", 0, payload.to_owned())))
        .into();
    let evaluator = Evaluator::new("SELECT payload.x * 2 as y FROM \"t\"", None).unwrap();
    let kinds: Vec<&str> = evaluator
        .evaluate(&events, Form::Columns)
        .iter()
        .map(|outcome| match outcome {
            sql::Outcome::Rows(_) => "rows",
            sql::Outcome::NoMatch(_) => "no match",
            sql::Outcome::Error(_) => "error",
        })
        .collect();
    assert_eq!(kinds, ["rows", "error", "error", "rows"]);
}
