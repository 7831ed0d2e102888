//! A publisher of MQTT 3.1.1 on a blocking socket: just enough to publish at QoS 1, keep several in flight, and know
//! exactly which messages were acknowledged. Independent of the broker's own codec on purpose.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A connected publisher.
pub struct Publisher {
    stream: TcpStream,
    input: Vec<u8>,
    next_packet_id: u16,
    /// Packet id to the caller's number, for publishes not yet acknowledged.
    in_flight: BTreeMap<u16, u64>,
}

impl Publisher {
    /// Connects with a clean session and waits for the CONNACK.
    pub fn connect(addr: SocketAddr, client_id: &str) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, Duration::from_secs(5))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut publisher = Self { stream, input: Vec::new(), next_packet_id: 0, in_flight: BTreeMap::new() };
        let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 60];
        put_text(&mut body, client_id);
        publisher.stream.write_all(&packet(0x10, &body))?;
        let (kind, content) = publisher.read_packet()?;
        if kind != 0x20 || content.get(1) != Some(&0) {
            return Err(io::Error::other(format!("the server refused the connection: {kind:#x} {content:?}")));
        }
        Ok(publisher)
    }

    /// Sends one QoS 1 PUBLISH; `number` comes back from [`Publisher::wait_ack`].
    pub fn publish(&mut self, topic: &str, payload: &[u8], number: u64) -> io::Result<()> {
        self.next_packet_id = self.next_packet_id.checked_add(1).unwrap_or(1);
        let mut body = Vec::with_capacity(topic.len() + payload.len() + 4);
        put_text(&mut body, topic);
        body.extend_from_slice(&self.next_packet_id.to_be_bytes());
        body.extend_from_slice(payload);
        self.in_flight.insert(self.next_packet_id, number);
        self.stream.write_all(&packet(0x32, &body))
    }

    /// How many publishes are not acknowledged yet.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Waits for the next PUBACK and returns the number given to its publish.
    pub fn wait_ack(&mut self) -> io::Result<u64> {
        loop {
            let (kind, content) = self.read_packet()?;
            if kind == 0x40
                && let Some(id) = content.first_chunk::<2>()
                && let Some(number) = self.in_flight.remove(&u16::from_be_bytes(*id))
            {
                return Ok(number);
            }
        }
    }

    fn read_packet(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut chunk = [0; 4096];
        loop {
            if let Some((kind, header, length)) = fixed_header(&self.input)
                && self.input.len() >= header + length
            {
                let rest = self.input.split_off(header + length);
                let content = self.input.split_off(header);
                self.input = rest;
                return Ok((kind, content));
            }
            let count = self.stream.read(&mut chunk)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.input.extend_from_slice(chunk.get(..count).unwrap_or_default());
        }
    }
}

pub(crate) fn fixed_header(input: &[u8]) -> Option<(u8, usize, usize)> {
    let mut length = 0;
    for (index, byte) in input.iter().skip(1).take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((*input.first()?, index + 2, length));
        }
    }
    None
}

pub(crate) fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let mut rest = body.len();
    loop {
        let more = rest > 0x7f;
        bytes.push((rest & 0x7f) as u8 | if more { 0x80 } else { 0 });
        rest >>= 7;
        if !more {
            break;
        }
    }
    bytes.extend_from_slice(body);
    bytes
}

pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}
