//! Rules over real messages, not over tester fields.

use std::sync::Arc;

use bytes::Bytes;
use model::{
    Body, ClientInfo, Event, EventKind, Message, MessageId, Origin, ProtocolVersion, PublishProperties, Qos, Str,
};

use crate::{Decoded, EventView, Outcome, PathSet, evaluate, evaluate_shared};

fn event(payload: &[u8]) -> Event {
    let client = ClientInfo {
        client_id: Str::new("c1"),
        username: None,
        peer: Some("10.0.0.1:77".parse().unwrap()),
        local: None,
        version: ProtocolVersion::V5,
        keepalive_secs: 60,
        clean_start: true,
        session_expiry_secs: 0,
        is_bridge: false,
        mountpoint: Str::new(""),
        connected_at_ms: 1,
        is_superuser: false,
    };
    let properties = PublishProperties {
        content_type: Some(Str::new("json")),
        user_properties: vec![(Str::new("k"), Str::new("v"))],
        ..PublishProperties::default()
    };
    let message = Message {
        id: MessageId(255),
        topic: Str::new("t/a"),
        payload: Bytes::copy_from_slice(payload),
        qos: Qos::AtLeastOnce,
        retain: true,
        dup: false,
        publisher: Some(Arc::new(client)),
        properties: Some(Box::new(properties)),
        received_at_ms: 5,
        origin: Origin::Client,
    };
    Event { kind: EventKind::MessagePublish, at_ms: 7, node: Str::new("n1"), body: Body::Publish(Arc::new(message)) }
}

fn rows(sql: &str, payload: &[u8]) -> String {
    match evaluate(&super::plan(sql), &EventView::new(&event(payload))) {
        Outcome::Rows(rows) => rows[0].to_json().to_string(),
        other => format!("{other:?}"),
    }
}

#[test]
fn star_has_the_fields_of_a_publish_in_each_vocabulary() {
    assert_eq!(
        rows(r#"SELECT * FROM "t/#""#, b"x"),
        r#"{"id":"00000000000000000000000000FF","topic":"t/a","payload":"x","qos":1,"flags":{"retain":true,"dup":false,"sys":false},"pub_props":{"Content-Type":"json","User-Property":{"k":"v"},"User-Property-Pairs":[{"key":"k","value":"v"}]},"publish_received_at":5,"clientid":"c1","peerhost":"10.0.0.1","peername":"10.0.0.1:77","event":"message.publish","timestamp":7,"node":"n1"}"#
    );
    assert_eq!(
        rows(r#"SELECT * FROM "message.publish""#, b"x"),
        r#"{"id":"00000000000000000000000000FF","topic":"t/a","payload":"x","qos":1,"retain":1,"client_id":"c1","peername":"10.0.0.1:77","event":"message.publish","timestamp":7,"node":"n1"}"#
    );
}

#[test]
fn fields_paths_and_properties_are_read_from_the_message() {
    assert_eq!(
        rows(
            r#"SELECT payload.a.b AS b, pub_props."User-Property".k AS k, flags.retain AS r, client_id FROM "t/#""#,
            br#"{"a":{"b":[1]}}"#
        ),
        r#"{"b":[1],"k":"v","r":true,"client_id":"c1"}"#
    );
}

#[test]
fn a_binary_payload_is_not_touched_by_a_rule_that_does_not_look_inside() {
    let bytes = [0xff, 0x00, 0xfe];
    assert_eq!(
        rows(r#"SELECT topic, bytesize(payload) AS n, payload FROM "t/#""#, &bytes),
        r#"{"topic":"t/a","n":3,"payload":"FF00FE"}"#
    );
    assert!(rows(r#"SELECT payload.a FROM "t/#""#, &bytes).contains("not UTF-8"));
}

#[test]
fn one_extraction_serves_several_rules() {
    let first = super::plan(r#"SELECT payload.a AS a FROM "t/#" WHERE payload.b > 1"#);
    let second = super::plan(r#"SELECT payload.b AS b, payload.c[1] AS c FROM "t/#""#);
    let mut union = PathSet::new();
    let slots: Vec<Vec<usize>> =
        [&first, &second].iter().map(|plan| plan.paths.paths().map(|path| union.insert(path)).collect()).collect();
    assert_eq!(union.len(), 3, "a, b, c[1]: b is shared");
    let event = event(br#"{"a":1,"b":2,"c":[3]}"#);
    let view = EventView::new(&event);
    let decoded = Decoded(view.extract(&union));
    for (plan, slots) in [(&first, &slots[0]), (&second, &slots[1])] {
        assert_eq!(evaluate_shared(plan, &view, &decoded, slots), evaluate(plan, &view));
    }
}

#[test]
fn ten_megabytes_are_read_for_one_field() {
    let payload = format!(r#"{{"fill":"{}","x":1}}"#, "y".repeat(10 << 20));
    assert_eq!(rows(r#"SELECT payload.x AS x FROM "t/#""#, payload.as_bytes()), r#"{"x":1}"#);
}
