//! Sessions over connections: persistence, redelivery, takeover, expiry, wills.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use broker::codec::{
    Connect, Disconnect, LastWill, Packet, Properties, Property, Puback, Pubcomp, Pubrec, Pubrel, Reason, Version,
};
use broker::{Broker, Handle, Ports, Zone};
use model::ports::{Access, Authorize, Decision};
use model::{ClientInfo, Qos};

use crate::client::{Client, connect_packet, ports, settings, start, text, until, zoned};

async fn gone(handle: &Handle, client_id: &str) {
    until("the connection is over", || handle.client(client_id).is_none_or(|client| !client.is_connected)).await;
}

#[tokio::test]
async fn a_persistent_session_keeps_subscriptions_and_messages() {
    let handle = start();
    for version in [Version::V3_1, Version::V3_1_1, Version::V5] {
        let client_id = format!("c{version:?}");
        let (mut client, present) = Client::persistent(&handle, &client_id, version).await;
        assert!(!present);
        client.subscribe("t", Qos::AtLeastOnce).await;
        drop(client);
        gone(&handle, &client_id).await;
        let mut publisher = Client::new(&handle, "p", Version::V5).await;
        publisher.publish("t", "qos 0 is not kept", Qos::AtMostOnce, 0).await;
        publisher.publish("t", "kept", Qos::AtLeastOnce, 1).await;
        publisher.recv().await;
        let (mut client, present) = Client::persistent(&handle, &client_id, version).await;
        assert_eq!(present, version != Version::V3_1, "MQTT 3.1 has a reserved byte in its place");
        assert_eq!(text(&client.recv_publish().await), "kept");
        client.send(&Packet::Puback(Puback::new(1, Reason::SUCCESS))).await;
        client.expect_silence().await;
        drop(client);
        // A clean start ends the session [MQTT-3.1.2-4].
        let client = Client::new(&handle, &client_id, version).await;
        assert!(handle.subscriptions_of(&client_id).is_empty());
        drop(client);
        gone(&handle, &client_id).await;
        until("a session without expiry ends with its connection", || handle.client(&client_id).is_none()).await;
    }
}

#[tokio::test]
async fn mqtt_4_4_0_1_unacknowledged_messages_come_again_with_dup_and_the_same_identifiers() {
    let handle = start();
    let (mut client, _) = Client::persistent(&handle, "c", Version::V5).await;
    client.subscribe("t/#", Qos::ExactlyOnce).await;
    let mut publisher = Client::new(&handle, "p", Version::V3_1_1).await;
    publisher.publish("t/1", "one", Qos::AtLeastOnce, 1).await;
    publisher.publish("t/2", "two", Qos::ExactlyOnce, 2).await;
    publisher.publish("t/3", "three", Qos::ExactlyOnce, 3).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let got = client.recv_publish().await;
        assert!(!got.header.dup);
        ids.push(got.header.packet_id);
    }
    // The third gets as far as PUBREL.
    client.send(&Packet::Pubrec(Pubrec::new(ids[2], Reason::SUCCESS))).await;
    assert_eq!(client.recv().await, Packet::Pubrel(Pubrel::new(ids[2], Reason::SUCCESS)));
    drop(client);
    let (mut client, present) = Client::persistent(&handle, "c", Version::V5).await;
    assert!(present);
    for (n, expected) in ["one", "two"].iter().enumerate() {
        let got = client.recv_publish().await;
        assert_eq!((text(&got), got.header.packet_id, got.header.dup), (*expected, ids[n], true));
    }
    assert_eq!(client.recv().await, Packet::Pubrel(Pubrel::new(ids[2], Reason::SUCCESS)));
    client.send(&Packet::Puback(Puback::new(ids[0], Reason::SUCCESS))).await;
    client.send(&Packet::Pubrec(Pubrec::new(ids[1], Reason::SUCCESS))).await;
    assert_eq!(client.recv().await, Packet::Pubrel(Pubrel::new(ids[1], Reason::SUCCESS)));
    for id in [ids[1], ids[2]] {
        client.send(&Packet::Pubcomp(Pubcomp::new(id, Reason::SUCCESS))).await;
    }
    client.expect_silence().await;
    assert_eq!(handle.client("c").unwrap().inflight_count, 0);
}

#[tokio::test]
async fn an_open_qos_2_exchange_from_the_client_survives_its_connection() {
    let handle = start();
    let mut subscriber = Client::new(&handle, "s", Version::V5).await;
    subscriber.subscribe("t", Qos::AtMostOnce).await;
    let (mut client, _) = Client::persistent(&handle, "c", Version::V3_1_1).await;
    client.publish("t", "once", Qos::ExactlyOnce, 7).await;
    client.recv().await;
    drop(client);
    let (mut client, _) = Client::persistent(&handle, "c", Version::V3_1_1).await;
    let mut again = crate::client::message("t", "once", Qos::ExactlyOnce, 7);
    again.header.dup = true;
    client.send(&Packet::Publish(again)).await;
    assert_eq!(client.recv().await, Packet::Pubrec(Pubrec::new(7, Reason::SUCCESS)));
    assert_eq!(text(&subscriber.recv_publish().await), "once");
    subscriber.expect_silence().await;
}

