//! Shared subscriptions (MQTT 5.0 §4.8.2, manual §4.10): who gets a message, and what becomes of it when that one cannot.

use std::collections::BTreeMap;
use std::sync::Arc;

use broker::codec::{Packet, Properties, Property, Puback, Publish, Reason, SubscribeOptions, Unsubscribe, Version};
use broker::{Broker, Dropped, Handle, Metric, Ports, Settings, SharedStrategy, Zone};
use model::ports::{Access, Authorize, Decision};
use model::{ClientInfo, Qos};

use crate::client::{Client, connect_packet, ports, settings, text, until};

fn start_with(strategy: SharedStrategy) -> Handle {
    start(Settings { shared_strategy: strategy, ..settings() })
}

fn start(settings: Settings) -> Handle {
    Broker::start(settings, ports()).unwrap()
}

/// Publishes with QoS 1, one after the other, and sees each acknowledged: by then it is with its member.
async fn publish_all(publisher: &mut Client, messages: &[(&str, String)]) {
    for (topic, payload) in messages {
        publisher.publish(topic, payload, Qos::AtLeastOnce, 1).await;
        assert!(matches!(publisher.recv().await, Packet::Puback(_)));
    }
}

async fn members(handle: &Handle, filter: &str, names: &[&str]) -> Vec<Client> {
    let mut members = Vec::new();
    for name in names {
        let mut member = Client::new(handle, name, Version::V5).await;
        member.subscribe(filter, Qos::AtMostOnce).await;
        members.push(member);
    }
    members
}

fn payloads(publishes: &[Publish]) -> Vec<String> {
    publishes.iter().map(|publish| text(publish).to_owned()).collect()
}

async fn unsubscribe(client: &mut Client, filter: &str) {
    let filters = vec![filter.to_owned()];
    client.send(&Packet::Unsubscribe(Unsubscribe { packet_id: 9, properties: Properties::default(), filters })).await;
    assert!(matches!(client.recv().await, Packet::Unsuback(_)));
}

/// A member whose window takes one unacknowledged message.
async fn slow_member(handle: &Handle, name: &str, expiry_secs: u32, filter: &str, qos: Qos) -> Client {
    let mut connect = connect_packet(name, Version::V5);
    connect.clean_start = false;
    connect.properties.0.push(Property::ReceiveMaximum(1));
    connect.properties.0.push(Property::SessionExpiryInterval(expiry_secs));
    let (mut client, _) = Client::with(handle, connect).await;
    client.subscribe(filter, qos).await;
    client
}

#[tokio::test]
async fn manual_4_10_strategies() {
    for strategy in [
        SharedStrategy::Random,
        SharedStrategy::RoundRobin,
        SharedStrategy::Sticky,
        SharedStrategy::HashClientId,
        SharedStrategy::HashTopic,
    ] {
        let handle = start_with(strategy);
        let mut members = members(&handle, "$share/g/t/+", &["a", "b", "c"]).await;
        for publisher in ["p1", "p2", "p3", "p4"] {
            let mut client = Client::new(&handle, publisher, Version::V5).await;
            let topics = ["t/1", "t/2", "t/3"];
            let messages: Vec<_> =
                (0..30).map(|n| (topics[n % 3], format!("{publisher} {} {n}", topics[n % 3]))).collect();
            publish_all(&mut client, &messages).await;
        }
        let mut got = Vec::new();
        for member in &mut members {
            got.push(payloads(&member.drain().await));
        }
        let counts: Vec<usize> = got.iter().map(Vec::len).collect();
        assert_eq!(counts.iter().sum::<usize>(), 120, "{strategy:?}: every message once");
        // Which members got the messages that have the same word at this place.
        let homes = |at: usize| {
            let mut homes: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
            for (member, payloads) in got.iter().enumerate() {
                for payload in payloads {
                    let home = homes.entry(payload.split(' ').nth(at).unwrap()).or_default();
                    if !home.contains(&member) {
                        home.push(member);
                    }
                }
            }
            homes
        };
        match strategy {
            SharedStrategy::Random => assert!(counts.iter().all(|count| *count > 0), "{counts:?}"),
            SharedStrategy::RoundRobin => assert_eq!(counts, [40, 40, 40]),
            SharedStrategy::Sticky => assert_eq!(counts.iter().max(), Some(&120), "{counts:?}"),
            SharedStrategy::HashClientId => assert!(homes(0).values().all(|home| home.len() == 1), "{:?}", homes(0)),
            SharedStrategy::HashTopic => assert!(homes(1).values().all(|home| home.len() == 1), "{:?}", homes(1)),
        }
    }
}

