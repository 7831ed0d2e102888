//! MQTT clients that do as little as possible for each message.

use std::rc::Rc;
use std::time::Duration;

use broker::codec::{
    Connect, Filter, Kind, Packet, Properties, Puback, Pubcomp, Publish, PublishHeader, Pubrec, Pubrel, Reason,
    Subscribe, SubscribeOptions, Version, frame,
};
use model::Qos;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::Shared;
use crate::options::Options;

/// Any reason to stop.
pub(crate) type Failure = Box<dyn std::error::Error>;

/// One connection after CONNACK.
pub(crate) struct Link {
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
    inbox: Vec<u8>,
    version: Version,
}

impl Link {
    /// Connects with a clean session.
    pub(crate) async fn open(options: &Options, client_id: &str) -> Result<Self, Failure> {
        let socket = TcpStream::connect(options.address).await?;
        socket.set_nodelay(true)?;
        let (reader, writer) = socket.into_split();
        let version = if options.version == 5 { Version::V5 } else { Version::V3_1_1 };
        let mut link = Self { reader, writer, inbox: Vec::new(), version };
        let connect = Connect {
            version,
            is_bridge: false,
            clean_start: true,
            keepalive_secs: 600,
            properties: Properties::default(),
            client_id: client_id.to_owned(),
            will: None,
            username: None,
            password: None,
        };
        link.send(&Packet::Connect(Box::new(connect))).await?;
        match link.next().await? {
            Packet::Connack(connack) if connack.reason == Reason::SUCCESS => Ok(link),
            other => Err(format!("expected CONNACK, got {other:?}").into()),
        }
    }

    /// Subscribes to one filter.
    pub(crate) async fn subscribe(&mut self, filter: &str, qos: Qos) -> Result<(), Failure> {
        let filters = vec![Filter { filter: filter.to_owned(), options: SubscribeOptions::of_qos(qos) }];
        self.send(&Packet::Subscribe(Subscribe { packet_id: 1, properties: Properties::default(), filters })).await?;
        match self.next().await? {
            Packet::Suback(_) => Ok(()),
            other => Err(format!("expected SUBACK, got {other:?}").into()),
        }
    }

    async fn send(&mut self, packet: &Packet) -> Result<(), Failure> {
        let mut bytes = Vec::new();
        packet.encode(&mut bytes, self.version);
        Ok(self.writer.write_all(&bytes).await?)
    }

    async fn next(&mut self) -> Result<Packet, Failure> {
        loop {
            if let Some(found) = frame(&self.inbox)?
                && let Some(body) = self.inbox.get(found.header_len..found.total_len())
            {
                let packet = Packet::decode(found.kind, found.flags, body, self.version)?;
                self.inbox.drain(..found.total_len());
                return Ok(packet);
            }
            if self.reader.read_buf(&mut self.inbox).await? == 0 {
                return Err("the broker closed the connection".into());
            }
        }
    }
}

/// Reads what is there and hands every whole frame to `each`: kind, flags, body.
async fn read_frames(
    reader: &mut OwnedReadHalf,
    inbox: &mut Vec<u8>,
    mut each: impl FnMut(Kind, u8, &[u8]),
) -> Result<(), Failure> {
    if reader.read_buf(inbox).await? == 0 {
        return Err("the broker closed the connection".into());
    }
    let mut done = 0;
    while let Some(found) = frame(inbox.get(done..).unwrap_or_default())? {
        let Some(body) = inbox.get(done + found.header_len..done + found.total_len()) else { break };
        each(found.kind, found.flags, body);
        done += found.total_len();
    }
    inbox.drain(..done);
    Ok(())
}

fn two_bytes(bytes: Option<&[u8]>) -> u16 {
    bytes.and_then(|bytes| bytes.try_into().ok()).map_or(0, u16::from_be_bytes)
}

/// Takes deliveries for ever: counts, times and acknowledges them.
pub(crate) async fn receive(link: Link, shared: Rc<Shared>) -> Result<(), Failure> {
    let Link { mut reader, mut writer, mut inbox, version } = link;
    let mut answers = Vec::new();
    loop {
        read_frames(&mut reader, &mut inbox, |kind, flags, body| match kind {
            Kind::Publish => {
                let topic_len = usize::from(two_bytes(body.get(..2)));
                let qos = flags >> 1 & 3;
                let packet_id = two_bytes(body.get(2 + topic_len..4 + topic_len));
                match qos {
                    1 => Puback::new(packet_id, Reason::SUCCESS).encode(&mut answers, version),
                    2 => Pubrec::new(packet_id, Reason::SUCCESS).encode(&mut answers, version),
                    _ => {}
                }
                took(&shared, body);
            }
            Kind::Pubrel => Pubcomp::new(two_bytes(body.get(..2)), Reason::SUCCESS).encode(&mut answers, version),
            _ => {}
        })
        .await?;
        shared.progress.notify_waiters();
        if !answers.is_empty() {
            writer.write_all(&answers).await?;
            answers.clear();
        }
    }
}

