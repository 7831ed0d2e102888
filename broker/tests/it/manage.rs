//! Lists, actions on clients and traces, as the API asks for them.

use std::time::Duration;

use broker::codec::{Packet, Reason, Version};
use broker::{Broker, Handle, Settings};
use model::Qos;
use model::manage::{
    ClientFilter, Found, Manage as _, ManageError, RouteFilter, Slice, SubscriptionFilter, TraceError, TraceSpec,
    TraceTarget, Traces as _,
};

use crate::client::{Client, connect_packet, ports, settings, start, text, until};

async fn three(handle: &Handle) -> Vec<Client> {
    let mut clients = Vec::new();
    for (id, username, version) in
        [("a", None, Version::V3_1_1), ("b", Some("bob"), Version::V5), ("c", Some("bo"), Version::V5)]
    {
        let mut connect = connect_packet(id, version);
        connect.username = username.map(str::to_owned);
        connect.clean_start = id != "a";
        clients.push(Client::with(handle, connect).await.0);
    }
    clients
}

#[tokio::test]
async fn manual_14_6_clients_are_found_by_what_they_are() {
    let handle = start();
    let mut clients = three(&handle).await;
    clients.remove(0).send_bytes(&[0xe0, 0]).await;
    until("a is gone", || !handle.client("a").unwrap().is_connected).await;
    let filter = |change: fn(&mut ClientFilter)| {
        let mut wanted = ClientFilter::default();
        change(&mut wanted);
        wanted
    };
    let table: &[(ClientFilter, &[&str])] = &[
        (filter(|_| {}), &["a", "b", "c"]),
        (filter(|f| f.client_id = Some("b".to_owned())), &["b"]),
        (filter(|f| f.client_id = Some("x".to_owned())), &[]),
        (filter(|f| f.username = Some("bo".to_owned())), &["c"]),
        (filter(|f| f.username_like = Some("bo".to_owned())), &["b", "c"]),
        (filter(|f| f.client_id_like = Some("a".to_owned())), &["a"]),
        (filter(|f| f.version = Some(5)), &["b", "c"]),
        (filter(|f| f.is_connected = Some(false)), &["a"]),
        (filter(|f| f.is_connected = Some(true)), &["b", "c"]),
        (filter(|f| f.clean_start = Some(false)), &["a"]),
        (filter(|f| f.is_persistent = Some(true)), &["a"]),
        (filter(|f| f.address = "127.0.0.1".parse().ok()), &["a", "b", "c"]),
        (filter(|f| f.address = "10.0.0.1".parse().ok()), &[]),
        (filter(|f| (f.version, f.username) = (Some(5), Some("bob".to_owned()))), &["b"]),
    ];
    for (wanted, expected) in table {
        let found = handle.clients(wanted, Slice::after(None, 10));
        let ids: Vec<&str> = found.items.iter().map(|client| client.client_id.as_str()).collect();
        assert_eq!((ids.as_slice(), found.next), (*expected, None), "{wanted:?}");
    }
}

