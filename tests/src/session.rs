//! A client of MQTT 3.1.1 with a persistent session, on a blocking socket: it publishes and receives at QoS 1 and 2, keeps
//! its half of every exchange over connections, and tells exactly what was acknowledged and delivered. Independent of the
//! broker's own codec on purpose.

use std::collections::{BTreeSet, VecDeque};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::mqtt::{fixed_header, packet, put_text};

/// What a client learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The broker has taken the message of this number.
    Acknowledged(u64),
    /// A message of this number and QoS was delivered to the application; at QoS 2, repeated packets are not.
    Delivered(u64, u8),
}

/// A message on its way out.
#[derive(Debug)]
struct Outgoing {
    packet_id: u16,
    topic: String,
    number: u64,
    qos: u8,
    released: bool,
}

/// The client.
pub struct Session {
    address: SocketAddr,
    client_id: String,
    stream: Option<TcpStream>,
    input: Vec<u8>,
    last_packet_id: u16,
    outgoing: VecDeque<Outgoing>,
    /// QoS 2 messages received and not released.
    received: BTreeSet<u16>,
}

impl Session {
    /// A client that has never connected.
    pub fn new(address: SocketAddr, client_id: &str) -> Self {
        Self {
            address,
            client_id: client_id.to_owned(),
            stream: None,
            input: Vec::new(),
            last_packet_id: 0,
            outgoing: VecDeque::new(),
            received: BTreeSet::new(),
        }
    }

    /// Connects and repeats what has no answer. Whether the broker had the session.
    pub fn connect(&mut self) -> io::Result<bool> {
        self.input.clear();
        let stream = TcpStream::connect_timeout(&self.address, Duration::from_secs(5))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        self.stream = Some(stream);
        let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', 4, 0, 0, 60];
        put_text(&mut body, &self.client_id);
        self.write(&packet(0x10, &body))?;
        let (kind, content) = self.read_packet()?;
        if kind != 0x20 || content.get(1) != Some(&0) {
            return Err(io::Error::other(format!("the server refused the connection: {kind:#x} {content:?}")));
        }
        let present = content.first() == Some(&1);
        let mut again = Vec::new();
        for out in &self.outgoing {
            match out.released {
                true => again.extend(packet(0x62, &out.packet_id.to_be_bytes())),
                false => again.extend(out.encode(true)),
            }
        }
        self.write(&again)?;
        Ok(present)
    }

    /// Subscribes and waits for the SUBACK; nothing may be on its way to the client yet.
    pub fn subscribe(&mut self, filter: &str, qos: u8) -> io::Result<()> {
        let mut body = vec![0, 1];
        put_text(&mut body, filter);
        body.push(qos);
        self.write(&packet(0x82, &body))?;
        let (kind, content) = self.read_packet()?;
        if (kind, content.get(2)) == (0x90, Some(&qos)) {
            return Ok(());
        }
        Err(io::Error::other(format!("the server refused the subscription: {kind:#x} {content:?}")))
    }

    /// Publishes; `number` is the payload and comes back with the acknowledgement.
    pub fn publish(&mut self, topic: &str, number: u64, qos: u8) -> io::Result<()> {
        self.last_packet_id = self.last_packet_id.checked_add(1).unwrap_or(1);
        let (packet_id, topic) = (self.last_packet_id, topic.to_owned());
        let out = Outgoing { packet_id, topic, number, qos, released: false };
        let bytes = out.encode(false);
        self.outgoing.push_back(out);
        self.write(&bytes)
    }

    /// Messages on their way out.
    pub fn outgoing_count(&self) -> usize {
        self.outgoing.len()
    }

