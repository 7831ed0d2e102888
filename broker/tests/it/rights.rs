//! Every edge over which a message can go asks the authorizer, and a no is a no: one table, played with an authorizer that
//! records and allows, and with one that denies exactly the question of the edge. And what changing rights do.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use broker::codec::{LastWill, Packet, Properties, Property, Puback, Reason, SubscribeOptions, Version};
use broker::{Broker, Handle, Metric, Ports, Settings};
use model::ports::{Access, Authorize, Decision, LiveClients as _, Publish as _};
use model::{ClientInfo, Clock as _, Message, MessageId, Origin, Qos};

use crate::client::{Client, connect_packet, message, ports, settings, until};

/// A question to the authorizer: who, what, which topic.
type Question = (String, Access, String);

/// Denies one question and writes all of them down.
#[derive(Default)]
struct Judge {
    denied: Option<(&'static str, Access, &'static str)>,
    asked: Mutex<Vec<Question>>,
}

impl Authorize for Judge {
    fn authorize(&self, client: &ClientInfo, access: Access, topic: &str) -> Decision {
        self.asked.lock().unwrap().push((client.client_id.to_string(), access, topic.to_owned()));
        let denied = self.denied == Some((&*client.client_id, access, topic));
        // Some questions take the long way.
        if access != Access::Subscribe {
            Decision::Ask(Box::pin(async move { !denied }))
        } else if denied {
            Decision::Deny
        } else {
            Decision::Allow
        }
    }
}

/// The ways a message of "sender" can reach "receiver".
#[derive(Clone, Copy, Debug, PartialEq)]
enum Edge {
    Live,
    Shared,
    Retained,
    Queued,
    Resumed,
    TakenOver,
    Will,
    DelayedWill,
    FromServer,
}

async fn send(handle: &Handle, topic: &str, retain: bool) {
    let mut sender = Client::new(handle, "sender", Version::V5).await;
    let mut publish = message(topic, "x", Qos::AtLeastOnce, 1);
    publish.header.retain = retain;
    sender.send(&Packet::Publish(publish)).await;
    assert!(matches!(sender.recv().await, Packet::Puback(_)));
}

async fn receiver(handle: &Handle, filter: &str) -> Client {
    let (mut client, _) = Client::persistent(handle, "receiver", Version::V5).await;
    client.try_subscribe(filter, SubscribeOptions::of_qos(Qos::AtLeastOnce), None).await;
    client
}

async fn will(handle: &Handle, delay_secs: u32) {
    let mut connect = connect_packet("sender", Version::V5);
    let mut properties = Properties::default();
    if delay_secs > 0 {
        connect.properties.0.push(Property::SessionExpiryInterval(60));
        properties.0.push(Property::WillDelayInterval(delay_secs));
    }
    connect.will = Some(LastWill {
        qos: Qos::AtLeastOnce,
        retain: false,
        properties,
        topic: "topic".to_owned(),
        payload: "x".into(),
    });
    drop(Client::with(handle, connect).await);
}

/// Plays an edge; the receiver, to whom the message is on its way if it may be.
async fn play(handle: &Handle, edge: Edge) -> Client {
    match edge {
        Edge::Live => {
            let client = receiver(handle, "topic").await;
            send(handle, "topic", false).await;
            client
        }
        Edge::Shared => {
            let client = receiver(handle, "$share/g/topic").await;
            send(handle, "topic", false).await;
            client
        }
        Edge::Retained => {
            send(handle, "topic", true).await;
            receiver(handle, "topic").await
        }
        Edge::Queued | Edge::Resumed => {
            drop(receiver(handle, "topic").await);
            until("the receiver is gone", || !handle.client("receiver").unwrap().is_connected).await;
            if edge == Edge::Queued {
                send(handle, "topic", false).await;
                return Client::persistent(handle, "receiver", Version::V5).await.0;
            }
            let (client, present) = Client::persistent(handle, "receiver", Version::V5).await;
            assert!(present);
            send(handle, "topic", false).await;
            client
        }
        Edge::TakenOver => {
            let _former = receiver(handle, "topic").await;
            let (client, present) = Client::persistent(handle, "receiver", Version::V5).await;
            assert!(present);
            send(handle, "topic", false).await;
            client
        }
        Edge::Will | Edge::DelayedWill => {
            let client = receiver(handle, "topic").await;
            will(handle, u32::from(edge == Edge::DelayedWill)).await;
            until("the will's time has come", || handle.client("sender").is_none_or(|sender| !sender.is_connected))
                .await;
            if edge == Edge::DelayedWill {
                // The end of the session is the end of the delay.
                assert!(handle.kick("sender"));
            }
            client
        }
        Edge::FromServer => {
            let client = receiver(handle, "topic").await;
            let now_ms = model::SystemClock.now_ms();
            let message = Message {
                id: MessageId::next(now_ms),
                topic: "topic".into(),
                payload: "x".into(),
                qos: Qos::AtLeastOnce,
                retain: false,
                dup: false,
                publisher: None,
                properties: None,
                received_at_ms: now_ms,
                origin: Origin::Api,
            };
            handle.publish(message).await.unwrap();
            client
        }
    }
}

