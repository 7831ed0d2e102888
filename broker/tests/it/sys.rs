//! `$SYS` (manual §4.17): what the broker says about itself, to whom, and what it costs when nobody asks.

use std::collections::BTreeMap;
use std::sync::Arc;

use broker::codec::{Packet, Properties, Reason, SubscribeOptions, Unsubscribe, Version};
use broker::{Broker, Dropped, Handle, Metric, Ports, Settings};
use model::manage::{Alarm, Alarms as _};
use model::ports::{Admission, EventTap};
use model::{Event, EventKind, Qos};
use parking_lot::Mutex;

use crate::client::{Client, ports, settings, start, text};

const NODE: &str = "$SYS/brokers/weir@127.0.0.1";

fn fast() -> Settings {
    Settings { sys_interval_ms: 200, sys_heartbeat_ms: 200, ..settings() }
}

/// Reads until `topic` comes, and says with which payload.
async fn payload_of(client: &mut Client, topic: &str) -> String {
    loop {
        let publish = client.recv_publish().await;
        if publish.header.topic == topic {
            return text(&publish).to_owned();
        }
    }
}

#[tokio::test]
async fn manual_4_17_a_new_subscriber_gets_the_whole_tree_at_once_and_then_periodically() {
    let handle = Broker::start(fast(), ports()).unwrap();
    let mut client = Client::new(&handle, "watcher", Version::V3_1_1).await;
    client.subscribe("$SYS/#", Qos::AtLeastOnce).await;
    let mut tree = BTreeMap::new();
    while !tree.contains_key("$SYS/broker/load/connections/15min") {
        let publish = client.recv_publish().await;
        assert!(publish.header.retain, "{}: a new subscriber takes it for a retained message", publish.header.topic);
        assert_eq!(publish.header.qos, Qos::AtMostOnce);
        tree.insert(publish.header.topic.clone(), text(&publish).to_owned());
    }
    let node = |topic: &str| tree[&format!("{NODE}/{topic}")].as_str();
    assert_eq!(tree["$SYS/brokers"], "weir@127.0.0.1");
    assert_eq!(node("version"), env!("CARGO_PKG_VERSION"));
    assert!(node("uptime").ends_with("seconds") && node("datetime").len() == 19 && !node("sysdescr").is_empty());
    assert_eq!((node("stats/connections/count"), node("stats/connections/max")), ("1", "1"));
    assert_eq!((node("stats/sessions/persistent/count"), node("stats/subscriptions/count")), ("0", "1"));
    assert_eq!((node("metrics/packets/connect"), node("metrics/packets/subscribe")), ("1", "1"));
    assert_eq!((tree["$SYS/broker/clients/connected"].as_str(), node("metrics/messages/received")), ("1", "0"));
    assert!(tree["$SYS/broker/uptime"].ends_with(" seconds"));
    // Afterwards it is published like any other message.
    loop {
        let publish = client.recv_publish().await;
        if publish.header.topic == format!("{NODE}/stats/topics/count") && !publish.header.retain {
            break;
        }
    }
}

#[tokio::test]
async fn manual_4_17_2_clients_come_and_go() {
    let handle = start();
    let mut watcher = Client::new(&handle, "watcher", Version::V5).await;
    watcher.subscribe(&format!("{NODE}/clients/#"), Qos::AtMostOnce).await;
    let mut client = Client::new(&handle, "a/+#", Version::V3_1).await;
    let connected = watcher.recv_publish().await;
    assert_eq!(connected.header.topic, format!("{NODE}/clients/a/%2B%23/connected"), "no wildcard in a topic name");
    let json: serde_json::Value = serde_json::from_str(text(&connected)).unwrap();
    assert_eq!(
        [&json["clientid"], &json["ipaddress"], &json["connack"], &json["proto_ver"], &json["proto_name"]],
        [&"a/+#".into(), &"127.0.0.1".into(), &0.into(), &3.into(), &serde_json::Value::from("MQIsdp")]
    );
    assert_eq!((&json["clean_start"], &json["keepalive"]), (&true.into(), &60.into()));
    assert!(json["ts"].as_i64().is_some_and(|secs| secs > 1_500_000_000 && secs < 100_000_000_000), "seconds: {json}");
    client.send_bytes(&[0xe0, 0]).await;
    let gone = watcher.recv_publish().await;
    assert_eq!(gone.header.topic, format!("{NODE}/clients/a/%2B%23/disconnected"));
    let json: serde_json::Value = serde_json::from_str(text(&gone)).unwrap();
    assert_eq!((&json["clientid"], &json["reason"]), (&"a/+#".into(), &"normal".into()));
}

#[tokio::test]
async fn manual_4_17_5_alarms_are_told_when_they_begin_and_end() {
    let handle = start();
    let mut watcher = Client::new(&handle, "watcher", Version::V5).await;
    watcher.subscribe(&format!("{NODE}/alarms/+"), Qos::AtMostOnce).await;
    let alarm =
        || Alarm { name: "hot".into(), message: "too hot".to_owned(), details: vec![("t", model::Value::Int(99))] };
    assert!(handle.activate(alarm()));
    assert!(!handle.activate(alarm()), "it lasts already");
    let alert: serde_json::Value =
        serde_json::from_str(&payload_of(&mut watcher, &format!("{NODE}/alarms/alert")).await).unwrap();
    assert_eq!(
        (&alert["name"], &alert["message"], &alert["details"]["t"]),
        (&"hot".into(), &"too hot".into(), &99.into())
    );
    assert_eq!(handle.present().len(), 1);
    assert!(handle.deactivate("hot") && !handle.deactivate("hot"));
    payload_of(&mut watcher, &format!("{NODE}/alarms/clear")).await;
    assert_eq!((handle.present().len(), handle.history().len()), (0, 1));
    assert!(handle.history()[0].deactivated_at_ms.is_some());
}

