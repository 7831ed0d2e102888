//! Zones (manual §5.11): a client has the settings of its listener's zone, is told what differs from what MQTT 5 lets it
//! assume, and is refused with the reason for it.

use std::net::SocketAddr;

use broker::codec::{
    Connack, Disconnect, LastWill, Packet, Properties, Property, Puback, Reason, SubscribeOptions, Version,
};
use broker::{Broker, Error, Handle, Listener, Settings, Zone};
use model::Qos;
use tokio::net::TcpStream;

use crate::client::{Client, connect_packet, message, ports, until, zoned};

fn start(zone: Zone) -> Handle {
    Broker::start(zoned(zone), ports()).unwrap()
}

fn narrow() -> Zone {
    Zone {
        qos_max: Qos::AtLeastOnce,
        retain_available: false,
        wildcard_subscriptions: false,
        shared_subscriptions: false,
        server_keepalive_secs: Some(17),
        ..Zone::default()
    }
}

#[tokio::test]
async fn mqtt_3_2_2_9_connack_says_what_the_zone_does_not_have() {
    let handle = start(narrow());
    let (_client, connack) = Client::with(&handle, connect_packet("c", Version::V5)).await;
    for property in [
        Property::MaximumQos(1),
        Property::RetainAvailable(false),
        Property::WildcardSubscriptionAvailable(false),
        Property::SharedSubscriptionAvailable(false),
        Property::ServerKeepAlive(17),
    ] {
        assert!(connack.properties.0.contains(&property), "{property:?} in {connack:?}");
    }
    let (_client, connack) = Client::with(&start(Zone::default()), connect_packet("c", Version::V5)).await;
    let spoken = connack.properties.0.iter().any(|property| {
        matches!(
            property,
            Property::MaximumQos(_)
                | Property::RetainAvailable(_)
                | Property::WildcardSubscriptionAvailable(_)
                | Property::SharedSubscriptionAvailable(_)
                | Property::ServerKeepAlive(_)
        )
    });
    assert!(!spoken, "what is as the client assumes is not said: {connack:?}");
}

#[tokio::test]
async fn mqtt_3_2_2_11_a_publish_above_the_maximum_qos_ends_with_0x9b() {
    let handle = start(narrow());
    let mut client = Client::new(&handle, "c", Version::V5).await;
    client.publish("t", "x", Qos::AtLeastOnce, 1).await;
    assert_eq!(client.recv().await, Packet::Puback(Puback::new(1, Reason::SUCCESS)));
    client.publish("t", "x", Qos::ExactlyOnce, 2).await;
    client.expect_end(Reason::QOS_NOT_SUPPORTED).await;
    let mut older = Client::new(&handle, "older", Version::V3_1_1).await;
    older.publish("t", "x", Qos::ExactlyOnce, 2).await;
    assert_eq!(older.recv_bytes().await, None, "an older client has no word for it");
}

#[tokio::test]
async fn mqtt_3_2_2_12_a_will_the_zone_cannot_keep_is_refused_at_connect() {
    let handle = start(narrow());
    for (qos, retain, reason) in [
        (Qos::ExactlyOnce, false, Reason::QOS_NOT_SUPPORTED),
        (Qos::AtMostOnce, true, Reason::RETAIN_NOT_SUPPORTED),
        (Qos::AtLeastOnce, false, Reason::SUCCESS),
    ] {
        let mut connect = connect_packet("c", Version::V5);
        let (topic, payload) = ("t".to_owned(), "x".into());
        connect.will = Some(LastWill { topic, payload, qos, retain, properties: Properties::default() });
        let (_client, connack) = Client::with(&handle, connect).await;
        assert_eq!(connack.reason, reason);
    }
}

#[tokio::test]
async fn mqtt_3_2_2_14_a_retained_message_ends_with_0x9a() {
    let handle = start(narrow());
    let mut client = Client::new(&handle, "c", Version::V5).await;
    let mut publish = message("t", "x", Qos::AtMostOnce, 0);
    publish.header.retain = true;
    client.send(&Packet::Publish(publish)).await;
    assert_eq!(client.recv().await, Packet::Disconnect(Disconnect::new(Reason::RETAIN_NOT_SUPPORTED)));
    assert_eq!(handle.retained_count(), 0);
}

#[tokio::test]
async fn subscriptions_the_zone_does_not_have_are_refused_with_their_reason() {
    let handle = start(narrow());
    let mut client = Client::new(&handle, "c", Version::V5).await;
    let mut older = Client::new(&handle, "older", Version::V3_1_1).await;
    let options = SubscribeOptions::of_qos(Qos::ExactlyOnce);
    for (filter, reason) in [
        ("a/+", Reason::WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED),
        ("#", Reason::WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED),
        ("$share/g/a", Reason::SHARED_SUBSCRIPTIONS_NOT_SUPPORTED),
        ("a", Reason::GRANTED_QOS_1),
    ] {
        assert_eq!(client.try_subscribe(filter, options, None).await, reason, "{filter}");
        let told_v3 = if reason.is_error() { Reason::UNSPECIFIED_ERROR } else { reason };
        assert_eq!(older.try_subscribe(filter, options, None).await, told_v3, "{filter}");
    }
    assert_eq!(handle.subscriptions_of("c").len(), 1, "what is refused is not there");
    assert_eq!(handle.subscriptions_of("c")[0].qos, Qos::AtLeastOnce, "[MQTT-3.8.4-8] granted what the zone has");
}

