//! CONNECT: who is it, may it come in, and which session does it get.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use model::ports::{Access, Login, Verdict};
use model::{ClientInfo, EventKind, Message, MessageId, Origin, ProtocolVersion, Str};
use tokio::net::TcpStream;

use super::Connection;
use super::aliases::Aliases;
use super::handle_auth::{self, Method, Proven, properties as proof_properties};
use super::handle_publish::travelling;
use crate::codec::{Connack, Connect, LastWill, MAX_REMAINING_LENGTH, Packet, Properties, Property, Reason};
use crate::durable::{Unstored, has_begun};
use crate::node::Core;
use crate::numbers::{Metric, Stat};
use crate::registry::{Entry, Full, Link, Will};
use crate::session::Kept;
use crate::timers::Timer;
use crate::topics::Destination;
use crate::trace::Line;

/// How a CONNECT is refused.
pub(super) enum Refusal {
    /// With a CONNACK.
    Told(Reason),
    /// The connection is closed.
    Silent,
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self::Told(reason)
    }
}

/// A former connection of the client has this long to let go of the session; then it is taken away from it.
const TAKEOVER: Duration = Duration::from_secs(2);

impl Connection {
    /// Lets the client in, or says why not. Takes `socket` only when it does.
    pub(super) async fn open(
        core: &Arc<Core>,
        socket: &mut Option<TcpStream>,
        mut connect: Connect,
        mut inbox: Vec<u8>,
        peer: SocketAddr,
        local: SocketAddr,
    ) -> Result<Self, Refusal> {
        let assigned = check(core, &mut connect)?;
        let mut info = client_info(core, &connect, peer, local);
        core.trace(Some(&info), Line::Connect);
        let stream = socket.as_mut().ok_or(Refusal::Silent)?;
        let proven = admit(core, stream, &mut inbox, &mut info, &mut connect).await.inspect_err(|refusal| {
            if let Refusal::Told(reason) = refusal {
                core.trace(Some(&info), Line::Connack(*reason));
                core.emit_connack(&info, *reason, &connect.properties);
            }
        })?;
        let info = Arc::new(info);
        let will = check_will(core, &info, connect.will.take()).await?;
        let silence_max_ms = i64::from(info.keepalive_secs) * 1500;
        let link = Arc::new(Link::new(info.clone(), core.monotonic_ms(), silence_max_ms));
        let window = window(core, &connect.properties);
        let (held, session_present) = take_session(core, &info, &link, will, window).await?;
        let socket = socket.take().ok_or(Refusal::Silent)?;
        let mut connection = Self {
            core: core.clone(),
            socket,
            version: info.version,
            window,
            client_packet_bytes_max: client_packet_bytes_max(&connect.properties),
            entry: held.entry.clone(),
            link,
            info,
            inbox,
            outbox: Vec::new(),
            outbox_sent: 0,
            stalled_since_ms: None,
            pending: VecDeque::new(),
            unreleased_count: 0,
            aliases: None,
            farewell: None,
            outgoing_aliases: outgoing_aliases(core, &connect.properties),
            retained_backlog: VecDeque::new(),
            method: proven.as_ref().map(|proven| Method::new(proven.method.clone())),
            rights: None,
        };
        connection.welcome(&connect, assigned, session_present, proven).await;
        held.keep();
        Ok(connection)
    }

    async fn welcome(&mut self, connect: &Connect, assigned: bool, session_present: bool, proven: Option<Proven>) {
        if session_present {
            self.reauthorize_subscriptions().await;
        }
        let mut properties = Properties::default();
        if self.version == ProtocolVersion::V5 {
            properties = connack_properties(&self.core, &self.info, connect, assigned);
            properties
                .0
                .extend(proven.map(|proven| proof_properties(&proven.method, proven.data).0).unwrap_or_default());
        }
        let connack = Connack { session_present, reason: Reason::SUCCESS, properties };
        self.encode(&Packet::Connack(connack));
        self.core.counters.add(Metric::ClientConnected, 1);
        if self.link.silence_max_ms > 0 {
            let due_ms = self.core.monotonic_ms() + self.link.silence_max_ms;
            self.core.timers.set(due_ms, Timer::KeepAlive(Arc::downgrade(&self.link)));
        }
        self.core.state_changed(&self.info);
        // A ban that came while the client connected has not found this connection yet.
        if is_banned(&self.core, &self.info) {
            self.link.end(Reason::ADMINISTRATIVE_ACTION);
        }
        let kind = if session_present { EventKind::SessionResumed } else { EventKind::SessionCreated };
        self.core.emit_connack(&self.info, Reason::SUCCESS, &connect.properties);
        self.core.emit_session(kind, &self.info, None);
        self.core.emit_connected(&self.info, self.window, &connect.properties);
        self.core.announce_connected(&self.info);
        self.subscribe_by_proxy().await;
    }
}