fn start(judge: &Arc<Judge>) -> Handle {
    Broker::start(settings(), Ports { authorize: judge.clone(), ..ports() }).unwrap()
}

#[tokio::test]
async fn every_delivery_edge_is_authorised() {
    use Access::{Publish, Receive, Subscribe};
    let receives = ("receiver", Receive, "topic");
    let publishes = ("sender", Publish, "topic");
    let subscribes = ("receiver", Subscribe, "topic");
    for (edge, questions) in [
        (Edge::Live, vec![publishes, subscribes, receives]),
        (Edge::Shared, vec![publishes, subscribes, receives]),
        (Edge::Retained, vec![publishes, subscribes, receives]),
        (Edge::Queued, vec![publishes, receives]),
        (Edge::Resumed, vec![publishes, subscribes, receives]),
        (Edge::TakenOver, vec![publishes, subscribes, receives]),
        (Edge::Will, vec![subscribes, receives]),
        (Edge::DelayedWill, vec![subscribes, receives]),
        (Edge::FromServer, vec![subscribes, receives]),
    ] {
        let judge = Arc::new(Judge::default());
        let handle = start(&judge);
        let mut client = play(&handle, edge).await;
        assert_eq!(client.recv_publish().await.header.topic, "topic", "{edge:?}: allowed");
        let asked: BTreeSet<String> =
            judge.asked.lock().unwrap().iter().map(|question| format!("{question:?}")).collect();
        for question in questions {
            let (who, access, topic) = question;
            let text = format!("{:?}", (who.to_owned(), access, topic.to_owned()));
            assert!(asked.contains(&text), "{edge:?}: nobody asked {text}, only {asked:?}");
            let judge = Arc::new(Judge { denied: Some(question), ..Judge::default() });
            let mut client = play(&start(&judge), edge).await;
            client.expect_silence().await;
        }
    }
}

/// A will is asked for twice; denying at CONNECT refuses the client.
#[tokio::test]
async fn a_will_that_may_not_be_published_refuses_the_connect() {
    let judge = Arc::new(Judge { denied: Some(("sender", Access::Publish, "topic")), ..Judge::default() });
    let handle = start(&judge);
    let mut connect = connect_packet("sender", Version::V5);
    let (properties, topic) = (Properties::default(), "topic".to_owned());
    connect.will = Some(LastWill { qos: Qos::AtMostOnce, retain: false, properties, topic, payload: "x".into() });
    assert_eq!(Client::with(&handle, connect).await.1.reason, Reason::NOT_AUTHORIZED);
}

/// Rights with a version: everything below `closed` is denied once it is turned on.
#[derive(Default)]
struct Changing {
    version: AtomicU64,
    asked: AtomicUsize,
}