#[tokio::test]
async fn server_keepalive_is_for_clients_that_can_be_told() {
    let handle = start(narrow());
    let _v5 = Client::new(&handle, "v5", Version::V5).await;
    let _v3 = Client::new(&handle, "v3", Version::V3_1_1).await;
    assert_eq!(handle.client("v5").unwrap().info.keepalive_secs, 17);
    assert_eq!(handle.client("v3").unwrap().info.keepalive_secs, 60, "it asked for 60 and knows of nothing else");
}

#[tokio::test]
async fn keepalive_backoff_says_when_a_silent_client_is_gone() {
    let handle = start(Zone { keepalive_backoff: 0.5, ..Zone::default() });
    let mut connect = connect_packet("c", Version::V5);
    connect.keepalive_secs = 1;
    let (mut client, _) = Client::with(&handle, connect).await;
    let started = tokio::time::Instant::now();
    client.expect_end(Reason::KEEP_ALIVE_TIMEOUT).await;
    assert!(started.elapsed() < std::time::Duration::from_millis(1450), "after 1 s, not after one and a half");
}

fn two_zones() -> Settings {
    let listener = |name: &str, zone: Option<&str>| Listener {
        zone: zone.map(str::to_owned),
        ..Listener::new(name, SocketAddr::from(([127, 0, 0, 1], 0)))
    };
    Settings {
        listeners: vec![listener("outside", Some("narrow")), listener("inside", None)],
        zone: Zone { queue_messages_max: 5, ..Zone::default() },
        zones: vec![Zone { name: "narrow".to_owned(), queue_messages_max: 2, ..narrow() }],
        ..Settings::default()
    }
}

async fn connect_to(handle: &Handle, listener: usize, client_id: &str) -> (Client, Connack) {
    let socket = TcpStream::connect(handle.local_addrs()[listener].1).await.unwrap();
    let mut client = Client::over(socket, Version::V5);
    let mut connect = connect_packet(client_id, Version::V5);
    connect.clean_start = false;
    connect.properties.0.push(Property::SessionExpiryInterval(60));
    client.send(&Packet::Connect(Box::new(connect))).await;
    match client.recv().await {
        Packet::Connack(connack) => (client, connack),
        other => panic!("expected CONNACK, got {other:?}"),
    }
}

#[tokio::test]
async fn each_listener_has_its_zone_and_a_session_keeps_the_one_it_was_last_in() {
    let handle = Broker::start(two_zones(), ports()).unwrap();
    let (mut publisher, _) = connect_to(&handle, 1, "publisher").await;
    for (listener, waiting, kept) in [(0, 0, 2), (1, 2, 5)] {
        let (mut client, connack) = connect_to(&handle, listener, "c").await;
        assert_eq!(connack.properties.0.contains(&Property::MaximumQos(1)), listener == 0);
        for id in 1..=waiting {
            client.recv_publish().await;
            client.send(&Packet::Puback(Puback::new(id, Reason::SUCCESS))).await;
        }
        client.subscribe("t", Qos::AtLeastOnce).await;
        drop(client);
        until("disconnected", || !handle.client("c").unwrap().is_connected).await;
        for id in 1..=9 {
            publisher.publish("t", "x", Qos::AtLeastOnce, id).await;
            publisher.recv().await;
        }
        assert_eq!(handle.client("c").unwrap().queue_message_count, kept);
    }
}

#[tokio::test]
async fn a_session_that_comes_back_through_a_narrower_zone_loses_what_that_zone_does_not_have() {
    let handle = Broker::start(two_zones(), ports()).unwrap();
    let (mut client, _) = connect_to(&handle, 1, "c").await;
    client.subscribe("a/#", Qos::AtLeastOnce).await;
    client.subscribe("a", Qos::AtLeastOnce).await;
    drop(client);
    until("disconnected", || !handle.client("c").unwrap().is_connected).await;
    let (_client, connack) = connect_to(&handle, 0, "c").await;
    assert!(connack.session_present);
    let left: Vec<_> = handle.subscriptions_of("c").into_iter().map(|one| one.filter.to_string()).collect();
    assert_eq!(left, ["a"]);
}

#[tokio::test]
async fn a_listener_in_an_unknown_zone_and_two_zones_of_one_name_stop_the_start() {
    let mut unknown = two_zones();
    unknown.listeners[0].zone = Some("nowhere".to_owned());
    assert!(matches!(Broker::start(unknown, ports()), Err(Error::UnknownZone { zone, .. }) if zone == "nowhere"));
    let mut twice = two_zones();
    twice.zones.push(narrow());
    assert!(matches!(Broker::start(twice, ports()), Err(Error::Setting { name: "name", .. })));
    for (name, zone) in [
        ("receive_maximum", Zone { receive_maximum: 0, ..Zone::default() }),
        ("keepalive_backoff", Zone { keepalive_backoff: f64::NAN, ..Zone::default() }),
        ("subscribe_refused_code", Zone { subscribe_refused_code: 2, ..Zone::default() }),
    ] {
        assert!(
            matches!(Broker::start(zoned(zone), ports()), Err(Error::Setting { name: wrong, .. }) if wrong == name)
        );
    }
}
