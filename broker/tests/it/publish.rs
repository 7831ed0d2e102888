//! PUBLISH in every QoS, both ways, with everything that travels along.

use broker::codec::{Packet, Properties, Property, Puback, Pubcomp, Pubrec, Pubrel, Reason, SubscribeOptions, Version};
use broker::{Broker, Dropped, Zone};
use model::Qos;

use crate::client::{Client, PATIENCE, message, ports, start, text, zoned};

const QOS: [Qos; 3] = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce];

#[tokio::test]
async fn every_version_reaches_every_version_in_every_qos() {
    let handle = start();
    let versions = [Version::V3_1, Version::V3_1_1, Version::V5];
    for from in versions {
        for to in versions {
            let mut publisher = Client::new(&handle, "publisher", from).await;
            let mut subscriber = Client::new(&handle, "subscriber", to).await;
            subscriber.subscribe("t/+", Qos::ExactlyOnce).await;
            for qos in QOS {
                publisher.publish("t/x", "hello", qos, 5).await;
                match qos {
                    Qos::AtMostOnce => {}
                    Qos::AtLeastOnce => {
                        assert_eq!(publisher.recv().await, Packet::Puback(Puback::new(5, Reason::SUCCESS)))
                    }
                    Qos::ExactlyOnce => {
                        assert_eq!(publisher.recv().await, Packet::Pubrec(Pubrec::new(5, Reason::SUCCESS)));
                        publisher.send(&Packet::Pubrel(Pubrel::new(5, Reason::SUCCESS))).await;
                        assert_eq!(publisher.recv().await, Packet::Pubcomp(Pubcomp::new(5, Reason::SUCCESS)));
                    }
                }
                let got = subscriber.recv_publish().await;
                assert_eq!((got.header.qos, text(&got), got.header.retain), (qos, "hello", false));
                let id = got.header.packet_id;
                match qos {
                    Qos::AtMostOnce => {}
                    Qos::AtLeastOnce => subscriber.send(&Packet::Puback(Puback::new(id, Reason::SUCCESS))).await,
                    Qos::ExactlyOnce => {
                        subscriber.send(&Packet::Pubrec(Pubrec::new(id, Reason::SUCCESS))).await;
                        assert_eq!(subscriber.recv().await, Packet::Pubrel(Pubrel::new(id, Reason::SUCCESS)));
                        subscriber.send(&Packet::Pubcomp(Pubcomp::new(id, Reason::SUCCESS))).await;
                    }
                }
            }
            subscriber.expect_silence().await;
            assert_eq!(handle.client("subscriber").unwrap().inflight_count, 0);
        }
    }
}

#[tokio::test]
async fn mqtt_4_3_3_10_a_repeated_qos_2_publish_is_acknowledged_and_not_published_again() {
    let handle = start();
    let mut subscriber = Client::new(&handle, "s", Version::V5).await;
    subscriber.subscribe("t", Qos::AtMostOnce).await;
    let mut publisher = Client::new(&handle, "p", Version::V5).await;
    for dup in [false, true, true] {
        let mut publish = message("t", "once", Qos::ExactlyOnce, 9);
        publish.header.dup = dup;
        publisher.send(&Packet::Publish(publish)).await;
        assert_eq!(publisher.recv().await, Packet::Pubrec(Pubrec::new(9, Reason::SUCCESS)));
    }
    assert_eq!(text(&subscriber.recv_publish().await), "once");
    subscriber.expect_silence().await;
}

#[tokio::test]
async fn the_properties_of_a_publish_travel_and_the_rest_stays() {
    let handle = start();
    let mut client = Client::new(&handle, "c", Version::V5).await;
    client.subscribe_with("t", SubscribeOptions::of_qos(Qos::AtMostOnce), Some(300)).await;
    let travelling = vec![
        Property::PayloadFormatIndicator(true),
        Property::MessageExpiryInterval(100),
        Property::ContentType("text/plain".into()),
        Property::ResponseTopic("answers".into()),
        Property::CorrelationData(vec![0, 255].into()),
        Property::UserProperty("b".into(), "1".into()),
        Property::UserProperty("a".into(), "2\n".into()),
        Property::UserProperty("b".into(), "3".into()),
    ];
    let mut publish = message("t", "x", Qos::AtMostOnce, 0);
    publish.header.properties = Properties([travelling.clone(), vec![Property::TopicAlias(3)]].concat());
    client.send(&Packet::Publish(publish)).await;
    let mut expected = travelling;
    expected.push(Property::SubscriptionIdentifier(300));
    assert_eq!(client.recv_publish().await.header.properties.0, expected);
}

