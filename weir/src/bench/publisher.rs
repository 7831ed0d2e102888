//! A small MQTT 5 publisher that keeps a window of QoS 1 publishes in flight and times each acknowledgement.
//!
//! Invariants:
//! - At most `window` publishes are unacknowledged, and never more than the server's Receive Maximum (MQTT 5.0 §3.3.4).
//! - With a pace, a message counts as sent when it was due, not when the window had room for it: waiting is latency.
//! - An acknowledgement with an error reason is an error of the bench; it is never counted as a success.

use std::time::{Duration, Instant};

use broker::codec::{Connack, Connect, Kind, Properties, Property, Puback, Publish, PublishHeader, Version, frame};
use bytes::Bytes;
use model::{Clock as _, Qos, SystemClock};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Longest wait for bytes from the server.
const ANSWER_MAX: Duration = Duration::from_secs(20);
/// Number of the first message, so that all have as many digits.
const SEQ_FIRST: u64 = 100_000;
/// Receive Maximum of a server that names none (MQTT 5.0 §3.2.2.3.3).
const RECEIVE_MAXIMUM_DEFAULT: u16 = 65_535;

/// What one publisher has to do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) messages_max: u64,
    pub(super) time_max: Duration,
    /// Time between two messages; `None` = as fast as they are acknowledged.
    pub(super) pace: Option<Duration>,
}

/// What it did.
#[derive(Debug, Default)]
pub(super) struct Published {
    /// Messages, all acknowledged.
    pub(super) count: u64,
    /// From the publish to its PUBACK, microseconds, one for each message.
    pub(super) puback_us: Vec<f64>,
}

/// One connection.
pub(super) struct Publisher {
    socket: TcpStream,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    header: PublishHeader,
    device: usize,
    seq: u64,
    /// Packet identifiers that are free; their number is what is left of the window.
    free: Vec<u16>,
    /// When the publish with packet identifier `index + 1` was sent.
    sent_at: Vec<Option<Instant>>,
}

impl Publisher {
    /// Connects to `address`. The window is `window` or what the server takes, whichever is less.
    pub(super) async fn connect(
        address: &str,
        client_id: &str,
        device: usize,
        topic: String,
        window: u16,
    ) -> Result<Self, String> {
        let unreachable = |error| format!("cannot connect to MQTT on {address}: {error}");
        let socket = TcpStream::connect(address).await.map_err(unreachable)?;
        socket.set_nodelay(true).map_err(unreachable)?;
        let mut publisher = Self {
            socket,
            inbox: Vec::new(),
            outbox: Vec::new(),
            header: PublishHeader {
                dup: false,
                qos: Qos::AtLeastOnce,
                retain: false,
                topic,
                packet_id: 0,
                properties: Properties::default(),
            },
            device,
            seq: 0,
            free: Vec::new(),
            sent_at: Vec::new(),
        };
        let window = window.min(publisher.handshake(client_id).await?);
        publisher.free = (1..=window).rev().collect();
        publisher.sent_at = vec![None; usize::from(window)];
        Ok(publisher)
    }

    /// Publishes in flight at once.
    pub(super) fn window(&self) -> usize {
        self.sent_at.len()
    }

    /// CONNECT and CONNACK; the server's Receive Maximum.
    async fn handshake(&mut self, client_id: &str) -> Result<u16, String> {
        let connect = Connect {
            version: Version::V5,
            is_bridge: false,
            clean_start: true,
            keepalive_secs: 0,
            properties: Properties::default(),
            client_id: client_id.to_owned(),
            will: None,
            username: None,
            password: None,
        };
        connect.encode(&mut self.outbox);
        self.flush().await?;
        loop {
            self.fill().await?;
            let mut receive_maximum = None;
            self.take_packets(|_, kind, flags, body| {
                if kind != Kind::Connack {
                    return Err(format!("the server answered CONNECT with {kind:?}"));
                }
                let connack = Connack::decode(flags, body, Version::V5)
                    .map_err(|error| format!("the server's CONNACK: {error}"))?;
                if connack.reason.is_error() {
                    return Err(format!("the server refused the connection: reason 0x{:02x}", connack.reason.0));
                }
                let named = connack.properties.find(|property| match property {
                    Property::ReceiveMaximum(count) => Some(*count),
                    _ => None,
                });
                receive_maximum = Some(named.unwrap_or(RECEIVE_MAXIMUM_DEFAULT));
                Ok(())
            })?;
            if let Some(found) = receive_maximum {
                return Ok(found);
            }
        }
    }

