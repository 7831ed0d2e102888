//! Enhanced authentication (MQTT 5.0 §4.12): the exchange of AUTH packets before CONNACK, and again on a live connection.
//!
//! Invariants: a method is the one of CONNECT for the whole connection; before CONNACK nothing but AUTH and DISCONNECT is
//! acted upon; an exchange has a bounded number of steps, each a packet of bounded size, and a deadline; whoever proves to
//! be somebody else on a live connection is disconnected.

use bytes::Bytes;
use model::ports::{Exchange, Step};
use model::{ClientInfo, Str};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::Connection;
use super::end::End;
use super::handle_connect::{Refusal, refusal};
use super::inbox::try_read;
use crate::codec::{Auth, Error, Kind, Packet, Properties, Property, Reason, Version, frame};
use crate::node::Core;
use crate::numbers::Metric;

/// AUTH packets a client may send in one exchange; no method in use needs half as many.
const STEPS_MAX: u8 = 8;

/// The authentication method of a connection, and the exchange that is under way on it.
pub(super) struct Method {
    name: Str,
    again: Option<Again>,
}

/// A re-authentication.
struct Again {
    exchange: Box<dyn Exchange>,
    steps: u8,
    started_ms: i64,
}

/// What the exchange before CONNACK has proven.
pub(super) struct Proven {
    pub(super) method: Str,
    pub(super) username: Str,
    pub(super) superuser: bool,
    /// The server's last data, for CONNACK.
    pub(super) data: Bytes,
}

impl Method {
    pub(super) fn new(name: Str) -> Box<Self> {
        Box::new(Self { name, again: None })
    }
}

/// The method a packet names.
pub(super) fn method(properties: &Properties) -> Option<Str> {
    properties.find(|property| match property {
        Property::AuthenticationMethod(name) => Some(name.clone()),
        _ => None,
    })
}

fn data(properties: &Properties) -> Bytes {
    let data = properties.find(|property| match property {
        Property::AuthenticationData(data) => Some(data.clone()),
        _ => None,
    });
    data.unwrap_or_default()
}

/// The properties of the server's packets in an exchange [MQTT-4.12.0-5].
pub(super) fn properties(method: &Str, data: Bytes) -> Properties {
    let mut list = vec![Property::AuthenticationMethod(method.clone())];
    if !data.is_empty() {
        list.push(Property::AuthenticationData(data));
    }
    Properties(list)
}

/// The exchange between CONNECT and CONNACK. The caller has the deadline.
pub(super) async fn exchange(
    core: &Core,
    socket: &mut TcpStream,
    inbox: &mut Vec<u8>,
    info: &ClientInfo,
    method: Str,
    connect: &Properties,
) -> Result<Proven, Refusal> {
    let Some(mut exchange) = core.ports.authenticate.exchange(info, &method) else {
        return Err(Reason::BAD_AUTHENTICATION_METHOD.into());
    };
    let mut given = data(connect);
    for _ in 0..STEPS_MAX {
        match exchange.step(given).await {
            Step::Continue(answer) => {
                let reason = Reason::CONTINUE_AUTHENTICATION;
                let mut bytes = Vec::new();
                let packet = Packet::Auth(Auth { reason, properties: properties(&method, answer) });
                packet.encode(&mut bytes, Version::V5);
                core.counters.add(Metric::PacketsAuthSent, 1);
                socket.write_all(&bytes).await.map_err(|_| Refusal::Silent)?;
                given = next_data(core, socket, inbox, &method).await?;
            }
            Step::Done { username, superuser, data } => return Ok(Proven { method, username, superuser, data }),
            Step::Refused(verdict) => {
                core.emit_authenticated(info, &verdict);
                return Err(refusal(&verdict).into());
            }
        }
    }
    Err(Reason::NOT_AUTHORIZED.into())
}

