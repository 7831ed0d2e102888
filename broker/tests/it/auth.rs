//! Enhanced authentication (MQTT 5.0 §4.12) against a scripted method, and bans at CONNECT.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use broker::codec::{Auth, Connack, Disconnect, Packet, Properties, Property, Reason, Version};
use broker::{Broker, Handle, Ports, Settings};
use bytes::Bytes;
use model::ports::{Authenticate, Exchange, Flapping, LiveClients as _, Login, Step, Verdict};
use model::{ClientInfo, Qos};

use crate::client::{Client, connect_packet, message, ports, settings, until};

/// The method `SCRIPT`: "i am NAME", then "yes". "again" asks once more, everything else is refused. Bans "eve" and "bad".
struct Scripted;

struct Script(Option<String>);

#[async_trait]
impl Authenticate for Scripted {
    async fn authenticate(&self, _: Login) -> Verdict {
        Verdict::Allow { superuser: false }
    }
    fn is_banned(&self, client: &ClientInfo) -> bool {
        client.username.as_deref() == Some("eve") || &*client.client_id == "bad"
    }
    fn exchange(&self, _: &ClientInfo, method: &str) -> Option<Box<dyn Exchange>> {
        (method == "SCRIPT").then(|| Box::new(Script(None)) as Box<dyn Exchange>)
    }
}

#[async_trait]
impl Exchange for Script {
    async fn step(&mut self, data: Bytes) -> Step {
        let text = std::str::from_utf8(&data).unwrap();
        match (text, text.strip_prefix("i am "), &self.0) {
            ("" | "again", ..) => Step::Continue(Bytes::new()),
            ("yes", _, Some(name)) => {
                Step::Done { username: name.as_str().into(), superuser: false, data: Bytes::from_static(b"welcome") }
            }
            (_, Some(name), None) => {
                self.0 = Some(name.to_owned());
                Step::Continue(Bytes::from_static(b"prove it"))
            }
            _ => Step::Refused(Verdict::BadCredentials),
        }
    }
}

fn start(settings: Settings) -> Handle {
    Broker::start(settings, Ports { authenticate: Arc::new(Scripted), ..ports() }).unwrap()
}

fn properties(method: &str, data: &str) -> Properties {
    let mut list = vec![Property::AuthenticationMethod(method.into())];
    if !data.is_empty() {
        list.push(Property::AuthenticationData(Bytes::copy_from_slice(data.as_bytes())));
    }
    Properties(list)
}

fn auth(reason: Reason, method: &str, data: &str) -> Packet {
    Packet::Auth(Auth { reason, properties: properties(method, data) })
}

fn more(data: &str) -> Packet {
    auth(Reason::CONTINUE_AUTHENTICATION, "SCRIPT", data)
}

/// Sends CONNECT with the method and the data.
async fn begin(handle: &Handle, method: &str, data: &str, username: Option<&str>) -> Client {
    let mut connect = connect_packet("c", Version::V5);
    connect.username = username.map(str::to_owned);
    connect.properties.0.extend(properties(method, data).0);
    let mut client = Client::raw(handle, Version::V5).await;
    client.send(&Packet::Connect(Box::new(connect))).await;
    client
}

/// A client that has been let in as "ann".
async fn let_in(handle: &Handle) -> Client {
    let mut client = begin(handle, "SCRIPT", "i am ann", None).await;
    assert_eq!(client.recv().await, more("prove it"));
    client.send(&more("yes")).await;
    let Packet::Connack(Connack { reason: Reason::SUCCESS, .. }) = client.recv().await else { panic!("not let in") };
    client
}

#[tokio::test]
async fn mqtt_4_12_0_5_an_exchange_ends_with_a_connack_that_names_method_and_data() {
    let handle = start(settings());
    let mut client = begin(&handle, "SCRIPT", "", Some("ann")).await;
    assert_eq!(client.recv().await, more(""), "a client without data is asked to begin");
    client.send(&more("i am ann")).await;
    assert_eq!(client.recv().await, more("prove it"), "[MQTT-4.12.0-2, MQTT-4.12.0-3]");
    client.send(&more("yes")).await;
    let Packet::Connack(connack) = client.recv().await else { panic!("no CONNACK") };
    assert_eq!(connack.reason, Reason::SUCCESS);
    for expected in properties("SCRIPT", "welcome").0 {
        assert!(connack.properties.0.contains(&expected), "{:?}", connack.properties);
    }
    assert_eq!(handle.client("c").unwrap().username.as_deref(), Some("ann"), "the name that was proven");
    client.expect_silence().await;
}