#[tokio::test]
async fn a_group_can_have_a_strategy_of_its_own() {
    let by_group = BTreeMap::from([("calm".to_owned(), SharedStrategy::Sticky)]);
    let handle = start(Settings {
        shared_strategy: SharedStrategy::RoundRobin,
        shared_strategy_by_group: by_group,
        ..settings()
    });
    let mut calm = members(&handle, "$share/calm/t", &["a", "b"]).await;
    let mut other = members(&handle, "$share/other/t", &["c", "d"]).await;
    let mut publisher = Client::new(&handle, "p", Version::V5).await;
    publish_all(&mut publisher, &[("t", "1".into()), ("t", "2".into())]).await;
    let mut counts = [0; 4];
    for (count, member) in counts.iter_mut().zip(calm.iter_mut().chain(&mut other)) {
        *count = member.drain().await.len();
    }
    assert!(counts[..2].contains(&2) && counts[..2].contains(&0), "{counts:?}");
    assert_eq!(counts[2..], [1, 1]);
}

#[tokio::test]
async fn manual_4_10_queue_is_one_group_of_its_own() {
    let handle = start_with(SharedStrategy::RoundRobin);
    let mut queue = members(&handle, "$queue/t/#", &["a", "b"]).await;
    let mut share = members(&handle, "$share/g/t/#", &["c"]).await;
    let mut publisher = Client::new(&handle, "p", Version::V3_1_1).await;
    publish_all(&mut publisher, &[("t/1", "1".into()), ("t/2", "2".into())]).await;
    for member in &mut queue {
        assert_eq!(member.drain().await.len(), 1);
    }
    assert_eq!(share[0].drain().await.len(), 2);
    let no_local = SubscribeOptions { no_local: true, ..SubscribeOptions::of_qos(Qos::AtMostOnce) };
    let mut strict = Client::new(&handle, "strict", Version::V5).await;
    let filters = vec![broker::codec::Filter { filter: "$queue/t".to_owned(), options: no_local }];
    strict
        .send(&Packet::Subscribe(broker::codec::Subscribe { packet_id: 1, properties: Properties::default(), filters }))
        .await;
    strict.expect_end(Reason::PROTOCOL_ERROR).await;
}

#[tokio::test]
async fn manual_4_10_an_offline_member_gets_messages_only_when_all_are() {
    let handle = start_with(SharedStrategy::RoundRobin);
    let mut away = Vec::new();
    for name in ["away1", "away2"] {
        let (mut member, _) = Client::persistent(&handle, name, Version::V5).await;
        member.subscribe("$share/g/t", Qos::AtLeastOnce).await;
        away.push(member);
    }
    drop(away);
    until("both are gone", || handle.clients(None, 10).iter().all(|client| !client.is_connected)).await;
    let mut here = Client::new(&handle, "here", Version::V5).await;
    here.subscribe("$share/g/t", Qos::AtMostOnce).await;
    let mut publisher = Client::new(&handle, "p", Version::V5).await;
    let some: Vec<_> = (0..6).map(|n| ("t", n.to_string())).collect();
    publish_all(&mut publisher, &some).await;
    assert_eq!(here.drain().await.len(), 6, "only who is connected");
    unsubscribe(&mut here, "$share/g/t").await;
    publish_all(&mut publisher, &some).await;
    let waiting = |name| handle.client(name).unwrap().queue_message_count;
    assert_eq!((waiting("away1"), waiting("away2")), (3, 3), "nobody is connected: a session keeps the message");
    let (mut back, present) = Client::persistent(&handle, "away1", Version::V5).await;
    assert!(present);
    assert_eq!(back.drain().await.len(), 3);
    publish_all(&mut publisher, &some).await;
    assert_eq!(back.drain().await.len(), 6, "a member that came back is connected again");
}