    /// Publishes until the messages or the time are used up, and waits for every acknowledgement.
    pub(super) async fn publish(&mut self, load: Load) -> Result<Published, String> {
        let clock = SystemClock;
        let mut done = Published::default();
        let began = clock.instant();
        let began_us = clock.now_ns() / 1_000;
        let mut sent = 0_u64;
        loop {
            let mut is_over = sent >= load.messages_max;
            let mut next_due = None;
            while let (false, Some(&id)) = (is_over, self.free.last()) {
                let elapsed = began.elapsed();
                let due = load.pace.map_or(elapsed, |pace| pace.mul_f64(sent as f64));
                if elapsed >= load.time_max || due >= load.time_max {
                    is_over = true;
                } else if due > elapsed {
                    next_due = Some(began + due);
                    break;
                } else {
                    self.free.pop();
                    self.put(
                        id,
                        began + due,
                        began_us.saturating_add(i64::try_from(due.as_micros()).unwrap_or(i64::MAX)),
                    )?;
                    sent += 1;
                    is_over = sent >= load.messages_max;
                }
            }
            self.flush().await?;
            if is_over && self.free.len() == self.sent_at.len() {
                return Ok(done);
            }
            match next_due {
                // Nothing can be lost when the time comes first: reading only appends to the inbox.
                Some(due) => match tokio::time::timeout_at(due.into(), self.fill()).await {
                    Ok(read) => read?,
                    Err(_) => continue,
                },
                None => self.fill().await?,
            }
            self.take_acknowledgements(clock.instant(), &mut done)?;
        }
    }

    /// Appends one PUBLISH to the outbox.
    fn put(&mut self, id: u16, sent_at: Instant, sent_us: i64) -> Result<(), String> {
        self.header.packet_id = id;
        let payload = Bytes::from(payload(self.device, self.seq, sent_us));
        self.seq += 1;
        Publish { header: self.header.clone(), payload }.encode(&mut self.outbox, Version::V5);
        let slot = self.sent_at.get_mut(usize::from(id) - 1).ok_or("a packet identifier outside the window")?;
        *slot = Some(sent_at);
        Ok(())
    }

    fn take_acknowledgements(&mut self, now: Instant, done: &mut Published) -> Result<(), String> {
        self.take_packets(|this, kind, flags, body| {
            if kind != Kind::Puback {
                return Err(format!("the server sent {kind:?} instead of acknowledgements"));
            }
            let puback =
                Puback::decode(flags, body, Version::V5).map_err(|error| format!("the server's PUBACK: {error}"))?;
            if puback.reason.is_error() {
                return Err(format!("the server refused a message: reason 0x{:02x}", puback.reason.0));
            }
            let slot = usize::from(puback.packet_id).checked_sub(1).and_then(|index| this.sent_at.get_mut(index));
            let sent_at = slot.and_then(Option::take).ok_or("the server acknowledged a message that was not sent")?;
            this.free.push(puback.packet_id);
            done.count += 1;
            done.puback_us.push(now.saturating_duration_since(sent_at).as_secs_f64() * 1e6);
            Ok(())
        })
    }

    /// Hands every whole packet of the inbox to `take`.
    fn take_packets(
        &mut self,
        mut take: impl FnMut(&mut Self, Kind, u8, &[u8]) -> Result<(), String>,
    ) -> Result<(), String> {
        let inbox = std::mem::take(&mut self.inbox);
        let mut rest = inbox.as_slice();
        while let Some(found) = frame(rest).map_err(|error| format!("the server sent no MQTT: {error}"))? {
            let Some((packet, after)) = rest.split_at_checked(found.total_len()) else { break };
            take(self, found.kind, found.flags, packet.get(found.header_len..).unwrap_or_default())?;
            rest = after;
        }
        self.inbox.extend_from_slice(rest);
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), String> {
        if !self.outbox.is_empty() {
            match tokio::time::timeout(ANSWER_MAX, self.socket.write_all(&self.outbox)).await {
                Ok(Ok(())) => self.outbox.clear(),
                Ok(Err(error)) => return Err(format!("the connection broke: {error}")),
                Err(_) => return Err(format!("the server took no bytes for {} s", ANSWER_MAX.as_secs())),
            }
        }
        Ok(())
    }

    /// Reads what is there, at least one byte.
    async fn fill(&mut self) -> Result<(), String> {
        match tokio::time::timeout(ANSWER_MAX, self.socket.read_buf(&mut self.inbox)).await {
            Ok(Ok(0)) => Err("the server closed the connection".to_owned()),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(format!("the connection broke: {error}")),
            Err(_) => Err(format!("the server acknowledged nothing for {} s", ANSWER_MAX.as_secs())),
        }
    }
}

/// About 120 bytes of JSON, of which the rule reads five values. The temperature passes its filter and always has a
/// fraction, so that the column's type never changes while measuring. `sent_us` makes the end-to-end time.
fn payload(device: usize, seq: u64, sent_us: i64) -> Vec<u8> {
    let (temp, seq) = (31 + seq % 19, SEQ_FIRST + seq);
    format!(
        r#"{{"device":"device-{device:06}","temp":{temp}.5,"hum":48.2,"seq":{seq},"site":{{"name":"hall-3","floor":2}},"sent":{sent_us}}}"#
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_has_about_120_bytes_and_passes_the_filter() {
        for seq in [0, 18, 19, 9_999] {
            let payload = payload(3, seq, 1_700_000_000_000_000);
            assert!((110..=130).contains(&payload.len()), "{} bytes", payload.len());
            let json: serde_json::Value = serde_json::from_slice(&payload).unwrap();
            let temp = json["temp"].as_f64().unwrap();
            assert!(temp > 30.0 && temp.fract() != 0.0, "{temp}");
        }
    }
}
