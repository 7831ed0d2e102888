//! Metrics and stats by the manual's names (§4.17.3, §4.17.4), read from `/metrics`' own source.

use std::collections::BTreeMap;

use broker::codec::{Packet, Puback, Pubrel, Reason, Version};
use broker::{Handle, Metric};
use model::Qos;
use model::ports::Metrics as _;

use crate::client::{Client, start, until};

fn samples(handle: &Handle) -> BTreeMap<&'static str, u64> {
    let mut out = Vec::new();
    handle.collect(&mut out);
    out.iter().filter(|sample| sample.labels.is_empty()).map(|sample| (sample.name, sample.value as u64)).collect()
}

#[tokio::test]
async fn manual_4_17_4_every_packet_is_counted_once_by_its_kind() {
    let handle = start();
    let mut client = Client::new(&handle, "a", Version::V5).await;
    client.subscribe("t", Qos::ExactlyOnce).await;
    client.publish("t", "12345", Qos::AtLeastOnce, 1).await;
    let (mut acked, mut delivered) = (false, None);
    while !acked || delivered.is_none() {
        match client.recv().await {
            Packet::Puback(_) => acked = true,
            Packet::Publish(publish) => delivered = Some(publish.header.packet_id),
            other => panic!("{other:?}"),
        }
    }
    client.send(&Packet::Puback(Puback::new(delivered.unwrap(), Reason::SUCCESS))).await;
    client.send(&Packet::Puback(Puback::new(99, Reason::SUCCESS))).await;
    client.send(&Packet::Pubrel(Pubrel::new(98, Reason::SUCCESS))).await;
    assert!(matches!(client.recv().await, Packet::Pubcomp(_)));
    client.expect_silence().await;
    let totals = handle.counters().totals();
    for (metric, count) in [
        (Metric::PacketsConnect, 1),
        (Metric::PacketsConnack, 1),
        (Metric::PacketsSubscribe, 1),
        (Metric::PacketsSuback, 1),
        (Metric::PacketsPublishReceived, 1),
        (Metric::PacketsPublishSent, 1),
        (Metric::MessagesQos1Received, 1),
        (Metric::MessagesQos1Sent, 1),
        (Metric::MessagesBytesReceived, 5),
        (Metric::MessagesBytesSent, 5),
        (Metric::PacketsPubackReceived, 2),
        (Metric::PacketsPubackMissed, 1),
        (Metric::PacketsPubackSent, 1),
        (Metric::PacketsPubrelMissed, 1),
        (Metric::PacketsPubcompSent, 1),
        (Metric::PacketsPingreq, 1),
        (Metric::PacketsPingresp, 1),
        (Metric::PacketsReceived, 7),
        (Metric::PacketsSent, 6),
        (Metric::MessagesDropped, 0),
        (Metric::ClientConnected, 1),
        (Metric::SessionCreated, 1),
    ] {
        assert_eq!(totals.get(metric), count, "{}", metric.name());
    }
    let shown = samples(&handle);
    assert_eq!(shown["broker_packets_puback_missed_total"], 1, "/metrics prints from the same list");
}

#[tokio::test]
async fn manual_4_17_3_stats_follow_and_keep_their_maximum() {
    let handle = start();
    let mut first = Client::new(&handle, "a", Version::V5).await;
    first.subscribe("x/+", Qos::AtMostOnce).await;
    first.subscribe("x/+", Qos::AtLeastOnce).await;
    first.subscribe("$share/g/x/+", Qos::AtMostOnce).await;
    first.subscribe("y", Qos::AtMostOnce).await;
    let (second, _) = Client::persistent(&handle, "b", Version::V5).await;
    let stats = |names: &[(&'static str, u64)]| {
        let shown = samples(&handle);
        for (name, value) in names {
            assert_eq!(shown[name], *value, "{name}");
        }
    };
    stats(&[
        ("broker_connections_count", 2),
        ("broker_sessions_count", 2),
        ("broker_sessions_persistent_count", 1),
        ("broker_subscriptions_count", 3),
        ("broker_subscriptions_shared_count", 1),
        ("broker_topics_count", 2),
        ("broker_routes_count", 2),
    ]);
    drop((first, second));
    until("both are gone", || samples(&handle)["broker_connections_count"] == 0).await;
    until("the clean session has ended", || samples(&handle)["broker_sessions_count"] == 1).await;
    stats(&[
        ("broker_connections_max", 2),
        ("broker_sessions_max", 2),
        ("broker_sessions_persistent_count", 1),
        ("broker_subscriptions_count", 0),
        ("broker_subscriptions_max", 3),
        ("broker_subscriptions_shared_count", 0),
        ("broker_topics_count", 0),
        ("broker_topics_max", 2),
    ]);
    assert!(handle.kick("b"));
    stats(&[("broker_sessions_persistent_count", 0), ("broker_sessions_persistent_max", 1)]);
}
