//! SUBSCRIBE: options, overlapping and shared subscriptions, retained messages.

use std::collections::BTreeSet;
use std::sync::Arc;

use broker::codec::{Packet, Properties, Property, Reason, RetainHandling, SubscribeOptions, Unsubscribe, Version};
use broker::{Broker, Dropped, Handle, Ports, Settings, SharedStrategy, Zone};
use model::ports::{Access, Authorize, Decision};
use model::{ClientInfo, Qos};

use crate::client::{Client, message, ports, settings, start, text, zoned};

fn options(qos: Qos) -> SubscribeOptions {
    SubscribeOptions::of_qos(qos)
}

async fn retain(handle: &Handle, topic: &str, payload: &str) {
    let mut client = Client::new(handle, "retainer", Version::V5).await;
    let mut publish = message(topic, payload, Qos::AtLeastOnce, 1);
    publish.header.retain = true;
    client.send(&Packet::Publish(publish)).await;
    assert!(matches!(client.recv().await, Packet::Puback(_)));
}

#[tokio::test]
async fn mqtt_3_3_4_2_overlapping_subscriptions_deliver_once_with_the_highest_qos_and_all_identifiers() {
    let handle = start();
    let mut publisher = Client::new(&handle, "p", Version::V5).await;
    for version in [Version::V5, Version::V3_1_1] {
        let mut client = Client::new(&handle, "c", version).await;
        let identifier = |n| (version == Version::V5).then_some(n);
        client.subscribe_with("TopicA/#", options(Qos::ExactlyOnce), identifier(2)).await;
        client.subscribe_with("TopicA/+", options(Qos::AtLeastOnce), identifier(3)).await;
        publisher.publish("TopicA/C", "x", Qos::ExactlyOnce, 1).await;
        let got = client.recv_publish().await;
        assert_eq!(got.header.qos, Qos::ExactlyOnce);
        let identifiers: BTreeSet<u32> = got
            .header
            .properties
            .0
            .iter()
            .map(|property| match property {
                Property::SubscriptionIdentifier(id) => *id,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(identifiers, if version == Version::V5 { BTreeSet::from([2, 3]) } else { BTreeSet::new() });
        client.expect_silence().await;
        publisher.send_bytes(&[0x62, 2, 0, 1]).await;
        assert!(matches!(publisher.recv().await, Packet::Pubrec(_)));
        assert!(matches!(publisher.recv().await, Packet::Pubcomp(_)));
    }
}

#[tokio::test]
async fn mqtt_3_8_3_3_no_local_keeps_own_messages_away() {
    let handle = start();
    let mut own = Client::new(&handle, "own", Version::V5).await;
    own.subscribe_with("t", SubscribeOptions { no_local: true, ..options(Qos::AtMostOnce) }, None).await;
    own.publish("t", "mine", Qos::AtMostOnce, 0).await;
    own.expect_silence().await;
    let mut other = Client::new(&handle, "other", Version::V5).await;
    other.publish("t", "theirs", Qos::AtMostOnce, 0).await;
    assert_eq!(text(&own.recv_publish().await), "theirs");
}

#[tokio::test]
async fn retain_flag_and_retain_handling() {
    let handle = start();
    retain(&handle, "r/1", "kept").await;
    let mut client = Client::new(&handle, "c", Version::V5).await;
    for (what, handling, times) in [
        ("§3.8.3.1: only if new, and it is", RetainHandling::IfNew, 1),
        ("§3.8.3.1: only if new, and it is not [MQTT-3.3.1-10]", RetainHandling::IfNew, 0),
        ("[MQTT-3.3.1-9] always", RetainHandling::Always, 1),
        ("[MQTT-3.3.1-11] never", RetainHandling::Never, 0),
    ] {
        client
            .subscribe_with("r/+", SubscribeOptions { retain_handling: handling, ..options(Qos::AtMostOnce) }, None)
            .await;
        for _ in 0..times {
            let got = client.recv_publish().await;
            assert_eq!((text(&got), got.header.retain), ("kept", true), "{what}");
        }
        client.expect_silence().await;
    }
    for (as_published, flag) in [(false, false), (true, true)] {
        let wanted = SubscribeOptions {
            retain_as_published: as_published,
            retain_handling: RetainHandling::Never,
            ..options(Qos::AtMostOnce)
        };
        client.subscribe_with("r/+", wanted, None).await;
        retain(&handle, "r/1", "live").await;
        assert_eq!(client.recv_publish().await.header.retain, flag, "[MQTT-3.3.1-12, MQTT-3.3.1-13]");
    }
}

#[tokio::test]
async fn retained_messages_match_like_live_ones_and_an_empty_payload_removes_them() {
    let handle = start();
    for topic in ["a", "a/b", "a/b/c", "$x/y"] {
        if topic.starts_with('$') {
            // Only the server publishes there.
            let message = server_message(topic);
            model::ports::Publish::publish(&handle, message).await.unwrap();
        } else {
            retain(&handle, topic, topic).await;
        }
    }
    for (filter, expected) in [
        ("#", vec!["a", "a/b", "a/b/c"]),
        ("a/#", vec!["a", "a/b", "a/b/c"]),
        ("+/b", vec!["a/b"]),
        ("a/+/#", vec!["a/b", "a/b/c"]),
        ("a/b/c", vec!["a/b/c"]),
        ("+/y", vec![]),
        ("$x/#", vec!["$x/y"]),
    ] {
        let mut client = Client::new(&handle, "c", Version::V3_1_1).await;
        client.subscribe(filter, Qos::AtLeastOnce).await;
        let mut found = BTreeSet::new();
        for _ in &expected {
            found.insert(client.recv_publish().await.header.topic);
        }
        assert_eq!(found, expected.iter().map(|topic| (*topic).to_owned()).collect(), "{filter}");
        client.expect_silence().await;
    }
    retain(&handle, "a/b", "").await;
    assert_eq!(handle.retained_count(), 3, "[MQTT-3.3.1-6]");
}

fn server_message(topic: &str) -> model::Message {
    model::Message {
        id: model::MessageId::next(1),
        topic: topic.into(),
        payload: topic.to_owned().into(),
        qos: Qos::AtMostOnce,
        retain: true,
        dup: false,
        publisher: None,
        properties: None,
        received_at_ms: 1,
        origin: model::Origin::System,
    }
}

#[tokio::test]
async fn more_retained_messages_than_the_queue_holds_all_arrive() {
    let handle = Broker::start(zoned(Zone { queue_messages_max: 8, ..Zone::default() }), ports()).unwrap();
    for n in 0..100 {
        let mut message = server_message(&format!("r/{n}"));
        message.qos = Qos::AtLeastOnce;
        model::ports::Publish::publish(&handle, message).await.unwrap();
    }
    let mut client = Client::new(&handle, "c", Version::V3_1_1).await;
    client.subscribe("r/#", Qos::AtMostOnce).await;
    let mut topics = BTreeSet::new();
    for _ in 0..100 {
        topics.insert(client.recv_publish().await.header.topic);
    }
    assert_eq!(topics.len(), 100);
    assert_eq!(handle.counters().dropped_count(Dropped::QueueFull), 0);
}

#[tokio::test]
async fn shared_subscriptions_deliver_to_one_member_in_turn() {
    let in_turn = Settings { shared_strategy: SharedStrategy::RoundRobin, ..settings() };
    let handle = Broker::start(in_turn, ports()).unwrap();
    let mut first = Client::new(&handle, "first", Version::V5).await;
    let mut second = Client::new(&handle, "second", Version::V5).await;
    let mut outside = Client::new(&handle, "outside", Version::V5).await;
    for member in [&mut first, &mut second] {
        member.subscribe("$share/g/t/+", Qos::AtMostOnce).await;
    }
    outside.subscribe("t/+", Qos::AtMostOnce).await;
    for n in 0..10 {
        outside.publish("t/x", &n.to_string(), Qos::AtMostOnce, 0).await;
        assert_eq!(text(&outside.recv_publish().await), n.to_string());
    }
    for member in [&mut first, &mut second] {
        for _ in 0..5 {
            member.recv_publish().await;
        }
        member.expect_silence().await;
    }
    let filters = vec!["$share/g/t/+".to_owned()];
    first.send(&Packet::Unsubscribe(Unsubscribe { packet_id: 1, properties: Properties::default(), filters })).await;
    first.recv().await;
    outside.publish("t/x", "left", Qos::AtMostOnce, 0).await;
    assert_eq!(text(&second.recv_publish().await), "left");
}

struct Rules;

impl Authorize for Rules {
    fn authorize(&self, client: &ClientInfo, access: Access, topic: &str) -> Decision {
        let denied = match access {
            Access::Subscribe => topic == "test/nosubscribe",
            Access::Publish => topic == "test/nopublish",
            Access::Receive => topic == "test/secret" && &*client.client_id != "cleared",
        };
        // Half of the answers take the long way, which must not change anything.
        if topic.len().is_multiple_of(2) {
            Decision::Ask(Box::pin(async move { !denied }))
        } else if denied {
            Decision::Deny
        } else {
            Decision::Allow
        }
    }
}

#[tokio::test]
async fn the_authorizer_is_asked_at_every_edge() {
    let handle = Broker::start(settings(), Ports { authorize: Arc::new(Rules), ..ports() }).unwrap();
    let mut client = Client::new(&handle, "c", Version::V5).await;
    for filter in ["test/nosubscribe", "$share/g/test/nosubscribe"] {
        let reason = client.try_subscribe(filter, options(Qos::AtMostOnce), None).await;
        assert_eq!(reason, Reason::NOT_AUTHORIZED, "{filter}: asked for the real filter");
    }
    assert!(handle.subscriptions_of("c").is_empty());
    client.publish("test/nopublish", "x", Qos::AtLeastOnce, 1).await;
    assert_eq!(client.recv().await, Packet::Puback(broker::codec::Puback::new(1, Reason::NOT_AUTHORIZED)));
    retain(&handle, "test/secret", "retained").await;
    client.subscribe("#", Qos::AtLeastOnce).await;
    client.expect_silence().await;
    client.publish("test/secret", "live", Qos::AtLeastOnce, 2).await;
    assert!(matches!(client.recv().await, Packet::Puback(_)), "publishing is allowed, receiving is not");
    client.expect_silence().await;
    assert_eq!(handle.counters().dropped_count(Dropped::NotAuthorized), 2, "once retained, once live");
    let mut cleared = Client::new(&handle, "cleared", Version::V5).await;
    cleared.subscribe("test/+", Qos::AtLeastOnce).await;
    assert_eq!(text(&cleared.recv_publish().await), "retained");
}

#[tokio::test]
async fn older_clients_get_0x80_for_a_refused_filter() {
    let handle = Broker::start(settings(), Ports { authorize: Arc::new(Rules), ..ports() }).unwrap();
    let mut client = Client::new(&handle, "c", Version::V3_1_1).await;
    assert_eq!(client.try_subscribe("test/nosubscribe", options(Qos::AtMostOnce), None).await, Reason(0x80));
}
