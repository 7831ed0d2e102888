//! Sessions and retained messages over the end of the process. A crash is the end of the runtime: every task is dropped
//! where it stands, and what the log and the snapshots have is all there is.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use broker::codec::{
    Connect, Disconnect, LastWill, Packet, Properties, Property, Puback, Pubcomp, Pubrec, Pubrel, Reason, Version,
};
use broker::{Broker, Dropped, Handle, Ports, RetainedStorage, Settings, Storage};
use model::{Clock, Qos, SystemClock};
use store::{Kv, LocalLog, LogSettings};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::client::{Client, connect_packet, message, ports, settings, text, until};

/// A clock that is ahead of the system's.
struct Ahead(i64);

impl Clock for Ahead {
    fn now_ns(&self) -> i64 {
        SystemClock.now_ns() + self.0 * 1_000_000_000
    }

    fn instant(&self) -> Instant {
        SystemClock.instant()
    }
}

/// The broker's lives over one folder.
struct Lives {
    dir: TempDir,
    settings: Settings,
    ahead_secs: i64,
}

impl Lives {
    fn new(settings: Settings) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), settings, ahead_secs: 0 }
    }

    /// One life. It ends as `kill -9` would end it.
    fn live<F: Future<Output = T>, T>(&self, life: impl FnOnce(Handle, LocalLog) -> F) -> T {
        let runtime = Runtime::new().unwrap();
        let result = runtime.block_on(async {
            let (handle, log) = self.start().await;
            life(handle, log).await
        });
        // Everything is dropped: connections, the writer, the log. Nothing says goodbye.
        drop(runtime);
        result
    }

    async fn start(&self) -> (Handle, LocalLog) {
        let log = LocalLog::open(self.path().join("log"), LogSettings::default()).await.unwrap();
        let kv = Kv::open(self.path().join("sessions.kv")).await.unwrap();
        let storage = Storage { log: Arc::new(log.clone()), kv };
        let ports = Ports { clock: Arc::new(Ahead(self.ahead_secs)), ..ports() };
        (Broker::start_durable(self.settings.clone(), ports, storage).await.unwrap(), log)
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }
}

fn persistent(client_id: &str, expiry_secs: u32) -> Connect {
    let mut connect = connect_packet(client_id, Version::V5);
    connect.clean_start = false;
    connect.properties.0.push(Property::SessionExpiryInterval(expiry_secs));
    connect
}

async fn resume(handle: &Handle, client_id: &str, present: bool) -> Client {
    let (client, connack) = Client::with(handle, persistent(client_id, 600)).await;
    assert_eq!((connack.reason, connack.session_present), (Reason::SUCCESS, present), "{client_id}");
    client
}

async fn gone(handle: &Handle, client_id: &str) {
    until("the connection is over", || handle.client(client_id).is_none_or(|client| !client.is_connected)).await;
}

/// Publishes at QoS 1 and waits for the PUBACK.
async fn publish(client: &mut Client, topic: &str, payload: &str) -> Reason {
    client.publish(topic, payload, Qos::AtLeastOnce, 1).await;
    match client.recv().await {
        Packet::Puback(puback) => puback.reason,
        other => panic!("expected PUBACK, got {other:?}"),
    }
}

