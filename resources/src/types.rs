//! What the room takes and shows: plain data.

use std::fmt;
use std::time::Duration;

use model::Str;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// Where an object that came from a file is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Path of the file as it was given.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// A resource as it is asked for. Its `Debug` does not show the settings: they may hold secrets.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResourceSpec {
    /// Its id; `None` makes `resource:<8 hex>`.
    #[serde(default)]
    pub id: Option<Str>,
    /// Resource type, by name or alias.
    #[serde(rename = "type")]
    pub resource_type: String,
    /// Settings.
    #[serde(default)]
    pub config: Json,
    /// Free text.
    #[serde(default)]
    pub description: String,
    /// Set for resources that come from a file: the API and the CLI then refuse to change them.
    #[serde(default)]
    pub origin: Option<Origin>,
}

impl fmt::Debug for ResourceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResourceSpec")
            .field("id", &self.id)
            .field("resource_type", &self.resource_type)
            .field("description", &self.description)
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

/// Who asks for a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// A person through API, CLI or dashboard.
    Api,
    /// The file that owns the object.
    File,
}

/// Whether the outside answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The last check succeeded.
    Connected,
    /// The last check failed.
    Disconnected,
    /// Not checked yet.
    Unknown,
    /// Stopped by request.
    Stopped,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Connected, Self::Disconnected, Self::Unknown, Self::Stopped];

    /// The label in metrics and the word in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Disconnected => "disconnected",
            Self::Unknown => "unknown",
            Self::Stopped => "stopped",
        }
    }
}

/// The state of a resource.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// Whether it answers.
    pub state: State,
    /// Since when, milliseconds since the epoch.
    pub since_ms: i64,
    /// The last check, milliseconds since the epoch; `None` before the first.
    pub checked_at_ms: Option<i64>,
    /// What the last failed check said; kept after a recovery.
    pub last_error: Option<String>,
}

/// A resource for showing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ResourceView {
    /// Id, such as `resource:a7a38187`.
    pub id: Str,
    /// Type, by its own name.
    #[serde(rename = "type")]
    pub resource_type: String,
    /// Settings; secrets are `******`.
    pub config: Json,
    /// Free text.
    pub description: String,
    /// The file that owns it.
    pub origin: Option<Origin>,
    /// When it was created, milliseconds since the epoch.
    pub created_at_ms: i64,
    /// Whether it answers.
    pub status: Status,
    /// Rules that use it.
    pub used_by: Vec<Str>,
}

/// Why a call failed.
#[derive(Debug)]
pub enum Error {
    /// The type or the settings are wrong; every problem that was found, with its key.
    Invalid(Vec<connector::ConfigError>),
    /// There is no such resource; the message lists the known ones.
    NotFound(String),
    /// In use, owned by a file, or already there.
    Conflict(String),
    /// The outside did not answer as it should.
    Connection(connector::Error),
    /// The store could not be read or written, or the server is stopping.
    Unavailable(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(errors) => {
                for (index, error) in errors.iter().enumerate() {
                    write!(f, "{}{error}", if index > 0 { "; " } else { "" })?;
                }
                Ok(())
            }
            Self::NotFound(text) | Self::Conflict(text) | Self::Unavailable(text) => f.write_str(text),
            Self::Connection(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        Self::Unavailable(format!("the resources cannot be stored: {error}"))
    }
}

impl Error {
    /// One thing that is wrong.
    pub(crate) fn invalid(key: &str, message: impl Into<String>) -> Self {
        Self::Invalid(vec![connector::ConfigError { key: key.to_owned(), message: message.into() }])
    }
}

/// Settings of the room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Time between two health checks of one resource.
    pub health_interval: Duration,
    /// A check or a connection test that takes longer has failed.
    pub check_timeout: Duration,
    /// A client that takes longer to close is left to itself.
    pub close_timeout: Duration,
    /// Most resources.
    pub count_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            health_interval: Duration::from_secs(15),
            check_timeout: Duration::from_secs(5),
            close_timeout: Duration::from_secs(5),
            count_max: 10_000,
        }
    }
}