    /// Waits for packets at most `limit`, answers them and says what they mean. `None`: nothing came, which is not
    /// the same as packets that mean nothing to the application.
    pub fn poll(&mut self, limit: Duration) -> io::Result<Option<Vec<Event>>> {
        let (mut events, mut answers) = (Vec::new(), Vec::new());
        // Packets that came together with CONNACK are here already, and the broker may wait for their answers.
        if let Some((first, content)) = self.next_packet() {
            self.act(first, &content, &mut events, &mut answers);
        } else {
            let Some(stream) = &mut self.stream else { return Err(ErrorKind::NotConnected.into()) };
            stream.set_read_timeout(Some(limit))?;
            let mut chunk = [0; 1 << 14];
            match stream.read(&mut chunk) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.input.extend_from_slice(chunk.get(..count).unwrap_or_default()),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        while let Some((first, content)) = self.next_packet() {
            self.act(first, &content, &mut events, &mut answers);
        }
        self.write(&answers)?;
        Ok(Some(events))
    }

    fn act(&mut self, first: u8, content: &[u8], events: &mut Vec<Event>, answers: &mut Vec<u8>) {
        if first & 0xf0 == 0x30 {
            let Some((packet_id, number)) = publish_of(content) else { return };
            let qos = first >> 1 & 3;
            if qos == 1 || self.received.insert(packet_id) {
                events.push(Event::Delivered(number, qos));
            }
            answers.extend(packet(if qos == 1 { 0x40 } else { 0x50 }, &packet_id.to_be_bytes()));
            return;
        }
        let Some(id) = content.first_chunk::<2>() else { return };
        let packet_id = u16::from_be_bytes(*id);
        match first & 0xf0 {
            0x40 => {
                if let Some(out) = self.take(packet_id) {
                    events.push(Event::Acknowledged(out.number));
                }
            }
            0x50 => {
                if let Some(out) = self.outgoing.iter_mut().find(|out| out.packet_id == packet_id)
                    && !std::mem::replace(&mut out.released, true)
                {
                    events.push(Event::Acknowledged(out.number));
                }
                answers.extend(packet(0x62, id));
            }
            0x60 => {
                self.received.remove(&packet_id);
                answers.extend(packet(0x70, id));
            }
            0x70 => drop(self.take(packet_id)),
            _ => {}
        }
    }

    fn take(&mut self, packet_id: u16) -> Option<Outgoing> {
        let at = self.outgoing.iter().position(|out| out.packet_id == packet_id)?;
        self.outgoing.remove(at)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.stream {
            Some(stream) => stream.write_all(bytes),
            None => Err(ErrorKind::NotConnected.into()),
        }
    }

    fn next_packet(&mut self) -> Option<(u8, Vec<u8>)> {
        let (first, header, length) = fixed_header(&self.input)?;
        if self.input.len() < header + length {
            return None;
        }
        let rest = self.input.split_off(header + length);
        let content = self.input.split_off(header);
        self.input = rest;
        Some((first, content))
    }

    fn read_packet(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut chunk = [0; 4096];
        loop {
            if let Some(found) = self.next_packet() {
                return Ok(found);
            }
            let Some(stream) = &mut self.stream else { return Err(ErrorKind::NotConnected.into()) };
            let count = stream.read(&mut chunk)?;
            if count == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            self.input.extend_from_slice(chunk.get(..count).unwrap_or_default());
        }
    }
}

impl Outgoing {
    fn encode(&self, dup: bool) -> Vec<u8> {
        let mut body = Vec::new();
        put_text(&mut body, &self.topic);
        body.extend_from_slice(&self.packet_id.to_be_bytes());
        body.extend_from_slice(self.number.to_string().as_bytes());
        packet(0x30 | u8::from(dup) << 3 | self.qos << 1, &body)
    }
}

/// Packet identifier and number of a PUBLISH of QoS 1 or 2.
fn publish_of(content: &[u8]) -> Option<(u16, u64)> {
    let topic_len = usize::from(u16::from_be_bytes(*content.first_chunk::<2>()?));
    let rest = content.get(2 + topic_len..)?;
    let packet_id = u16::from_be_bytes(*rest.first_chunk::<2>()?);
    let number = std::str::from_utf8(rest.get(2..)?).ok()?.parse().ok()?;
    Some((packet_id, number))
}