#[test]
fn traffic_that_promises_nothing_makes_no_append() {
    Lives::new(settings()).live(|handle, log| async move {
        let mut durable = resume(&handle, "durable", false).await;
        durable.subscribe("d", Qos::AtLeastOnce).await;
        let mut clean = Client::new(&handle, "clean", Version::V5).await;
        clean.subscribe("c", Qos::ExactlyOnce).await;
        let before = log.metrics().snapshot().appends;
        let mut publisher = resume(&handle, "publisher", false).await;
        let connected = log.metrics().snapshot().appends;
        assert!(connected > before, "a durable session is written down");
        // QoS 0 to a durable subscriber, and to a clean one.
        publisher.publish("d", "0", Qos::AtMostOnce, 0).await;
        assert_eq!(text(&durable.recv_publish().await), "0");
        publisher.publish("c", "0", Qos::AtMostOnce, 0).await;
        assert_eq!(text(&clean.recv_publish().await), "0");
        // QoS 1 and 2 to a clean subscriber, and to nobody.
        for (topic, packet_id) in [("c", 1), ("nobody", 2)] {
            publisher.publish(topic, "1", Qos::AtLeastOnce, packet_id).await;
            assert!(matches!(publisher.recv().await, Packet::Puback(_)));
            publisher.publish(topic, "2", Qos::ExactlyOnce, packet_id).await;
            assert!(matches!(publisher.recv().await, Packet::Pubrec(_)));
            publisher.send(&Packet::Pubrel(Pubrel::new(packet_id, Reason::SUCCESS))).await;
            assert!(matches!(publisher.recv().await, Packet::Pubcomp(_)));
        }
        assert_eq!(log.metrics().snapshot().appends, connected);
        // The counter counts: this one is written down.
        assert_eq!(publish(&mut publisher, "d", "1").await, Reason::SUCCESS);
        assert!(log.metrics().snapshot().appends > connected);
    });
}

#[test]
fn a_crash_keeps_subscriptions_queue_exchanges_and_identifiers() {
    let lives = Lives::new(settings());
    let ids = lives.live(|handle, _| async move {
        let mut client = resume(&handle, "c", false).await;
        client.subscribe("t/#", Qos::ExactlyOnce).await;
        let mut publisher = resume(&handle, "p", false).await;
        assert_eq!(publish(&mut publisher, "t/1", "one").await, Reason::SUCCESS);
        for (n, payload) in [(2, "two"), (3, "three")] {
            publisher.publish("t/2", payload, Qos::ExactlyOnce, n).await;
            assert_eq!(publisher.recv().await, Packet::Pubrec(Pubrec::new(n, Reason::SUCCESS)));
        }
        // The publisher gets one exchange to its end, the other stays open.
        publisher.send(&Packet::Pubrel(Pubrel::new(2, Reason::SUCCESS))).await;
        assert_eq!(publisher.recv().await, Packet::Pubcomp(Pubcomp::new(2, Reason::SUCCESS)));
        let mut ids = Vec::new();
        for _ in 0..3 {
            let got = client.recv_publish().await;
            assert!(!got.header.dup);
            ids.push(got.header.packet_id);
        }
        // The third gets as far as PUBREL, which is the proof that its PUBREC is in the log.
        client.send(&Packet::Pubrec(Pubrec::new(ids[2], Reason::SUCCESS))).await;
        assert_eq!(client.recv().await, Packet::Pubrel(Pubrel::new(ids[2], Reason::SUCCESS)));
        ids
    });
    lives.live(|handle, _| async move {
        let mut publisher = resume(&handle, "p", true).await;
        // The open identifier is a duplicate, the one that was released is free.
        for (n, payload) in [(3, "three"), (2, "four")] {
            let mut publish = message("t/2", payload, Qos::ExactlyOnce, n);
            publish.header.dup = n == 3;
            publisher.send(&Packet::Publish(publish)).await;
            assert_eq!(publisher.recv().await, Packet::Pubrec(Pubrec::new(n, Reason::SUCCESS)));
        }
        assert_eq!(handle.subscriptions_of("c").len(), 1);
        let mut client = resume(&handle, "c", true).await;
        for (n, expected) in ["one", "two"].iter().enumerate() {
            let got = client.recv_publish().await;
            assert_eq!((text(&got), got.header.packet_id, got.header.dup), (*expected, ids[n], true));
        }
        assert_eq!(client.recv().await, Packet::Pubrel(Pubrel::new(ids[2], Reason::SUCCESS)));
        let four = client.recv_publish().await;
        assert_eq!((text(&four), four.header.dup), ("four", false));
        client.send(&Packet::Puback(Puback::new(ids[0], Reason::SUCCESS))).await;
        for id in [ids[1], four.header.packet_id] {
            client.send(&Packet::Pubrec(Pubrec::new(id, Reason::SUCCESS))).await;
            assert_eq!(client.recv().await, Packet::Pubrel(Pubrel::new(id, Reason::SUCCESS)));
        }
        for id in [ids[1], ids[2], four.header.packet_id] {
            client.send(&Packet::Pubcomp(Pubcomp::new(id, Reason::SUCCESS))).await;
        }
        until("nothing is in flight", || handle.client("c").unwrap().inflight_count == 0).await;
        handle.stop(Duration::from_secs(5)).await;
    });
    lives.live(|handle, log| async move {
        assert_eq!(log.metrics().snapshot().torn_tails, 0);
        let mut client = resume(&handle, "c", true).await;
        client.expect_silence().await;
        // A discarded session does not come back either.
        drop(Client::new(&handle, "c", Version::V5).await);
        gone(&handle, "c").await;
    });
    lives.live(|handle, _| async move { drop(resume(&handle, "c", false).await) });
}