#[tokio::test]
async fn topic_aliases_stand_for_the_topic_they_were_set_to() {
    let handle = start();
    let mut client = Client::new(&handle, "c", Version::V5).await;
    client.subscribe("#", Qos::AtMostOnce).await;
    for (topic, expected) in [("first", "first"), ("", "first"), ("second", "second"), ("", "second")] {
        let mut publish = message(topic, "x", Qos::AtMostOnce, 0);
        publish.header.properties = Properties(vec![Property::TopicAlias(10)]);
        client.send(&Packet::Publish(publish)).await;
        assert_eq!(client.recv_publish().await.header.topic, expected);
    }
}

#[tokio::test]
async fn mqtt_3_3_4_7_more_than_receive_maximum_publishes_end_with_0x93() {
    let handle = Broker::start(zoned(Zone { receive_maximum: 3, ..Zone::default() }), ports()).unwrap();
    let mut client = Client::new(&handle, "c", Version::V5).await;
    for packet_id in 1..=4 {
        client.publish("t", "x", Qos::ExactlyOnce, packet_id).await;
    }
    for packet_id in 1..=3 {
        assert_eq!(client.recv().await, Packet::Pubrec(Pubrec::new(packet_id, Reason::SUCCESS)));
    }
    client.expect_end(Reason::RECEIVE_MAXIMUM_EXCEEDED).await;
}

#[tokio::test]
async fn pubrel_frees_a_place_under_the_receive_maximum() {
    let handle = Broker::start(zoned(Zone { receive_maximum: 1, ..Zone::default() }), ports()).unwrap();
    let mut client = Client::new(&handle, "c", Version::V5).await;
    for packet_id in 1..=5 {
        client.publish("t", "x", Qos::ExactlyOnce, packet_id).await;
        assert_eq!(client.recv().await, Packet::Pubrec(Pubrec::new(packet_id, Reason::SUCCESS)));
        client.send(&Packet::Pubrel(Pubrel::new(packet_id, Reason::SUCCESS))).await;
        assert_eq!(client.recv().await, Packet::Pubcomp(Pubcomp::new(packet_id, Reason::SUCCESS)));
    }
}

#[tokio::test]
async fn clients_may_not_publish_to_topics_of_the_server() {
    let handle = start();
    let mut spy = Client::new(&handle, "spy", Version::V5).await;
    spy.subscribe("$SYS/#", Qos::AtMostOnce).await;
    let mut v5 = Client::new(&handle, "v5", Version::V5).await;
    v5.publish("$SYS/x", "x", Qos::AtLeastOnce, 1).await;
    assert_eq!(v5.recv().await, Packet::Puback(Puback::new(1, Reason::NOT_AUTHORIZED)));
    let mut v3 = Client::new(&handle, "v3", Version::V3_1_1).await;
    v3.publish("$SYS/x", "x", Qos::AtLeastOnce, 1).await;
    assert_eq!(v3.recv().await, Packet::Puback(Puback::new(1, Reason::SUCCESS)), "MQTT-3.3.5-2 of 3.1.1");
    spy.expect_silence().await;
    assert_eq!(handle.counters().dropped_count(Dropped::PublishDenied), 2);
}

#[tokio::test]
async fn a_message_larger_than_the_subscriber_accepts_is_dropped_for_it_alone() {
    let handle = start();
    let mut connect = crate::client::connect_packet("small", Version::V5);
    connect.properties.0.push(Property::MaximumPacketSize(50));
    let (mut small, _) = Client::with(&handle, connect).await;
    small.subscribe("t", Qos::AtLeastOnce).await;
    small.publish("t", &"x".repeat(100), Qos::AtMostOnce, 0).await;
    small.publish("t", &"y".repeat(100), Qos::AtLeastOnce, 1).await;
    assert!(matches!(small.recv().await, Packet::Puback(_)));
    small.publish("t", "fits", Qos::AtMostOnce, 0).await;
    assert_eq!(text(&small.recv_publish().await), "fits");
    assert_eq!(handle.counters().dropped_count(Dropped::TooLarge), 2);
    assert_eq!(handle.client("small").unwrap().inflight_count, 0, "what was not sent is not in flight");
}

#[tokio::test]
async fn a_flood_to_a_subscriber_that_reads_arrives_whole_and_in_order() {
    let handle = start();
    let mut subscriber = Client::new(&handle, "s", Version::V3_1_1).await;
    subscriber.subscribe("t", Qos::AtMostOnce).await;
    let mut publisher = Client::new(&handle, "p", Version::V3_1_1).await;
    let count = 20_000;
    let sending = tokio::spawn(async move {
        let mut bytes = Vec::new();
        for n in 0..count {
            Packet::Publish(message("t", &n.to_string(), Qos::AtMostOnce, 0)).encode(&mut bytes, Version::V3_1_1);
        }
        publisher.send_bytes(&bytes).await;
        publisher
    });
    for n in 0..count {
        let got = tokio::time::timeout(PATIENCE, subscriber.recv_publish()).await.unwrap();
        assert_eq!(text(&got), n.to_string());
    }
    drop(sending.await.unwrap());
}
