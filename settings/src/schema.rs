//! Every key of the configuration, once: type, default, documentation. A group is a list of keys that belong together, and
//! a section is made of groups: the macro makes from them the typed structs, the parser and the reference.
//!
//! `[mqtt]` has a group that every `[zones.NAME]` has too: a zone takes what it does not set itself from `[mqtt]`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use model::Qos;

use crate::kind::{Anonymous, ByteSize, DropWhich, Kind, LogFormat, Named, Rewrite, ShareBy};
use crate::load::Reader;

/// One key as the reference shows it.
#[derive(Clone, Copy, Debug)]
pub struct KeyDoc {
    /// Name inside its section.
    pub name: &'static str,
    /// Type, with its unit.
    pub kind: &'static str,
    /// Default in its text form.
    pub default: &'static str,
    /// What it does.
    pub doc: &'static str,
}

/// One section as the reference shows it.
#[derive(Clone, Copy, Debug)]
pub struct SectionDoc {
    /// Name, such as `node` or `listeners.tcp`.
    pub name: &'static str,
    /// There may be many of them, each with a name of its own: `[listeners.tcp.NAME]`.
    pub is_repeated: bool,
    /// What it is about.
    pub doc: &'static str,
    /// Its keys, in groups that sections share.
    pub groups: &'static [&'static [KeyDoc]],
}

impl SectionDoc {
    /// Its keys, in the order of the reference.
    pub fn keys(&self) -> impl Iterator<Item = &'static KeyDoc> + use<> {
        self.groups.iter().flat_map(|keys| keys.iter())
    }

    /// The section as a file writes it, without brackets.
    pub fn title(&self) -> String {
        if self.is_repeated { format!("{}.NAME", self.name) } else { self.name.to_owned() }
    }
}

/// Keys that belong together.
pub(crate) trait Group: Sized {
    /// The keys.
    const KEYS: &'static [KeyDoc];
    /// Reads every key from the first of `sections` that has it, so that every problem is found; `None` if one could not be
    /// read.
    fn read(reader: &mut Reader, sections: &[&str]) -> Option<Self>;
}

