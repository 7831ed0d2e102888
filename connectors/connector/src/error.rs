//! One error for every connector: kind × retry × context.

use std::fmt;

/// What went wrong, in terms that do not depend on the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The configuration cannot work (a bad URL, a template that does not parse).
    Config,
    /// The service refused the credentials.
    Unauthorized,
    /// The service cannot be reached.
    Unreachable,
    /// No answer within the deadline.
    Timeout,
    /// The service refused this data (a missing column, a value of the wrong type, HTTP 400).
    Rejected,
    /// The service is there and cannot take more now (HTTP 429, 503, disk full).
    Exhausted,
    /// The table, topic or queue is not there.
    NotFound,
    /// The service answered something the protocol does not allow.
    Protocol,
    /// The role or option is not built.
    Unsupported,
    /// The client has been closed.
    Closed,
    /// A fault of our own.
    Internal,
}

impl ErrorKind {
    /// The word used in dead letters, logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Unauthorized => "unauthorized",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Rejected => "rejected",
            Self::Exhausted => "exhausted",
            Self::NotFound => "not_found",
            Self::Protocol => "protocol",
            Self::Unsupported => "unsupported",
            Self::Closed => "closed",
            Self::Internal => "internal",
        }
    }
}

/// Whether trying the same thing again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// The same rows will fail again: bisect the batch, then dead letter.
    Permanent,
    /// The outside may recover: keep the rows and try again with backoff.
    Temporary,
}

/// An error of a connector. `Display` names what was tried and what the service said; never a secret.
#[derive(Debug)]
pub struct Error {
    /// What went wrong.
    pub kind: ErrorKind,
    /// Whether to try again.
    pub retry: Retry,
    /// What was being done and to what, with the remedy where there is one.
    pub context: String,
    /// The driver's own error.
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error that will not go away by itself.
    pub fn permanent(kind: ErrorKind, context: impl Into<String>) -> Self {
        Self { kind, retry: Retry::Permanent, context: context.into(), source: None }
    }

    /// An error that may go away by itself.
    pub fn temporary(kind: ErrorKind, context: impl Into<String>) -> Self {
        Self { kind, retry: Retry::Temporary, context: context.into(), source: None }
    }

    /// Keeps the driver's error.
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Whether to try again.
    pub fn is_temporary(&self) -> bool {
        self.retry == Retry::Temporary
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.name(), self.context)?;
        let mut cause = self.source.as_deref().map(|source| source as &dyn std::error::Error);
        while let Some(error) = cause {
            let text = error.to_string();
            if !self.context.contains(&text) {
                write!(f, ": {text}")?;
            }
            cause = error.source();
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
