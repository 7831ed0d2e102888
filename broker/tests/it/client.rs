//! A broker to test and a client that says exactly what the test wants it to say. Waiting is bounded, never a plain sleep.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use broker::codec::{
    Connack, Connect, Disconnect, Filter, Packet, Properties, Property, Publish, PublishHeader, Reason, Subscribe,
    SubscribeOptions, Version, frame,
};
use broker::{Broker, Handle, Listener, Ports, Settings, Zone};
use model::ports::{AllowAll, AllowAnonymous, NoTap};
use model::{Qos, SystemClock};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The longest a test waits for something that should happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn ports() -> Ports {
    Ports {
        tap: Arc::new(NoTap),
        authenticate: Arc::new(AllowAnonymous),
        authorize: Arc::new(AllowAll),
        clock: Arc::new(SystemClock),
    }
}

pub(crate) fn settings() -> Settings {
    Settings { listeners: vec![Listener::new("test", SocketAddr::from(([127, 0, 0, 1], 0)))], ..Settings::default() }
}

/// Settings whose only zone is `zone`.
pub(crate) fn zoned(zone: Zone) -> Settings {
    Settings { zone, ..settings() }
}

pub(crate) fn start() -> Handle {
    Broker::start(settings(), ports()).unwrap()
}

/// Waits until `condition` holds; the poll interval is not part of what is tested.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !condition() {
        assert!(tokio::time::Instant::now() < deadline, "waited too long for: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) struct Client {
    pub(crate) socket: TcpStream,
    buffer: Vec<u8>,
    pub(crate) version: Version,
}

pub(crate) fn connect_packet(client_id: &str, version: Version) -> Connect {
    Connect {
        version,
        is_bridge: false,
        clean_start: true,
        keepalive_secs: 60,
        properties: Properties::default(),
        client_id: client_id.to_owned(),
        will: None,
        username: None,
        password: None,
    }
}

impl Client {
    /// A client over a socket that has said nothing yet.
    pub(crate) fn over(socket: TcpStream, version: Version) -> Self {
        Self { socket, buffer: Vec::new(), version }
    }

    /// A socket to the first listener that has said nothing yet.
    pub(crate) async fn raw(handle: &Handle, version: Version) -> Self {
        Self::over(TcpStream::connect(handle.local_addrs()[0].1).await.unwrap(), version)
    }

    /// Connects with a packet of the test's making.
    pub(crate) async fn with(handle: &Handle, connect: Connect) -> (Self, Connack) {
        let mut client = Self::raw(handle, connect.version).await;
        client.send(&Packet::Connect(Box::new(connect))).await;
        match client.recv().await {
            Packet::Connack(connack) => (client, connack),
            other => panic!("expected CONNACK, got {other:?}"),
        }
    }

    /// Connects with a clean session.
    pub(crate) async fn new(handle: &Handle, client_id: &str, version: Version) -> Self {
        let (client, connack) = Self::with(handle, connect_packet(client_id, version)).await;
        assert_eq!(connack.reason, Reason::SUCCESS);
        client
    }

    /// Connects with a session that outlives the connection; `true`: it was there.
    pub(crate) async fn persistent(handle: &Handle, client_id: &str, version: Version) -> (Self, bool) {
        let mut connect = connect_packet(client_id, version);
        connect.clean_start = false;
        if version == Version::V5 {
            connect.properties.0.push(Property::SessionExpiryInterval(60));
        }
        let (client, connack) = Self::with(handle, connect).await;
        assert_eq!(connack.reason, Reason::SUCCESS);
        (client, connack.session_present)
    }