#[tokio::test]
async fn the_exchange_before_connack_ends_as_the_standard_says() {
    let small = Settings { connect_packet_bytes_max: 200, ..settings() };
    let handle = start(small);
    let table: Vec<(&str, &str, Vec<Packet>, Option<Reason>)> = vec![
        ("§4.12: an unknown method", "OTHER", vec![], Some(Reason::BAD_AUTHENTICATION_METHOD)),
        (
            "§4.12: another method in AUTH",
            "SCRIPT",
            vec![auth(Reason::CONTINUE_AUTHENTICATION, "OTHER", "yes")],
            Some(Reason::BAD_AUTHENTICATION_METHOD),
        ),
        (
            "§4.12: no method in AUTH",
            "SCRIPT",
            vec![Packet::Auth(Auth { reason: Reason::CONTINUE_AUTHENTICATION, properties: Properties::default() })],
            Some(Reason::BAD_AUTHENTICATION_METHOD),
        ),
        (
            "MQTT-4.12.0-4: a PUBLISH before CONNACK",
            "SCRIPT",
            vec![Packet::Publish(message("t", "x", Qos::AtMostOnce, 0))],
            Some(Reason::PROTOCOL_ERROR),
        ),
        (
            "§4.12.1: re-authentication before CONNACK",
            "SCRIPT",
            vec![auth(Reason::RE_AUTHENTICATE, "SCRIPT", "i am ann")],
            Some(Reason::PROTOCOL_ERROR),
        ),
        (
            "§3.15.2.1: success is the server's word",
            "SCRIPT",
            vec![auth(Reason::SUCCESS, "SCRIPT", "yes")],
            Some(Reason::PROTOCOL_ERROR),
        ),
        ("MQTT-4.12.0-1: refused", "SCRIPT", vec![more("no")], Some(Reason::BAD_USERNAME_OR_PASSWORD)),
        ("too many steps", "SCRIPT", vec![more("again"); 8], Some(Reason::NOT_AUTHORIZED)),
        ("above the budget", "SCRIPT", vec![more(&"x".repeat(300))], Some(Reason::PACKET_TOO_LARGE)),
        ("DISCONNECT", "SCRIPT", vec![Packet::Disconnect(Disconnect::new(Reason::SUCCESS))], None),
    ];
    for (what, method, sent, expected) in table {
        let mut client = begin(&handle, method, "i am ann", None).await;
        for packet in &sent {
            assert!(matches!(client.recv().await, Packet::Auth(_)), "{what}");
            client.send(packet).await;
        }
        if let Some(expected) = expected {
            let Packet::Connack(connack) = client.recv().await else { panic!("{what}: no CONNACK") };
            assert_eq!(connack.reason, expected, "{what}");
        }
        assert_eq!(client.recv_bytes().await, None, "{what}: closed");
    }
    assert_eq!(handle.session_count(), 0);
}

#[tokio::test]
async fn a_name_that_was_claimed_has_to_be_the_one_that_is_proven() {
    let handle = start(settings());
    for (claimed, proven, expected) in [
        (Some("bob"), "i am ann", Reason::NOT_AUTHORIZED),
        (None, "i am eve", Reason::BANNED),
        (Some("eve"), "i am ann", Reason::BANNED),
    ] {
        let mut client = begin(&handle, "SCRIPT", proven, claimed).await;
        let mut answer = client.recv().await;
        if matches!(answer, Packet::Auth(_)) {
            client.send(&more("yes")).await;
            answer = client.recv().await;
        }
        let Packet::Connack(connack) = answer else { panic!("{claimed:?} {proven}: no CONNACK") };
        assert_eq!(connack.reason, expected, "{claimed:?} {proven}");
    }
}

#[tokio::test]
async fn an_exchange_that_is_not_continued_ends_at_the_connect_timeout() {
    let handle = start(Settings { connect_timeout_ms: 100, ..settings() });
    let mut client = begin(&handle, "SCRIPT", "i am ann", None).await;
    assert_eq!(client.recv().await, more("prove it"));
    assert_eq!(client.recv_bytes().await, None);
}

#[tokio::test]
async fn mqtt_4_12_1_a_client_may_authenticate_again_while_it_goes_on() {
    let handle = start(settings());
    let mut client = let_in(&handle).await;
    for _ in 0..2 {
        client.send(&auth(Reason::RE_AUTHENTICATE, "SCRIPT", "i am ann")).await;
        assert_eq!(client.recv().await, more("prove it"));
        client.expect_silence().await;
        client.send(&more("yes")).await;
        assert_eq!(client.recv().await, auth(Reason::SUCCESS, "SCRIPT", "welcome"));
    }
}

