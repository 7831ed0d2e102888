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
    /// A listener names a zone that does not exist.
    UnknownZone {
        /// Name of the listener.
        listener: String,
        /// The zone it names.
        zone: String,
    },
    /// A setting makes no sense.
    Setting {
        /// The zone it is a setting of.
        zone: String,
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
            Self::UnknownZone { listener, zone } => {
                write!(f, "listener {listener} names the zone {zone}, which does not exist")
            }
            Self::Setting { zone, name, why } => write!(f, "zone {zone}: {name}: {why}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Bind { source, .. } => Some(source),
            Self::Item { .. } | Self::UnknownZone { .. } | Self::Setting { .. } => None,
        }
    }
}
