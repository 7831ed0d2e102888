//! CONNECT and CONNACK: versions, client identifiers, limits, identities, keep alive.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use broker::codec::{Packet, Property, Reason, Version};
use broker::{Broker, Error, Ports, Settings, Zone};
use model::ports::{Authenticate, Login, Verdict};

use crate::client::{Client, connect_packet, ports, settings, start, zoned};

#[tokio::test]
async fn refused_connects_are_answered_in_their_version() {
    let handle = start();
    let name = b"\0\x04MQTT";
    for (what, body, expected) in [
        ("MQTT-3.1.2-2: level 6", [&name[..], b"\x06\x02\0\x3c\0\0\x01a"].concat(), Some(vec![0x20, 3, 0, 0x84, 0])),
        (
            "MQTT-3.1.2-2 of 3.1.1: level 3 with the name MQTT",
            [&name[..], b"\x03\x02\0\x3c\0\x01a"].concat(),
            Some(vec![0x20, 2, 0, 1]),
        ),
        ("MQTT-3.1.2-1: another protocol", b"\0\x04HTTP\x04\x02\0\x3c\0\x01a".to_vec(), None),
        (
            "MQTT-3.1.2-3: reserved flag, 5.0",
            [&name[..], b"\x05\x03\0\x3c\0\0\x01a"].concat(),
            Some(vec![0x20, 3, 0, 0x81, 0]),
        ),
        ("MQTT-3.1.2-3: reserved flag, 3.1.1", [&name[..], b"\x04\x03\0\x3c\0\x01a"].concat(), None),
        (
            "MQTT-3.1.3-8 of 3.1.1: no client id, no clean session",
            [&name[..], b"\x04\0\0\x3c\0\0"].concat(),
            Some(vec![0x20, 2, 0, 2]),
        ),
        (
            "MQTT-4.12.0-1: an authentication method",
            [&name[..], b"\x05\x02\0\x3c\x06\x15\0\x03abc\0\x01a"].concat(),
            Some(vec![0x20, 3, 0, 0x8c, 0]),
        ),
        (
            "§3.1.2.11.10: authentication data without method",
            [&name[..], b"\x05\x02\0\x3c\x04\x16\0\x01x\0\x01a"].concat(),
            Some(vec![0x20, 3, 0, 0x82, 0]),
        ),
        (
            "§3.1.2.11.3: receive maximum 0",
            [&name[..], b"\x05\x02\0\x3c\x03\x21\0\0\0\x01a"].concat(),
            Some(vec![0x20, 3, 0, 0x82, 0]),
        ),
        (
            "MQTT-3.1.2-12: will QoS 3",
            [&name[..], b"\x05\x1e\0\x3c\0\0\x01a\0\0\x01t\0\0"].concat(),
            Some(vec![0x20, 3, 0, 0x81, 0]),
        ),
        (
            "a will on a topic of the server",
            [&name[..], b"\x05\x06\0\x3c\0\0\x01a\0\0\x04$SYS\0\0"].concat(),
            Some(vec![0x20, 3, 0, 0x87, 0]),
        ),
        ("trailing bytes", [&name[..], b"\x05\x02\0\x3c\0\0\x01a\0"].concat(), Some(vec![0x20, 3, 0, 0x81, 0])),
    ] {
        let mut client = Client::raw(&handle, Version::V5).await;
        client.send_bytes(&[&[0x10, body.len() as u8], &body[..]].concat()).await;
        assert_eq!(client.recv_bytes().await, expected, "{what}");
        if expected.is_some() {
            assert_eq!(client.recv_bytes().await, None, "{what}: closed");
        }
    }
    assert_eq!(handle.session_count(), 0, "a refused client leaves no session");
}

#[tokio::test]
async fn mqtt_3_1_0_1_anything_before_connect_closes() {
    let handle = start();
    for bytes in [&[0xc0, 0][..], &[0x30, 3, 0, 1, b'a'], &[0xe0, 0], &[0x00, 0], b"GET / HTTP/1.1\r\n\r\n"] {
        let mut client = Client::raw(&handle, Version::V5).await;
        client.send_bytes(bytes).await;
        assert_eq!(client.recv_bytes().await, None, "{bytes:x?}");
    }
}

#[tokio::test]
async fn a_connect_above_its_budget_is_refused_before_its_bytes_come() {
    let handle = start();
    let mut client = Client::raw(&handle, Version::V5).await;
    // Remaining length 200,000, of which only the beginning is ever sent.
    client.send_bytes(b"\x10\xc0\x9a\x0c\0\x04MQTT\x05\x02\0\x3c").await;
    assert_eq!(client.recv_bytes().await, Some(vec![0x20, 3, 0, 0x95, 0]));
}

#[tokio::test]
async fn silence_before_connect_ends_at_the_connect_timeout() {
    let handle = Broker::start(zoned(Zone { connect_timeout_ms: 100, ..Zone::default() }), ports()).unwrap();
    let mut client = Client::raw(&handle, Version::V5).await;
    client.send_bytes(&[0x10]).await;
    assert_eq!(client.recv_bytes().await, None);
}

#[tokio::test]
async fn connack_announces_what_the_server_decided() {
    let settings = zoned(Zone { keepalive_max_secs: 30, session_expiry_max_secs: 100, ..Zone::default() });
    let handle = Broker::start(settings, ports()).unwrap();
    let mut connect = connect_packet("", Version::V5);
    connect.properties.0.push(Property::SessionExpiryInterval(u32::MAX));
    let (_client, connack) = Client::with(&handle, connect).await;
    let properties = connack.properties.0;
    assert_eq!(properties[0], Property::SessionExpiryInterval(100));
    assert!(
        matches!(&properties[1], Property::AssignedClientIdentifier(id) if id.starts_with("auto-")),
        "[MQTT-3.2.2-16]"
    );
    assert_eq!(properties[2], Property::ServerKeepAlive(30), "[MQTT-3.2.2-21]");
    assert!(properties.contains(&Property::ReceiveMaximum(64)));
    assert!(properties.contains(&Property::MaximumPacketSize(1 << 20)));
    assert!(properties.contains(&Property::TopicAliasMaximum(10)));
}

