//! Every bound holds, is told with its reason code, and is counted.

use std::time::Duration;

use broker::codec::{Packet, Puback, Reason, SubscribeOptions, Version};
use broker::{Broker, Dropped, Handle, QueueFull, Settings};
use model::Qos;

use crate::client::{Client, message, ports, settings, text, until};

fn broker(change: impl FnOnce(&mut Settings)) -> Handle {
    let mut settings = settings();
    change(&mut settings);
    Broker::start(settings, ports()).unwrap()
}

#[tokio::test]
async fn a_packet_above_the_maximum_ends_with_0x95_before_its_bytes_come() {
    let handle = broker(|settings| settings.zone.packet_bytes_max = 1000);
    let mut client = Client::new(&handle, "c", Version::V5).await;
    client.send_bytes(&[0x30, 0xff, 0xff, 0xff, 0x7f]).await;
    client.expect_end(Reason::PACKET_TOO_LARGE).await;
}

#[tokio::test]
async fn an_offline_queue_drops_by_its_policy() {
    for (policy, kept) in [(QueueFull::DropOldest, ["3", "4", "5"]), (QueueFull::DropNewest, ["1", "2", "3"])] {
        let handle = broker(|settings| {
            settings.zone.queue_messages_max = 3;
            settings.zone.queue_full = policy;
        });
        let (mut client, _) = Client::persistent(&handle, "c", Version::V5).await;
        client.subscribe("t", Qos::AtLeastOnce).await;
        drop(client);
        until("disconnected", || !handle.client("c").unwrap().is_connected).await;
        let mut publisher = Client::new(&handle, "p", Version::V5).await;
        for n in 1..=5 {
            publisher.publish("t", &n.to_string(), Qos::AtLeastOnce, n).await;
            publisher.recv().await;
        }
        assert_eq!(handle.counters().dropped_count(Dropped::QueueFull), 2);
        assert_eq!(handle.client("c").unwrap().queue_message_count, 3);
        let (mut client, _) = Client::persistent(&handle, "c", Version::V5).await;
        for expected in kept {
            assert_eq!(text(&client.recv_publish().await), expected, "{policy:?}");
        }
    }
}

#[tokio::test]
async fn a_queue_is_bounded_in_bytes_too_and_qos_0_gives_way_first() {
    let handle = broker(|settings| {
        settings.zone.queue_bytes_max = 250;
        settings.zone.queue_qos0_offline = true;
        settings.zone.queue_full = QueueFull::DropNewest;
    });
    let (mut client, _) = Client::persistent(&handle, "c", Version::V5).await;
    client.subscribe("t", Qos::AtLeastOnce).await;
    drop(client);
    until("disconnected", || !handle.client("c").unwrap().is_connected).await;
    let mut publisher = Client::new(&handle, "p", Version::V5).await;
    let payload = "x".repeat(100);
    publisher.publish("t", &payload, Qos::AtMostOnce, 0).await;
    for n in 1..=3 {
        publisher.publish("t", &payload, Qos::AtLeastOnce, n).await;
        publisher.recv().await;
    }
    let client = handle.client("c").unwrap();
    assert_eq!((client.queue_message_count, client.queue_bytes), (2, 202));
    assert_eq!(handle.counters().dropped_count(Dropped::QueueFull), 2);
}

#[tokio::test]
async fn a_subscriber_that_does_not_read_costs_a_bounded_amount_and_is_cut_off() {
    let handle = broker(|settings| {
        settings.zone.queue_messages_max = 10;
        settings.zone.write_stall_ms = 300;
        settings.publish_wait_ms = 5;
    });
    let mut stuck = Client::new(&handle, "stuck", Version::V5).await;
    stuck.subscribe("t", Qos::AtMostOnce).await;
    let mut publisher = Client::new(&handle, "p", Version::V5).await;
    let payload = "x".repeat(200_000);
    let publishing = async {
        while handle.client("stuck").is_some_and(|client| client.is_connected) {
            let client = handle.client("stuck").unwrap();
            assert!(client.queue_message_count <= 10);
            publisher.publish("t", &payload, Qos::AtMostOnce, 0).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), publishing).await.expect("the stuck client is cut off");
    assert!(handle.counters().dropped_count(Dropped::QueueFull) > 0);
    publisher.expect_silence().await;
}

