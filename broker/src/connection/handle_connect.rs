//! CONNECT: who is it, may it come in, and which session does it get.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use model::ports::{Access, Login, Verdict};
use model::{ClientInfo, EventKind, Message, MessageId, Origin, ProtocolVersion, Qos, Str};
use tokio::net::TcpStream;

use super::handle_publish::travelling;
use super::{Arrival, Connection};
use crate::codec::{Connack, Connect, LastWill, MAX_REMAINING_LENGTH, Packet, Properties, Property, Reason};
use crate::node::Core;
use crate::numbers::{Metric, Stat};
use crate::registry::{Entry, Full, Link, Will};
use crate::timers::Timer;
use crate::topics::{Destination, effective_filter};
use crate::zone::Zone;

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
        inbox: Vec<u8>,
        arrival: Arrival,
    ) -> Result<Self, Refusal> {
        let assigned = check(&arrival.zone, &mut connect)?;
        let mut info = client_info(&connect, &arrival, core.now_ms());
        let login = Login { client: Arc::new(info.clone()), password: connect.password.take() };
        let superuser = match core.ports.authenticate.authenticate(login).await {
            Verdict::Allow { superuser } => superuser,
            refused => {
                let reason = refusal(&refused);
                core.emit_connack(&info, reason);
                return Err(reason.into());
            }
        };
        info.is_superuser = superuser;
        let info = Arc::new(info);
        let will = check_will(core, &arrival.zone, &info, connect.will.take()).await?;
        let silence_max_ms = arrival.zone.silence_max_ms(info.keepalive_secs);
        let link = Arc::new(Link::new(info.clone(), core.monotonic_ms(), silence_max_ms));
        let (entry, session_present) = take_session(core, &arrival.zone, &link, will).await?;
        let socket = socket.take().ok_or(Refusal::Silent)?;
        let mut connection = Self {
            core: core.clone(),
            socket,
            version: info.version,
            window: window(&arrival.zone, &connect.properties),
            client_packet_bytes_max: client_packet_bytes_max(&connect.properties),
            entry,
            link,
            info,
            inbox,
            outbox: Vec::new(),
            outbox_sent: 0,
            stalled_since_ms: None,
            pending: VecDeque::new(),
            unreleased_count: 0,
            aliases: None,
            retained_backlog: VecDeque::new(),
            zone: arrival.zone,
        };
        connection.welcome(&connect, assigned, session_present).await;
        Ok(connection)
    }

    async fn welcome(&mut self, connect: &Connect, assigned: bool, session_present: bool) {
        if session_present {
            self.reauthorize_subscriptions().await;
        }
        let mut properties = Properties::default();
        if self.version == ProtocolVersion::V5 {
            properties = connack_properties(&self.core, &self.zone, &self.info, connect, assigned);
        }
        let connack = Connack { session_present, reason: Reason::SUCCESS, properties };
        self.encode(&Packet::Connack(connack));
        self.core.counters.add(Metric::ClientConnected, 1);
        if self.link.silence_max_ms > 0 {
            let due_ms = self.core.monotonic_ms() + self.link.silence_max_ms;
            self.core.timers.set(due_ms, Timer::KeepAlive(Arc::downgrade(&self.link)));
        }
        let kind = if session_present { EventKind::SessionResumed } else { EventKind::SessionCreated };
        self.core.emit_connack(&self.info, Reason::SUCCESS);
        self.core.emit_session(kind, &self.info, None);
        self.core.emit_connected(&self.info, self.window);
        self.subscribe_by_proxy().await;
    }

    /// Rights may have changed since the session subscribed, and so may the zone: what it may no longer have, it no longer
    /// has.
    async fn reauthorize_subscriptions(&mut self) {
        let filters: Vec<Str> = self.entry.inner.lock().subscriptions.keys().cloned().collect();
        for filter in filters {
            let effective = effective_filter(&filter);
            let refused = self.zone.refuses(effective.len() < filter.len(), effective).is_some();
            if !refused && self.core.allows(&self.info, Access::Subscribe, effective).await {
                self.core.subscribers.came_online(&filter, &self.entry);
            } else {
                self.core.remove_subscription(&self.entry, &filter);
            }
        }
    }
}