/// Pages through a list by its cursor and returns what it saw, in order.
fn pages<T>(limit: usize, page: impl Fn(Slice<'_>) -> Found<T>) -> Vec<T> {
    let (mut all, mut after) = (Vec::new(), None::<model::Str>);
    loop {
        let found = page(Slice::after(after.as_deref(), limit));
        assert!(found.items.len() <= limit);
        all.extend(found.items);
        match found.next {
            Some(next) => after = Some(next),
            None => return all,
        }
    }
}

#[tokio::test]
async fn pages_by_cursor_and_by_number_show_everything_once() {
    let handle = start();
    let mut clients = three(&handle).await;
    for client in &mut clients {
        for filter in ["x/1", "x/+", "$share/g/x/1", "y"] {
            client.subscribe(filter, Qos::AtMostOnce).await;
        }
    }
    clients[0].subscribe("$share/h/z", Qos::AtLeastOnce).await;
    for limit in 1..=14 {
        let found = pages(limit, |slice| handle.clients(&ClientFilter::default(), slice));
        assert_eq!(found.iter().map(|client| client.client_id.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
        let found = pages(limit, |slice| handle.subscriptions(&SubscriptionFilter::default(), slice));
        let shown: Vec<String> = found.iter().map(|one| format!("{} {}", one.client_id, one.filter)).collect();
        let mut sorted = shown.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!((shown.len(), &shown), (13, &sorted), "limit {limit}");
        let found = pages(limit, |slice| handle.routes(&RouteFilter::default(), slice));
        let shown: Vec<(&str, usize)> = found.iter().map(|one| (one.filter.as_str(), one.subscription_count)).collect();
        assert_eq!(shown, [("x/+", 3), ("x/1", 6), ("y", 3), ("z", 1)], "limit {limit}");
    }
    let numbered = handle.subscriptions(&SubscriptionFilter::default(), Slice::skipping(12, 10));
    assert_eq!((numbered.items.len(), numbered.total), (1, Some(13)));
    let numbered = handle.routes(&RouteFilter::default(), Slice::skipping(3, 10));
    assert_eq!((numbered.items[0].filter.as_str(), numbered.total), ("z", Some(4)));
    let wanted = SubscriptionFilter { matches: Some("x/1".to_owned()), is_shared: Some(false), ..Default::default() };
    assert_eq!(handle.subscriptions(&wanted, Slice::skipping(0, 1)).total, Some(6), "who gets x/1");
    let wanted = SubscriptionFilter { client_id: Some("a".to_owned()), qos: Some(1), ..Default::default() };
    assert_eq!(handle.subscriptions(&wanted, Slice::after(None, 9)).items[0].filter, "$share/h/z");
    let wanted = RouteFilter { matches: Some("x/7".to_owned()), ..Default::default() };
    assert_eq!(handle.routes(&wanted, Slice::after(None, 9)).items.len(), 1);
}

#[tokio::test]
async fn manual_14_9_3_an_administrator_subscribes_and_unsubscribes_a_client() {
    let handle = Broker::start(Settings { subscriptions_max: 2, ..settings() }, ports()).unwrap();
    let mut publisher = Client::new(&handle, "p", Version::V5).await;
    let mut kept = crate::client::message("t/kept", "old", Qos::AtLeastOnce, 1);
    kept.header.retain = true;
    publisher.send(&Packet::Publish(kept)).await;
    assert!(matches!(publisher.recv().await, Packet::Puback(_)));
    let mut client = Client::new(&handle, "c", Version::V5).await;
    assert_eq!(handle.subscribe("nobody", "t", Qos::AtMostOnce), Err(ManageError::NoSuchClient));
    assert!(matches!(handle.subscribe("c", "t/#/x", Qos::AtMostOnce), Err(ManageError::InvalidFilter(_))));
    assert!(matches!(handle.subscribe("c", "t\u{1b}", Qos::AtMostOnce), Err(ManageError::InvalidFilter(_))));
    handle.subscribe("c", "t/+", Qos::AtLeastOnce).unwrap();
    let retained = client.recv_publish().await;
    assert!(retained.header.retain && text(&retained) == "old");
    publisher.publish("t/1", "new", Qos::AtMostOnce, 0).await;
    assert_eq!(text(&client.recv_publish().await), "new");
    handle.subscribe("c", "u", Qos::AtMostOnce).unwrap();
    assert_eq!(handle.subscribe("c", "v", Qos::AtMostOnce), Err(ManageError::TooManySubscriptions));
    handle.unsubscribe("c", "t/+").unwrap();
    assert_eq!(handle.unsubscribe("c", "t/+"), Err(ManageError::NoSuchSubscription));
    publisher.publish("t/1", "unseen", Qos::AtLeastOnce, 2).await;
    assert!(matches!(publisher.recv().await, Packet::Puback(_)));
    client.expect_silence().await;
    assert!(handle.kick("c"));
    client.expect_end(Reason::ADMINISTRATIVE_ACTION).await;
    until("its session is over", || handle.client("c").is_none()).await;
    assert!(!handle.kick("c"));
}

fn spec(name: &str, target: TraceTarget) -> TraceSpec {
    TraceSpec { name: name.to_owned(), target, with_payload: false, duration: None }
}

#[tokio::test]
async fn manual_4_18_a_client_and_a_topic_are_traced_to_files() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { trace_folder: Some(folder.path().join("trace")), trace_count_max: 3, ..settings() };
    let handle = Broker::start(settings.clone(), ports()).unwrap();
    handle.start_trace(spec("of-client", TraceTarget::Client("c\"1".to_owned()))).unwrap();
    let by_topic = TraceSpec { with_payload: true, ..spec("of-topic", TraceTarget::Topic("t/#".to_owned())) };
    handle.start_trace(by_topic).unwrap();
    let mut connect = connect_packet("c\"1", Version::V5);
    (connect.username, connect.password) = (Some("u".to_owned()), Some("hunter2".to_owned().into()));
    let (mut client, _) = Client::with(&handle, connect).await;
    client.subscribe("t/1", Qos::AtMostOnce).await;
    client.publish("t/1", "se\u{1b}cret", Qos::AtLeastOnce, 7).await;
    let mut other = Client::new(&handle, "other", Version::V3_1_1).await;
    other.publish("else", "x", Qos::AtLeastOnce, 1).await;
    assert!(matches!(other.recv().await, Packet::Puback(_)));
    while !matches!(client.recv().await, Packet::Publish(_)) {}
    let view = handle.stop_trace("of-client").unwrap();
    assert_eq!((view.is_running, view.ended_by, view.lost_count), (false, Some("stopped"), 0));
    let read = |name: &str| String::from_utf8(handle.read_trace(name, 0, 1 << 20).unwrap()).unwrap();
    let lines = read("of-client");
    assert_eq!((lines.lines().count() as u64, lines.len() as u64), (view.line_count, view.bytes));
    let mut rest = lines.as_str();
    for part in [
        "\"c\\\"1\"@127.0.0.1:",
        "RECV CONNECT version=5 username=\"u\"",
        "SEND CONNACK success",
        "RECV SUBSCRIBE packet_id=7 \"t/1\" qos=0",
        "SEND SUBACK packet_id=7 success",
        "RECV PUBLISH topic=\"t/1\" qos=1 retain=false dup=false packet_id=7 payload_bytes=7",
        "ROUTE topic=\"t/1\"",
        "SEND PUBLISH topic=\"t/1\" qos=0",
    ] {
        let at = rest.find(part).unwrap_or_else(|| panic!("{part:?} is not in its place in\n{lines}"));
        rest = rest.split_at(at).1;
    }
    assert!(!lines.contains("hunter2") && !lines.contains("cret") && !lines.contains("else"), "{lines}");
    handle.stop_trace("of-topic").unwrap();
    let lines = read("of-topic");
    assert!(
        lines.contains("payload=\"se\\x1bcret\"") && !lines.contains("SUBSCRIBE") && !lines.contains("else"),
        "{lines}"
    );
    assert_eq!(handle.read_trace("of-topic", 3, 5).unwrap(), lines.as_bytes()[3..8]);

    handle.start_trace(spec("third", TraceTarget::Address("127.0.0.1".parse().unwrap()))).unwrap();
    for (refused, error) in [
        (spec("fourth", TraceTarget::Client("x".to_owned())), TraceError::TooMany(3)),
        (spec("third", TraceTarget::Client("x".to_owned())), TraceError::Exists("third".to_owned())),
    ] {
        assert_eq!(handle.start_trace(refused).unwrap_err(), error);
    }
    for name in ["", "../x", ".x", "a/b", "a b", &"x".repeat(65)] {
        let refused = handle.start_trace(spec(name, TraceTarget::Client("x".to_owned()))).unwrap_err();
        assert!(matches!(refused, TraceError::Invalid(_)), "{name}");
    }
    handle.delete_trace("third").unwrap();
    assert_eq!(handle.read_trace("third", 0, 1).unwrap_err(), TraceError::NotFound("third".to_owned()));
    handle.stop(Duration::from_secs(1)).await;
    let again = Broker::start(settings, ports()).unwrap();
    let names: Vec<(String, bool)> =
        again.traces().iter().map(|trace| (trace.name.to_string(), trace.is_running)).collect();
    assert_eq!(names, [("of-client".to_owned(), false), ("of-topic".to_owned(), false)], "files outlive the server");
    assert!(again.read_trace("of-client", 0, 1 << 20).unwrap().len() as u64 == view.bytes);
}

#[tokio::test]
async fn traces_end_by_themselves_at_their_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { trace_folder: Some(folder.path().to_path_buf()), trace_bytes_max: 2_000, ..settings() };
    let handle = Broker::start(settings, ports()).unwrap();
    handle.start_trace(spec("full", TraceTarget::Client("c".to_owned()))).unwrap();
    let short =
        TraceSpec { duration: Some(Duration::from_millis(1)), ..spec("short", TraceTarget::Client("x".to_owned())) };
    handle.start_trace(short).unwrap();
    let mut client = Client::new(&handle, "c", Version::V3_1_1).await;
    for _ in 0..100 {
        client.expect_silence().await;
    }
    let ended = |name: &str| handle.traces().iter().find(|trace| trace.name == name).unwrap().ended_by;
    until("both have ended", || ended("full") == Some("bytes") && ended("short") == Some("duration")).await;
    let bytes = handle.read_trace("full", 0, 1 << 20).unwrap().len();
    assert!((1_900..=2_000).contains(&bytes), "{bytes}");
    let none = Broker::start(crate::client::settings(), ports()).unwrap();
    assert_eq!(none.start_trace(spec("x", TraceTarget::Client("c".to_owned()))).unwrap_err(), TraceError::Off);
}
