//! Delayed publish (manual §15.8), topic rewriting (§5.18.3) and proxy subscriptions (§5.18.2).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use broker::codec::{LastWill, Packet, Properties, Puback, Pubrec, Reason, Unsubscribe, Version};
use broker::{Broker, Dropped, Handle, Metric, Ports, ProxySubscription, RewriteRule, Settings};
use model::ports::{Access, Authorize, Decision};
use model::{ClientInfo, Clock, Qos};

use crate::client::{Client, connect_packet, message, ports, settings, text, until};

/// A clock whose wall time the test moves. Nothing in these tests waits for the monotonic one.
#[derive(Default)]
struct Stepped(AtomicI64);

impl Clock for Stepped {
    fn now_ns(&self) -> i64 {
        self.0.load(Ordering::Relaxed) * 1_000_000_000
    }

    fn instant(&self) -> std::time::Instant {
        std::time::Instant::now()
    }
}

fn start(change: impl FnOnce(&mut Settings)) -> (Handle, Arc<Stepped>) {
    let clock = Arc::new(Stepped(AtomicI64::new(1_000)));
    let mut settings = settings();
    change(&mut settings);
    (Broker::start(settings, Ports { clock: clock.clone(), ..ports() }).unwrap(), clock)
}

fn topics(handle: &Handle) -> Vec<String> {
    handle.delayed(None, 100).iter().map(|message| message.topic.to_string()).collect()
}

#[tokio::test]
async fn manual_15_8_a_message_comes_when_its_seconds_are_over() {
    let (handle, clock) = start(|_| {});
    let mut subscriber = Client::new(&handle, "s", Version::V5).await;
    subscriber.subscribe("#", Qos::AtLeastOnce).await;
    let mut publisher = Client::new(&handle, "p", Version::V5).await;
    for (packet_id, topic) in [(1, "$delayed/30/late"), (2, "$delayed/10/early"), (3, "$delayed/10/early/too")] {
        publisher.publish(topic, topic, Qos::AtLeastOnce, packet_id).await;
        assert_eq!(publisher.recv().await, Packet::Puback(Puback::new(packet_id, Reason::SUCCESS)));
    }
    assert_eq!(topics(&handle), ["early", "early/too", "late"], "in the order they are due");
    let first = &handle.delayed(None, 1)[0];
    assert_eq!((first.due_at_ms, first.received_at_ms, first.publisher.as_deref()), (1_010_000, 1_000_000, Some("p")));
    let rest = handle.delayed(Some((first.due_at_ms, first.id)), 100);
    assert_eq!(rest.iter().map(|message| &*message.topic).collect::<Vec<_>>(), ["early/too", "late"]);
    clock.0.store(1_009, Ordering::Relaxed);
    subscriber.expect_silence().await;
    clock.0.store(1_010, Ordering::Relaxed);
    for expected in ["early", "early/too"] {
        let got = subscriber.recv_publish().await;
        assert_eq!(got.header.topic, expected, "the effective topic");
    }
    assert!(handle.delete_delayed(rest[1].id) && !handle.delete_delayed(rest[1].id));
    clock.0.store(9_999, Ordering::Relaxed);
    publisher.publish("$delayed/0/now", "x", Qos::AtMostOnce, 0).await;
    assert_eq!(subscriber.recv_publish().await.header.topic, "now", "and not the deleted one");
    assert_eq!((handle.counters().get(Metric::MessagesDelayed), topics(&handle).len()), (4, 0));
}

#[tokio::test]
async fn manual_15_8_a_wrong_delay_is_refused_with_0x90() {
    let (handle, _) = start(|_| {});
    let mut client = Client::new(&handle, "c", Version::V5).await;
    for topic in ["$delayed/x/t", "$delayed/4294968/t", "$delayed/5", "$delayed//t", "$delayed/-1/t"] {
        client.publish(topic, "x", Qos::AtLeastOnce, 1).await;
        assert_eq!(client.recv().await, Packet::Puback(Puback::new(1, Reason::TOPIC_NAME_INVALID)), "{topic}");
        client.publish(topic, "x", Qos::ExactlyOnce, 2).await;
        assert_eq!(client.recv().await, Packet::Pubrec(Pubrec::new(2, Reason::TOPIC_NAME_INVALID)), "{topic}");
        client.publish(topic, "x", Qos::AtMostOnce, 0).await;
    }
    client.publish("$delayed/1/$SYS/x", "x", Qos::AtLeastOnce, 3).await;
    assert_eq!(client.recv().await, Packet::Puback(Puback::new(3, Reason::NOT_AUTHORIZED)), "no way around `$`");
    let mut old = Client::new(&handle, "old", Version::V3_1_1).await;
    old.publish("$delayed/x/t", "x", Qos::AtLeastOnce, 1).await;
    assert_eq!(old.recv().await, Packet::Puback(Puback::new(1, Reason::SUCCESS)), "MQTT 3 has no word for it");
    assert_eq!((handle.counters().dropped_count(Dropped::TopicInvalid), topics(&handle).len()), (16, 0));
}