/// Waits for the client's next AUTH.
async fn next_data(core: &Core, socket: &TcpStream, inbox: &mut Vec<u8>, wanted: &Str) -> Result<Bytes, Refusal> {
    let bytes_max = core.settings.connect_packet_bytes_max.min(core.settings.packet_bytes_max);
    loop {
        let found = frame(inbox).map_err(|error| error.reason)?;
        if let Some(found) = found {
            if !matches!(found.kind, Kind::Auth | Kind::Disconnect) {
                // Nothing else may come before CONNACK [MQTT-4.12.0-4].
                return Err(Reason::PROTOCOL_ERROR.into());
            }
            if found.total_len() > bytes_max {
                return Err(Reason::PACKET_TOO_LARGE.into());
            }
            if let Some(body) = inbox.get(found.header_len..found.total_len()) {
                if found.kind == Kind::Disconnect {
                    return Err(Refusal::Silent);
                }
                core.counters.add(Metric::PacketsAuth, 1);
                let auth = Auth::decode(found.flags, body, Version::V5).map_err(|error| error.reason)?;
                inbox.drain(..found.total_len());
                return match (auth.reason, method(&auth.properties)) {
                    (Reason::CONTINUE_AUTHENTICATION, Some(name)) if name == *wanted => Ok(data(&auth.properties)),
                    (Reason::CONTINUE_AUTHENTICATION, _) => Err(Reason::BAD_AUTHENTICATION_METHOD.into()),
                    _ => Err(Reason::PROTOCOL_ERROR.into()),
                };
            }
        }
        socket.readable().await.map_err(|_| Refusal::Silent)?;
        let count = try_read(socket, inbox).map_err(|_| Refusal::Silent)?;
        core.counters.add(Metric::BytesReceived, count as u64);
    }
}

impl Connection {
    /// AUTH on a live connection: re-authentication (§4.12.1).
    pub(super) async fn handle_auth(&mut self, packet: Auth) -> Result<(), End> {
        let now_ms = self.core.monotonic_ms();
        let time_max_ms = i64::try_from(self.core.settings.connect_timeout_ms).unwrap_or(i64::MAX);
        let Some(state) = self.method.as_mut() else {
            return Err(Error::protocol("AUTH without an authentication method [MQTT-4.12.0-6]").into());
        };
        if method(&packet.properties).as_ref() != Some(&state.name) {
            return Err(Error::protocol("AUTH with another method than CONNECT [MQTT-4.12.1-1]").into());
        }
        let mut again = match (packet.reason, state.again.take()) {
            (Reason::RE_AUTHENTICATE, None) => {
                let exchange = self.core.ports.authenticate.exchange(&self.info, &state.name);
                let exchange = exchange.ok_or(End::Server(Reason::NOT_AUTHORIZED))?;
                Again { exchange, steps: 0, started_ms: now_ms }
            }
            (Reason::CONTINUE_AUTHENTICATION, Some(again)) => again,
            _ => return Err(Error::protocol("AUTH out of turn (§4.12.1)").into()),
        };
        again.steps += 1;
        if again.steps > STEPS_MAX || now_ms - again.started_ms > time_max_ms {
            return Err(End::Server(Reason::NOT_AUTHORIZED));
        }
        let name = state.name.clone();
        let (reason, answer) = match again.exchange.step(data(&packet.properties)).await {
            Step::Continue(answer) => {
                state.again = Some(again);
                (Reason::CONTINUE_AUTHENTICATION, answer)
            }
            Step::Done { username, data, .. } if self.info.username.as_ref() == Some(&username) => {
                (Reason::SUCCESS, data)
            }
            Step::Done { .. } | Step::Refused(_) => {
                tracing::info!(client_id = ?self.info.client_id, "disconnected: re-authentication failed");
                return Err(End::Server(Reason::NOT_AUTHORIZED));
            }
        };
        self.send(&Packet::Auth(Auth { reason, properties: properties(&name, answer) }))
    }
}
