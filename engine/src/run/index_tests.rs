//! The index against asking every rule.

use std::sync::Arc;

use model::EventKind;
use proptest::prelude::*;

use super::Index;
use crate::rule::Rule;

const LEVELS: [&str; 4] = ["a", "b", "", "$SYS"];

fn topic() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(&LEVELS[..]), 1..5)
        .prop_map(|levels| levels.join("/"))
        .prop_filter("no topic", |topic| !topic.is_empty())
}

fn filter() -> impl Strategy<Value = String> {
    let level = prop::sample::select(&["a", "b", "+", "", "$SYS"][..]);
    (prop::collection::vec(level, 1..5), any::<bool>()).prop_map(|(mut levels, hash)| {
        if hash {
            levels.push("#");
        }
        if levels.join("/").is_empty() { "#".to_owned() } else { levels.join("/") }
    })
}

fn statement() -> impl Strategy<Value = String> {
    prop_oneof![
        filter().prop_map(|filter| format!("SELECT topic FROM \"{filter}\"")),
        (filter(), filter()).prop_map(|(a, b)| format!("SELECT topic FROM \"{a}\", \"{b}\"")),
        filter().prop_map(|filter| format!("SELECT topic FROM \"message.publish\" WHERE topic =~ '{filter}'")),
        (filter(), topic())
            .prop_map(|(filter, topic)| format!("SELECT topic FROM \"{filter}\" WHERE topic = '{topic}' AND qos = 1")),
        Just("SELECT * FROM \"message.publish\"".to_owned()),
        Just("SELECT * FROM \"client.connected\"".to_owned()),
    ]
}

fn ids(index: &Index, kind: EventKind, topic: Option<&str>) -> Vec<String> {
    let mut ids: Vec<String> =
        index.find(kind, topic).iter().flat_map(|set| set.rules.iter().map(|(rule, _)| rule.id.to_string())).collect();
    ids.sort();
    ids
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn finds_what_asking_every_rule_finds(
        statements in prop::collection::vec(statement(), 1..20),
        gone in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        topics in prop::collection::vec(topic(), 1..12),
    ) {
        let mut index = Index::default();
        let mut rules: Vec<Arc<Rule>> = Vec::new();
        for (place, sql) in statements.iter().enumerate() {
            let rule = Rule::bare(&format!("r{place}"), sql);
            index.insert(Arc::clone(&rule));
            rules.push(rule);
        }
        for gone in gone {
            if !rules.is_empty() {
                let rule = rules.remove(gone.index(rules.len()));
                index.remove(&rule.id);
            }
        }
        for (kind, topic) in topics.iter().map(|topic| (EventKind::MessagePublish, Some(topic.as_str()))).chain([(EventKind::ClientConnected, None)]) {
            let mut wanted: Vec<String> =
                rules.iter().filter(|rule| rule.selects(kind, topic)).map(|rule| rule.id.to_string()).collect();
            wanted.sort();
            prop_assert_eq!(ids(&index, kind, topic), wanted, "{:?} {:?}", kind, topic);
        }
        prop_assert_eq!(index.wants(EventKind::ClientConnected), rules.iter().any(|rule| rule.plan.selects_from(EventKind::ClientConnected)));
    }
}

#[test]
fn a_rule_of_the_same_id_replaces_the_old_one() {
    let mut index = Index::default();
    index.insert(Rule::bare("r", "SELECT * FROM \"a\""));
    index.insert(Rule::bare("r", "SELECT * FROM \"b\""));
    assert!(ids(&index, EventKind::MessagePublish, Some("a")).is_empty());
    assert_eq!(ids(&index, EventKind::MessagePublish, Some("b")), ["r"]);
    index.remove("r");
    assert!(!index.wants(EventKind::MessagePublish));
}

#[test]
fn rules_that_read_the_same_path_share_one_slot() {
    let mut index = Index::default();
    index.insert(Rule::bare("x", "SELECT payload.a as a, payload.b as b FROM \"t\""));
    index.insert(Rule::bare("y", "SELECT payload.b as b FROM \"t\" WHERE payload.c = 1"));
    let set = index.find(EventKind::MessagePublish, Some("t")).unwrap();
    assert_eq!((set.rules.len(), set.paths.len()), (2, 3));
}
