//! Functions with a memory, at the level of rules and of a memory of one's own.

use std::sync::Arc;

use model::Value;
use serde_json::json;

use super::{compare, run, value};
use crate::functions::{self, Body, State};

#[test]
fn the_store_keeps_values_under_keys_of_any_kind() {
    value("[kv_store_put('t1', 7), kv_store_get('t1'), kv_store_get('t1', 8)]", "", "[7,7,7]");
    value("kv_store_get('t2')", "", "{}");
    value("kv_store_get('t2', 'd')", "", "\"d\"");
    value(
        "[kv_store_put(1, 'int'), kv_store_get('1', 'none'), kv_store_get(1.0, 'none')]",
        "",
        r#"["int","none","none"]"#,
    );
    value("[kv_store_put('t3', 1), kv_store_del('t3'), kv_store_get('t3', 'gone')]", "", r#"[1,true,"gone"]"#);
    value("kv_store_put(payload.nope, 1)", "{}", "select error: kv_store_put() failed: argument 1 must be a key…");
}

#[test]
fn each_client_has_its_own_dictionary() {
    let sql = r#"SELECT proc_dict_put('d1', payload.v) AS before, proc_dict_get('d1') AS now FROM "t""#;
    for (client, v, expected) in [
        ("a", 1, r#"{"now":1}"#),
        ("b", 2, r#"{"now":2}"#),
        ("a", 3, r#"{"before":1,"now":3}"#),
        ("b", 4, r#"{"before":2,"now":4}"#),
    ] {
        let payload = json!({ "v": v }).to_string();
        let got = run(sql, "message.publish", &json!({"topic": "t", "clientid": client, "payload": payload}));
        compare(client, &got, expected);
    }
    value("[proc_dict_put('d2', 1), proc_dict_del('d2'), proc_dict_get('d2')]", "", "[null,1,null]");
}

fn call(name: &str, state: &Arc<State>, args: &[Value]) -> Result<Value, String> {
    let Some(Body::Call(call)) = functions::find(name).map(|function| function.body) else { panic!("{name}") };
    call(&crate::Context::at_ms(0).with_state(Arc::clone(state)), args).map_err(|error| error.0)
}

#[test]
fn the_store_is_bounded_and_counts_what_it_refuses() {
    let state = Arc::new(State::default());
    for n in 0..100_000 {
        call("kv_store_put", &state, &[Value::Int(n), Value::Null]).unwrap();
    }
    let refused = call("kv_store_put", &state, &[Value::text("one more"), Value::Null]).unwrap_err();
    assert!(refused.contains("full"), "{refused}");
    assert_eq!(state.refused(), 1);
    assert_eq!(call("kv_store_put", &state, &[Value::Int(5), Value::Int(6)]), Ok(Value::Int(6)));
    call("kv_store_del", &state, &[Value::Int(5)]).unwrap();
    call("kv_store_put", &state, &[Value::text("one more"), Value::Null]).unwrap();
    let large = Value::text("x".repeat(70_000));
    assert!(call("kv_store_put", &state, &[Value::Int(7), large]).unwrap_err().contains("65536"));
    let other = Arc::new(State::default());
    assert_eq!(call("kv_store_get", &other, &[Value::Int(1)]), Ok(Value::Missing));
}

#[test]
fn only_variables_with_the_prefix_can_be_read() {
    value("getenv('PATH')", "", "\"\"");
    value("getenv('a=b')", "", "select error…");
}

#[test]
fn mongo_dates_are_milliseconds() {
    value("mongo_date()", "", r#"{"$date":1700000000123}"#);
    value("mongo_date(1700000000123)", "", r#"{"$date":1700000000123}"#);
    value("mongo_date(1700000000, 'second')", "", r#"{"$date":1700000000000}"#);
    value("mongo_date('x')", "", "select error…");
}

#[test]
fn a_ping_is_known_to_rules_and_testers() {
    for pattern in ["$events/client/ping", "$events/client_ping", "client.ping", "$events/client/+"] {
        let got = run(
            &format!("SELECT clientid, keepalive FROM \"{pattern}\""),
            "client.ping",
            &json!({"clientid": "c", "keepalive": 60}),
        );
        compare(pattern, &got, r#"{"clientid":"c","keepalive":60}"#);
    }
}
