//! The tap decides when, and whether, a publisher is acknowledged.

use std::sync::Arc;
use std::time::Duration;

use broker::codec::{Packet, Puback, Pubrec, Pubrel, Reason, Version};
use broker::{Broker, Dropped, Handle, Ports, Zone};
use model::ports::{Admission, EventTap, Refused};
use model::{Body, Event, EventKind, Qos, Value};
use tokio::sync::{mpsc, oneshot};

use crate::client::{Client, connect_packet, ports, settings, text, until, zoned};

type Answer = oneshot::Sender<Result<(), Refused>>;

/// A tap that hands every publish to the test and waits for its answer; other events are only recorded.
struct Held {
    publishes: mpsc::Sender<(String, Answer)>,
    events: mpsc::Sender<Event>,
}

impl EventTap for Held {
    fn wants(&self, _: EventKind) -> bool {
        true
    }

    fn emit(&self, event: Event) -> Admission {
        let Body::Publish(message) = &event.body else {
            self.events.try_send(event).expect("the test's channel is large enough");
            return Admission::Done;
        };
        let (answer, receiver) = oneshot::channel();
        let payload = String::from_utf8(message.payload.to_vec()).unwrap();
        self.publishes.try_send((payload, answer)).expect("the test's channel is large enough");
        Admission::Pending(receiver)
    }
}

fn start() -> (Handle, mpsc::Receiver<(String, Answer)>, mpsc::Receiver<Event>) {
    let (publishes, held) = mpsc::channel(1000);
    let (events, recorded) = mpsc::channel(1000);
    let tap = Arc::new(Held { publishes, events });
    (Broker::start(settings(), Ports { tap, ..ports() }).unwrap(), held, recorded)
}

#[tokio::test]
async fn acknowledgements_wait_for_the_admission_and_leave_in_order() {
    let (handle, mut held, _events) = start();
    let mut subscriber = Client::new(&handle, "s", Version::V5).await;
    subscriber.subscribe("t", Qos::AtMostOnce).await;
    let mut client = Client::new(&handle, "c", Version::V3_1_1).await;
    client.publish("t", "1", Qos::AtLeastOnce, 1).await;
    client.publish("t", "2", Qos::ExactlyOnce, 2).await;
    client.publish("t", "3", Qos::AtLeastOnce, 3).await;
    let mut answers = Vec::new();
    for n in 1..=3 {
        let (payload, answer) = held.recv().await.unwrap();
        assert_eq!(payload, n.to_string());
        assert_eq!(text(&subscriber.recv_publish().await), payload, "subscribers do not wait for the rules");
        answers.push(answer);
    }
    client.expect_silence().await;
    let (third, second, first) = (answers.pop().unwrap(), answers.pop().unwrap(), answers.pop().unwrap());
    third.send(Ok(())).unwrap();
    second.send(Ok(())).unwrap();
    client.expect_silence().await;
    first.send(Ok(())).unwrap();
    assert_eq!(client.recv().await, Packet::Puback(Puback::new(1, Reason::SUCCESS)));
    assert_eq!(client.recv().await, Packet::Pubrec(Pubrec::new(2, Reason::SUCCESS)));
    assert_eq!(client.recv().await, Packet::Puback(Puback::new(3, Reason::SUCCESS)));
}

#[tokio::test]
async fn a_refused_message_is_not_acknowledged_as_taken() {
    let (handle, mut held, _events) = start();
    for (refused, reason) in [
        (Some(Refused::QueueFull), Reason::QUOTA_EXCEEDED),
        (Some(Refused::Unavailable), Reason::IMPLEMENTATION_SPECIFIC_ERROR),
        (None, Reason::IMPLEMENTATION_SPECIFIC_ERROR),
    ] {
        let answer_with = |answer: Answer| {
            if let Some(refused) = refused.clone() {
                answer.send(Err(refused)).unwrap()
            }
        };
        let mut v5 = Client::new(&handle, "v5", Version::V5).await;
        v5.publish("t", "x", Qos::AtLeastOnce, 1).await;
        answer_with(held.recv().await.unwrap().1);
        assert_eq!(v5.recv().await, Packet::Puback(Puback::new(1, reason)));
        v5.publish("t", "x", Qos::ExactlyOnce, 2).await;
        answer_with(held.recv().await.unwrap().1);
        assert_eq!(v5.recv().await, Packet::Pubrec(Pubrec::new(2, reason)));
        assert_eq!(handle.client("v5").unwrap().awaiting_rel_count, 0, "a refused exchange is over");
        let mut v3 = Client::new(&handle, "v3", Version::V3_1_1).await;
        v3.publish("t", "x", Qos::AtLeastOnce, 1).await;
        answer_with(held.recv().await.unwrap().1);
        assert_eq!(v3.recv_bytes().await, None, "an older client is closed without acknowledgement");
    }
    assert_eq!(handle.counters().dropped_count(Dropped::Refused), 9);
}