#[tokio::test]
async fn mqtt_4_7_2_1_wildcards_at_the_beginning_do_not_see_it_and_nobody_writes_to_it() {
    let handle = Broker::start(fast(), ports()).unwrap();
    let mut everything = Client::new(&handle, "all", Version::V5).await;
    everything.subscribe("#", Qos::AtMostOnce).await;
    everything.subscribe("+/brokers/#", Qos::AtMostOnce).await;
    let mut watcher = Client::new(&handle, "watcher", Version::V5).await;
    watcher.subscribe(&format!("{NODE}/datetime"), Qos::AtMostOnce).await;
    // Two rounds have gone out, to the one and not to the other.
    for _ in 0..3 {
        payload_of(&mut watcher, &format!("{NODE}/datetime")).await;
    }
    watcher.publish(&format!("{NODE}/datetime"), "never", Qos::AtLeastOnce, 1).await;
    loop {
        match watcher.recv().await {
            Packet::Puback(ack) => break assert_eq!(ack.reason, Reason::NOT_AUTHORIZED),
            Packet::Publish(publish) => assert_ne!(text(&publish), "never"),
            other => panic!("{other:?}"),
        }
    }
    everything.expect_silence().await;
}

/// A tap that counts publishes.
#[derive(Default)]
struct Publishes(Mutex<usize>);

impl EventTap for Publishes {
    fn wants(&self, kind: EventKind) -> bool {
        kind == EventKind::MessagePublish
    }

    fn emit(&self, _: Event) -> Admission {
        *self.0.lock() += 1;
        Admission::Done
    }
}

#[tokio::test]
async fn it_is_not_retained_not_seen_by_rules_and_not_counted_as_dropped() {
    let tap = Arc::new(Publishes::default());
    let handle: Handle = Broker::start(fast(), Ports { tap: tap.clone(), ..ports() }).unwrap();
    let mut watcher = Client::new(&handle, "watcher", Version::V5).await;
    watcher.subscribe(&format!("{NODE}/uptime"), Qos::AtMostOnce).await;
    for _ in 0..3 {
        payload_of(&mut watcher, &format!("{NODE}/uptime")).await;
    }
    assert_eq!((*tap.0.lock(), handle.retained_count()), (0, 0));
    assert_eq!(handle.counters().dropped_count(Dropped::NoSubscribers), 0, "the other topics have no subscriber");
    let packet =
        Unsubscribe { packet_id: 1, properties: Properties::default(), filters: vec![format!("{NODE}/uptime")] };
    watcher.send(&Packet::Unsubscribe(packet)).await;
    while !matches!(watcher.recv().await, Packet::Unsuback(_)) {}
    let sent = handle.counters().get(Metric::MessagesSent);
    // A subscription elsewhere waits out a round: nothing comes of it.
    let refused = watcher.try_subscribe("$SYSTEM/x", SubscribeOptions::of_qos(Qos::AtMostOnce), None).await;
    assert_eq!(refused, Reason::SUCCESS);
    watcher.expect_silence().await;
    assert_eq!(handle.counters().get(Metric::MessagesSent), sent);
}

#[tokio::test]
async fn alarms_watch_the_bounds_of_the_broker() {
    let settings = Settings { retained_messages_max: 2, queue_messages_max: 1, ..settings() };
    let handle = Broker::start(settings, ports()).unwrap();
    let (mut sleeper, _) = Client::persistent(&handle, "sleeper", Version::V5).await;
    sleeper.subscribe("t/#", Qos::AtLeastOnce).await;
    drop(sleeper);
    crate::client::until("it is gone", || handle.counters().clients.get() == 0).await;
    let mut client = Client::new(&handle, "c", Version::V5).await;
    for n in 0..3_u16 {
        let mut message = crate::client::message(&format!("t/{n}"), "x", Qos::AtLeastOnce, n + 1);
        message.header.retain = n < 2;
        client.send(&Packet::Publish(message)).await;
        assert!(matches!(client.recv().await, Packet::Puback(_)));
    }
    let names = || handle.present().iter().map(|alarm| alarm.name.to_string()).collect::<Vec<_>>();
    crate::client::until("both alarms", || names() == ["retained_near_max", "session_queue_full"]).await;
    let full = handle.present().remove(1);
    assert_eq!(full.details["client_id"], "sleeper");
    for n in 0..2_u16 {
        let mut message = crate::client::message(&format!("t/{n}"), "", Qos::AtLeastOnce, n + 1);
        message.header.retain = true;
        client.send(&Packet::Publish(message)).await;
        assert!(matches!(client.recv().await, Packet::Puback(_)));
    }
    crate::client::until("the retained alarm is over", || names() == ["session_queue_full"]).await;
}