#[tokio::test]
async fn delayed_messages_are_bounded_in_count_and_bytes_and_can_be_turned_off() {
    for (name, change) in [
        ("count", (|settings| settings.delayed_messages_max = 2) as fn(&mut Settings)),
        ("bytes", |settings| settings.delayed_bytes_max = 10),
    ] {
        let (handle, _) = start(change);
        let mut client = Client::new(&handle, "c", Version::V5).await;
        for (packet_id, reason) in [(1, Reason::SUCCESS), (2, Reason::SUCCESS), (3, Reason::QUOTA_EXCEEDED)] {
            client.publish("$delayed/60/t", "1234", Qos::AtLeastOnce, packet_id).await;
            assert_eq!(client.recv().await, Packet::Puback(Puback::new(packet_id, reason)), "{name}");
        }
        let mut old = Client::new(&handle, "old", Version::V3_1_1).await;
        old.publish("$delayed/60/t", "1234", Qos::AtLeastOnce, 1).await;
        old.expect_end(Reason::QUOTA_EXCEEDED).await;
        assert_eq!(handle.counters().dropped_count(Dropped::DelayedFull), 2, "{name}");
        let first = handle.delayed(None, 1)[0].id;
        assert!(handle.delete_delayed(first));
        client.publish("$delayed/60/t", "1234", Qos::AtLeastOnce, 4).await;
        assert_eq!(client.recv().await, Packet::Puback(Puback::new(4, Reason::SUCCESS)), "{name}: room again");
    }
    let (handle, _) = start(|settings| settings.delayed_messages_max = 0);
    let mut client = Client::new(&handle, "c", Version::V5).await;
    client.publish("$delayed/1/t", "x", Qos::AtLeastOnce, 1).await;
    assert_eq!(client.recv().await, Packet::Puback(Puback::new(1, Reason::NOT_AUTHORIZED)));
}

/// Allows what the test allows; `$` topics may not even be asked about.
struct Rules {
    publish: AtomicBool,
}

impl Authorize for Rules {
    fn authorize(&self, _: &ClientInfo, access: Access, topic: &str) -> Decision {
        assert!(!topic.starts_with('$'), "asked for {topic}, not for what it is about");
        let denied = match access {
            Access::Publish => topic == "never" || !self.publish.load(Ordering::Relaxed),
            Access::Subscribe => topic.starts_with("secret") || topic.starts_with("c/"),
            Access::Receive => false,
        };
        if denied { Decision::Deny } else { Decision::Allow }
    }
}

#[tokio::test]
async fn the_right_to_the_effective_topic_is_asked_for_when_a_message_comes_and_when_it_is_due() {
    let rules = Arc::new(Rules { publish: AtomicBool::new(true) });
    let clock = Arc::new(Stepped(AtomicI64::new(1_000)));
    let handle =
        Broker::start(settings(), Ports { clock: clock.clone(), authorize: rules.clone(), ..ports() }).unwrap();
    let mut subscriber = Client::new(&handle, "s", Version::V5).await;
    subscriber.subscribe("#", Qos::AtMostOnce).await;
    let mut client = Client::new(&handle, "p", Version::V5).await;
    client.publish("$delayed/5/never", "x", Qos::AtLeastOnce, 1).await;
    assert_eq!(client.recv().await, Packet::Puback(Puback::new(1, Reason::NOT_AUTHORIZED)));
    client.publish("$delayed/5/t", "x", Qos::AtLeastOnce, 1).await;
    assert_eq!(client.recv().await, Packet::Puback(Puback::new(1, Reason::SUCCESS)));
    rules.publish.store(false, Ordering::Relaxed);
    clock.0.store(2_000, Ordering::Relaxed);
    until("the right is gone", || handle.counters().dropped_count(Dropped::PublishDenied) == 2).await;
    subscriber.expect_silence().await;
}

