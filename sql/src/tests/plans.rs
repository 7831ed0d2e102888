//! What the engine relies on in a plan: topic hints, reads, generation, shared aliases.

use super::plan;
use crate::plan::{Generation, OnDecodeError};
use crate::{Options, compile};

#[test]
fn where_gives_topic_hints_for_the_rule_index() {
    for (condition, expected) in [
        ("topic =~ 't/#'", vec!["t/#"]),
        ("topic = 't/a' and payload.x = 1", vec!["t/a"]),
        ("payload.x = 1 and 't/a' = topic", vec!["t/a"]),
        ("topic =~ 'a/#' or topic =~ 'b/+'", vec!["a/#", "b/+"]),
        ("topic in ('a', 'b')", vec!["a", "b"]),
        ("topic =~ 'a/#' or payload.x = 1", vec![]),
        ("not topic =~ 'a/#'", vec![]),
        ("topic != 'a'", vec![]),
        ("topic = 'a/#'", vec![]),
        ("payload.topic = 'a'", vec![]),
        ("topic = payload.x", vec![]),
    ] {
        let plan = plan(&format!("SELECT * FROM \"message.publish\" WHERE {condition}"));
        assert_eq!(plan.topic_hints, expected, "{condition}");
    }
}

#[test]
fn an_alias_that_hides_the_topic_gives_no_hint() {
    assert!(plan(r#"SELECT payload.x AS topic FROM "message.publish" WHERE topic = 'a'"#).topic_hints.is_empty());
}

#[test]
fn every_read_is_listed_once_and_only_payload_paths_are_extracted() {
    let plan = plan(
        r#"SELECT payload.a AS a, payload.a AS b, topic, topic() AS t, clientid, payload AS p, p.a AS c FROM "t/#" WHERE payload.a > 1 AND payload('b.c') = 2"#,
    );
    let reads: Vec<String> = plan.reads.iter().map(|read| format!("{}/{}", read.field, read.path.len())).collect();
    assert_eq!(reads, ["payload/1", "topic/0", "clientid/0", "payload/0", "payload/2"]);
    assert_eq!(plan.paths.len(), 2);
    assert!(plan.lets.is_empty(), "plain reads are not shared aliases");
}

#[test]
fn a_computed_alias_is_computed_once() {
    let plan = plan(r#"SELECT upper(payload.a) AS a, a + 'x' AS b FROM "t/#" WHERE a = 'A'"#);
    assert_eq!(plan.lets.len(), 1);
}

#[test]
fn from_decides_the_generation_and_the_default_for_undecodable_payloads() {
    for (from, generation, policy) in [
        ("\"message.publish\"", Generation::V3, OnDecodeError::Null),
        ("\"t/#\"", Generation::V5, OnDecodeError::Fail),
        ("\"$events/client_connected\"", Generation::V5, OnDecodeError::Fail),
    ] {
        let plan = plan(&format!("SELECT * FROM {from}"));
        assert_eq!((plan.generation, plan.on_decode_error), (generation, policy), "{from}");
    }
    let options = Options { on_decode_error: Some(OnDecodeError::DeadLetter) };
    assert_eq!(compile("SELECT * FROM \"t\"", &options).unwrap().on_decode_error, OnDecodeError::DeadLetter);
}
