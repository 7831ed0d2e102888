//! What the handlers work with. The binary puts it together.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use model::Clock;
use model::manage::Manage;
use model::ports::Metrics;

use crate::auth::Credentials;
use crate::health::Health;
use crate::publish::Publisher;

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
    /// The broker: its clients, numbers, alarms and traces.
    pub manage: Arc<dyn Manage>,
    /// Publishes what comes over HTTP.
    pub publish: Publisher,
    /// Asks the machine.
    pub machine: Box<dyn Fn() -> Machine + Send + Sync>,
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

/// What the machine says about itself; what it does not say is `None`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Machine {
    /// Memory of the machine.
    pub memory_total_bytes: Option<u64>,
    /// Memory the server has.
    pub process_bytes: Option<u64>,
    /// Load averages over one, five and fifteen minutes.
    pub load: Option<[f64; 3]>,
    /// Files the server may have open.
    pub open_files_max: Option<u64>,
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