#[tokio::test]
async fn a_will_can_be_delayed_and_is_authorized_for_its_effective_topic() {
    let (handle, clock) = start(|settings| {
        settings.rewrite_publish =
            vec![RewriteRule { filter: "in/#".into(), expression: "^in/(.*)$".into(), target: "out/%c/$1".into() }];
    });
    let will = |topic: &str| LastWill {
        topic: topic.to_owned(),
        payload: "gone".into(),
        qos: Qos::AtMostOnce,
        retain: false,
        properties: Properties::default(),
    };
    let mut subscriber = Client::new(&handle, "s", Version::V5).await;
    subscriber.subscribe("out/#", Qos::AtMostOnce).await;
    let mut connect = connect_packet("w", Version::V5);
    connect.will = Some(will("$delayed/20/in/1"));
    let (client, _) = Client::with(&handle, connect.clone()).await;
    drop(client);
    until("the will waits", || topics(&handle) == ["out/w/1"]).await;
    clock.0.store(1_020, Ordering::Relaxed);
    assert_eq!(text(&subscriber.recv_publish().await), "gone");
    for (topic, reason) in
        [("$delayed/x/in/1", Reason::TOPIC_NAME_INVALID), ("$delayed/1/$SYS/x", Reason::NOT_AUTHORIZED)]
    {
        connect.will = Some(will(topic));
        let (_, connack) = Client::with(&handle, connect.clone()).await;
        assert_eq!(connack.reason, reason, "{topic}");
    }
}

#[tokio::test]
async fn the_servers_own_messages_can_be_delayed_too() {
    let (handle, clock) = start(|settings| settings.delayed_messages_max = 1);
    let mut subscriber = Client::new(&handle, "s", Version::V5).await;
    subscriber.subscribe("t", Qos::AtMostOnce).await;
    let own = |topic: &str| model::Message {
        id: model::MessageId::next(1),
        topic: topic.into(),
        payload: "x".into(),
        qos: Qos::AtMostOnce,
        retain: false,
        dup: false,
        publisher: None,
        properties: None,
        received_at_ms: 1,
        origin: model::Origin::Api,
    };
    let publish = |topic: &'static str| model::ports::Publish::publish(&handle, own(topic));
    assert_eq!(publish("$delayed/5/t").await, Ok(0));
    assert!(matches!(publish("$delayed/5/t").await, Err(model::ports::PublishError::Refused(_))), "bounded");
    assert!(matches!(publish("$delayed/5").await, Err(model::ports::PublishError::InvalidTopic(_))));
    clock.0.store(1_005, Ordering::Relaxed);
    assert_eq!(text(&subscriber.recv_publish().await), "x");
}

fn rule(line: &str) -> RewriteRule {
    let words: Vec<&str> = line.split(' ').collect();
    RewriteRule { filter: words[0].into(), expression: words[1].into(), target: words[2].into() }
}

#[tokio::test]
async fn manual_5_18_3_both_directions_are_rewritten_before_the_authorizer_is_asked() {
    let rules = Arc::new(Rules { publish: AtomicBool::new(true) });
    let rewriting = Settings {
        rewrite_publish: vec![rule("x/# ^x/y/(.+)$ z/y/$1"), rule("trick ^.*$ never")],
        rewrite_subscribe: vec![rule("y/+/z/# ^y/(.+)/z/(.+)$ y/z/$2"), rule("open/# ^open/(.*)$ secret/$1")],
        ..settings()
    };
    let handle = Broker::start(rewriting, Ports { authorize: rules, ..ports() }).unwrap();
    let mut client = Client::new(&handle, "c1", Version::V5).await;
    client.subscribe("z/y/+", Qos::AtMostOnce).await;
    client.publish("x/y/1", "one", Qos::AtMostOnce, 0).await;
    assert_eq!(client.recv_publish().await.header.topic, "z/y/1");
    client.publish("trick", "x", Qos::AtLeastOnce, 1).await;
    assert_eq!(client.recv().await, Packet::Puback(Puback::new(1, Reason::NOT_AUTHORIZED)));
    for filter in ["y/a/z/b", "$share/g/y/a/z/b"] {
        client.subscribe(filter, Qos::AtMostOnce).await;
    }
    let held = |handle: &Handle| -> Vec<String> {
        handle.subscriptions_of("c1").iter().map(|subscription| subscription.filter.to_string()).collect()
    };
    assert_eq!(held(&handle), ["$share/g/y/z/b", "y/z/b", "z/y/+"]);
    let refused = client.try_subscribe("open/door", broker::codec::SubscribeOptions::of_qos(Qos::AtMostOnce), None);
    assert_eq!(refused.await, Reason::NOT_AUTHORIZED);
    let filters = vec!["y/a/z/b".to_owned(), "$share/g/y/a/z/b".to_owned()];
    client.send(&Packet::Unsubscribe(Unsubscribe { packet_id: 2, properties: Properties::default(), filters })).await;
    client.recv().await;
    assert_eq!(held(&handle), ["z/y/+"], "unsubscribing by the name the client knows");
    let mut retained = message("x/y/kept", "kept", Qos::AtMostOnce, 0);
    retained.header.retain = true;
    client.send(&Packet::Publish(retained)).await;
    client.drain().await;
    let mut other = Client::new(&handle, "c2", Version::V3_1_1).await;
    other.subscribe("z/y/kept", Qos::AtMostOnce).await;
    assert_eq!(text(&other.recv_publish().await), "kept", "retained under what it is about");
}

