//! Messages a second from one publisher to one subscriber, broker and both clients in one process over loopback:
//! `cargo run -p broker --release --example throughput -- <qos> <messages>`. A first figure for comparing builds with
//! each other; comparisons with other brokers need the load generator on another core.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use broker::codec::{
    Connect, Packet, Properties, Puback, Publish, PublishHeader, Reason, Subscribe, SubscribeOptions, Version,
};
use broker::{Broker, Dropped, Listener, Ports, Settings};
use model::ports::{AllowAll, AllowAnonymous, NoTap};
use model::{Qos, SystemClock};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn client(address: SocketAddr, client_id: &str) -> Result<TcpStream, Failure> {
    let mut socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let connect = Connect {
        version: Version::V3_1_1,
        is_bridge: false,
        clean_start: true,
        keepalive_secs: 0,
        properties: Properties::default(),
        client_id: client_id.to_owned(),
        will: None,
        username: None,
        password: None,
    };
    let mut bytes = Vec::new();
    connect.encode(&mut bytes);
    socket.write_all(&bytes).await?;
    socket.read_exact(&mut [0; 4]).await?;
    Ok(socket)
}

/// Reads packets until `count` PUBLISHes (or acknowledgements) came; acknowledges what asks for it.
async fn receive(mut socket: TcpStream, count: usize) -> Result<(), Failure> {
    let mut inbox = Vec::new();
    let mut seen = 0;
    while seen < count {
        if socket.read_buf(&mut inbox).await? == 0 {
            return Err("the broker closed the connection".into());
        }
        let (mut done, mut answers) = (0, Vec::new());
        while let Some(found) = broker::codec::frame(inbox.get(done..).unwrap_or_default())? {
            let end = done + found.total_len();
            let Some(body) = inbox.get(done + found.header_len..end) else { break };
            if let Packet::Publish(publish) = Packet::decode(found.kind, found.flags, body, Version::V3_1_1)? {
                seen += 1;
                if publish.header.qos == Qos::AtLeastOnce {
                    Puback::new(publish.header.packet_id, Reason::SUCCESS).encode(&mut answers, Version::V3_1_1);
                }
            }
            done = end;
        }
        inbox.drain(..done);
        socket.write_all(&answers).await?;
    }
    Ok(())
}

/// Publishes with at most 1,000 unacknowledged messages.
async fn publish(mut socket: TcpStream, qos: Qos, count: usize) -> Result<(), Failure> {
    let mut sent = 0;
    let mut acknowledged = 0;
    let mut acks = vec![0; 1 << 16];
    while acknowledged < count {
        let mut bytes = Vec::new();
        for _ in 0..100.min(count - sent) {
            sent += 1;
            let packet_id = if qos == Qos::AtMostOnce { 0 } else { u16::try_from(sent % 65_535)? + 1 };
            let header = PublishHeader {
                dup: false,
                qos,
                retain: false,
                topic: "t".to_owned(),
                packet_id,
                properties: Properties::default(),
            };
            Publish { header, payload: "0123456789abcdef".into() }.encode(&mut bytes, Version::V3_1_1);
        }
        socket.write_all(&bytes).await?;
        if qos == Qos::AtMostOnce {
            acknowledged = sent;
        }
        let mut bytes_in = acknowledged * 4;
        while sent - bytes_in / 4 >= if sent == count { 1 } else { 1000 } {
            bytes_in += socket.read(&mut acks).await?;
        }
        acknowledged = bytes_in / 4;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let qos =
        Qos::from_u8(arguments.next().unwrap_or_default().parse().unwrap_or(0)).filter(|qos| *qos != Qos::ExactlyOnce);
    let qos = qos.ok_or("the QoS is 0 or 1")?;
    let count: usize = arguments.next().and_then(|count| count.parse().ok()).unwrap_or(500_000);
    let settings = Settings { listeners: vec![Listener::new("bench", "127.0.0.1:0".parse()?)], ..Settings::default() };
    let ports = Ports {
        tap: Arc::new(NoTap),
        authenticate: Arc::new(AllowAnonymous),
        authorize: Arc::new(AllowAll),
        clock: Arc::new(SystemClock),
    };
    let handle = Broker::start(settings, ports)?;
    let address = handle.local_addrs().first().ok_or("no listener")?.1;
    let mut subscriber = client(address, "subscriber").await?;
    let mut bytes = Vec::new();
    let filters = vec![broker::codec::Filter { filter: "t".to_owned(), options: SubscribeOptions::of_qos(qos) }];
    Subscribe { packet_id: 1, properties: Properties::default(), filters }.encode(&mut bytes, Version::V3_1_1);
    subscriber.write_all(&bytes).await?;
    subscriber.read_exact(&mut [0; 5]).await?;
    let publisher = client(address, "publisher").await?;
    let started = Instant::now();
    let both = futures_join(receive(subscriber, count), publish(publisher, qos, count));
    tokio::time::timeout(std::time::Duration::from_secs(60), both).await??;
    let seconds = started.elapsed().as_secs_f64();
    let dropped = handle.counters().dropped_count(Dropped::QueueFull);
    let text = format!(
        "QoS {}: {count} messages in {seconds:.2} s, {:.0}/s, {dropped} dropped\n",
        qos as u8,
        count as f64 / seconds
    );
    tokio::io::stdout().write_all(text.as_bytes()).await?;
    handle.stop(std::time::Duration::from_secs(1)).await;
    Ok(())
}

async fn futures_join(
    receiving: impl Future<Output = Result<(), Failure>>,
    publishing: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    let (received, published) = tokio::join!(receiving, publishing);
    received.and(published)
}