    pub(crate) async fn send(&mut self, packet: &Packet) {
        let mut bytes = Vec::new();
        packet.encode(&mut bytes, self.version);
        self.send_bytes(&bytes).await;
    }

    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).await.unwrap();
    }

    /// The bytes of the next packet; `None` when the server has closed.
    pub(crate) async fn recv_bytes(&mut self) -> Option<Vec<u8>> {
        let reading = async {
            loop {
                if let Some(found) = frame(&self.buffer).unwrap()
                    && self.buffer.len() >= found.total_len()
                {
                    return Some(self.buffer.drain(..found.total_len()).collect());
                }
                match self.socket.read_buf(&mut self.buffer).await {
                    Ok(0) | Err(_) => return None,
                    Ok(_) => {}
                }
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("the server said nothing for too long")
    }

    pub(crate) async fn recv(&mut self) -> Packet {
        let bytes = self.recv_bytes().await.expect("the server closed the connection");
        let found = frame(&bytes).unwrap().unwrap();
        Packet::decode(found.kind, found.flags, &bytes[found.header_len..], self.version).unwrap()
    }

    pub(crate) async fn recv_publish(&mut self) -> Publish {
        match self.recv().await {
            Packet::Publish(publish) => publish,
            other => panic!("expected PUBLISH, got {other:?}"),
        }
    }

    /// The server says DISCONNECT with `reason` (MQTT 5) and closes.
    pub(crate) async fn expect_end(&mut self, reason: Reason) {
        if self.version == Version::V5 {
            assert_eq!(self.recv().await, Packet::Disconnect(Disconnect::new(reason)));
        }
        assert_eq!(self.recv_bytes().await, None, "the connection is closed");
    }

    /// Nothing is on its way: a PINGREQ is answered before anything else comes.
    pub(crate) async fn expect_silence(&mut self) {
        self.send_bytes(&[0xc0, 0]).await;
        assert_eq!(self.recv_bytes().await.as_deref(), Some(&[0xd0, 0][..]));
    }

    /// Every PUBLISH on its way. Those that wait in the session are sent after the packets that came are acted upon, hence
    /// the second PINGREQ: its answer comes behind them.
    pub(crate) async fn drain(&mut self) -> Vec<Publish> {
        let mut publishes = Vec::new();
        for _ in 0..2 {
            self.send_bytes(&[0xc0, 0]).await;
            loop {
                match self.recv().await {
                    Packet::Pingresp(_) => break,
                    Packet::Publish(publish) => publishes.push(publish),
                    other => panic!("expected PUBLISH or PINGRESP, got {other:?}"),
                }
            }
        }
        publishes
    }

    pub(crate) async fn subscribe(&mut self, filter: &str, qos: Qos) {
        self.subscribe_with(filter, SubscribeOptions::of_qos(qos), None).await;
    }

    pub(crate) async fn subscribe_with(&mut self, filter: &str, options: SubscribeOptions, identifier: Option<u32>) {
        let reason = self.try_subscribe(filter, options, identifier).await;
        assert_eq!(reason, Reason(options.qos as u8));
    }

    pub(crate) async fn try_subscribe(
        &mut self,
        filter: &str,
        options: SubscribeOptions,
        identifier: Option<u32>,
    ) -> Reason {
        let properties = Properties(identifier.into_iter().map(Property::SubscriptionIdentifier).collect());
        let filters = vec![Filter { filter: filter.to_owned(), options }];
        self.send(&Packet::Subscribe(Subscribe { packet_id: 7, properties, filters })).await;
        match self.recv().await {
            Packet::Suback(suback) => suback.reasons[0],
            other => panic!("expected SUBACK, got {other:?}"),
        }
    }

    pub(crate) async fn publish(&mut self, topic: &str, payload: &str, qos: Qos, packet_id: u16) {
        self.send(&Packet::Publish(message(topic, payload, qos, packet_id))).await;
    }
}

pub(crate) fn message(topic: &str, payload: &str, qos: Qos, packet_id: u16) -> Publish {
    let topic = topic.to_owned();
    let header = PublishHeader { dup: false, qos, retain: false, topic, packet_id, properties: Properties::default() };
    Publish { header, payload: payload.to_owned().into() }
}

pub(crate) fn text(publish: &Publish) -> &str {
    std::str::from_utf8(&publish.payload).unwrap()
}
