//! A publisher of MQTT 3.1.1 at QoS 1 on a blocking socket: keeps a window of publishes in flight and times each PUBACK.
//! Independent of the broker's codec, so that the measurement does not share its mistakes.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use model::{Clock, SystemClock};

/// A server that answers nothing for this long has failed the measurement.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// When each message was sent and acknowledged.
pub(crate) struct Timing {
    pub(crate) sent: Vec<Instant>,
    pub(crate) acknowledged_after: Vec<Duration>,
}

/// Publishes `count` messages with at most `window` unacknowledged.
pub(crate) fn publish(address: SocketAddr, name: &str, count: u64, window: u16, payload: impl Fn(u64) -> String) -> io::Result<Timing> {
    let mut connection = Connection::open(address, name)?;
    let mut timing = Timing { sent: Vec::new(), acknowledged_after: Vec::new() };
    // A server acknowledges QoS 1 in the order of the publishes (MQTT-4.6.0-2), so a queue of times is enough.
    let mut waiting: VecDeque<(u16, Instant)> = VecDeque::new();
    let mut id = 0_u16;
    let topic = format!("bench/{name}");
    let mut batch = Vec::new();
    for number in 0..count {
        id = id.checked_add(1).unwrap_or(1);
        let now = SystemClock.instant();
        put_publish(&mut batch, &topic, id, payload(number).as_bytes());
        waiting.push_back((id, now));
        timing.sent.push(now);
        if waiting.len() >= usize::from(window) {
            connection.stream.write_all(&std::mem::take(&mut batch))?;
            connection.take_acks(&mut waiting, &mut timing, usize::from(window / 2))?;
        }
    }
    connection.stream.write_all(&batch)?;
    connection.take_acks(&mut waiting, &mut timing, 0)?;
    Ok(timing)
}

struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
}

impl Connection {
    fn open(address: SocketAddr, name: &str) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, SILENCE_MAX)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SILENCE_MAX))?;
        let mut connection = Self { stream, input: Vec::new() };
        let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 0];
        put_text(&mut body, name);
        let mut packet = vec![0x10];
        put_length(&mut packet, body.len());
        packet.extend_from_slice(&body);
        connection.stream.write_all(&packet)?;
        let answer = connection.packet()?;
        if answer != [0x20, 2, 0, 0] {
            return Err(io::Error::other(format!("the broker refused the connection: {answer:?}")));
        }
        Ok(connection)
    }

    /// Reads acknowledgements until at most `left` publishes wait.
    fn take_acks(&mut self, waiting: &mut VecDeque<(u16, Instant)>, timing: &mut Timing, left: usize) -> io::Result<()> {
        while waiting.len() > left {
            let packet = self.packet()?;
            let (Some((id, sent)), [0x40, 2, high, low]) = (waiting.pop_front(), packet.as_slice()) else {
                return Err(io::Error::other(format!("expected a PUBACK, got {packet:?}")));
            };
            if id != u16::from_be_bytes([*high, *low]) {
                return Err(io::Error::other("acknowledgements came out of order"));
            }
            timing.acknowledged_after.push(SystemClock.instant().duration_since(sent));
        }
        Ok(())
    }

    /// The next packet. Everything a publisher is sent is four bytes long.
    fn packet(&mut self) -> io::Result<Vec<u8>> {
        while self.input.len() < 4 {
            let mut chunk = [0; 4096];
            let count = self.stream.read(&mut chunk)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.input.extend_from_slice(chunk.get(..count).unwrap_or_default());
        }
        let rest = self.input.split_off(4);
        Ok(std::mem::replace(&mut self.input, rest))
    }
}

fn put_publish(out: &mut Vec<u8>, topic: &str, id: u16, payload: &[u8]) {
    out.push(0x32);
    put_length(out, 2 + topic.len() + 2 + payload.len());
    put_text(out, topic);
    out.extend_from_slice(&id.to_be_bytes());
    out.extend_from_slice(payload);
}

fn put_length(out: &mut Vec<u8>, length: usize) {
    let mut rest = length;
    while rest > 0x7f {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}