#[tokio::test]
async fn a_pending_qos_0_message_pauses_its_publisher() {
    let (handle, mut held, _events) = start();
    let mut client = Client::new(&handle, "c", Version::V5).await;
    client.publish("t", "1", Qos::AtMostOnce, 0).await;
    client.publish("t", "2", Qos::AtMostOnce, 0).await;
    let (_, first) = held.recv().await.unwrap();
    // Another client's whole conversation goes through meanwhile; the second message does not.
    Client::new(&handle, "other", Version::V5).await.expect_silence().await;
    assert!(held.try_recv().is_err());
    first.send(Ok(())).unwrap();
    let (payload, second) = held.recv().await.unwrap();
    assert_eq!(payload, "2");
    second.send(Ok(())).unwrap();
    client.expect_silence().await;
}

#[tokio::test]
async fn an_older_client_is_not_read_from_while_too_many_acknowledgements_wait() {
    let (publishes, mut held) = mpsc::channel(1000);
    let (events, _recorded) = mpsc::channel(1000);
    let tap = Arc::new(Held { publishes, events });
    let settings = zoned(Zone { receive_maximum: 3, ..Zone::default() });
    let handle = Broker::start(settings, Ports { tap, ..ports() }).unwrap();
    let mut client = Client::new(&handle, "c", Version::V3_1_1).await;
    for id in 1..=10 {
        client.publish("t", &id.to_string(), Qos::AtLeastOnce, id).await;
    }
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(held.recv().await.unwrap().1);
    }
    Client::new(&handle, "other", Version::V5).await.expect_silence().await;
    assert!(held.try_recv().is_err(), "the fourth waits");
    let answering = tokio::spawn(async move {
        for answer in answers {
            answer.send(Ok(())).unwrap();
        }
        for _ in 3..10 {
            held.recv().await.unwrap().1.send(Ok(())).unwrap();
        }
        held
    });
    for id in 1..=10 {
        assert_eq!(client.recv().await, Packet::Puback(Puback::new(id, Reason::SUCCESS)));
    }
    drop(answering.await.unwrap());
}

#[tokio::test]
async fn a_qos_2_admission_is_taken_up_by_the_next_connection() {
    let (handle, mut held, _events) = start();
    let (mut client, _) = Client::persistent(&handle, "c", Version::V3_1_1).await;
    client.publish("t", "x", Qos::ExactlyOnce, 5).await;
    let (_, answer) = held.recv().await.unwrap();
    drop(client);
    until("disconnected", || !handle.client("c").unwrap().is_connected).await;
    let (mut client, _) = Client::persistent(&handle, "c", Version::V3_1_1).await;
    client.publish("t", "x", Qos::ExactlyOnce, 5).await;
    client.expect_silence().await;
    assert!(held.try_recv().is_err(), "not emitted twice");
    answer.send(Ok(())).unwrap();
    assert_eq!(client.recv().await, Packet::Pubrec(Pubrec::new(5, Reason::SUCCESS)));
    client.send(&Packet::Pubrel(Pubrel::new(5, Reason::SUCCESS))).await;
    assert!(matches!(client.recv().await, Packet::Pubcomp(_)));
}