/// Checks what needs nobody else; `true`: the client gets a client identifier from the server.
fn check(zone: &Zone, connect: &mut Connect) -> Result<bool, Refusal> {
    if connect.properties.find(|property| matches!(property, Property::AuthenticationMethod(_)).then_some(())).is_some()
    {
        return Err(Reason::BAD_AUTHENTICATION_METHOD.into());
    }
    if connect.client_id.len() > zone.client_id_bytes_max {
        return Err(Reason::CLIENT_IDENTIFIER_NOT_VALID.into());
    }
    let will_user_properties = connect.will.as_ref().map_or(0, |will| will.properties.user_property_count());
    if connect.properties.user_property_count().max(will_user_properties) > zone.user_properties_max {
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

fn client_info(connect: &Connect, arrival: &Arrival, now_ms: i64) -> ClientInfo {
    let Arrival { zone, peer, local } = arrival;
    let asked_secs = match connect.version {
        ProtocolVersion::V5 => session_expiry(&connect.properties).unwrap_or(0),
        _ if connect.clean_start => 0,
        _ => zone.session_expiry_v3_secs,
    };
    ClientInfo {
        client_id: Str::new(&connect.client_id),
        username: connect.username.as_deref().map(Str::new),
        peer: Some(*peer),
        local: Some(*local),
        version: connect.version,
        keepalive_secs: zone.keepalive_secs(connect.version, connect.keepalive_secs),
        clean_start: connect.clean_start,
        session_expiry_secs: asked_secs.min(zone.session_expiry_max_secs),
        is_bridge: connect.is_bridge,
        mountpoint: Str::new(""),
        connected_at_ms: now_ms,
        is_superuser: false,
    }
}

fn refusal(verdict: &Verdict) -> Reason {
    match verdict {
        Verdict::BadCredentials => Reason::BAD_USERNAME_OR_PASSWORD,
        Verdict::Unavailable => Reason::SERVER_UNAVAILABLE,
        Verdict::NotAuthorized | Verdict::Allow { .. } => Reason::NOT_AUTHORIZED,
    }
}

async fn check_will(
    core: &Core,
    zone: &Zone,
    info: &Arc<ClientInfo>,
    will: Option<LastWill>,
) -> Result<Option<Box<Will>>, Refusal> {
    let Some(will) = will else { return Ok(None) };
    let destination = core.rewrites.destination(Str::from(will.topic), info);
    let Ok(Destination { topic, delay_secs: publish_delay_secs }) = destination else {
        return Err(Reason::TOPIC_NAME_INVALID.into());
    };
    if topic.split('/').count() > zone.topic_levels_max {
        return Err(Reason::TOPIC_NAME_INVALID.into());
    }
    if will.qos > zone.qos_max {
        return Err(Reason::QOS_NOT_SUPPORTED.into());
    }
    if will.retain && !core.retain_available(zone) {
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

/// Finds or creates the session and ties `link` to it. `true`: it existed (session present).
async fn take_session(
    core: &Arc<Core>,
    zone: &Arc<Zone>,
    link: &Arc<Link>,
    will: Option<Box<Will>>,
) -> Result<(Arc<Entry>, bool), Refusal> {
    let info = &link.info;
    loop {
        let create = || Arc::new(Entry::new(core.new_session_key(), info.clone(), zone.clone(), core.now_ms()));
        let (entry, is_new) = core
            .registry
            .get_or_insert(&info.client_id, core.settings.sessions_max, create)
            .map_err(|Full| Refusal::Told(Reason::QUOTA_EXCEEDED))?;
        if entry.owner != info.username {
            tracing::info!(client_id = ?info.client_id, "refused: the session of this client identifier has another owner");
            return Err(Reason::CLIENT_IDENTIFIER_NOT_VALID.into());
        }
        displace(core, &entry).await;
        if info.clean_start && !is_new {
            core.counters.add(Metric::SessionDiscarded, 1);
            core.terminate(&entry, "discarded");
            continue;
        }
        let mut inner = entry.inner.lock();
        if inner.ended || inner.link.is_some() {
            continue;
        }
        inner.set_expiry(info.session_expiry_secs, &core.counters.persistent_sessions);
        inner.will = will;
        inner.outbound.resume();
        entry.attach(&mut inner, link.clone(), zone.clone());
        core.counters.clients.add(1);
        drop(inner);
        for stat in [Stat::Connections, Stat::Sessions, Stat::PersistentSessions] {
            core.stat(stat);
        }
        core.counters.add(if is_new { Metric::SessionCreated } else { Metric::SessionResumed }, 1);
        return Ok((entry, !is_new));
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

fn window(zone: &Zone, properties: &Properties) -> u16 {
    let receive_maximum = properties.find(|property| match property {
        Property::ReceiveMaximum(count) => Some(*count),
        _ => None,
    });
    receive_maximum.unwrap_or(u16::MAX).min(zone.inflight_max)
}

fn client_packet_bytes_max(properties: &Properties) -> usize {
    let bytes_max = properties.find(|property| match property {
        Property::MaximumPacketSize(bytes) => Some(*bytes as usize),
        _ => None,
    });
    bytes_max.unwrap_or(usize::MAX)
}

/// What the server decided, in the terms of MQTT 5.0 §3.2.2.3; what is as the client assumes is left out.
fn connack_properties(core: &Core, zone: &Zone, info: &ClientInfo, connect: &Connect, assigned: bool) -> Properties {
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
    if zone.topic_alias_max > 0 {
        list.push(Property::TopicAliasMaximum(zone.topic_alias_max));
    }
    if zone.receive_maximum < u16::MAX {
        list.push(Property::ReceiveMaximum(zone.receive_maximum));
    }
    if zone.packet_bytes_max < MAX_REMAINING_LENGTH {
        list.push(Property::MaximumPacketSize(u32::try_from(zone.packet_bytes_max).unwrap_or(u32::MAX)));
    }
    // MQTT 5 has no way to announce 2: that is what a client assumes [MQTT-3.2.2-9].
    if zone.qos_max < Qos::ExactlyOnce {
        list.push(Property::MaximumQos(zone.qos_max as u8));
    }
    if !core.retain_available(zone) {
        list.push(Property::RetainAvailable(false));
    }
    if !zone.wildcard_subscriptions {
        list.push(Property::WildcardSubscriptionAvailable(false));
    }
    if !zone.shared_subscriptions {
        list.push(Property::SharedSubscriptionAvailable(false));
    }
    Properties(list)
}
