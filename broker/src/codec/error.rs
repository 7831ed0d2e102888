//! Why bytes are not an acceptable packet.

use std::fmt;

use super::Reason;

/// A packet that must not be acted upon; the connection ends with `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// The MQTT 5 reason code; older clients are closed without one.
    pub reason: Reason,
    /// What is wrong, for the log.
    pub what: &'static str,
}

impl Error {
    /// The bytes cannot be parsed (MQTT 5.0 §4.13.1).
    pub const fn malformed(what: &'static str) -> Self {
        Self { reason: Reason::MALFORMED_PACKET, what }
    }

    /// The packet parses, and breaks a rule of the protocol (MQTT 5.0 §4.13.1).
    pub const fn protocol(what: &'static str) -> Self {
        Self { reason: Reason::PROTOCOL_ERROR, what }
    }

    /// Any other reason code.
    pub const fn with(reason: Reason, what: &'static str) -> Self {
        Self { reason, what }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.what, self.reason)
    }
}

impl std::error::Error for Error {}
