//! Every key of the configuration, once: type, default, documentation. The macro makes from this list the typed
//! structs, the parser and the reference.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::kind::{Anonymous, ByteSize, Kind, LogFormat, QueueKind, WhenFull};
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
        /// Where clients may connect without being authenticated. `loopback` refuses to start with a `bind` that the network can reach.
        allow_anonymous: Anonymous = "loopback",
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
        /// Most events one evaluation takes at once; an idle server never waits to fill a batch.
        batch_rows_max: usize = "512",
    }
    /// Queues between rules and actions, where a rule does not say otherwise.
    queue: Queue {
        /// Where a queue of an at_most_once rule lives; an at_least_once rule's queue is always on disk.
        kind: QueueKind = "memory",
        /// Most rows waiting in one action's queue.
        rows_max: usize = "100000",
        /// Most bytes waiting in one action's queue.
        bytes_max: ByteSize = "256MB",
        /// What happens to the next row when the queue is full.
        when_full: WhenFull = "drop_newest",
    }
    /// Resources: the connections to outside systems.
    resources: Resources {
        /// How often every resource is asked whether it is alive.
        health_interval: Duration = "15s",
    }
}