/// The payload ends with the time of its publish in microseconds.
fn took(shared: &Shared, body: &[u8]) {
    shared.received.set(shared.received.get() + 1);
    let stamp = body.len().checked_sub(8).and_then(|at| body.get(at..)).and_then(|bytes| bytes.try_into().ok());
    if let Some(sent_us) = stamp.map(u64::from_be_bytes) {
        let now_us = u64::try_from(shared.epoch.elapsed().as_micros()).unwrap_or(u64::MAX);
        shared.latency.borrow_mut().saturating_record(now_us.saturating_sub(sent_us).max(1));
    }
}

/// Publishes until it is told to stop.
pub(crate) async fn publish(link: Link, options: Options, topic: String, shared: Rc<Shared>) -> Result<(), Failure> {
    let Link { mut reader, mut writer, mut inbox, version } = link;
    let (mut sent, mut acknowledged) = (0u64, 0u64);
    let mut bytes = Vec::new();
    let outstanding_max = options.window * shared.fan_out * options.publishers as u64;
    let mut tick =
        (options.rate > 0).then(|| tokio::time::interval(Duration::from_nanos(1_000_000_000 / options.rate)));
    while !shared.stop.get() {
        let may_send = |sent: u64, acknowledged: u64| {
            let unacknowledged = if options.qos == Qos::AtMostOnce { 0 } else { sent - acknowledged };
            unacknowledged < options.window && shared.outstanding() < outstanding_max
        };
        let mut burst = 0;
        while burst < 20 && may_send(sent, acknowledged) {
            if let Some(tick) = &mut tick {
                tick.tick().await;
            }
            sent += 1;
            burst += 1;
            shared.published.set(shared.published.get() + 1);
            put_publish(&mut bytes, &options, &topic, sent, &shared, version);
            if tick.is_some() {
                break;
            }
        }
        writer.write_all(&bytes).await?;
        bytes.clear();
        if may_send(sent, acknowledged) {
            tokio::task::yield_now().await;
            if options.qos == Qos::AtMostOnce {
                continue;
            }
        }
        let progress = shared.progress.notified();
        tokio::select! {
            read = read_frames(&mut reader, &mut inbox, |kind, _, body| match kind {
                Kind::Puback | Kind::Pubcomp => acknowledged += 1,
                Kind::Pubrec => Pubrel::new(two_bytes(body.get(..2)), Reason::SUCCESS).encode(&mut bytes, version),
                _ => {}
            }) => read?,
            () = progress => {}
            // A lost delivery would otherwise stop the loop for good; it is seen in the count of the lost.
            () = tokio::time::sleep(Duration::from_millis(200)) => {}
        }
    }
    finish(reader, writer, inbox, bytes, version).await
}

/// Completes QoS 2 exchanges after the last publish, until the connection is dropped with the runtime.
async fn finish(
    mut reader: OwnedReadHalf,
    mut writer: OwnedWriteHalf,
    mut inbox: Vec<u8>,
    mut bytes: Vec<u8>,
    version: Version,
) -> Result<(), Failure> {
    loop {
        writer.write_all(&bytes).await?;
        bytes.clear();
        read_frames(&mut reader, &mut inbox, |kind, _, body| {
            if kind == Kind::Pubrec {
                Pubrel::new(two_bytes(body.get(..2)), Reason::SUCCESS).encode(&mut bytes, version);
            }
        })
        .await?;
    }
}

fn put_publish(bytes: &mut Vec<u8>, options: &Options, topic: &str, count: u64, shared: &Shared, version: Version) {
    let packet_id = if options.qos == Qos::AtMostOnce { 0 } else { u16::try_from(count % 65_535).unwrap_or(0) + 1 };
    let header = PublishHeader {
        dup: false,
        qos: options.qos,
        retain: false,
        topic: topic.to_owned(),
        packet_id,
        properties: Properties::default(),
    };
    let mut payload = vec![b'x'; options.payload_bytes - 8];
    payload.extend(u64::try_from(shared.epoch.elapsed().as_micros()).unwrap_or(u64::MAX).to_be_bytes());
    Publish { header, payload: payload.into() }.encode(bytes, version);
}