#[tokio::test]
async fn mqtt_4_8_2_a_lost_connection_hands_on_at_once_only_with_dispatch_ack() {
    for ack in [false, true] {
        let handle =
            start(Settings { shared_dispatch_ack: ack, shared_strategy: SharedStrategy::Sticky, ..settings() });
        let mut first = slow_member(&handle, "first", 60, "$share/g/t", Qos::AtLeastOnce).await;
        let mut publisher = Client::new(&handle, "p", Version::V5).await;
        publish_all(&mut publisher, &[("t", "sent".into()), ("t", "waits".into())]).await;
        assert_eq!(text(&first.recv_publish().await), "sent");
        let mut second = Client::new(&handle, "second", Version::V5).await;
        second.subscribe("$share/g/t", Qos::AtLeastOnce).await;
        drop(first);
        until("the first is gone", || !handle.client("first").unwrap().is_connected).await;
        if ack {
            for expected in ["sent", "waits"] {
                let got = second.recv_publish().await;
                assert_eq!((text(&got), got.header.dup), (expected, false), "new to this member");
            }
        }
        second.expect_silence().await;
        let back = slow_member(&handle, "first", 60, "other", Qos::AtMostOnce);
        if ack {
            back.await.expect_silence().await;
            assert_eq!(handle.counters().get(Metric::DeliverySharedHandedOn), 2);
        } else {
            let summary = handle.client("first").unwrap();
            assert_eq!((summary.inflight_count, summary.queue_message_count), (1, 1), "they wait for their session");
        }
    }
}

#[tokio::test]
async fn mqtt_4_8_2_5_when_a_session_ends_others_get_its_messages_but_not_a_sent_one_of_qos_2() {
    for (qos, expected) in [(Qos::AtLeastOnce, vec!["sent", "waits"]), (Qos::ExactlyOnce, vec!["waits"])] {
        let handle = start_with(SharedStrategy::Sticky);
        let mut first = slow_member(&handle, "first", 0, "$share/g/t", qos).await;
        let mut publisher = Client::new(&handle, "p", Version::V5).await;
        for (packet_id, payload) in [(1, "sent"), (2, "waits")] {
            publisher.publish("t", payload, qos, packet_id).await;
            assert!(matches!(publisher.recv().await, Packet::Puback(_) | Packet::Pubrec(_)));
        }
        assert_eq!(text(&first.recv_publish().await), "sent");
        let mut second = Client::new(&handle, "second", Version::V5).await;
        second.subscribe("$share/g/t", qos).await;
        drop(first);
        until("the session is over", || handle.client("first").is_none()).await;
        assert_eq!(payloads(&second.drain().await), expected, "{qos:?}");
        let lost = handle.counters().dropped_count(Dropped::SessionEnded);
        assert_eq!(lost, 2 - expected.len() as u64, "{qos:?}");
    }
}

#[tokio::test]
async fn mqtt_3_10_4_3_a_member_that_unsubscribes_completes_what_was_sent_and_others_get_the_rest() {
    let handle = start_with(SharedStrategy::Sticky);
    let mut first = slow_member(&handle, "first", 60, "$queue/t", Qos::AtLeastOnce).await;
    let mut publisher = Client::new(&handle, "p", Version::V5).await;
    publish_all(&mut publisher, &[("t", "sent".into()), ("t", "waits".into())]).await;
    let sent = first.recv_publish().await;
    let mut second = Client::new(&handle, "second", Version::V5).await;
    second.subscribe("$queue/t", Qos::AtLeastOnce).await;
    unsubscribe(&mut first, "$queue/t").await;
    assert_eq!(text(&second.recv_publish().await), "waits");
    first.send(&Packet::Puback(Puback::new(sent.header.packet_id, Reason::SUCCESS))).await;
    first.expect_silence().await;
    second.expect_silence().await;
    unsubscribe(&mut second, "$queue/t").await;
    publish_all(&mut publisher, &[("t", "nobody".into())]).await;
    assert_eq!(handle.counters().dropped_count(Dropped::NoSubscribers), 1);
}