#[tokio::test]
async fn the_window_holds_messages_back_until_they_are_acknowledged() {
    let handle = start();
    let mut connect = connect_packet("c", Version::V5);
    connect.properties.0.push(Property::ReceiveMaximum(2));
    let (mut client, _) = Client::with(&handle, connect).await;
    client.subscribe("t", Qos::AtLeastOnce).await;
    let mut publisher = Client::new(&handle, "p", Version::V5).await;
    for n in 1..=5u16 {
        publisher.publish("t", &n.to_string(), Qos::AtLeastOnce, n).await;
        publisher.recv().await;
    }
    let first = client.recv_publish().await;
    let second = client.recv_publish().await;
    client.expect_silence().await;
    for done in [first, second] {
        client.send(&Packet::Puback(Puback::new(done.header.packet_id, Reason::SUCCESS))).await;
    }
    assert_eq!(text(&client.recv_publish().await), "3");
    assert_eq!(text(&client.recv_publish().await), "4");
    client.expect_silence().await;
}

#[tokio::test]
async fn mqtt_3_1_4_3_a_second_connection_takes_the_session_over() {
    let handle = start();
    let (mut first, _) = Client::persistent(&handle, "c", Version::V5).await;
    first.subscribe("t", Qos::AtLeastOnce).await;
    let (mut second, present) = Client::persistent(&handle, "c", Version::V5).await;
    assert!(present);
    first.expect_end(Reason::SESSION_TAKEN_OVER).await;
    second.publish("t", "x", Qos::AtMostOnce, 0).await;
    assert_eq!(text(&second.recv_publish().await), "x");
    assert_eq!(handle.session_count(), 1);
}

#[tokio::test]
async fn a_session_expires_when_its_time_is_over() {
    let handle = start();
    let mut connect = connect_packet("c", Version::V5);
    connect.properties.0.push(Property::SessionExpiryInterval(1));
    let (mut client, _) = Client::with(&handle, connect).await;
    client.subscribe("t", Qos::AtLeastOnce).await;
    drop(client);
    until("the session expires", || handle.client("c").is_none()).await;
}

#[tokio::test]
async fn disconnect_may_change_the_session_expiry_but_not_from_none() {
    let handle = start();
    let expiry = |secs| Disconnect {
        reason: Reason::SUCCESS,
        properties: Properties(vec![Property::SessionExpiryInterval(secs)]),
    };
    let (mut client, _) = Client::persistent(&handle, "c", Version::V5).await;
    client.send(&Packet::Disconnect(expiry(0))).await;
    until("expiry 0 ends the session at once", || handle.client("c").is_none()).await;
    let mut client = Client::new(&handle, "c", Version::V5).await;
    client.send(&Packet::Disconnect(expiry(10))).await;
    client.expect_end(Reason::PROTOCOL_ERROR).await;
}

fn with_will(client_id: &str, version: Version, topic: &str, delay_secs: u32, expiry_secs: u32) -> Connect {
    let mut connect = connect_packet(client_id, version);
    let mut properties = Properties::default();
    if version == Version::V5 {
        properties.0.push(Property::WillDelayInterval(delay_secs));
        properties.0.push(Property::UserProperty("k".into(), "v".into()));
        connect.properties.0.push(Property::SessionExpiryInterval(expiry_secs));
    }
    let payload = client_id.to_owned().into();
    connect.will =
        Some(LastWill { qos: Qos::AtLeastOnce, retain: false, properties, topic: topic.to_owned(), payload });
    connect
}

#[tokio::test]
async fn wills_are_published_when_they_are_due_and_only_then() {
    let handle = start();
    let mut watcher = Client::new(&handle, "watcher", Version::V5).await;
    watcher.subscribe("will", Qos::AtMostOnce).await;
    for version in [Version::V3_1_1, Version::V5] {
        // [MQTT-3.1.2-8]: the connection breaks.
        drop(Client::with(&handle, with_will("broken", version, "will", 0, 0)).await);
        let got = watcher.recv_publish().await;
        assert_eq!(text(&got), "broken");
        assert_eq!(got.header.properties.0.len(), usize::from(version == Version::V5));
        // [MQTT-3.14.4-3]: a proper DISCONNECT voids it.
        let (mut client, _) = Client::with(&handle, with_will("proper", version, "will", 0, 0)).await;
        client.send(&Packet::Disconnect(Disconnect::new(Reason::SUCCESS))).await;
        gone(&handle, "proper").await;
        watcher.expect_silence().await;
    }
    let (mut client, _) = Client::with(&handle, with_will("with-will", Version::V5, "will", 0, 0)).await;
    client.send(&Packet::Disconnect(Disconnect::new(Reason::DISCONNECT_WITH_WILL))).await;
    assert_eq!(text(&watcher.recv_publish().await), "with-will");
    // [MQTT-3.1.3-9]: the session ends before the delay does.
    drop(Client::with(&handle, with_will("short session", Version::V5, "will", 3600, 0)).await);
    assert_eq!(text(&watcher.recv_publish().await), "short session");
    drop(Client::with(&handle, with_will("delayed", Version::V5, "will", 1, 3600)).await);
    assert_eq!(text(&watcher.recv_publish().await), "delayed");
}