#[tokio::test]
async fn re_authentication_ends_the_connection_where_it_fails() {
    let handle = start(settings());
    let again = |data: &str| auth(Reason::RE_AUTHENTICATE, "SCRIPT", data);
    let table: Vec<(&str, Vec<Packet>, Reason)> = vec![
        ("MQTT-4.12.1-1: another method", vec![auth(Reason::RE_AUTHENTICATE, "OTHER", "")], Reason::PROTOCOL_ERROR),
        ("MQTT-4.12.1-2: refused", vec![again("no")], Reason::NOT_AUTHORIZED),
        ("somebody else", vec![again("i am bob"), more("yes")], Reason::NOT_AUTHORIZED),
        ("continued without a beginning", vec![more("yes")], Reason::PROTOCOL_ERROR),
        ("begun twice", vec![again("i am ann"), again("i am ann")], Reason::PROTOCOL_ERROR),
        ("success is the server's word", vec![auth(Reason::SUCCESS, "SCRIPT", "")], Reason::PROTOCOL_ERROR),
        ("too many steps", [vec![again("again")], vec![more("again"); 8]].concat(), Reason::NOT_AUTHORIZED),
    ];
    for (what, sent, expected) in table {
        let mut client = let_in(&handle).await;
        let (last, before) = sent.split_last().unwrap();
        for packet in before {
            client.send(packet).await;
            assert!(matches!(client.recv().await, Packet::Auth(_)), "{what}");
        }
        client.send(last).await;
        assert_eq!(client.recv().await, Packet::Disconnect(Disconnect::new(expected)), "{what}");
        assert_eq!(client.recv_bytes().await, None, "{what}: closed");
    }
    let mut plain = Client::new(&handle, "plain", Version::V5).await;
    plain.send(&again("i am ann")).await;
    plain.expect_end(Reason::PROTOCOL_ERROR).await;
}

#[tokio::test]
async fn banned_clients_are_refused_in_the_words_of_their_version() {
    let handle = start(settings());
    for (version, code) in [(Version::V5, 0x8a), (Version::V3_1_1, 5), (Version::V3_1, 5)] {
        let mut client = Client::raw(&handle, version).await;
        client.send(&Packet::Connect(Box::new(connect_packet("bad", version)))).await;
        let bytes = client.recv_bytes().await.unwrap();
        assert_eq!((bytes[0], bytes[3]), (0x20, code), "{version:?}");
        assert_eq!(client.recv_bytes().await, None);
    }
    assert_eq!(handle.session_count(), 0);
}

#[tokio::test]
async fn clients_that_get_banned_are_disconnected_and_keep_their_sessions() {
    let handle = start(settings());
    let (mut meant, _) = Client::persistent(&handle, "meant", Version::V5).await;
    let mut other = Client::new(&handle, "other", Version::V5).await;
    assert_eq!(handle.end(&|client| &*client.client_id == "meant"), 1);
    meant.expect_end(Reason::ADMINISTRATIVE_ACTION).await;
    other.expect_silence().await;
    assert!(handle.client("meant").is_some());
}

/// Writes down who connects and disconnects.
#[derive(Default)]
struct Watching(Mutex<Vec<(String, Flapping)>>);

#[async_trait]
impl Authenticate for Watching {
    async fn authenticate(&self, _: Login) -> Verdict {
        Verdict::Allow { superuser: false }
    }
    fn is_banned(&self, _: &ClientInfo) -> bool {
        true
    }
    fn state_changed(&self, client: &ClientInfo, measure: Flapping) {
        self.0.lock().unwrap().push((client.client_id.to_string(), measure));
    }
}

#[tokio::test]
async fn manual_5_11_flapping_is_reported_and_bans_can_be_switched_off() {
    let measure = Flapping { changes_max: 3, window_secs: 60, ban_secs: 3600 };
    for flapping in [None, Some(measure)] {
        let watching = Arc::new(Watching::default());
        let settings = Settings { ban: false, flapping, ..settings() };
        let handle = Broker::start(settings, Ports { authenticate: watching.clone(), ..ports() }).unwrap();
        drop(Client::new(&handle, "c", Version::V5).await);
        until("the client is gone", || handle.client("c").is_none()).await;
        until("its end is reported", || watching.0.lock().unwrap().len() == flapping.map_or(0, |_| 2)).await;
        assert!(watching.0.lock().unwrap().iter().all(|(id, given)| id == "c" && *given == measure));
    }
}