macro_rules! groups {
    ($(
        $(#[doc = $doc:literal])*
        $name:ident {
            $( $(#[doc = $key_doc:literal])* $key:ident : $kind:ty = $default:literal, )*
        }
    )*) => {$(
        $(#[doc = $doc])*
        #[derive(Clone, Debug)]
        pub struct $name { $( $(#[doc = $key_doc])* pub $key: $kind, )* }

        impl Group for $name {
            const KEYS: &'static [KeyDoc] = &[ $( KeyDoc {
                name: stringify!($key),
                kind: <$kind as Kind>::NAME,
                default: $default,
                doc: concat!($( $key_doc, "\n" ),*),
            } ),* ];

            fn read(reader: &mut Reader, sections: &[&str]) -> Option<Self> {
                $( let $key = reader.value::<$kind>(sections, stringify!($key), $default); )*
                Some($name { $( $key: $key? ),* })
            }
        }
    )*};
}

/// Every section, in the order of the reference.
pub static SECTIONS: &[SectionDoc] = &[
    section("node", "The server as a whole.", &[Node::KEYS]),
    section(
        "mqtt",
        "The limits of the broker (MQTT 3.1, 3.1.1 and 5.0), and the short way to listen. The keys from `connect_timeout` \
         on are decided per client: `[zones.NAME]` may have them too.",
        &[Mqtt::KEYS, Zone::KEYS],
    ),
    repeated(
        "zones",
        "Other settings for the clients of some listeners (manual §5.11). What a zone does not say is as `[mqtt]` says.",
        &[Zone::KEYS],
    ),
    repeated(
        "listeners.tcp",
        "One more place to listen, with a zone and options of its own (manual §5.13).",
        &[Listener::KEYS],
    ),
    section("api", "The HTTP API.", &[Api::KEYS]),
    section("log", "Log lines on stderr.", &[Log::KEYS]),
    section("engine", "The rule engine.", &[Engine::KEYS]),
    section("dead_letters", "Rows that could not be delivered. At a bound the oldest make room.", &[DeadLetters::KEYS]),
    section("resources", "Resources: the connections to outside systems.", &[Resources::KEYS]),
];

const fn section(name: &'static str, doc: &'static str, groups: &'static [&'static [KeyDoc]]) -> SectionDoc {
    SectionDoc { name, is_repeated: false, doc, groups }
}

const fn repeated(name: &'static str, doc: &'static str, groups: &'static [&'static [KeyDoc]]) -> SectionDoc {
    SectionDoc { name, is_repeated: true, doc, groups }
}

/// The whole configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `[node]`
    pub node: Node,
    /// `[mqtt]`, the broker as a whole.
    pub mqtt: Mqtt,
    /// `[mqtt]`, per client: what listeners without a zone have.
    pub zone: Zone,
    /// `[zones.NAME]`, complete.
    pub zones: BTreeMap<String, Zone>,
    /// `[listeners.….NAME]`
    pub listeners: Listeners,
    /// `[api]`
    pub api: Api,
    /// `[log]`
    pub log: Log,
    /// `[engine]`
    pub engine: Engine,
    /// `[dead_letters]`
    pub dead_letters: DeadLetters,
    /// `[resources]`
    pub resources: Resources,
}

/// Listeners by their names, of each kind.
#[derive(Clone, Debug)]
pub struct Listeners {
    /// `[listeners.tcp.NAME]`
    pub tcp: BTreeMap<String, Listener>,
}

impl Listeners {
    /// Every listener with the name of its section.
    pub fn all(&self) -> Vec<(String, &Listener)> {
        self.tcp.iter().map(|(name, listener)| (format!("listeners.tcp.{name}"), listener)).collect()
    }
}

impl Settings {
    /// Reads everything, so that every problem is found; `None` if a value could not be read.
    pub(crate) fn read(reader: &mut Reader) -> Option<Self> {
        let node = Group::read(reader, &["node"]);
        let mqtt = Group::read(reader, &["mqtt"]);
        let zone = Group::read(reader, &["mqtt"]);
        let zones = reader.each("zones", |reader, section| Group::read(reader, &[section, "mqtt"]));
        let tcp = reader.each("listeners.tcp", |reader, section| Group::read(reader, &[section]));
        let api = Group::read(reader, &["api"]);
        let log = Group::read(reader, &["log"]);
        let engine = Group::read(reader, &["engine"]);
        let dead_letters = Group::read(reader, &["dead_letters"]);
        let resources = Group::read(reader, &["resources"]);
        Some(Self {
            node: node?,
            mqtt: mqtt?,
            zone: zone?,
            zones: zones?,
            listeners: Listeners { tcp: tcp? },
            api: api?,
            log: log?,
            engine: engine?,
            dead_letters: dead_letters?,
            resources: resources?,
        })
    }
}

groups! {
    /// The server as a whole.
    Node {
        /// Name of this node, shown by the API and carried by every event.
        name: String = "weir@127.0.0.1",
        /// Folder of everything the server keeps: rules, resources, queues, dead letters, credentials. One server at a time.
        data_dir: PathBuf = "weir-data",
        /// How long a stop may take before what is left is abandoned: listeners close, queues drain; disk queues keep the rest.
        stop_deadline: Duration = "10s",
        /// Open files (one a connection) the server asks the system for at start; it takes what it gets and says so.
        open_files: u64 = "1048576",
    }
    /// The HTTP API.
    Api {
        /// Address to listen on. Every request except `/status`, `/livez`, `/readyz` and `/healthz` needs credentials; the first start
        /// makes them and writes them to `api-credentials.json` in the data folder.
        bind: SocketAddr = "127.0.0.1:8080",
        /// Largest request body.
        body_bytes_max: ByteSize = "1MB",
        /// Longest time one request may take.
        request_timeout: Duration = "60s",
        /// Most connections at once; further ones wait in the system's accept queue.
        connections_max: usize = "512",
        /// Most rows that one answer of `POST /api/v1/query` may have.
        query_rows_max: usize = "10000",
    }
    /// Log lines on stderr.
    Log {
        /// What to log: `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,broker=debug`.
        level: String = "info",
        /// How lines look.
        format: LogFormat = "text",
    }
    /// The rule engine.
    Engine {
        /// Worker tasks; events of one client always go to the same one. 0 takes one for each processor.
        workers: usize = "0",
        /// Events one worker's queue holds; when it is full, publishers wait or the event is dropped, by the rule's policy.
        tap_queue_events_max: usize = "16384",
        /// Bytes of message payload one worker's queue holds.
        tap_queue_bytes_max: ByteSize = "64MB",
        /// Most events evaluated together; an idle server never waits to fill a batch.
        batch_events_max: usize = "512",
        /// Failures kept for each rule, for showing.
        failures_kept: usize = "20",
        /// Rows each `inspect` action keeps, for showing.
        inspections_kept: usize = "100",
        /// Rules a republished message may pass before it is refused as a loop.
        republish_hops_max: usize = "8",
    }
    /// Rows that could not be delivered. At a bound the oldest make room.
    DeadLetters {
        /// Most dead letters.
        count_max: usize = "100000",
        /// Most bytes of dead letters, as stored.
        bytes_max: ByteSize = "256MB",
    }
    /// Resources: the connections to outside systems.
    Resources {
        /// How often every resource is asked whether it is alive.
        health_interval: Duration = "15s",
        /// A check or a connection test that takes longer has failed.
        check_timeout: Duration = "5s",
        /// A connection that takes longer to close is left to itself.
        close_timeout: Duration = "5s",
        /// Most resources.
        count_max: usize = "10000",
    }
    /// What [mqtt] says of the broker as a whole.
    Mqtt {
        /// Addresses to listen on without TLS, with the settings below. The default only counts while there is no `[listeners.…]` section.
        bind: Vec<SocketAddr> = "127.0.0.1:1883",
        /// Where clients may connect without being authenticated. `loopback` refuses to start with a listener that the network can reach.
        allow_anonymous: Anonymous = "loopback",
        /// Connections at the same time.
        connections_max: usize = "100000",
        /// Connections the system holds for the server before it accepts them.
        backlog: u32 = "1024",
        /// Sessions at the same time, connected or not.
        sessions_max: usize = "200000",
        /// Retained messages; 0 turns retained messages off.
        retained_messages_max: usize = "1000000",
        /// Bytes of topic and payload of all retained messages.
        retained_bytes_max: ByteSize = "256MB",
        /// Which member of a shared subscription (`$share/<group>/`, `$queue/`) gets a message (manual §4.10); `hash` is `hash_clientid`.
        shared_subscription_strategy: ShareBy = "random",
        /// The same for single groups, as `group=strategy`; the group of `$queue/` is called `$queue`.
        shared_subscription_strategies: Named<ShareBy> = "",
        /// What a member has not acknowledged when it loses its connection goes to another connected member at once (manual §5.20).
        shared_dispatch_ack_enabled: bool = "false",
        /// Messages that wait to be published later by `$delayed/<seconds>/<topic>` (manual §15.8); 0 turns that off. In memory.
        delayed_messages_max: usize = "100000",
        /// Bytes of topic and payload of all delayed messages.
        delayed_bytes_max: ByteSize = "64MB",
        /// Longest delay.
        delay_max: Duration = "4294967s",
        /// Rules by which topics that clients publish to are rewritten before anything else looks at them (manual §5.18.3), as `filter expression target`. The first rule whose filter matches is used; `$1` is what the first group of the expression matched, `%c` the client identifier, `%u` the user name. A comma inside a rule is written `\,` where the list is one text.
        rewrite_publish: Vec<Rewrite> = "",
        /// The same for filters that clients subscribe to and unsubscribe from.
        rewrite_subscribe: Vec<Rewrite> = "",
        /// What every client subscribes to by connecting, as `filter=qos` with `%c` and `%u` in the filter (manual §5.18.2). What it may not subscribe to is left out.
        proxy_subscriptions: Named<u8> = "",
        /// Nodes of the subscription trie that one PUBLISH may visit.
        match_visits_max: usize = "100000",
    }
    /// What is decided per client: the keys of `[mqtt]` that `[zones.NAME]` may have too.
    Zone {
        /// How long a connection may take until it is accepted (manual §5.11 `idle_timeout`).
        connect_timeout: Duration = "15s",
        /// Largest packet before the client is known.
        connect_packet_bytes_max: ByteSize = "64KB",
        /// Largest packet a client may send, with its header. Announced to MQTT 5 clients.
        packet_bytes_max: ByteSize = "1MB",
        /// Bytes of a client identifier.
        client_id_bytes_max: usize = "1024",
        /// User properties in one packet.
        user_properties_max: usize = "64",
        /// Levels of a topic name or filter.
        topic_levels_max: usize = "128",
        /// Highest QoS clients may publish with; subscriptions are granted no more (manual `max_qos_allowed`).
        qos_max: Qos = "2",
        /// Topic aliases a client may use (MQTT 5 Topic Alias Maximum).
        topic_alias_max: u16 = "10",
        /// Whether clients may publish retained messages.
        retain_available: bool = "true",
        /// Whether clients may subscribe to filters with `+` or `#`.
        wildcard_subscriptions: bool = "true",
        /// Whether clients may subscribe to `$share/…`.
        shared_subscriptions: bool = "true",
        /// Subscriptions of one session.
        subscriptions_max: usize = "10000",
        /// Filters in one SUBSCRIBE or UNSUBSCRIBE.
        filters_per_packet_max: usize = "1000",
        /// SUBACK code of a subscription that is not allowed, for MQTT 5: 135 (not authorized) or 128 (unspecified). Older clients always
        /// get 128.
        subscribe_refused_code: u8 = "135",
        /// Keep alive of MQTT 5 clients instead of what they ask for. Older clients cannot be told and keep theirs, up to the cap.
        server_keepalive_secs: Option<u16> = "",
        /// Cap of the keep alive, whole seconds up to 65535; it also replaces "no keep alive".
        keepalive_max_secs: u16 = "65535",
        /// A silent client is disconnected after keep alive × this × 2.
        keepalive_backoff: f64 = "0.75",
        /// Publishes of QoS 1 and 2 a client may have unacknowledged (MQTT 5 Receive Maximum).
        receive_max: u16 = "64",
        /// QoS 2 messages of one client that wait for PUBREL (manual §5.11 `max_awaiting_rel`).
        awaiting_rel_max: usize = "100",
        /// Messages of QoS 1 and 2 sent to one client and not yet acknowledged (manual §5.11 `max_inflight`).
        inflight_max: u16 = "32",
        /// Session expiry of MQTT 3 clients without clean session (manual §5.11).
        session_expiry_v3: Duration = "2h",
        /// Cap of the session expiry a client may ask for.
        session_expiry_max: Duration = "7d",
        /// Messages that wait for one session, connected or not.
        queue_messages_max: usize = "1000",
        /// Bytes of topic and payload that wait for one session.
        queue_bytes_max: ByteSize = "16MB",
        /// What a session's full queue drops: the message that waited longest, or the one that just came.
        queue_full: DropWhich = "drop_oldest",
        /// Keep QoS 0 messages for disconnected sessions too.
        queue_qos0_offline: bool = "false",
        /// Retained messages waiting to be sent to one client; more are dropped and counted.
        retained_backlog_max: usize = "100000",
        /// Bytes encoded for one client and not yet taken by its socket, before the rest waits in its queue.
        write_buffer_bytes: ByteSize = "64KB",
        /// A client whose socket takes nothing for this long is disconnected.
        write_stall: Duration = "30s",
        /// After an error, how long the server waits for the client to read the DISCONNECT.
        linger: Duration = "1s",
    }
    /// What every listener has.
    Listener {
        /// Address to listen on.
        bind: Option<SocketAddr> = "",
        /// Zone of its clients, a `[zones.NAME]`; without one they have the settings of `[mqtt]`.
        zone: String = "",
        /// Connections the system holds for the server before it accepts them.
        backlog: u32 = "1024",
    }
}