#[tokio::test]
async fn a_client_that_comes_back_within_the_delay_has_no_will_published() {
    let handle = start();
    let mut watcher = Client::new(&handle, "watcher", Version::V5).await;
    watcher.subscribe("will", Qos::AtMostOnce).await;
    drop(Client::with(&handle, with_will("c", Version::V5, "will", 1, 3600)).await);
    gone(&handle, "c").await;
    let (_client, present) = Client::persistent(&handle, "c", Version::V5).await;
    assert!(present);
    // A later will that is due after the first would have been shows that the first is void.
    drop(Client::with(&handle, with_will("marker", Version::V5, "will", 2, 3600)).await);
    assert_eq!(text(&watcher.recv_publish().await), "marker");
}

/// Rights that can be taken away.
struct Revocable(Arc<AtomicBool>);

impl Authorize for Revocable {
    fn authorize(&self, client: &ClientInfo, access: Access, _: &str) -> Decision {
        let revoked = self.0.load(Ordering::SeqCst) && &*client.client_id == "c";
        if revoked && access != Access::Receive { Decision::Deny } else { Decision::Allow }
    }
}

#[tokio::test]
async fn rights_are_asked_for_again_when_a_will_is_sent_and_a_session_resumed() {
    let revoked = Arc::new(AtomicBool::new(false));
    let handle =
        Broker::start(settings(), Ports { authorize: Arc::new(Revocable(revoked.clone())), ..ports() }).unwrap();
    let mut watcher = Client::new(&handle, "watcher", Version::V5).await;
    watcher.subscribe("will", Qos::AtMostOnce).await;
    let (mut client, _) = Client::with(&handle, with_will("c", Version::V5, "will", 0, 3600)).await;
    client.subscribe("t", Qos::AtMostOnce).await;
    revoked.store(true, Ordering::SeqCst);
    drop(client);
    gone(&handle, "c").await;
    watcher.expect_silence().await;
    let (_client, present) = Client::persistent(&handle, "c", Version::V5).await;
    assert!(present);
    assert!(handle.subscriptions_of("c").is_empty(), "the inherited subscription is gone");
}

#[tokio::test]
async fn kick_ends_connection_and_session() {
    let handle = start();
    let (mut client, _) = Client::persistent(&handle, "c", Version::V5).await;
    assert!(handle.kick("c"));
    client.expect_end(Reason::ADMINISTRATIVE_ACTION).await;
    until("the session is gone", || handle.client("c").is_none()).await;
    assert!(!handle.kick("c"));
}

#[tokio::test]
async fn message_expiry_counts_the_time_in_the_queue() {
    let handle = Broker::start(zoned(Zone { queue_qos0_offline: true, ..Zone::default() }), ports()).unwrap();
    let (mut client, _) = Client::persistent(&handle, "c", Version::V5).await;
    client.subscribe("t", Qos::AtMostOnce).await;
    drop(client);
    gone(&handle, "c").await;
    for (payload, age_secs, expiry_secs) in [("expired", 10, 5), ("alive", 10, 100)] {
        let now_ms = model::Clock::now_ms(&model::SystemClock);
        let properties = model::PublishProperties { message_expiry_secs: Some(expiry_secs), ..Default::default() };
        let message = model::Message {
            id: model::MessageId::next(now_ms),
            topic: "t".into(),
            payload: payload.into(),
            qos: Qos::AtMostOnce,
            retain: false,
            dup: false,
            publisher: None,
            properties: Some(Box::new(properties)),
            received_at_ms: now_ms - age_secs * 1000,
            origin: model::Origin::Api,
        };
        assert_eq!(model::ports::Publish::publish(&handle, message).await, Ok(1));
    }
    let (mut client, _) = Client::persistent(&handle, "c", Version::V5).await;
    let got = client.recv_publish().await;
    assert_eq!(text(&got), "alive");
    assert!(matches!(got.header.properties.0[..], [Property::MessageExpiryInterval(85..=90)]), "[MQTT-3.3.2-6]");
    client.expect_silence().await;
}
