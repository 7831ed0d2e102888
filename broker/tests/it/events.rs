//! Every hook of manual §15.16.3 reaches the tap as an event, with the fields the rules know it by.

use std::sync::Arc;

use broker::codec::{Disconnect, Packet, Properties, Property, Puback, Reason, SubscribeOptions, Unsubscribe, Version};
use broker::{Broker, Handle, Ports, Settings};
use model::ports::{Access, Admission, Authorize, Decision, EventTap};
use model::{Body, ClientInfo, Event, EventKind, Qos, Value};
use parking_lot::Mutex;

use crate::client::{Client, connect_packet, ports, settings, until};

/// A tap that keeps everything.
#[derive(Default)]
struct Kept(Mutex<Vec<Event>>);

impl EventTap for Kept {
    fn wants(&self, _: EventKind) -> bool {
        true
    }

    fn emit(&self, event: Event) -> Admission {
        self.0.lock().push(event);
        Admission::Done
    }
}

impl Kept {
    fn of(&self, kind: EventKind) -> Vec<Event> {
        self.0.lock().iter().filter(|event| event.kind == kind).cloned().collect()
    }

    async fn first(&self, kind: EventKind) -> Event {
        until(kind.name(), || !self.of(kind).is_empty()).await;
        self.of(kind).remove(0)
    }
}

fn field(event: &Event, name: &str) -> Value {
    match &event.body {
        Body::Fields(row) => row.get(name).cloned().unwrap_or(Value::Missing),
        Body::Publish(_) => panic!("{} has fields", event.kind.name()),
    }
}

#[track_caller]
fn has(event: &Event, fields: &[(&str, Value)]) {
    for (name, value) in fields {
        assert_eq!(field(event, name), *value, "{} {name}", event.kind.name());
    }
}

/// Denies what has `no` in its topic.
struct NoNo;

impl Authorize for NoNo {
    fn authorize(&self, _: &ClientInfo, access: Access, topic: &str) -> Decision {
        if topic.contains("no") && access != Access::Receive { Decision::Deny } else { Decision::Allow }
    }
}

fn start(settings: Settings) -> (Handle, Arc<Kept>) {
    let tap = Arc::new(Kept::default());
    let handle = Broker::start(settings, Ports { tap: tap.clone(), authorize: Arc::new(NoNo), ..ports() }).unwrap();
    (handle, tap)
}

#[tokio::test]
async fn manual_15_16_3_a_client_is_let_in() {
    let (handle, tap) = start(settings());
    let mut connect = connect_packet("c", Version::V5);
    connect.username = Some("u".to_owned());
    connect.properties.0.push(Property::UserProperty("k".into(), "v".into()));
    connect.properties.0.push(Property::ReceiveMaximum(7));
    let (mut client, _) = Client::with(&handle, connect).await;
    let connected = tap.first(EventKind::ClientConnected).await;
    has(
        &connected,
        &[
            ("clientid", "c".into()),
            ("client_id", "c".into()),
            ("username", "u".into()),
            ("proto_ver", Value::Int(5)),
            ("keepalive", Value::Int(60)),
            ("clean_start", Value::Bool(true)),
            ("receive_maximum", Value::Int(7)),
            ("peerhost", "127.0.0.1".into()),
            (
                "conn_props",
                Value::map([
                    ("Receive-Maximum", Value::Int(7)),
                    ("User-Property", Value::map([("k", Value::from("v"))])),
                ]),
            ),
        ],
    );
    has(
        &tap.first(EventKind::ClientCheckAuthnComplete).await,
        &[("reason_code", "success".into()), ("is_anonymous", Value::Bool(false))],
    );
    has(&tap.first(EventKind::ClientConnack).await, &[("reason_code", "success".into())]);
    has(&tap.first(EventKind::SessionCreated).await, &[("clientid", "c".into())]);

    client.send(&Packet::Disconnect(Disconnect::new(Reason::SUCCESS))).await;
    has(&tap.first(EventKind::SessionTerminated).await, &[("reason", "normal".into())]);
}