/// Judges who the client is: by its password, or by an exchange where it names a method. `info` gets the user name that was
/// proven.
async fn admit(
    core: &Core,
    socket: &mut TcpStream,
    inbox: &mut Vec<u8>,
    info: &mut ClientInfo,
    connect: &mut Connect,
) -> Result<Option<Proven>, Refusal> {
    if is_banned(core, info) {
        return Err(Reason::BANNED.into());
    }
    let Some(method) = handle_auth::method(&connect.properties) else {
        let login = Login { client: Arc::new(info.clone()), password: connect.password.take() };
        let verdict = core.ports.authenticate.authenticate(login).await;
        core.emit_authenticated(info, &verdict);
        match verdict {
            Verdict::Allow { superuser } => info.is_superuser = superuser,
            refused => return Err(refusal(&refused).into()),
        }
        return Ok(None);
    };
    let proven = handle_auth::exchange(core, socket, inbox, info, method, &connect.properties).await?;
    if info.username.as_ref().is_some_and(|claimed| *claimed != proven.username) {
        core.emit_authenticated(info, &Verdict::NotAuthorized);
        return Err(Reason::NOT_AUTHORIZED.into());
    }
    info.username = Some(proven.username.clone());
    info.is_superuser = proven.superuser;
    core.emit_authenticated(info, &Verdict::Allow { superuser: proven.superuser });
    if is_banned(core, info) {
        return Err(Reason::BANNED.into());
    }
    Ok(Some(proven))
}

fn is_banned(core: &Core, info: &ClientInfo) -> bool {
    core.settings.ban && core.ports.authenticate.is_banned(info)
}

/// Checks what needs nobody else; `true`: the client gets a client identifier from the server.
fn check(core: &Core, connect: &mut Connect) -> Result<bool, Refusal> {
    let settings = &core.settings;
    if settings.server_moved {
        return Err(Reason::SERVER_MOVED.into());
    }
    if connect.client_id.len() > settings.client_id_bytes_max {
        return Err(Reason::CLIENT_IDENTIFIER_NOT_VALID.into());
    }
    let will_user_properties = connect.will.as_ref().map_or(0, |will| will.properties.user_property_count());
    if connect.properties.user_property_count().max(will_user_properties) > settings.user_properties_max {
        return Err(Reason::QUOTA_EXCEEDED.into());
    }
    if !connect.client_id.is_empty() {
        return Ok(false);
    }
    let may_assign = match connect.version {
        ProtocolVersion::V5 => true,
        ProtocolVersion::V3_1_1 => connect.clean_start, // [MQTT-3.1.3-7, MQTT-3.1.3-8]
        ProtocolVersion::V3_1 => false,
    };
    if !may_assign {
        return Err(Reason::CLIENT_IDENTIFIER_NOT_VALID.into());
    }
    connect.client_id = format!("auto-{}", uuid::Uuid::new_v4().simple());
    Ok(true)
}

fn client_info(core: &Core, connect: &Connect, peer: SocketAddr, local: SocketAddr) -> ClientInfo {
    let settings = &core.settings;
    let asked_secs = match connect.version {
        ProtocolVersion::V5 => session_expiry(&connect.properties).unwrap_or(0),
        _ if connect.clean_start => 0,
        _ => settings.session_expiry_v3_secs,
    };
    let cap = settings.keepalive_max_secs;
    let keepalive_secs = match connect.keepalive_secs {
        0 if cap < u16::MAX => cap,
        secs => secs.min(cap),
    };
    ClientInfo {
        client_id: Str::new(&connect.client_id),
        username: connect.username.as_deref().map(Str::new),
        peer: Some(peer),
        local: Some(local),
        version: connect.version,
        keepalive_secs,
        clean_start: connect.clean_start,
        session_expiry_secs: asked_secs.min(settings.session_expiry_max_secs),
        is_bridge: connect.is_bridge,
        mountpoint: Str::new(""),
        connected_at_ms: core.now_ms(),
        is_superuser: false,
    }
}

