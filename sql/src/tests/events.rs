//! FROM and the fields of events in both vocabularies (rule-language §2).

use serde_json::json;

use super::{compare, run};

#[test]
fn names_of_from_select_their_events() {
    let publish = json!({"topic": "t/a", "payload": "x"});
    let client = json!({"clientid": "c", "username": "u", "peername": "10.0.0.1:77", "topic": "t/a"});
    for (from, event_type, fields, matches) in [
        ("\"t/#\"", "message.publish", &publish, true),
        ("'t/+'", "message.publish", &publish, true),
        ("\"x\", \"t/a\"", "message.publish", &publish, true),
        ("\"t\"", "message.publish", &publish, false),
        ("\"t/#\"", "client.connected", &client, false),
        ("\"message.publish\"", "message.publish", &publish, true),
        ("\"client.connected\"", "client.connected", &client, true),
        ("\"client.disconnectd\"", "client.disconnected", &client, true),
        ("\"message.deliver\"", "message.deliver", &publish, true),
        ("\"$events/client_connected\"", "client.connected", &client, true),
        ("\"$events/client/connected\"", "client_connected", &client, true),
        ("\"$events/client/+\"", "client.disconnected", &client, true),
        ("\"$events/sys/+\"", "client.disconnected", &client, false),
        ("\"$events/#\"", "session.subscribed", &client, true),
        ("\"$events/#\"", "message.publish", &publish, false),
        ("\"$events/message_published\"", "message.publish", &publish, false),
        ("\"t/#\", \"$events/client_connected\"", "client.connected", &client, true),
    ] {
        let got = run(&format!("SELECT topic FROM {from}"), event_type, fields);
        compare(from, &got, if matches { "{\"topic\":\"t/a\"}" } else { "no match: FROM does not match…" });
    }
}

#[test]
fn fields_are_read_by_either_vocabulary() {
    for (select, fields, expected) in [
        ("client_id, clientid", json!({"clientid": "c"}), r#"{"client_id":"c","clientid":"c"}"#),
        ("clientid AS a", json!({"client_id": "c"}), r#"{"a":"c"}"#),
        ("peerhost", json!({"peername": "10.0.0.1:77"}), r#"{"peerhost":"10.0.0.1"}"#),
        ("retain", json!({"flags": {"retain": true}}), r#"{"retain":1}"#),
        ("flags.retain AS r", json!({"retain": 1}), r#"{"r":true}"#),
        ("flag('retain') AS r", json!({"flags": {"retain": true}}), r#"{"r":true}"#),
        ("topic, qos", json!({"topic_filters": [{"topic": "t/#", "qos": 2}]}), r#"{"topic":"t/#","qos":2}"#),
        (
            "contains_topic(topic_filters, 't/#', 2) AS c",
            json!({"topic_filters": [{"topic": "t/#", "qos": 2}]}),
            r#"{"c":true}"#,
        ),
        (
            "contains_topic(topic_filters, 't/1') AS c",
            json!({"topic_filters": [{"topic": "t/#", "qos": 2}]}),
            r#"{"c":false}"#,
        ),
        (
            "contains_topic_match(topic_filters, 't/1') AS c",
            json!({"topic_filters": [{"topic": "t/#", "qos": 2}]}),
            r#"{"c":true}"#,
        ),
        (
            "event, timestamp, node",
            json!({}),
            r#"{"event":"client.subscribe","timestamp":1700000000123,"node":"weir@127.0.0.1"}"#,
        ),
        ("timestamp, node", json!({"timestamp": 5, "node": "n"}), r#"{"timestamp":5,"node":"n"}"#),
        ("username", json!({}), "{}"),
    ] {
        let got = run(&format!("SELECT {select} FROM \"client.subscribe\""), "client.subscribe", &fields);
        compare(select, &got, expected);
    }
}

#[test]
fn star_speaks_the_vocabulary_of_from() {
    let fields = json!({"clientid": "c", "reason": "normal", "event": "e", "timestamp": 1, "node": "n"});
    let v3 = run("SELECT * FROM \"client.disconnected\"", "client.disconnected", &fields);
    assert_eq!(v3, r#"{"client_id":"c","reason_code":"normal","event":"e","timestamp":1,"node":"n"}"#);
    let v5 = run("SELECT * FROM \"$events/client_disconnected\"", "client.disconnected", &fields);
    assert_eq!(v5, r#"{"clientid":"c","reason":"normal","event":"e","timestamp":1,"node":"n"}"#);
}

#[test]
fn every_event_has_samples_that_its_own_star_can_show() {
    use crate::catalogue::{EVENTS, Fill, event_from_json};
    for info in EVENTS {
        let event = event_from_json(info.kind.name(), &json!({}), 9, Fill::Samples).unwrap();
        let from = info.v5_names.first().map_or("#", |name| name);
        let plan = super::plan(&format!("SELECT * FROM \"{from}\""));
        let crate::Outcome::Rows(rows) = crate::evaluate(&plan, &crate::EventView::new(&event)) else {
            panic!("{from} gave no row")
        };
        for field in info.fields().filter(|field| !field.v5.is_empty()) {
            assert!(rows[0].get(field.v5).is_some(), "{from} lacks {}", field.v5);
        }
    }
}
