//! Every key of the configuration, once: type, default, documentation. The macro makes from this list the typed
//! structs, the parser and the reference.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::kind::{
    Anonymous, ByteSize, DenyAction, DropWhich, Kind, LogFormat, Named, NoMatch, Retained, Rewrite, ShareBy, Survives,
};
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
    /// Name.
    pub name: &'static str,
    /// What it is about.
    pub doc: &'static str,
    /// Its keys.
    pub keys: &'static [KeyDoc],
}

macro_rules! sections {
    ($(
        $(#[doc = $doc:literal])*
        $section:ident : $name:ident {
            $( $(#[doc = $key_doc:literal])* $key:ident : $kind:ty = $default:literal, )*
        }
    )*) => {
        $(
            $(#[doc = $doc])*
            #[derive(Clone, Debug)]
            pub struct $name { $( $(#[doc = $key_doc])* pub $key: $kind, )* }
        )*

        /// The whole configuration.
        #[derive(Clone, Debug)]
        pub struct Settings { $( $(#[doc = $doc])* pub $section: $name, )* }

        /// Every section and key, in the order of the reference.
        pub static SECTIONS: &[SectionDoc] = &[ $( SectionDoc {
            name: stringify!($section),
            doc: concat!($( $doc, "\n" ),*),
            keys: &[ $( KeyDoc {
                name: stringify!($key),
                kind: <$kind as Kind>::NAME,
                default: $default,
                doc: concat!($( $key_doc, "\n" ),*),
            } ),* ],
        } ),* ];

        /// Reads every key, so that every problem is found, and returns the settings if all could be read.
        pub(crate) fn build(reader: &mut Reader) -> Option<Settings> {
            $( let $section = { $( let $key = reader.value::<$kind>(stringify!($section), stringify!($key), $default); )*
                (|| Some($name { $( $key: $key? ),* }))() }; )*
            Some(Settings { $( $section: $section? ),* })
        }
    };
}

sections! {
    /// The server as a whole.
    node: Node {
        /// Name of this node, shown by the API and carried by every event.
        name: String = "weir@127.0.0.1",
        /// Folder of everything the server keeps: rules, resources, queues, dead letters, credentials. One server at a time.
        data_dir: PathBuf = "weir-data",
        /// How long a stop may take before what is left is abandoned: listeners close, queues drain; disk queues keep the rest.
        stop_deadline: Duration = "10s",
        /// Open files (one a connection) the server asks the system for at start; it takes what it gets and says so.
        open_files: u64 = "1048576",
    }
    /// The MQTT listener and the limits of the broker (MQTT 3.1, 3.1.1 and 5.0 over TCP).
    mqtt: Mqtt {
        /// Addresses to listen on.
        bind: Vec<SocketAddr> = "127.0.0.1:1883",
        /// Where clients that no user list knows may connect. With `loopback` they have to come from this machine.
        allow_anonymous: Anonymous = "loopback",
        /// Largest packet a client may send, with its header. Announced to MQTT 5 clients.
        packet_bytes_max: ByteSize = "1MB",
        /// Largest packet before the client is known.
        connect_packet_bytes_max: ByteSize = "64KB",
        /// How long a connection may take until it is accepted.
        connect_timeout: Duration = "15s",
        /// Connections at the same time.
        connections_max: usize = "100000",
        /// Connections the system holds for the server before it accepts them.
        backlog: u32 = "1024",
        /// Sessions at the same time, connected or not.
        sessions_max: usize = "200000",
        /// Messages of QoS 1 and 2 sent to one client and not yet acknowledged (manual §5.11 `max_inflight`).
        inflight_max: u16 = "32",
        /// Publishes of QoS 1 and 2 a client may have unacknowledged (MQTT 5 Receive Maximum).
        receive_max: u16 = "64",
        /// QoS 2 messages of one client that wait for PUBREL (manual §5.11 `max_awaiting_rel`).
        awaiting_rel_max: usize = "100",
        /// Messages that wait for one session, connected or not.
        queue_messages_max: usize = "1000",
        /// Bytes of topic and payload that wait for one session.
        queue_bytes_max: ByteSize = "16MB",
        /// What a session's full queue drops: the message that waited longest, or the one that just came.
        queue_full: DropWhich = "drop_oldest",
        /// Keep QoS 0 messages for disconnected sessions too.
        queue_qos0_offline: bool = "false",
        /// Levels of a topic name or filter.
        topic_levels_max: usize = "128",
        /// Bytes of a client identifier.
        client_id_bytes_max: usize = "1024",
        /// User properties in one packet.
        user_properties_max: usize = "64",
        /// Retained messages; 0 turns retained messages off.
        retained_messages_max: usize = "1000000",
        /// Bytes of topic and payload of all retained messages.
        retained_bytes_max: ByteSize = "256MB",
        /// Bytes of payload of one retained message; a larger one goes to the subscribers and is not kept (manual §15.6 `max_payload_size`).
        retained_payload_bytes_max: ByteSize = "1MB",
        /// How long a retained message is kept; 0s: until it is replaced (manual §15.6 `expiry_interval`).
        retained_expiry: Duration = "0ms",
        /// Retained messages waiting to be sent to one client; more are dropped and counted.
        retained_backlog_max: usize = "100000",
        /// Session expiry of MQTT 3 clients without clean session (manual §5.11).
        session_expiry_v3: Duration = "2h",
        /// Cap of the session expiry a client may ask for.
        session_expiry_max: Duration = "7d",
        /// Cap of the keep alive, whole seconds up to 65535; it also replaces "no keep alive".
        keepalive_max_secs: u16 = "65535",
        /// Topic aliases a client may use (MQTT 5 Topic Alias Maximum).
        topic_alias_max: u16 = "10",
        /// Topic aliases the server assigns towards one client that takes them; 0 turns them off.
        topic_alias_to_client_max: u16 = "10",
        /// Response Information for clients that ask for it, such as reply/%c; %c is the client identifier.
        response_information: String = "",
        /// Another server, such as mqtt2.example.com:1883, to which MQTT 5 clients are sent when this one stops or is full.
        server_reference: String = "",
        /// This server has moved to server_reference for good: every CONNECT is refused.
        server_moved: bool = "false",
        /// Say in words what was wrong with a packet when MQTT 5 clients are disconnected for it.
        reason_strings: bool = "false",
        /// Subscriptions of one session.
        subscriptions_max: usize = "10000",
        /// Filters in one SUBSCRIBE or UNSUBSCRIBE.
        filters_per_packet_max: usize = "1000",
        /// Bytes encoded for one client and not yet taken by its socket, before the rest waits in its queue.
        write_buffer_bytes: ByteSize = "64KB",
        /// A client whose socket takes nothing for this long is disconnected.
        write_stall: Duration = "30s",
        /// After an error, how long the server waits for the client to read the DISCONNECT.
        linger: Duration = "1s",
        /// Topics whose messages overtake others in a session's queue, as `topic=priority` with a priority up to 255 (manual §5.11 `mqueue_priorities`). Queues of durable sessions stay first in, first out.
        queue_priorities: Named<u8> = "",
        /// Priority of all other topics; 0 is the lowest.
        queue_priority_default: u8 = "0",
        /// Do not deliver what a client published to itself, whatever its version (manual §5.10); MQTT 5 clients can ask for that themselves.
        ignore_loop_deliver: bool = "false",
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
    /// What survives a restart: sessions that outlive their connection, and retained messages, in a log below the data folder.
    sessions: Sessions {
        /// Sessions with a session expiry above zero are durable: their subscriptions, queue, exchanges and will are in the log
        /// before anything is acknowledged that depends on it.
        durable: bool = "true",
        /// What an acknowledgement promises: `power` flushes to the device first, many messages at once; `process` hands the bytes
        /// to the operating system, which survives `kill -9` but not loss of power.
        survives: Survives = "power",
        /// Where retained messages live (manual §15.6 `retainer.storage_type`): `disc` keeps them over a restart. `disc_only` is not
        /// built yet.
        retained: Retained = "disc",
        /// Bytes of the log behind the last snapshot at which QoS 1 and 2 messages for durable sessions are refused (MQTT 5 reason
        /// 0x97, MQTT 3 connections are closed without acknowledgement). The disk holds up to one segment of 16 MB more.
        log_bytes_max: ByteSize = "1GB",
        /// Bytes of the log after which the next snapshot is taken and the log before it forgotten.
        snapshot_bytes: ByteSize = "64MB",
        /// Bytes of messages that wait to be written; at the bound publishers wait.
        pending_bytes_max: ByteSize = "64MB",
    }
    /// What the broker says about itself on `$SYS` (manual §4.17, §5.20).
    broker: Broker {
        /// How often everything is published there; 0s = never. While nobody subscribes to `$SYS`, nothing is made.
        sys_interval: Duration = "1m",
        /// How often uptime and time are published in between; 0s = not.
        sys_heartbeat: Duration = "30s",
        /// A timer that is late by more than this is told on `$SYS/…/sysmon/long_schedule`; 0s = never.
        long_schedule: Duration = "240ms",
    }
    /// Alarms of the broker about its own bounds.
    alarms: Alarms {
        /// Alarms that are over and kept for showing; the oldest are forgotten.
        history_max: usize = "1000",
        /// Share of a bound (connections, sessions, retained messages and their bytes) at which an alarm says so, percent.
        high_percent: u8 = "90",
        /// Share of the bound below which that alarm is over, percent.
        low_percent: u8 = "80",
    }
    /// The watch over the machine (manual §5.21), on systems with `/proc`. Between the two marks an alarm stays as it is.
    os_mon: OsMon {
        /// How often is looked; at least a second.
        check_interval: Duration = "60s",
        /// Use of all processors together at which an alarm says so, percent.
        cpu_high_percent: u8 = "80",
        /// Use below which that alarm is over, percent.
        cpu_low_percent: u8 = "60",
        /// Use of the machine's memory at which an alarm says so, percent.
        memory_high_percent: u8 = "70",
        /// Use below which that alarm is over, percent.
        memory_low_percent: u8 = "65",
    }
    /// Traces of clients and topics to files in the folder `trace` of the data folder (manual §4.18).
    trace: Trace {
        /// Traces, those that have ended and still have their file included.
        count_max: usize = "30",
        /// Bytes of one trace's file; a trace that reaches them ends.
        bytes_max: ByteSize = "64MB",
        /// Longest time a trace runs; also what it runs when nobody says.
        duration_max: Duration = "1h",
    }
    /// Access control: rules, users, bans (`docs/access-control.md`).
    auth: Auth {
        /// File of access rules: Erlang terms (manual §9.4), or TOML where the name ends in `.toml`. Empty takes the built-in rules, which
        /// keep `$SYS/#` and the filter `#` for clients of this machine.
        acl_file: String = "",
        /// What an access is that no rule speaks of.
        acl_nomatch: NoMatch = "deny",
        /// Ask the rules at all (manual `enable_acl`). Without them everything is allowed but publishing to `$` topics.
        acl_enabled: bool = "true",
        /// What a denied publish or subscription does: the packet is refused, or the connection ends (MQTT 5 reason 0x87).
        acl_deny_action: DenyAction = "ignore",
        /// Answers each connection remembers where asking is costly (many rules); 0 remembers none. A reload forgets them all.
        acl_cache_max: usize = "32",
        /// How long an answer is remembered.
        acl_cache_ttl: Duration = "1m",
        /// Largest file of access rules.
        acl_file_bytes_max: ByteSize = "1MB",
        /// Most access rules.
        acl_rules_max: usize = "10000",
        /// User names and client identifiers with a password, together.
        users_max: usize = "100000",
        /// Rounds of PBKDF2-SHA-256 for passwords that are set from now on; every login costs as many.
        password_iterations: u32 = "10000",
        /// Bans of client identifiers, user names and addresses.
        banned_max: usize = "100000",
        /// Refuse banned clients (manual `enable_ban`).
        ban_enabled: bool = "true",
        /// Ban the client identifier of a client that connects and disconnects too often (manual §5.11 `enable_flapping_detect`).
        flapping_detect: bool = "false",
        /// Connects and disconnects allowed within `flapping_window`.
        flapping_changes_max: u32 = "10",
        /// The time in which they count.
        flapping_window: Duration = "1m",
        /// How long such a ban lasts.
        flapping_ban: Duration = "1h",
        /// Clients watched for connecting and disconnecting too often.
        flapping_clients_max: usize = "100000",
    }
    /// The HTTP API.
    api: Api {
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
    log: Log {
        /// What to log: `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,broker=debug`.
        level: String = "info",
        /// How lines look.
        format: LogFormat = "text",
    }
    /// The rule engine.
    engine: Engine {
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
    dead_letters: DeadLetters {
        /// Most dead letters.
        count_max: usize = "100000",
        /// Most bytes of dead letters, as stored.
        bytes_max: ByteSize = "256MB",
    }
    /// Resources: the connections to outside systems.
    resources: Resources {
        /// How often every resource is asked whether it is alive.
        health_interval: Duration = "15s",
        /// A check or a connection test that takes longer has failed.
        check_timeout: Duration = "5s",
        /// A connection that takes longer to close is left to itself.
        close_timeout: Duration = "5s",
        /// Most resources.
        count_max: usize = "10000",
    }
}
