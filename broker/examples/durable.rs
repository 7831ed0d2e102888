//! What durability costs, on this machine: `cargo run -p broker --release --example durable -- <folder> <power|process>
//! <publishers> <messages>`. Publishers of QoS 1 send to durable subscribers, one topic each, connected; then as many
//! messages are left in the queues of offline sessions, the process ends as `kill -9` would end it, and the start is timed.
//! Broker and clients share the process and the cores.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use broker::codec::{
    Connect, Filter, Packet, Properties, Puback, Publish, PublishHeader, Reason, Subscribe, SubscribeOptions, Version,
};
use broker::{Broker, Handle, Listener, Ports, Settings, Storage};
use model::manage::{ClientFilter, Manage, Slice};
use model::ports::{AllowAll, AllowAnonymous, NoTap};
use model::{Qos, SystemClock};
use store::{Fsync, Kv, LocalLog, LogSettings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Unacknowledged messages of one publisher; the broker's own limit for a client of MQTT 3.
const WINDOW: usize = 64;

async fn start(folder: &Path, fsync: Fsync) -> Result<(Handle, LocalLog), Failure> {
    let settings = Settings {
        listeners: vec![Listener::new("bench", "127.0.0.1:0".parse()?)],
        queue_messages_max: 10_000_000,
        queue_bytes_max: 8 << 30,
        ..Settings::default()
    };
    let ports = Ports {
        tap: Arc::new(NoTap),
        authenticate: Arc::new(AllowAnonymous),
        authorize: Arc::new(AllowAll),
        clock: Arc::new(SystemClock),
    };
    let log_settings = LogSettings { fsync, segment_bytes: 16 << 20, ..LogSettings::default() };
    let log = LocalLog::open(folder.join("log"), log_settings).await?;
    let kv = Kv::open(folder.join("sessions.kv")).await?;
    let storage = Storage { log: Arc::new(log.clone()), kv };
    Ok((Broker::start_durable(settings, ports, storage).await?, log))
}

async fn client(address: SocketAddr, client_id: &str, clean: bool) -> Result<TcpStream, Failure> {
    let mut socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let connect = Connect {
        version: Version::V3_1_1,
        is_bridge: false,
        clean_start: clean,
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

async fn subscriber(address: SocketAddr, n: usize) -> Result<TcpStream, Failure> {
    let mut socket = client(address, &format!("subscriber-{n}"), false).await?;
    let mut bytes = Vec::new();
    let filters = vec![Filter { filter: format!("t/{n}"), options: SubscribeOptions::of_qos(Qos::AtLeastOnce) }];
    Subscribe { packet_id: 1, properties: Properties::default(), filters }.encode(&mut bytes, Version::V3_1_1);
    socket.write_all(&bytes).await?;
    socket.read_exact(&mut [0; 5]).await?;
    Ok(socket)
}

/// Receives and acknowledges until `count` messages came.
async fn receive(mut socket: TcpStream, count: usize) -> Result<(), Failure> {
    let (mut inbox, mut seen) = (Vec::new(), 0);
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
                Puback::new(publish.header.packet_id, Reason::SUCCESS).encode(&mut answers, Version::V3_1_1);
            }
            done = end;
        }
        inbox.drain(..done);
        socket.write_all(&answers).await?;
    }
    Ok(())
}

async fn publish(mut socket: TcpStream, n: usize, count: usize) -> Result<(), Failure> {
    let (mut sent, mut acknowledged, mut bytes_in) = (0, 0, 0);
    let mut acks = vec![0; 1 << 12];
    while acknowledged < count {
        let mut bytes = Vec::new();
        while sent < count && sent - acknowledged < WINDOW {
            sent += 1;
            let header = PublishHeader {
                dup: false,
                qos: Qos::AtLeastOnce,
                retain: false,
                topic: format!("t/{n}"),
                packet_id: u16::try_from(sent % 65_535)? + 1,
                properties: Properties::default(),
            };
            Publish { header, payload: vec![b'x'; 100].into() }.encode(&mut bytes, Version::V3_1_1);
        }
        socket.write_all(&bytes).await?;
        let count = socket.read(&mut acks).await?;
        if count == 0 {
            return Err("the broker closed the connection".into());
        }
        bytes_in += count;
        acknowledged = bytes_in / 4;
    }
    Ok(())
}

/// Publishes `count` messages from `publishers` clients at once; messages a second.
async fn load(address: SocketAddr, publishers: usize, count: usize, connected: bool) -> Result<f64, Failure> {
    let share = count / publishers;
    let mut work = tokio::task::JoinSet::new();
    let mut sockets = Vec::new();
    for n in 0..publishers {
        let subscriber = subscriber(address, n).await?;
        sockets.push((n, client(address, &format!("publisher-{n}"), true).await?, connected.then_some(subscriber)));
    }
    let started = Instant::now();
    for (n, publisher, subscriber) in sockets {
        work.spawn(publish(publisher, n, share));
        if let Some(subscriber) = subscriber {
            work.spawn(receive(subscriber, share));
        }
    }
    while let Some(done) = work.join_next().await {
        done??;
    }
    Ok((share * publishers) as f64 / started.elapsed().as_secs_f64())
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, policy, publishers, count] = arguments.as_slice() else {
        return Err("durable <folder> <power|process> <publishers> <messages>".into());
    };
    let fsync = match policy.as_str() {
        "power" => Fsync::Always,
        "process" => Fsync::Never,
        _ => return Err("the policy is power or process".into()),
    };
    let folder = Path::new(folder);
    let (publishers, count) = (publishers.parse()?, count.parse()?);
    let say = |text: String| std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes());
    let runtime = tokio::runtime::Runtime::new()?;
    let (online, offline) = runtime.block_on(async {
        let (handle, log) = start(folder, fsync).await?;
        let address = handle.local_addrs().first().ok_or("no listener")?.1;
        let online = load(address, publishers, count, true).await?;
        let flushes = log.metrics().snapshot().fsyncs;
        say(format!("connected subscribers: {online:.0} msg/s in and out, {flushes} flushes\n"))?;
        let offline = load(address, publishers, count, false).await?;
        Ok::<_, Failure>((online, offline))
    })?;
    say(format!("offline subscribers: {offline:.0} msg/s in ({:.1} of the above)\n", offline / online))?;
    drop(runtime);
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let started = Instant::now();
        let (handle, _) = start(folder, fsync).await?;
        let took = started.elapsed();
        let clients = handle.clients(&ClientFilter::default(), Slice::after(None, usize::MAX));
        let waiting: usize =
            clients.items.iter().map(|client| client.queue_message_count + client.inflight_count).sum();
        say(format!("start with {waiting} waiting messages: {:.2} s\n", took.as_secs_f64()))?;
        let started = Instant::now();
        handle.stop(Duration::from_secs(60)).await;
        say(format!("stop with its last snapshot: {:.2} s\n", started.elapsed().as_secs_f64()))?;
        Ok::<_, Failure>(())
    })?;
    drop(runtime);
    tokio::runtime::Runtime::new()?.block_on(async {
        let started = Instant::now();
        let (handle, _) = start(folder, fsync).await?;
        say(format!("start from that snapshot: {:.2} s\n", started.elapsed().as_secs_f64()))?;
        handle.stop(Duration::from_secs(60)).await;
        Ok::<_, Failure>(())
    })
}