pub(crate) fn refusal(verdict: &Verdict) -> Reason {
    match verdict {
        Verdict::BadCredentials => Reason::BAD_USERNAME_OR_PASSWORD,
        Verdict::Unavailable => Reason::SERVER_UNAVAILABLE,
        Verdict::NotAuthorized | Verdict::Allow { .. } => Reason::NOT_AUTHORIZED,
    }
}

async fn check_will(core: &Core, info: &Arc<ClientInfo>, will: Option<LastWill>) -> Result<Option<Box<Will>>, Refusal> {
    let Some(will) = will else { return Ok(None) };
    let destination = core.rewrites.destination(Str::from(will.topic), info);
    let Ok(Destination { topic, delay_secs: publish_delay_secs }) = destination else {
        return Err(Reason::TOPIC_NAME_INVALID.into());
    };
    if topic.split('/').count() > core.settings.topic_levels_max {
        return Err(Reason::TOPIC_NAME_INVALID.into());
    }
    if will.retain && core.settings.retained_messages_max == 0 {
        return Err(Reason::RETAIN_NOT_SUPPORTED.into());
    }
    if topic.starts_with('$') || !core.allows(info, Access::Publish, &topic).await {
        return Err(Reason::NOT_AUTHORIZED.into());
    }
    let delay = will.properties.find(|property| match property {
        Property::WillDelayInterval(secs) => Some(*secs),
        _ => None,
    });
    let message = Message {
        id: MessageId(0),
        topic,
        payload: will.payload,
        qos: will.qos,
        retain: will.retain,
        dup: false,
        publisher: Some(info.clone()),
        properties: travelling(&will.properties),
        received_at_ms: 0,
        origin: Origin::Will,
    };
    Ok(Some(Box::new(Will { message, delay_secs: delay.unwrap_or(0), publish_delay_secs })))
}

/// A session that a connection has, which is let go again if the connection does not come to be.
struct Held {
    core: Arc<Core>,
    entry: Arc<Entry>,
    link: Arc<Link>,
    kept: bool,
}

impl Held {
    /// The connection is there and lets go itself.
    fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.kept {
            // The client was never let in: its will is void.
            self.core.connection_ended(&self.entry, &self.link, true);
        }
    }
}

/// Finds or creates the session and ties `link` to it. `true`: it existed (session present).
async fn take_session(
    core: &Arc<Core>,
    info: &Arc<ClientInfo>,
    link: &Arc<Link>,
    mut will: Option<Box<Will>>,
    window: u16,
) -> Result<(Held, bool), Refusal> {
    let mut discarded = false;
    loop {
        let kept = || core.keeps(info).then(|| Box::new(Kept::new(info.clone(), core.queue_limits())));
        let create = || Arc::new(Entry::new(core.new_session_key(), info.clone(), core.now_ms(), kept()));
        let (entry, is_new) = core
            .registry
            .get_or_insert(&info.client_id, core.settings.sessions_max, create)
            .map_err(|Full| match core.settings.server_reference.as_str() {
                "" => Refusal::Told(Reason::QUOTA_EXCEEDED),
                _ => Refusal::Told(Reason::USE_ANOTHER_SERVER),
            })?;
        if entry.owner != info.username {
            tracing::info!(client_id = ?info.client_id, "refused: the session of this client identifier has another owner");
            return Err(Reason::CLIENT_IDENTIFIER_NOT_VALID.into());
        }
        displace(core, &entry).await;
        if info.clean_start && !is_new {
            core.counters.add(Metric::SessionDiscarded, 1);
            core.terminate(&entry, "discarded");
            discarded |= entry.durable;
            continue;
        }
        {
            let mut inner = entry.inner.lock();
            if inner.ended || inner.link.is_some() {
                continue;
            }
            inner.set_expiry(info.session_expiry_secs, &core.counters.persistent_sessions);
            if !entry.durable {
                inner.will = will.take();
                inner.outbound.resume();
            }
            entry.attach(&mut inner, link.clone());
        }
        core.counters.clients.add(1);
        let held = Held { core: core.clone(), entry, link: link.clone(), kept: false };
        let entry = &held.entry;
        let stored = match (entry.durable, discarded) {
            (true, _) => core.store_attach(entry, info, window, will.take()).await,
            // The client must not find the session again that it has just discarded.
            (false, true) => core.barrier().await,
            (false, false) => Ok(()),
        };
        if let Err(why) = stored {
            if entry.durable && !has_begun(entry) || is_new {
                core.abandon(entry);
            }
            return Err(match why {
                Unstored::Full => Reason::QUOTA_EXCEEDED.into(),
                Unstored::Unknown => Reason::SERVER_UNAVAILABLE.into(),
            });
        }
        for stat in [Stat::Connections, Stat::Sessions, Stat::PersistentSessions] {
            core.stat(stat);
        }
        core.counters.add(if is_new { Metric::SessionCreated } else { Metric::SessionResumed }, 1);
        return Ok((held, !is_new));
    }
}