#[tokio::test]
async fn a_rule_that_is_wrong_or_leads_nowhere() {
    let wrong = Settings { rewrite_publish: vec![rule("a ( b")], ..settings() };
    let error = Broker::start(wrong, ports()).err().expect("refused").to_string();
    assert!(error.starts_with("rewrite_publish, item 1: expression"), "{error}");
    let (handle, _) = start(|settings| {
        settings.rewrite_publish = vec![rule("up ^.*$ dev/%u")];
        settings.rewrite_subscribe = vec![rule("down ^.*$ dev/%c")];
    });
    let mut client = Client::new(&handle, "a+b", Version::V5).await;
    client.publish("up", "x", Qos::AtLeastOnce, 1).await;
    assert_eq!(client.recv().await, Packet::Puback(Puback::new(1, Reason::TOPIC_NAME_INVALID)), "no user name");
    let refused = client.try_subscribe("down", broker::codec::SubscribeOptions::of_qos(Qos::AtMostOnce), None);
    assert_eq!(refused.await, Reason::TOPIC_FILTER_INVALID, "a wildcard in the client identifier");
}

#[tokio::test]
async fn manual_5_18_2_clients_are_subscribed_by_connecting_where_they_may() {
    let proxy = |filter: &str, qos| ProxySubscription { filter: filter.to_owned(), qos };
    let proxies = Settings {
        proxy_subscriptions: vec![
            proxy("$client/%c", Qos::AtMostOnce),
            proxy("user/%u", Qos::AtLeastOnce),
            proxy("secret/%c", Qos::AtMostOnce),
            proxy("$queue/jobs", Qos::AtLeastOnce),
        ],
        ..settings()
    };
    let handle = Broker::start(proxies, Ports { authorize: Arc::new(OnlySecret), ..ports() }).unwrap();
    let mut connect = connect_packet("dev", Version::V5);
    connect.username = Some("ann".to_owned());
    let (mut client, _) = Client::with(&handle, connect).await;
    client.expect_silence().await;
    let held = |client_id| -> Vec<(String, Qos)> {
        let of = handle.subscriptions_of(client_id);
        of.iter().map(|subscription| (subscription.filter.to_string(), subscription.qos)).collect()
    };
    let (zero, one) = (Qos::AtMostOnce, Qos::AtLeastOnce);
    let all = [("$client/dev".to_owned(), zero), ("$queue/jobs".to_owned(), one), ("user/ann".to_owned(), one)];
    assert_eq!(held("dev"), all);
    let mut publisher = Client::new(&handle, "p", Version::V5).await;
    publisher.publish("user/ann", "hello", Qos::AtLeastOnce, 1).await;
    let got = client.recv_publish().await;
    assert_eq!((text(&got), got.header.qos), ("hello", Qos::AtLeastOnce));
    assert_eq!(held("p"), [("$client/p".to_owned(), zero), ("$queue/jobs".to_owned(), one)], "no user name");
    // A client's own subscription to the same filter is not touched when it comes back, and no wildcard gets in.
    let (mut lasting, _) = Client::persistent(&handle, "lasting", Version::V5).await;
    lasting.subscribe("$client/lasting", Qos::ExactlyOnce).await;
    drop(lasting);
    until("gone", || !handle.client("lasting").unwrap().is_connected).await;
    let (_back, present) = Client::persistent(&handle, "lasting", Version::V5).await;
    assert!(present);
    assert_eq!(held("lasting")[0], ("$client/lasting".to_owned(), Qos::ExactlyOnce));
    let mut sly = Client::new(&handle, "#", Version::V5).await;
    sly.expect_silence().await;
    assert_eq!(held("#"), [("$queue/jobs".to_owned(), one)]);
}

/// Nobody may subscribe to what is secret.
struct OnlySecret;

impl Authorize for OnlySecret {
    fn authorize(&self, _: &ClientInfo, access: Access, topic: &str) -> Decision {
        let denied = access == Access::Subscribe && topic.starts_with("secret");
        Decision::Ask(Box::pin(async move { !denied }))
    }
}