#[tokio::test]
async fn mqtt_3_1_2_22_a_silent_client_is_disconnected_after_one_and_a_half_keep_alives() {
    let handle = start();
    let mut connect = connect_packet("silent", Version::V5);
    connect.keepalive_secs = 1;
    let started = tokio::time::Instant::now();
    let (mut client, _) = Client::with(&handle, connect).await;
    client.expect_end(Reason::KEEP_ALIVE_TIMEOUT).await;
    assert!(started.elapsed() >= Duration::from_millis(1500));
}

struct Passwords;

#[async_trait]
impl Authenticate for Passwords {
    async fn authenticate(&self, login: Login) -> Verdict {
        match (login.client.username.as_deref(), login.password.as_deref()) {
            (None, None) => Verdict::Allow { superuser: false },
            (Some("ada" | "eve"), Some(b"secret")) => Verdict::Allow { superuser: false },
            (Some("down"), _) => Verdict::Unavailable,
            (Some("banned"), _) => Verdict::NotAuthorized,
            _ => Verdict::BadCredentials,
        }
    }
}

fn login(client_id: &str, version: Version, user: &str, password: &str) -> broker::codec::Connect {
    let mut connect = connect_packet(client_id, version);
    connect.clean_start = false;
    connect.username = Some(user.to_owned());
    connect.password = Some(password.to_owned().into());
    if version == Version::V5 {
        connect.properties.0.push(Property::SessionExpiryInterval(60));
    }
    connect
}

#[tokio::test]
async fn refused_logins_say_why() {
    let handle = Broker::start(settings(), Ports { authenticate: Arc::new(Passwords), ..ports() }).unwrap();
    for (user, password, v5, v3) in [
        ("ada", "wrong", Reason::BAD_USERNAME_OR_PASSWORD, 4),
        ("down", "x", Reason::SERVER_UNAVAILABLE, 3),
        ("banned", "x", Reason::NOT_AUTHORIZED, 5),
    ] {
        let (_, connack) = Client::with(&handle, login("c", Version::V5, user, password)).await;
        assert_eq!(connack.reason, v5);
        let mut client = Client::raw(&handle, Version::V3_1_1).await;
        client.send(&Packet::Connect(Box::new(login("c", Version::V3_1_1, user, password)))).await;
        assert_eq!(client.recv_bytes().await, Some(vec![0x20, 2, 0, v3]));
    }
}

#[tokio::test]
async fn a_session_belongs_to_the_user_name_it_was_created_with() {
    let handle = Broker::start(settings(), Ports { authenticate: Arc::new(Passwords), ..ports() }).unwrap();
    let (mut ada, _) = Client::with(&handle, login("device", Version::V5, "ada", "secret")).await;
    for connect in [login("device", Version::V5, "eve", "secret"), connect_packet("device", Version::V5)] {
        let (_, connack) = Client::with(&handle, connect).await;
        assert_eq!(connack.reason, Reason::CLIENT_IDENTIFIER_NOT_VALID);
        assert!(!connack.session_present);
    }
    let (_, connack) = Client::with(&handle, login("device", Version::V3_1_1, "eve", "secret")).await;
    assert_eq!(connack.reason, Reason::CLIENT_IDENTIFIER_NOT_VALID, "return code 2");
    ada.expect_silence().await;
    drop(ada);
    let (_, connack) = Client::with(&handle, login("device", Version::V5, "ada", "secret")).await;
    assert!(connack.session_present, "the owner gets it back");
}

#[tokio::test]
async fn a_port_in_use_is_named_with_the_setting_that_changes_it() {
    let first = start();
    let mut second = settings();
    second.listeners[0].address = first.local_addrs()[0].1;
    let error = Broker::start(second, ports()).err().unwrap();
    assert!(matches!(error, Error::Bind { .. }));
    let text = error.to_string();
    for part in ["in use", "listeners.test.address", &first.local_addrs()[0].1.to_string()] {
        assert!(text.contains(part), "{part} in: {text}");
    }
}

#[tokio::test]
async fn connections_above_the_maximum_are_closed_and_counted() {
    let handle = Broker::start(Settings { connections_max: 1, ..settings() }, ports()).unwrap();
    let _first = Client::new(&handle, "one", Version::V5).await;
    let mut second = Client::raw(&handle, Version::V5).await;
    assert_eq!(second.recv_bytes().await, None);
    assert_eq!(handle.counters().connections_refused.get(), 1);
}

#[tokio::test]
async fn stop_tells_the_clients_and_leaves_nothing_behind() {
    let handle = start();
    let mut client = Client::new(&handle, "c", Version::V5).await;
    let mut waiting = Client::raw(&handle, Version::V5).await;
    let stopping = tokio::spawn({
        let handle = handle.clone();
        async move { handle.stop(Duration::from_secs(5)).await }
    });
    client.expect_end(Reason::SERVER_SHUTTING_DOWN).await;
    assert_eq!(waiting.recv_bytes().await, None);
    drop((client, waiting));
    stopping.await.unwrap();
    assert_eq!(handle.counters().connections.get(), 0);
    assert!(tokio::net::TcpStream::connect(handle.local_addrs()[0].1).await.is_err());
}
