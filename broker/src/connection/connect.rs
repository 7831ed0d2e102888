//! From an accepted socket to a served client: the first packet, with its deadline and its small budget.
//!
//! The greeting runs in a boxed future of its own, so that the idle connection does not carry its state.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;

use super::Connection;
use super::close::say_and_close;
use super::end::End;
use super::handle_connect::Refusal;
use super::inbox::try_read;
use crate::codec::{Connack, Connect, Error, Kind, Packet, Properties, Reason, Version, frame};
use crate::node::{Core, Phase};
use crate::numbers::Metric;
use crate::zone::Zone;

/// What the listener knows of a client.
pub(crate) struct Arrival {
    /// The zone of the listener.
    pub zone: Arc<Zone>,
    /// Where the client comes from.
    pub peer: SocketAddr,
    /// The address it came to.
    pub local: SocketAddr,
}

/// Serves one socket from CONNECT to its end.
pub(crate) async fn serve(core: Arc<Core>, socket: TcpStream, arrival: Arrival) {
    let Some(mut connection) = Box::pin(greet(core, socket, arrival)).await else { return };
    let end = connection.run().await;
    Box::pin(connection.finish(end)).await;
}

async fn greet(core: Arc<Core>, socket: TcpStream, arrival: Arrival) -> Option<Box<Connection>> {
    let mut phase = core.phase.subscribe();
    let zone = arrival.zone.clone();
    let deadline = Duration::from_millis(zone.connect_timeout_ms);
    let mut socket = Some(socket);
    let greeting = async {
        let mut inbox = Vec::new();
        let connect = read_connect(&core, &arrival.zone, socket.as_ref()?, &mut inbox).await;
        let outcome = match connect {
            Ok(connect) => {
                let version = connect.version;
                Connection::open(&core, &mut socket, connect, inbox, arrival).await.map_err(|refusal| match refusal {
                    Refusal::Told(reason) => Answer::Connack(version, reason),
                    Refusal::Silent => Answer::Nothing,
                })
            }
            Err(answer) => Err(answer),
        };
        Some(outcome)
    };
    let outcome = tokio::select! {
        outcome = tokio::time::timeout(deadline, greeting) => outcome.ok()??,
        stopping = phase.wait_for(|phase| *phase != Phase::Running) => {
            drop(stopping);
            return None;
        }
    };
    match outcome {
        Ok(connection) => Some(Box::new(connection)),
        Err(answer) => {
            core.counters.connects_refused.add(1);
            let linger = Duration::from_millis(zone.linger_ms);
            let bytes = answer.bytes();
            core.counters.add(Metric::PacketsConnack, u64::from(!bytes.is_empty()));
            core.counters.add(Metric::BytesSent, bytes.len() as u64);
            say_and_close(socket?, &bytes, linger).await;
            None
        }
    }
}

/// What a connection that is not accepted is told.
enum Answer {
    Nothing,
    Connack(Version, Reason),
}

impl Answer {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if let Self::Connack(version, reason) = self
            && (*version == Version::V5 || reason.connect_return_code_v3().is_some())
        {
            let connack = Connack { session_present: false, reason: *reason, properties: Properties::default() };
            Packet::Connack(connack).encode(&mut bytes, *version);
        }
        bytes
    }
}

/// Reads until the CONNECT is complete. What follows it stays in `inbox`.
async fn read_connect(core: &Core, zone: &Zone, socket: &TcpStream, inbox: &mut Vec<u8>) -> Result<Connect, Answer> {
    let bytes_max = zone.connect_packet_bytes_max.min(zone.packet_bytes_max);
    loop {
        if socket.readable().await.is_err() {
            return Err(Answer::Nothing);
        }
        match try_read(socket, inbox) {
            Ok(count) => core.counters.add(Metric::BytesReceived, count as u64),
            Err(End::PeerClosed | _) => return Err(Answer::Nothing),
        }
        let found = match frame(inbox) {
            Ok(Some(found)) if found.kind == Kind::Connect => found,
            Ok(None) if inbox.first().is_none_or(|first| Kind::of(*first) == Some(Kind::Connect)) => continue,
            // Anything before CONNECT ends the connection without a word [MQTT-3.1.0-1].
            _ => return Err(Answer::Nothing),
        };
        let body = inbox.get(found.header_len..).unwrap_or_default();
        if found.total_len() > bytes_max {
            return Err(match Connect::peek_version(body) {
                Some(Version::V5) => Answer::Connack(Version::V5, Reason::PACKET_TOO_LARGE),
                _ => Answer::Nothing,
            });
        }
        let Some(body) = body.get(..found.body_len) else { continue };
        core.counters.add(Metric::PacketsConnect, 1);
        let decoded = Connect::decode(found.flags, body).map_err(|error| refusal(body, error));
        inbox.drain(..found.total_len());
        return decoded;
    }
}

/// How a CONNECT that cannot be accepted is answered: in the words of the version it claims, if that has any.
fn refusal(body: &[u8], error: Error) -> Answer {
    tracing::debug!(%error, "CONNECT refused");
    if error.reason == Reason::UNSUPPORTED_PROTOCOL_VERSION {
        return match Connect::peek_level(body) {
            Some(level) if level & 0x7f > 5 => Answer::Connack(Version::V5, error.reason),
            Some(_) => Answer::Connack(Version::V3_1_1, error.reason),
            None => Answer::Nothing,
        };
    }
    match Connect::peek_version(body) {
        Some(Version::V5) => Answer::Connack(Version::V5, error.reason),
        // MQTT 3 has no return code for a malformed packet: the connection is closed [MQTT-3.1.4-1].
        _ => Answer::Nothing,
    }
}
