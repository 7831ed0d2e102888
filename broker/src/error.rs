//! Why the broker could not start.

use std::fmt;
use std::io;
use std::net::SocketAddr;

/// The broker's one error; everything after the start concerns one client and ends in a reason code.
#[derive(Debug)]
pub enum Error {
    /// A listener's address cannot be used.
    Bind {
        /// Name of the listener.
        listener: String,
        /// The address it wanted.
        address: SocketAddr,
        /// The setting to change.
        setting: String,
        /// What the system said.
        source: io::Error,
    },
    /// An item of a list makes no sense.
    Item {
        /// Name of the list.
        setting: &'static str,
        /// Which item, from 1.
        number: usize,
        /// What is wrong.
        why: String,
    },
    /// The log or the snapshots of the sessions cannot be read.
    Store(store::Error),
    /// A setting makes no sense.
    Setting {
        /// Its name.
        name: &'static str,
        /// What is wrong and what to do.
        why: &'static str,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind { listener, address, setting, source } => {
                write!(f, "listener {listener} cannot use {address}: ")?;
                match source.kind() {
                    io::ErrorKind::AddrInUse => write!(
                        f,
                        "the port is in use, perhaps by another broker. Stop that, or set {setting} to a free port (0 takes any)"
                    ),
                    io::ErrorKind::AddrNotAvailable => {
                        write!(f, "this machine has no such address. Set {setting} to one it has, or to 0.0.0.0")
                    }
                    io::ErrorKind::PermissionDenied => {
                        write!(f, "not permitted. Ports below 1024 need privileges; set {setting} to a higher port")
                    }
                    _ => write!(f, "{source}. Check {setting}"),
                }
            }
            Self::Item { setting, number, why } => write!(f, "{setting}, item {number}: {why}"),
            Self::Store(error) => write!(f, "the sessions cannot be restored: {error}"),
            Self::Setting { name, why } => write!(f, "{name}: {why}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Bind { source, .. } => Some(source),
            Self::Store(error) => Some(error),
            Self::Item { .. } | Self::Setting { .. } => None,
        }
    }
}