impl Authorize for Changing {
    fn authorize(&self, _: &ClientInfo, _: Access, topic: &str) -> Decision {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let closed = self.version.load(Ordering::SeqCst) > 0;
        if closed && topic.starts_with("closed") { Decision::Deny } else { Decision::Allow }
    }
    fn version(&self) -> u64 {
        self.version.load(Ordering::SeqCst)
    }
    fn is_costly(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn subscriptions_that_are_no_longer_allowed_are_removed_while_the_client_is_connected() {
    let rights = Arc::new(Changing::default());
    let handle = Broker::start(settings(), Ports { authorize: rights.clone(), ..ports() }).unwrap();
    let mut client = Client::new(&handle, "c", Version::V5).await;
    for filter in ["closed/#", "$share/g/closed/1", "open/#"] {
        client.subscribe(filter, Qos::AtMostOnce).await;
    }
    rights.version.store(1, Ordering::SeqCst);
    handle.recheck();
    until("the subscriptions are gone", || handle.subscriptions_of("c").len() == 1).await;
    assert_eq!(handle.subscriptions_of("c")[0].filter, "open/#");
    assert_eq!(handle.counters().get(Metric::SubscriptionsRevoked), 2);
    client.publish("open/1", "x", Qos::AtMostOnce, 0).await;
    client.recv_publish().await;
    client.expect_silence().await;
}

#[tokio::test]
async fn manual_5_11_enable_acl_off_allows_everything_but_the_topics_of_the_server() {
    let rights = Arc::new(Changing { version: AtomicU64::new(1), ..Changing::default() });
    let settings = Settings { acl: false, ..settings() };
    let handle = Broker::start(settings, Ports { authorize: rights, ..ports() }).unwrap();
    let mut client = Client::new(&handle, "c", Version::V5).await;
    client.subscribe("closed/#", Qos::AtMostOnce).await;
    client.publish("closed/1", "x", Qos::AtMostOnce, 0).await;
    assert_eq!(client.recv_publish().await.header.topic, "closed/1");
    client.publish("$SYS/x", "x", Qos::AtLeastOnce, 1).await;
    assert_eq!(client.recv().await, Packet::Puback(Puback::new(1, Reason::NOT_AUTHORIZED)));
}

#[tokio::test]
async fn answers_are_remembered_until_rights_change() {
    let rights = Arc::new(Changing::default());
    let handle = Broker::start(settings(), Ports { authorize: rights.clone(), ..ports() }).unwrap();
    let mut client = Client::new(&handle, "c", Version::V5).await;
    let mut publish = async |packet_id| {
        client.publish("closed/1", "x", Qos::AtLeastOnce, packet_id).await;
        let Packet::Puback(Puback { reason, .. }) = client.recv().await else { panic!("no PUBACK") };
        reason
    };
    for packet_id in 1..=3 {
        assert!(!publish(packet_id).await.is_error());
    }
    assert_eq!(rights.asked.load(Ordering::SeqCst), 1);
    rights.version.store(1, Ordering::SeqCst);
    assert_eq!(publish(4).await, Reason::NOT_AUTHORIZED, "an old answer does not outlive the change");
    assert_eq!(publish(5).await, Reason::NOT_AUTHORIZED);
    assert_eq!(rights.asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn manual_9_4_acl_deny_action_disconnect_ends_the_connection() {
    for version in [Version::V5, Version::V3_1_1] {
        for subscribes in [true, false] {
            let rights = Arc::new(Changing { version: AtomicU64::new(1), ..Changing::default() });
            let settings = Settings { deny_disconnects: true, ..settings() };
            let handle = Broker::start(settings, Ports { authorize: rights, ..ports() }).unwrap();
            let mut client = Client::new(&handle, "c", version).await;
            client.subscribe("open", Qos::AtMostOnce).await;
            if subscribes {
                let filters = vec![broker::codec::Filter {
                    filter: "closed".to_owned(),
                    options: SubscribeOptions::of_qos(Qos::AtMostOnce),
                }];
                let packet = broker::codec::Subscribe { packet_id: 1, properties: Properties::default(), filters };
                client.send(&Packet::Subscribe(packet)).await;
            } else {
                client.publish("closed", "x", Qos::AtLeastOnce, 1).await;
            }
            client.expect_end(Reason::NOT_AUTHORIZED).await;
            assert_eq!(handle.counters().get(Metric::ClientAclDeny), 1);
        }
    }
}