#[tokio::test]
async fn mqtt_4_8_2_6_a_refused_message_goes_to_nobody_else() {
    let handle = start_with(SharedStrategy::Sticky);
    let mut first = slow_member(&handle, "first", 0, "$share/g/t", Qos::AtLeastOnce).await;
    let mut publisher = Client::new(&handle, "p", Version::V5).await;
    publish_all(&mut publisher, &[("t", "refused".into())]).await;
    let sent = first.recv_publish().await;
    let mut second = Client::new(&handle, "second", Version::V5).await;
    second.subscribe("$share/g/t", Qos::AtLeastOnce).await;
    first.send(&Packet::Puback(Puback::new(sent.header.packet_id, Reason::QUOTA_EXCEEDED))).await;
    first.expect_silence().await;
    drop(first);
    until("the session is over", || handle.client("first").is_none()).await;
    assert_eq!(second.drain().await.len(), 0);
}

#[tokio::test]
async fn a_member_whose_queue_is_full_is_passed_over() {
    let handle = start(Settings {
        shared_strategy: SharedStrategy::Sticky,
        zone: Zone { queue_messages_max: 2, ..Zone::default() },
        publish_wait_ms: 1,
        ..settings()
    });
    let mut first = slow_member(&handle, "first", 60, "$share/g/t", Qos::AtLeastOnce).await;
    let mut publisher = Client::new(&handle, "p", Version::V5).await;
    publish_all(&mut publisher, &[("t", "sent".into())]).await;
    first.recv_publish().await;
    publish_all(&mut publisher, &[("t", "1".into()), ("t", "2".into())]).await;
    let mut second = Client::new(&handle, "second", Version::V5).await;
    second.subscribe("$share/g/t", Qos::AtMostOnce).await;
    publish_all(&mut publisher, &[("t", "3".into())]).await;
    assert_eq!(text(&second.recv_publish().await), "3");
    assert_eq!(handle.counters().dropped_count(Dropped::QueueFull), 0);
}

/// Nobody whose name begins with `no` may receive; those that begin with `not` are only told so after a while.
struct Rules;

impl Authorize for Rules {
    fn authorize(&self, client: &ClientInfo, access: Access, topic: &str) -> Decision {
        assert!(!topic.starts_with('$'), "asked for {topic}, not for what it is about");
        let denied = access == Access::Receive && client.client_id.starts_with("no");
        if client.client_id.starts_with("not") {
            Decision::Ask(Box::pin(async move { !denied }))
        } else if denied {
            Decision::Deny
        } else {
            Decision::Allow
        }
    }
}

#[tokio::test]
async fn a_member_that_may_not_receive_is_passed_over() {
    let of_rules = Settings { shared_strategy: SharedStrategy::RoundRobin, ..settings() };
    let handle = Broker::start(of_rules, Ports { authorize: Arc::new(Rules), ..ports() }).unwrap();
    let mut denied = members(&handle, "$share/g/t", &["no1", "not2", "no3", "not4"]).await;
    let mut cleared = members(&handle, "$share/g/t", &["cleared"]).await;
    let mut publisher = Client::new(&handle, "p", Version::V5).await;
    let some: Vec<_> = (0..20).map(|n| ("t", n.to_string())).collect();
    publish_all(&mut publisher, &some).await;
    let mut got = std::collections::BTreeSet::new();
    for _ in 0..20 {
        got.insert(text(&cleared[0].recv_publish().await).to_owned());
    }
    assert_eq!(got.len(), 20, "every message once");
    for member in &mut denied {
        assert_eq!(member.drain().await.len(), 0);
    }
    assert_eq!(handle.counters().dropped_count(Dropped::NotAuthorized), 0);
    unsubscribe(&mut cleared[0], "$share/g/t").await;
    publish_all(&mut publisher, &some[..4]).await;
    until("nobody may have them", || handle.counters().dropped_count(Dropped::NotAuthorized) == 4).await;
}