/// Ends the connection that has the session now [MQTT-3.1.4-3] and waits until it has let go, so that everything it
/// accepted is in the session.
async fn displace(core: &Arc<Core>, entry: &Arc<Entry>) {
    loop {
        let detached = core.detached.notified();
        let Some(former) = entry.inner.lock().link.clone() else { return };
        former.end(Reason::SESSION_TAKEN_OVER);
        core.counters.add(Metric::SessionTakeovered, 1);
        if tokio::time::timeout(TAKEOVER, detached).await.is_err() {
            core.connection_ended(entry, &former, false);
            return;
        }
    }
}

fn session_expiry(properties: &Properties) -> Option<u32> {
    properties.find(|property| match property {
        Property::SessionExpiryInterval(secs) => Some(*secs),
        _ => None,
    })
}

fn window(core: &Core, properties: &Properties) -> u16 {
    let receive_maximum = properties.find(|property| match property {
        Property::ReceiveMaximum(count) => Some(*count),
        _ => None,
    });
    receive_maximum.unwrap_or(u16::MAX).min(core.settings.inflight_max)
}

fn outgoing_aliases(core: &Core, properties: &Properties) -> Option<Box<Aliases>> {
    let count_max = properties.find(|property| match property {
        Property::TopicAliasMaximum(count) => Some(*count),
        _ => None,
    });
    Aliases::new(count_max.unwrap_or(0).min(core.settings.topic_alias_to_client_max))
}

fn client_packet_bytes_max(properties: &Properties) -> usize {
    let bytes_max = properties.find(|property| match property {
        Property::MaximumPacketSize(bytes) => Some(*bytes as usize),
        _ => None,
    });
    bytes_max.unwrap_or(usize::MAX)
}

/// What the server decided, in the terms of MQTT 5.0 §3.2.2.3; what is as the client assumes is left out.
fn connack_properties(core: &Core, info: &ClientInfo, connect: &Connect, assigned: bool) -> Properties {
    let settings = &core.settings;
    let mut list = Vec::new();
    if session_expiry(&connect.properties).unwrap_or(0) != info.session_expiry_secs {
        list.push(Property::SessionExpiryInterval(info.session_expiry_secs));
    }
    if assigned {
        list.push(Property::AssignedClientIdentifier(info.client_id.clone()));
    }
    if connect.keepalive_secs != info.keepalive_secs {
        list.push(Property::ServerKeepAlive(info.keepalive_secs));
    }
    if settings.topic_alias_max > 0 {
        list.push(Property::TopicAliasMaximum(settings.topic_alias_max));
    }
    if settings.receive_maximum < u16::MAX {
        list.push(Property::ReceiveMaximum(settings.receive_maximum));
    }
    if settings.packet_bytes_max < MAX_REMAINING_LENGTH {
        list.push(Property::MaximumPacketSize(u32::try_from(settings.packet_bytes_max).unwrap_or(u32::MAX)));
    }
    if settings.retained_messages_max == 0 {
        list.push(Property::RetainAvailable(false));
    }
    let asks = |property: &Property| matches!(property, Property::RequestResponseInformation(true)).then_some(());
    if !settings.response_information.is_empty() && connect.properties.find(asks).is_some() {
        let information = settings.response_information.replace("%c", &info.client_id);
        list.push(Property::ResponseInformation(Str::from(information)));
    }
    Properties(list)
}
