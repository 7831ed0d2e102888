//! What the handlers work with. The binary puts it together.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use model::Clock;
use model::ports::Metrics;
use serde_json::Value as Json;

use crate::auth::Credentials;
use crate::health::Health;

/// The rooms behind the API.
pub struct Parts {
    /// Name of the node, shown in answers.
    pub node: String,
    /// The rule engine.
    pub engine: engine::Engine,
    /// The resources.
    pub resources: resources::Resources,
    /// Access control.
    pub auth: auth::Auth,
    /// Rows that could not be delivered.
    pub dead_letters: connector::DeadLetters,
    /// The connected clients.
    pub clients: Arc<dyn Clients>,
    /// Folder from which applied pipelines may read secret files.
    pub secrets_dir: PathBuf,
    /// Whom `/metrics` asks.
    pub metrics: Vec<Arc<dyn Metrics>>,
    /// Who may come in.
    pub credentials: Credentials,
    /// Whether the server is up.
    pub health: Arc<Health>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts")
            .field("node", &self.node)
            .field("credentials", &self.credentials)
            .finish_non_exhaustive()
    }
}

/// What the API asks of the broker: who is connected.
#[async_trait]
pub trait Clients: Send + Sync + 'static {
    /// Connected clients in the shape of version 3 (`client_id`, `username`, `ipaddress`, `port`, …), by client id: at most
    /// `limit` after the first `skip`, and how many there are in all.
    fn list(&self, skip: usize, limit: usize) -> (Vec<Json>, usize);
    /// One connected client in the same shape.
    fn get(&self, client_id: &str) -> Option<Json>;
    /// Disconnects it; `false` when it is not connected.
    async fn kick(&self, client_id: &str) -> bool;
}

/// Handlers share the parts; cloning is a reference count.
pub(crate) type Shared = Arc<State>;

/// The parts and the bounds the handlers need.
pub(crate) struct State {
    pub(crate) parts: Parts,
    pub(crate) query_rows_max: usize,
}

impl std::ops::Deref for State {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.parts
    }
}