#[test]
fn a_message_for_many_sessions_is_written_once() {
    let lives = Lives::new(settings());
    lives.live(|handle, log| async move {
        let mut clients = Vec::new();
        for n in 0..20 {
            let mut client = resume(&handle, &format!("c{n}"), false).await;
            client.subscribe("t", Qos::AtLeastOnce).await;
            clients.push(client);
        }
        let mut publisher = Client::new(&handle, "p", Version::V5).await;
        let before = log.metrics().snapshot().append_bytes;
        publisher.publish("t", &"x".repeat(10_000), Qos::AtLeastOnce, 1).await;
        assert!(matches!(publisher.recv().await, Packet::Puback(_)));
        let written = log.metrics().snapshot().append_bytes - before;
        assert!((10_000..12_000).contains(&written), "{written} bytes for one message to 20 sessions");
    });
    lives.live(|handle, _| async move {
        for n in 0..20 {
            let mut client = resume(&handle, &format!("c{n}"), true).await;
            assert_eq!(client.recv_publish().await.payload.len(), 10_000);
        }
    });
}

fn with_will(client_id: &str, delay_secs: u32, expiry_secs: u32) -> Connect {
    let mut connect = persistent(client_id, expiry_secs);
    let properties = Properties(vec![Property::WillDelayInterval(delay_secs)]);
    let (topic, payload) = ("will".to_owned(), client_id.to_owned().into());
    connect.will = Some(LastWill { qos: Qos::AtLeastOnce, retain: false, properties, topic, payload });
    connect
}

#[test]
fn wills_and_expiries_that_became_due_while_the_broker_was_down_happen_at_its_start() {
    let mut lives = Lives::new(settings());
    lives.live(|handle, _| async move {
        let mut watcher = Client::with(&handle, persistent("watcher", 100_000)).await.0;
        watcher.subscribe("will", Qos::AtLeastOnce).await;
        let mut lasting = Client::with(&handle, persistent("lasting", 100_000)).await.0;
        lasting.subscribe("t", Qos::AtLeastOnce).await;
        drop(Client::with(&handle, persistent("short", 60)).await);
        gone(&handle, "short").await;
        drop(Client::with(&handle, with_will("due", 60, 100_000)).await);
        gone(&handle, "due").await;
        drop(Client::with(&handle, with_will("not due", 90_000, 100_000)).await);
        gone(&handle, "not due").await;
        // One is connected when the broker dies, another took its leave.
        let connected = Client::with(&handle, with_will("connected", 0, 100_000)).await;
        let mut proper = Client::with(&handle, with_will("proper", 60, 100_000)).await.0;
        proper.send(&Packet::Disconnect(Disconnect::new(Reason::SUCCESS))).await;
        gone(&handle, "proper").await;
        // A durable append behind all that: what was handed in before is in the log.
        lasting.subscribe("t", Qos::ExactlyOnce).await;
        drop(connected);
    });
    lives.ahead_secs = 3_600;
    lives.live(|handle, _| async move {
        until("the short session has expired", || handle.client("short").is_none()).await;
        for client_id in ["due", "not due", "connected", "proper", "lasting"] {
            assert!(handle.client(client_id).is_some(), "{client_id} goes on");
        }
        let mut watcher = Client::with(&handle, persistent("watcher", 100_000)).await.0;
        let mut wills = Vec::new();
        for _ in 0..2 {
            let got = watcher.recv_publish().await;
            watcher.send(&Packet::Puback(Puback::new(got.header.packet_id, Reason::SUCCESS))).await;
            wills.push(text(&got).to_owned());
        }
        wills.sort_unstable();
        assert_eq!(wills, ["connected", "due"]);
        watcher.expect_silence().await;
        handle.stop(Duration::from_secs(5)).await;
    });
    lives.ahead_secs = 200_000;
    lives.live(|handle, _| async move {
        until("every session has expired", || handle.session_count() == 0).await;
    });
}

