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
    /// The connection is closed without a word: the peer has ended it anyway, or may not speak MQTT at all.
    pub is_silent: bool,
}

impl Error {
    /// The bytes cannot be parsed (MQTT 5.0 §4.13.1).
    pub const fn malformed(what: &'static str) -> Self {
        Self::with(Reason::MALFORMED_PACKET, what)
    }

    /// The packet parses, and breaks a rule of the protocol (MQTT 5.0 §4.13.1).
    pub const fn protocol(what: &'static str) -> Self {
        Self::with(Reason::PROTOCOL_ERROR, what)
    }

    /// Any other reason code.
    pub const fn with(reason: Reason, what: &'static str) -> Self {
        Self { reason, what, is_silent: false }
    }

    /// The same error, which is counted and logged and not told to the peer.
    pub const fn silently(self) -> Self {
        Self { is_silent: true, ..self }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.what, self.reason)
    }
}

impl std::error::Error for Error {}