#[tokio::test]
async fn manual_15_16_3_a_client_subscribes_unsubscribes_and_takes_its_leave() {
    let (handle, tap) = start(settings());
    let mut client = Client::new(&handle, "c", Version::V5).await;
    let options = SubscribeOptions::of_qos(Qos::AtLeastOnce);
    assert_eq!(client.try_subscribe("no/entry", options, None).await, Reason::NOT_AUTHORIZED);
    client.subscribe_with("t/+", options, Some(3)).await;
    let asked = tap.of(EventKind::ClientSubscribe);
    assert_eq!(asked.len(), 2, "client.subscribe is what the client asks for");
    has(
        &asked[1],
        &[
            ("topic", "t/+".into()),
            ("qos", Value::Int(1)),
            ("sub_props", Value::map([("Subscription-Identifier", Value::Int(3))])),
            ("topic_filters", Value::list(vec![Value::map([("topic", Value::from("t/+")), ("qos", Value::Int(1))])])),
        ],
    );
    let subscribed = tap.of(EventKind::SessionSubscribed);
    assert_eq!(subscribed.len(), 1, "session.subscribed is what it got");
    has(&subscribed[0], &[("topic", "t/+".into()), ("qos", Value::Int(1))]);
    let decided = tap.of(EventKind::ClientCheckAuthzComplete);
    has(&decided[0], &[("topic", "no/entry".into()), ("action", "subscribe".into()), ("result", "deny".into())]);

    let filters = vec!["never".to_owned(), "t/+".to_owned()];
    let packet = Unsubscribe { packet_id: 8, properties: Properties::default(), filters };
    client.send(&Packet::Unsubscribe(packet)).await;
    assert!(matches!(client.recv().await, Packet::Unsuback(_)));
    has(&tap.first(EventKind::ClientUnsubscribe).await, &[("topic", "never".into())]);
    let unsubscribed = tap.of(EventKind::SessionUnsubscribed);
    assert_eq!(unsubscribed.len(), 1);
    has(&unsubscribed[0], &[("topic", "t/+".into())]);

    client.expect_silence().await;
    has(&tap.first(EventKind::ClientPing).await, &[("clientid", "c".into())]);
    let mut farewell = Disconnect::new(Reason::SUCCESS);
    farewell.properties.0.push(Property::ReasonString("bye".into()));
    client.send(&Packet::Disconnect(farewell)).await;
    has(
        &tap.first(EventKind::ClientDisconnected).await,
        &[
            ("reason", "normal".into()),
            ("reason_code", Value::Int(0)),
            ("disconn_props", Value::map([("Reason-String", Value::from("bye"))])),
        ],
    );
}

#[tokio::test]
async fn manual_15_16_3_a_message_is_published_delivered_acked_or_dropped() {
    let (handle, tap) = start(settings());
    let mut subscriber = Client::new(&handle, "s", Version::V5).await;
    subscriber.subscribe("t", Qos::AtLeastOnce).await;
    let mut publisher = Client::new(&handle, "p", Version::V5).await;
    publisher.publish("t", "x", Qos::AtLeastOnce, 1).await;
    publisher.publish("nobody", "y", Qos::AtLeastOnce, 2).await;
    publisher.publish("nowhere", "z", Qos::AtMostOnce, 0).await;
    publisher.publish("no/entry", "w", Qos::AtMostOnce, 0).await;
    let delivered = subscriber.recv_publish().await;
    subscriber.send(&Packet::Puback(Puback::new(delivered.header.packet_id, Reason::SUCCESS))).await;
    for kind in [EventKind::MessageDelivered, EventKind::MessageAcked] {
        has(
            &tap.first(kind).await,
            &[("clientid", "s".into()), ("from_clientid", "p".into()), ("topic", "t".into()), ("qos", Value::Int(1))],
        );
    }
    until("four events", || tap.of(EventKind::MessageDropped).len() == 3).await;
    let dropped = tap.of(EventKind::MessageDropped);
    let reasons: Vec<(Value, Value)> =
        dropped.iter().map(|event| (field(event, "topic"), field(event, "reason"))).collect();
    // All three names have "no" in them: this authorizer denies them before anybody is looked for.
    assert_eq!(reasons, ["nobody", "nowhere", "no/entry"].map(|topic| (topic.into(), "publish_denied".into())));
    assert_eq!(tap.of(EventKind::MessagePublish).len(), 1, "what is denied was not published");
    publisher.publish("empty", "v", Qos::AtMostOnce, 0).await;
    until("a fourth", || tap.of(EventKind::MessageDropped).len() == 4).await;
    has(&tap.of(EventKind::MessageDropped)[3], &[("reason", "no_subscribers".into()), ("clientid", "p".into())]);
}

#[tokio::test]
async fn a_session_that_is_resumed_discarded_and_full_says_so() {
    let (handle, tap) = start(Settings { queue_messages_max: 2, ..settings() });
    let (mut client, _) = Client::persistent(&handle, "c", Version::V5).await;
    client.subscribe("t", Qos::AtLeastOnce).await;
    drop(client);
    tap.first(EventKind::ClientDisconnected).await;
    let mut publisher = Client::new(&handle, "p", Version::V5).await;
    for n in 1..=3 {
        publisher.publish("t", "x", Qos::AtLeastOnce, n).await;
        assert!(matches!(publisher.recv().await, Packet::Puback(_)));
    }
    has(
        &tap.first(EventKind::MessageDeliveryDropped).await,
        &[("reason", "queue_full".into()), ("clientid", "c".into()), ("from_clientid", "p".into())],
    );
    let (client, present) = Client::persistent(&handle, "c", Version::V5).await;
    assert!(present);
    has(&tap.first(EventKind::SessionResumed).await, &[("clientid", "c".into())]);
    drop(client);
    let _client = Client::new(&handle, "c", Version::V5).await;
    has(&tap.first(EventKind::SessionTerminated).await, &[("reason", "discarded".into())]);
}