#[test]
fn at_the_bound_of_the_log_only_what_is_durable_is_refused() {
    let lives = Lives::new(Settings { log_bytes_max: 4_000, snapshot_bytes: u64::MAX, ..settings() });
    lives.live(|handle, _| async move {
        let mut durable = resume(&handle, "durable", false).await;
        durable.subscribe("d", Qos::AtLeastOnce).await;
        let mut clean = Client::new(&handle, "clean", Version::V5).await;
        clean.subscribe("c", Qos::AtLeastOnce).await;
        let mut v5 = Client::new(&handle, "v5", Version::V5).await;
        let mut taken = 0;
        while publish(&mut v5, "d", &"x".repeat(500)).await == Reason::SUCCESS {
            taken += 1;
            assert!(taken < 100, "the bound is never reached");
        }
        assert!(taken > 2);
        assert_eq!(publish(&mut v5, "d", "x").await, Reason::QUOTA_EXCEEDED);
        v5.publish("d", "x", Qos::ExactlyOnce, 9).await;
        assert_eq!(v5.recv().await, Packet::Pubrec(Pubrec::new(9, Reason::QUOTA_EXCEEDED)));
        let mut v3 = Client::new(&handle, "v3", Version::V3_1_1).await;
        v3.publish("d", "x", Qos::AtLeastOnce, 1).await;
        assert_eq!(v3.recv_bytes().await, None, "an older client is closed without acknowledgement");
        assert_eq!(handle.counters().dropped_count(Dropped::LogFull), 4);
        // New durable sessions and subscriptions are refused.
        let (_, connack) = Client::with(&handle, persistent("new", 60)).await;
        assert_eq!(connack.reason, Reason::QUOTA_EXCEEDED);
        assert!(handle.client("new").is_none());
        // Everything else goes on: other receivers, QoS 0, draining the queue.
        assert_eq!(publish(&mut v5, "c", "goes on").await, Reason::SUCCESS);
        assert_eq!(text(&clean.recv_publish().await), "goes on");
        for _ in 0..taken {
            let got = durable.recv_publish().await;
            durable.send(&Packet::Puback(Puback::new(got.header.packet_id, Reason::SUCCESS))).await;
        }
        v5.publish("d", "qos 0", Qos::AtMostOnce, 0).await;
        assert_eq!(text(&durable.recv_publish().await), "qos 0");
        assert_eq!(
            durable.try_subscribe("more", broker::codec::SubscribeOptions::of_qos(Qos::AtLeastOnce), None).await,
            Reason::QUOTA_EXCEEDED
        );
        until("the acknowledgements are in the log", || handle.client("durable").unwrap().inflight_count == 0).await;
    });
}

