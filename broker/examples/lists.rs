//! How long the lists of an administrator take with 100,000 sessions: `cargo run --release -p broker --example lists [SESSIONS]`.
//!
//! Makes the sessions with real clients that connect, subscribe and leave, one after the other; loopback only.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a program for people that measures and fails loudly")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use broker::codec::{Connect, Filter, Packet, Properties, Property, Subscribe, SubscribeOptions, Version};
use broker::{Broker, Handle, Listener, Ports, Settings};
use model::manage::{ClientFilter, Manage as _, RouteFilter, Slice, SubscriptionFilter};
use model::ports::{AllowAll, AllowAnonymous, NoTap};
use model::{Clock as _, Qos, SystemClock};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;

#[tokio::main]
async fn main() {
    let sessions = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(100_000_u32).min(150_000);
    let listener = Listener::new("example", SocketAddr::from(([127, 0, 0, 1], 0)));
    let ports = Ports {
        tap: Arc::new(NoTap),
        authenticate: Arc::new(AllowAnonymous),
        authorize: Arc::new(AllowAll),
        clock: Arc::new(SystemClock),
    };
    let handle = Broker::start(Settings { listeners: vec![listener], ..Settings::default() }, ports).unwrap();
    for n in 0..sessions {
        session(handle.local_addrs().first().unwrap().1, n).await;
    }
    println!("{sessions} sessions, each with one subscription; milliseconds, best of five:");
    let all = ClientFilter::default;
    let part = |part: &str| ClientFilter { client_id_like: Some(part.to_owned()), ..ClientFilter::default() };
    let middle = format!("device-{:06}", sessions / 2);
    let skip = sessions as usize - 100;
    measure("clients, first 100", &handle, |h| h.clients(&all(), Slice::after(None, 100)).items.len());
    measure("clients, 100 after a cursor", &handle, |h| {
        h.clients(&all(), Slice::after(Some(&middle), 100)).items.len()
    });
    measure("clients, last page by number, counted", &handle, |h| {
        h.clients(&all(), Slice::skipping(skip, 100)).items.len()
    });
    measure("clients, part of the id, all walked", &handle, |h| {
        h.clients(&part("-0777"), Slice::after(None, 100)).items.len()
    });
    measure("clients, nothing found, all walked", &handle, |h| {
        h.clients(&part("x"), Slice::after(None, 100)).items.len()
    });
    let matches = SubscriptionFilter { matches: Some("site/7/device/1007/up".to_owned()), ..Default::default() };
    measure("subscriptions of one topic, all walked", &handle, |h| {
        h.subscriptions(&matches, Slice::after(None, 100)).items.len()
    });
    measure("routes, first 100", &handle, |h| h.routes(&RouteFilter::default(), Slice::after(None, 100)).items.len());
    handle.stop(Duration::from_secs(5)).await;
}

fn measure(what: &str, handle: &Handle, list: impl Fn(&Handle) -> usize) {
    let took = |_| {
        let started = SystemClock.instant();
        let found = list(handle);
        (started.elapsed(), found)
    };
    let (best, found) = (0..5).map(took).min().unwrap();
    println!("{:>8.2}  {what} ({found} found)", best.as_secs_f64() * 1000.0);
}

/// A client that connects, subscribes and leaves; its session stays. From ten source addresses: the system has only so many
/// ports for each.
async fn session(broker: SocketAddr, n: u32) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 1, u8::try_from(n / 15_000 + 1).unwrap()], 0))).unwrap();
    let mut stream = socket.connect(broker).await.unwrap();
    let connect = Connect {
        version: Version::V5,
        is_bridge: false,
        clean_start: true,
        keepalive_secs: 60,
        properties: Properties(vec![Property::SessionExpiryInterval(3_600)]),
        client_id: format!("device-{n:06}"),
        will: None,
        username: None,
        password: None,
    };
    let filter = format!("site/{}/device/{n}/+", n % 1_000);
    let filters = vec![Filter { filter, options: SubscribeOptions::of_qos(Qos::AtLeastOnce) }];
    let subscribe = Subscribe { packet_id: 1, properties: Properties::default(), filters };
    let mut bytes = Vec::new();
    Packet::Connect(Box::new(connect)).encode(&mut bytes, Version::V5);
    Packet::Subscribe(subscribe).encode(&mut bytes, Version::V5);
    bytes.extend_from_slice(&[0xe0, 0]);
    stream.write_all(&bytes).await.unwrap();
    // The server answers both and closes after the DISCONNECT.
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(!answer.is_empty(), "client {n} was not let in");
}