#[tokio::test]
async fn limits_of_single_packets() {
    let handle = broker(|settings| {
        settings.zone.topic_levels_max = 3;
        settings.zone.user_properties_max = 1;
        settings.zone.subscriptions_max = 1;
        settings.zone.filters_per_packet_max = 2;
        settings.zone.client_id_bytes_max = 5;
    });
    let client = || Client::new(&handle, "c", Version::V5);
    let mut one = client().await;
    one.publish("a/b/c/d", "x", Qos::AtMostOnce, 0).await;
    one.expect_end(Reason::TOPIC_NAME_INVALID).await;
    let mut one = client().await;
    assert_eq!(
        one.try_subscribe("a/b/c/#", SubscribeOptions::of_qos(Qos::AtMostOnce), None).await,
        Reason::TOPIC_FILTER_INVALID
    );
    one.subscribe("a", Qos::AtMostOnce).await;
    assert_eq!(one.try_subscribe("b", SubscribeOptions::of_qos(Qos::AtMostOnce), None).await, Reason::QUOTA_EXCEEDED);
    one.subscribe("a", Qos::AtLeastOnce).await;
    let mut many = message("t", "x", Qos::AtMostOnce, 0);
    many.header.properties.0 = vec![broker::codec::Property::UserProperty("a".into(), "b".into()); 2];
    one.send(&Packet::Publish(many)).await;
    one.expect_end(Reason::QUOTA_EXCEEDED).await;
    let (_, connack) = Client::with(&handle, crate::client::connect_packet("longer", Version::V5)).await;
    assert_eq!(connack.reason, Reason::CLIENT_IDENTIFIER_NOT_VALID);
}

#[tokio::test]
async fn the_retained_store_is_bounded() {
    let handle = broker(|settings| settings.retained_messages_max = 2);
    let mut client = Client::new(&handle, "c", Version::V5).await;
    for (n, topic) in ["a", "b", "c", "a"].iter().enumerate() {
        let id = n as u16 + 1;
        let mut publish = message(topic, "x", Qos::AtLeastOnce, id);
        publish.header.retain = true;
        client.send(&Packet::Publish(publish)).await;
        assert_eq!(client.recv().await, Packet::Puback(Puback::new(id, Reason::SUCCESS)));
    }
    assert_eq!(handle.retained_count(), 2);
    assert_eq!(handle.counters().dropped_count(Dropped::RetainedFull), 1);
}

#[tokio::test]
async fn retained_messages_turned_off_are_refused_with_0x9a() {
    let handle = broker(|settings| settings.retained_messages_max = 0);
    let mut client = Client::new(&handle, "c", Version::V5).await;
    let mut publish = message("t", "x", Qos::AtMostOnce, 0);
    publish.header.retain = true;
    client.send(&Packet::Publish(publish)).await;
    client.expect_end(Reason::RETAIN_NOT_SUPPORTED).await;
}

#[tokio::test]
async fn open_qos_2_exchanges_are_bounded() {
    let handle = broker(|settings| settings.zone.awaiting_rel_max = 2);
    let mut client = Client::new(&handle, "c", Version::V5).await;
    for (id, reason) in [(1, Reason::SUCCESS), (2, Reason::SUCCESS), (3, Reason::QUOTA_EXCEEDED)] {
        client.publish("t", "x", Qos::ExactlyOnce, id).await;
        assert_eq!(client.recv().await, Packet::Pubrec(broker::codec::Pubrec::new(id, reason)));
    }
    let mut older = Client::new(&handle, "older", Version::V3_1_1).await;
    for id in 1..=3 {
        older.publish("t", "x", Qos::ExactlyOnce, id).await;
    }
    for _ in 1..=2 {
        older.recv().await;
    }
    assert_eq!(older.recv_bytes().await, None, "an older client has no word for it");
}
