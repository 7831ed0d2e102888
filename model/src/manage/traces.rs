//! Traces: everything about one client, topic or address, written to a file (manual §4.18).

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;

use crate::Str;

/// What a trace follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TraceTarget {
    /// The packets of this client identifier.
    Client(String),
    /// The messages whose topic matches this filter.
    Topic(String),
    /// The packets of clients at this address.
    Address(IpAddr),
}

impl TraceTarget {
    /// The word for its kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Client(_) => "client",
            Self::Topic(_) => "topic",
            Self::Address(_) => "address",
        }
    }

    /// The client, filter or address.
    pub fn value(&self) -> String {
        match self {
            Self::Client(text) | Self::Topic(text) => text.clone(),
            Self::Address(address) => address.to_string(),
        }
    }
}

/// A trace to start.
#[derive(Clone, Debug)]
pub struct TraceSpec {
    /// Its name, and that of its file without `.log`: letters, digits, `_`, `-` and `.`, not at the beginning.
    pub name: String,
    /// What it follows.
    pub target: TraceTarget,
    /// Whether payloads are written; they may be private.
    pub with_payload: bool,
    /// When it ends by itself; at most, and by default, the server's bound.
    pub duration: Option<Duration>,
}

/// A trace as lists show it.
#[derive(Clone, Debug, Serialize)]
pub struct TraceView {
    /// Name.
    pub name: Str,
    /// `client`, `topic` or `address`; empty for a file from before the last start.
    pub kind: &'static str,
    /// The client, filter or address.
    pub target: String,
    /// Whether payloads are written.
    pub with_payload: bool,
    /// Whether it is being written.
    pub is_running: bool,
    /// Why it ended: `stopped`, `duration`, `bytes` (its file is full), `failed` (the disk).
    pub ended_by: Option<&'static str>,
    /// When it was started, milliseconds since the epoch.
    pub started_at_ms: i64,
    /// When it ends, or ended.
    pub ends_at_ms: i64,
    /// Bytes written.
    pub bytes: u64,
    /// Lines written.
    pub line_count: u64,
    /// Lines that were lost because the disk was slower than the traffic.
    pub lost_count: u64,
}

/// Where traces are started and read. These calls touch files.
pub trait Traces: Send + Sync + 'static {
    /// Starts a trace.
    ///
    /// # Errors
    /// The name is taken or not valid, a bound is reached, or the file cannot be made.
    fn start_trace(&self, spec: TraceSpec) -> Result<TraceView, TraceError>;
    /// Ends a trace; its file stays. Afterwards the file has everything.
    ///
    /// # Errors
    /// There is no such trace.
    fn stop_trace(&self, name: &str) -> Result<TraceView, TraceError>;
    /// Ends a trace and removes its file.
    ///
    /// # Errors
    /// There is no such trace, or the file cannot be removed.
    fn delete_trace(&self, name: &str) -> Result<(), TraceError>;
    /// All traces, by name.
    fn traces(&self) -> Vec<TraceView>;
    /// At most `bytes_max` bytes of a trace's file, from `offset`.
    ///
    /// # Errors
    /// There is no such trace, or the file cannot be read.
    fn read_trace(&self, name: &str, offset: u64, bytes_max: usize) -> Result<Vec<u8>, TraceError>;
}

/// Why a trace was not started, stopped or read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TraceError {
    /// Traces are off: there is no folder for them.
    Off,
    /// There is no trace of this name.
    NotFound(String),
    /// There is one of this name already.
    Exists(String),
    /// The name, filter or duration is not valid, and why.
    Invalid(String),
    /// There are as many as there may be; the setting.
    TooMany(usize),
    /// The file failed.
    Io(String),
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("traces are off: the server has no folder for them"),
            Self::NotFound(name) => write!(f, "there is no trace {name:?}"),
            Self::Exists(name) => write!(f, "there is a trace {name:?} already; delete it, or choose another name"),
            Self::Invalid(why) => f.write_str(why),
            Self::TooMany(max) => {
                write!(f, "there are {max} traces already, as many as trace.count_max allows; delete one")
            }
            Self::Io(why) => write!(f, "the file of the trace: {why}"),
        }
    }
}

impl std::error::Error for TraceError {}