#[test]
fn snapshots_bound_the_log_and_change_nothing() {
    let small = Settings { snapshot_bytes: 3_000, queue_messages_max: 150, ..settings() };
    let lives = Lives::new(small);
    lives.live(|handle, log| async move {
        let mut offline = resume(&handle, "offline", false).await;
        offline.subscribe("t", Qos::AtLeastOnce).await;
        drop(offline);
        gone(&handle, "offline").await;
        let mut publisher = Client::new(&handle, "p", Version::V5).await;
        for n in 0..300 {
            assert_eq!(publish(&mut publisher, "t", &format!("{n:03}")).await, Reason::SUCCESS);
        }
        let low = || async { store::OrderedLog::bounds(&log, store::LogId(1)).await.unwrap().0.0 };
        for _ in 0..1_000 {
            if low().await > 100 {
                break;
            }
            publish(&mut publisher, "nobody", "lets the writer go round").await;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        assert!(low().await > 100, "the log was trimmed");
        assert_eq!(handle.counters().dropped_count(Dropped::QueueFull), 150);
    });
    // The queue drops the same messages when it is replayed.
    lives.live(|handle, _| async move {
        let mut client = resume(&handle, "offline", true).await;
        for n in 150..300 {
            let got = client.recv_publish().await;
            assert_eq!(text(&got), format!("{n:03}"));
            client.send(&Packet::Puback(Puback::new(got.header.packet_id, Reason::SUCCESS))).await;
        }
        client.expect_silence().await;
    });
}

#[test]
fn retained_messages_survive_where_they_are_kept_on_disk() {
    for (storage, survives) in [(RetainedStorage::Disc, true), (RetainedStorage::Ram, false)] {
        let lives = Lives::new(Settings { retained_storage: storage, ..settings() });
        let retain = |topic: &str, payload: &str, qos, packet_id| {
            let mut publish = message(topic, payload, qos, packet_id);
            publish.header.retain = true;
            Packet::Publish(publish)
        };
        lives.live(|handle, _| async move {
            let mut publisher = Client::new(&handle, "p", Version::V5).await;
            publisher.send(&retain("r/0", "zero", Qos::AtMostOnce, 0)).await;
            publisher.send(&retain("r/cleared", "gone", Qos::AtLeastOnce, 1)).await;
            publisher.recv().await;
            publisher.send(&retain("r/cleared", "", Qos::AtLeastOnce, 2)).await;
            publisher.recv().await;
            publisher.send(&retain("r/1", "one", Qos::AtLeastOnce, 3)).await;
            publisher.recv().await;
            assert_eq!(handle.retained_count(), 2);
        });
        // Once from the log, once from the snapshot that a proper stop takes.
        for _ in 0..2 {
            lives.live(|handle, _| async move {
                assert_eq!(handle.retained_count(), if survives { 2 } else { 0 });
                let mut client = resume(&handle, "s", false).await;
                client.subscribe("r/#", Qos::AtLeastOnce).await;
                if survives {
                    let mut got = Vec::new();
                    for _ in 0..2 {
                        let publish = client.recv_publish().await;
                        assert!(publish.header.retain);
                        got.push(text(&publish).to_owned());
                    }
                    got.sort_unstable();
                    assert_eq!(got, ["one", "zero"]);
                }
                client.expect_silence().await;
                drop(client);
                drop(Client::new(&handle, "s", Version::V5).await);
                gone(&handle, "s").await;
                handle.stop(Duration::from_secs(5)).await;
            });
        }
    }
}

#[test]
fn without_durable_sessions_everything_is_as_in_memory() {
    let lives = Lives::new(Settings { durable_sessions: false, retained_storage: RetainedStorage::Ram, ..settings() });
    lives.live(|handle, log| async move {
        let mut client = resume(&handle, "c", false).await;
        client.subscribe("t", Qos::AtLeastOnce).await;
        drop(client);
        gone(&handle, "c").await;
        let mut publisher = Client::new(&handle, "p", Version::V5).await;
        assert_eq!(publish(&mut publisher, "t", "x").await, Reason::SUCCESS);
        let mut client = resume(&handle, "c", true).await;
        assert_eq!(text(&client.recv_publish().await), "x");
        assert_eq!(log.metrics().snapshot().appends, 0);
    });
    lives.live(|handle, _| async move { drop(resume(&handle, "c", false).await) });
}
