//! Why a connection ended.

use crate::codec::{Error, Reason};

/// The end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The client closed the socket, without DISCONNECT.
    PeerClosed,
    /// The socket failed.
    SocketFailed,
    /// The client sent DISCONNECT. Its will is void unless the reason is 0x04.
    Client(Reason),
    /// The client broke the protocol.
    Fault(Error),
    /// The broker ends it, for a reason that is not the client's fault.
    Server(Reason),
    /// An older client's message was refused: it gets no acknowledgement and has to connect and send again.
    Refused,
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        Self::Fault(error)
    }
}

impl End {
    /// The reason an MQTT 5 client is told, if any.
    pub(super) fn told(self) -> Option<Reason> {
        match self {
            Self::Fault(error) => Some(error.reason).filter(|_| !error.is_silent),
            Self::Server(reason) => Some(reason),
            Self::Refused => Some(Reason::QUOTA_EXCEEDED),
            Self::PeerClosed | Self::SocketFailed | Self::Client(_) => None,
        }
    }

    /// Whether the will is not to be published [MQTT-3.1.2-8, MQTT-3.14.4-3].
    pub(super) fn voids_will(self) -> bool {
        self == Self::Client(Reason::SUCCESS)
    }

    /// Name and code for the event.
    pub(super) fn event(self) -> (&'static str, u8) {
        match self {
            Self::PeerClosed => ("tcp_closed", Reason::UNSPECIFIED_ERROR.0),
            Self::SocketFailed => ("socket_error", Reason::UNSPECIFIED_ERROR.0),
            Self::Client(Reason::SUCCESS) => ("normal", 0),
            Self::Server(Reason::SESSION_TAKEN_OVER) => ("takenover", Reason::SESSION_TAKEN_OVER.0),
            Self::Server(Reason::ADMINISTRATIVE_ACTION) => ("kicked", Reason::ADMINISTRATIVE_ACTION.0),
            Self::Client(reason) | Self::Server(reason) => (reason.name(), reason.0),
            Self::Fault(error) => (error.reason.name(), error.reason.0),
            Self::Refused => ("message_refused", Reason::QUOTA_EXCEEDED.0),
        }
    }
}
