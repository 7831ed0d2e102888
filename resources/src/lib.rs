//! Named, configured, health-checked connector instances: create, test, start, stop, status.
//! (Signatures; the bodies are in the next commit.)

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use connector::{ActionSpec, Client, Config, Registry, Sink, Spec};
use model::{Clock, Str};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use store::Kv;

/// Where an object that came from a file is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Path of the file as it was given.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
}

/// A resource as it is asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    pub resource_type: &'static str,
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

/// Every resource of a server. Clones share them.
#[derive(Clone)]
pub struct Resources {
    registry: Registry,
}

impl Resources {
    /// Reads the stored resources, opens their clients and begins to check them. A stored resource that cannot be
    /// opened any more is kept, listed as disconnected with the reason.
    pub async fn open(registry: Registry, kv: Kv, settings: Settings, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let _ = (kv, settings, clock);
        Ok(Self { registry })
    }

    /// The resource types.
    pub fn resource_types(&self) -> Vec<&'static Spec> {
        self.registry.iter().map(|connector| connector.spec()).collect()
    }

    /// The connectors.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Creates a resource and opens its client; does not need the outside to be up. [`Error::Conflict`] when the id is
    /// taken.
    pub async fn create(&self, spec: ResourceSpec) -> Result<ResourceView, Error> {
        let _ = spec;
        Err(not_built())
    }

    /// Creates the resource, or replaces the one with this id (`spec.id` is needed): sinks made from it go on with the
    /// new client at their next write. A secret given as `******` keeps its stored value.
    pub async fn apply(&self, spec: ResourceSpec, by: By) -> Result<ResourceView, Error> {
        let _ = (spec, by);
        Err(not_built())
    }

    /// What [`Resources::create`] would say, without doing it.
    pub fn validate(&self, spec: &ResourceSpec) -> Result<(), Error> {
        let _ = spec;
        Err(not_built())
    }

    /// Deletes a resource and closes its client. [`Error::Conflict`] names the rules that use it or the file that owns it.
    pub async fn delete(&self, id: &str, by: By) -> Result<(), Error> {
        let _ = (id, by);
        Err(not_built())
    }

    /// Every resource, by id.
    pub fn list(&self) -> Vec<ResourceView> {
        Vec::new()
    }

    /// One resource.
    pub fn get(&self, id: &str) -> Result<ResourceView, Error> {
        let _ = id;
        Err(not_built())
    }

    /// Opens a client with these settings, checks it within the deadline, and closes it.
    pub async fn test(&self, resource_type: &str, config: &Json) -> Result<(), Error> {
        let _ = (resource_type, config);
        Err(not_built())
    }

    /// Its state as last seen.
    pub fn status(&self, id: &str) -> Result<Status, Error> {
        let _ = id;
        Err(not_built())
    }

    /// Checks it now.
    pub async fn check(&self, id: &str) -> Result<Status, Error> {
        let _ = id;
        Err(not_built())
    }

    /// Opens the client of a stopped resource.
    pub async fn start(&self, id: &str) -> Result<(), Error> {
        let _ = id;
        Err(not_built())
    }

    /// Closes the client; writes fail as temporary until it is started again.
    pub async fn stop(&self, id: &str) -> Result<(), Error> {
        let _ = id;
        Err(not_built())
    }

    /// The shared client.
    pub fn client(&self, id: &str) -> Result<Arc<dyn Client>, Error> {
        let _ = id;
        Err(not_built())
    }

    /// A sink of this resource for one action of `rule`. It follows the resource: when that is replaced, stopped or
    /// started, the next write uses what is there then. While the sink lives, `rule` counts as a user of the resource.
    pub fn sink(
        &self,
        id: &str,
        action: &'static ActionSpec,
        params: &Config,
        rule: &str,
    ) -> Result<Arc<dyn Sink>, Error> {
        let _ = (id, action, params, rule);
        Err(not_built())
    }

    /// Counts `rule` as a user of the resource until the guard is dropped.
    pub fn register_use(&self, id: &str, rule: &str) -> Result<Use, Error> {
        let _ = (id, rule);
        Err(not_built())
    }

    /// Ends the checks and closes every client.
    pub async fn close(&self) {}
}

/// A rule uses a resource while this lives.
#[must_use = "the use ends when this is dropped"]
#[derive(Debug)]
pub struct Use {
    _rule: Str,
}

fn not_built() -> Error {
    Error::Unavailable("the resources room is in the next commit".to_owned())
}