#[tokio::test]
async fn stop_finishes_the_admissions_within_its_deadline() {
    let (handle, mut held, _events) = start();
    let mut client = Client::new(&handle, "c", Version::V5).await;
    client.publish("t", "x", Qos::AtLeastOnce, 1).await;
    let (_, answer) = held.recv().await.unwrap();
    let stopping = tokio::spawn({
        let handle = handle.clone();
        async move { handle.stop(Duration::from_secs(10)).await }
    });
    let address = handle.local_addrs()[0].1;
    until("the listener is closed", || std::net::TcpStream::connect(address).is_err()).await;
    answer.send(Ok(())).unwrap();
    assert_eq!(client.recv().await, Packet::Puback(Puback::new(1, Reason::SUCCESS)));
    client.expect_end(Reason::SERVER_SHUTTING_DOWN).await;
    drop(client);
    stopping.await.unwrap();
}

#[tokio::test]
async fn stop_does_not_wait_beyond_its_deadline() {
    let (handle, mut held, _events) = start();
    let mut client = Client::new(&handle, "c", Version::V5).await;
    client.publish("t", "x", Qos::AtLeastOnce, 1).await;
    let (_, _unanswered) = held.recv().await.unwrap();
    handle.stop(Duration::from_millis(50)).await;
    assert_eq!(client.recv_bytes().await, None, "no acknowledgement");
    assert_eq!(handle.counters().connections.get(), 0);
}

#[tokio::test]
async fn internal_publishes_go_through_the_tap_with_their_origin() {
    let (handle, mut held, _events) = start();
    let mut subscriber = Client::new(&handle, "s", Version::V5).await;
    subscriber.subscribe("t", Qos::AtMostOnce).await;
    let message = |topic: &str| model::Message {
        id: model::MessageId::next(1),
        topic: topic.into(),
        payload: "x".into(),
        qos: Qos::AtLeastOnce,
        retain: false,
        dup: false,
        publisher: None,
        properties: None,
        received_at_ms: 1,
        origin: model::Origin::Rules(Arc::new(vec!["r".into()])),
    };
    let publishing = tokio::spawn({
        let (handle, message) = (handle.clone(), message("t"));
        async move { model::ports::Publish::publish(&handle, message).await }
    });
    held.recv().await.unwrap().1.send(Err(Refused::QueueFull)).unwrap();
    let refused = publishing.await.unwrap();
    assert_eq!(refused, Err(model::ports::PublishError::Refused(Refused::QueueFull)));
    assert_eq!(text(&subscriber.recv_publish().await), "x");
    let wrong = model::ports::Publish::publish(&handle, message("a/+")).await;
    assert!(matches!(wrong, Err(model::ports::PublishError::InvalidTopic(_))));
}

#[tokio::test]
async fn events_carry_the_fields_of_both_generations() {
    let (handle, _held, mut events) = start();
    let mut connect = connect_packet("c1", Version::V5);
    connect.username = Some("ada".to_owned());
    let (mut client, _) = Client::with(&handle, connect).await;
    client.subscribe("t/#", Qos::AtLeastOnce).await;
    drop(client);
    let mut kinds = Vec::new();
    while kinds.last() != Some(&EventKind::ClientDisconnected) {
        let event = events.recv().await.unwrap();
        kinds.push(event.kind);
        let Body::Fields(row) = event.body else { panic!("a publish") };
        for name in ["client_id", "clientid", "username", "peername", "proto_ver"] {
            assert!(row.get(name).is_some(), "{name} in {:?}", event.kind);
        }
        match event.kind {
            EventKind::ClientConnected => {
                assert_eq!(row.get("keepalive"), Some(&Value::Int(60)));
                assert_eq!(row.get("clean_start"), Some(&Value::Bool(true)));
                assert_eq!(row.get("proto_name"), Some(&Value::text("MQTT")));
                assert_eq!(row.get("connack"), Some(&Value::Int(0)));
            }
            EventKind::ClientSubscribe => {
                assert_eq!(row.get("topic"), Some(&Value::text("t/#")));
                assert_eq!(row.get("qos"), Some(&Value::Int(1)));
            }
            EventKind::ClientDisconnected => assert_eq!(row.get("reason"), Some(&Value::text("tcp_closed"))),
            _ => {}
        }
    }
    use EventKind as K;
    let expected = [K::ClientConnack, K::SessionCreated, K::ClientConnected, K::ClientSubscribe, K::SessionSubscribed];
    assert_eq!(kinds[..5], expected);
}
