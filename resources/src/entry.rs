//! One resource: its settings, its client of the moment, who uses it, and how it is.
//!
//! An entry lives from creation to deletion; an update replaces `live` in it, so whoever holds the entry follows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

use connector::{ActionSpec, Client, Config, Connector, ErrorKind, config::masked};
use model::{Clock, Str};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use tokio::task::JoinHandle;

use crate::types::{Error, Origin, ResourceSpec, ResourceView, State, Status};

/// A resource as it is stored: JSON under its id.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Stored {
    #[serde(rename = "type")]
    pub(crate) resource_type: String,
    /// With its secrets.
    pub(crate) config: Json,
    pub(crate) description: String,
    pub(crate) origin: Option<Origin>,
    pub(crate) created_at_ms: i64,
    pub(crate) stopped: bool,
}

impl Stored {
    pub(crate) fn new(spec: &ResourceSpec, resource_type: &str, created_at_ms: i64) -> Self {
        Self {
            resource_type: resource_type.to_owned(),
            config: spec.config.clone(),
            description: spec.description.clone(),
            origin: spec.origin.clone(),
            created_at_ms,
            stopped: false,
        }
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>, Error> {
        serde_json::to_vec(self).map_err(|error| Error::Unavailable(format!("the resource cannot be stored: {error}")))
    }
}

/// What a resource was, to put it back when a change is taken back. Its `Debug` does not show the settings.
pub struct Snapshot {
    pub(crate) id: Str,
    /// `None`: there was no such resource.
    pub(crate) stored: Option<Stored>,
}

impl Snapshot {
    /// Of which resource.
    pub fn id(&self) -> &Str {
        &self.id
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").field("id", &self.id).field("was_there", &self.stored.is_some()).finish()
    }
}

/// The client of the moment, or why there is none.
#[derive(Clone)]
pub(crate) enum Link {
    Open(Arc<dyn Client>),
    Stopped,
    /// The stored settings cannot be opened any more.
    Broken(String),
}

/// What a sink is made for.
pub(crate) struct Binding {
    pub(crate) action: &'static ActionSpec,
    pub(crate) params: Config,
    pub(crate) rule: Str,
}

pub(crate) struct Live {
    pub(crate) stored: Stored,
    pub(crate) link: Link,
    /// Grows with every change of `link`.
    pub(crate) generation: u64,
}

pub(crate) struct Entry {
    pub(crate) id: Str,
    /// `None` for a stored resource whose type this binary does not have.
    pub(crate) connector: Option<Arc<dyn Connector>>,
    pub(crate) live: Mutex<Live>,
    pub(crate) status: Mutex<Status>,
    /// Rules and how many of their actions use this.
    uses: Mutex<BTreeMap<Str, usize>>,
    /// What the sinks that follow this were made for; those of sinks that are gone are cleared when one is added.
    bindings: Mutex<Vec<Weak<Binding>>>,
    pub(crate) health: Mutex<Option<JoinHandle<()>>>,
}

impl Entry {
    pub(crate) fn new(
        id: Str,
        connector: Option<Arc<dyn Connector>>,
        stored: Stored,
        link: Link,
        clock: &dyn Clock,
    ) -> Arc<Self> {
        let status = first_status(&link, clock.now_ms());
        Arc::new(Self {
            id,
            connector,
            live: Mutex::new(Live { stored, link, generation: 0 }),
            status: Mutex::new(status),
            uses: Mutex::default(),
            bindings: Mutex::default(),
            health: Mutex::default(),
        })
    }

    /// Replaces the client and what is stored; gives the old client to close.
    pub(crate) fn replace(&self, stored: Stored, link: Link, now_ms: i64) -> Link {
        let status = first_status(&link, now_ms);
        let mut live = self.live.lock();
        live.stored = stored;
        live.generation += 1;
        *self.status.lock() = status;
        std::mem::replace(&mut live.link, link)
    }

    /// The client, with the generation it belongs to. The error is temporary: rows wait for the resource.
    pub(crate) fn client(&self) -> Result<(u64, Arc<dyn Client>), connector::Error> {
        let live = self.live.lock();
        match &live.link {
            Link::Open(client) => Ok((live.generation, Arc::clone(client))),
            Link::Stopped => Err(self.closed("is stopped; start it again")),
            Link::Broken(why) => Err(self.closed(&format!("cannot be opened: {why}"))),
        }
    }

    fn closed(&self, why: &str) -> connector::Error {
        connector::Error::temporary(ErrorKind::Closed, format!("the resource {} {why}", self.id))
    }

    pub(crate) fn view(&self) -> ResourceView {
        let live = self.live.lock();
        let stored = &live.stored;
        // Settings of an unknown type are not shown at all: which of them are secret is unknown too.
        let fields = self.connector.as_ref().map_or(&[][..], |connector| connector.spec().fields);
        ResourceView {
            id: self.id.clone(),
            resource_type: stored.resource_type.clone(),
            config: masked(fields, &stored.config),
            description: stored.description.clone(),
            origin: stored.origin.clone(),
            created_at_ms: stored.created_at_ms,
            status: self.status.lock().clone(),
            used_by: self.used_by(),
        }
    }

    /// Remembers what a sink is made for, as long as the sink keeps the answer.
    pub(crate) fn bind(&self, binding: Binding) -> Arc<Binding> {
        let binding = Arc::new(binding);
        let mut bindings = self.bindings.lock();
        bindings.retain(|known| known.strong_count() > 0);
        bindings.push(Arc::downgrade(&binding));
        binding
    }

    /// Whether a new client could serve the sinks that follow this, but those of the rules in `changing`: the first
    /// one it could never serve, and why.
    pub(crate) fn fits(&self, client: &dyn Client, changing: &BTreeSet<Str>) -> Result<(), Error> {
        let bindings: Vec<Arc<Binding>> = self.bindings.lock().iter().filter_map(Weak::upgrade).collect();
        for binding in bindings.iter().filter(|binding| !changing.contains(&binding.rule)) {
            if let Err(error) = client.sink(binding.action, &binding.params)
                && !error.is_temporary()
            {
                let Binding { action, rule, .. } = binding.as_ref();
                let why = format!("the action {} of {rule} could not work with it: {error}", action.name);
                return Err(Error::invalid("config", why));
            }
        }
        Ok(())
    }

    pub(crate) fn used_by(&self) -> Vec<Str> {
        self.uses.lock().keys().cloned().collect()
    }

    /// [`Error::Conflict`] when a file owns this and a person asks, or another file (`file` is the one that asks).
    pub(crate) fn may_change(&self, by: crate::By, file: Option<&str>) -> Result<(), Error> {
        match (&self.live.lock().stored.origin, by) {
            (Some(origin), crate::By::File) if file.is_some_and(|file| file != origin.file) => {
                Err(Error::Conflict(format!("the resource {} belongs to {origin}: change it there", self.id)))
            }
            (Some(origin), crate::By::Api) => Err(Error::Conflict(format!(
                "the resource {} belongs to {origin}; change it there and apply the file",
                self.id
            ))),
            (None, crate::By::File) => Err(Error::Conflict(format!(
                "the resource {} was not made by a file; give the one in the file another name, or delete it first",
                self.id
            ))),
            _ => Ok(()),
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(task) = self.health.get_mut() {
            task.abort();
        }
    }
}

fn first_status(link: &Link, now_ms: i64) -> Status {
    let (state, last_error) = match link {
        Link::Open(_) => (State::Unknown, None),
        Link::Stopped => (State::Stopped, None),
        Link::Broken(why) => (State::Disconnected, Some(why.clone())),
    };
    Status { state, since_ms: now_ms, checked_at_ms: None, last_error }
}

/// A rule uses a resource while this lives.
#[must_use = "the use ends when this is dropped"]
pub struct Use {
    entry: Weak<Entry>,
    rule: Str,
}

impl Use {
    pub(crate) fn new(entry: &Arc<Entry>, rule: &str) -> Self {
        let rule = Str::new(rule);
        *entry.uses.lock().entry(rule.clone()).or_default() += 1;
        Self { entry: Arc::downgrade(entry), rule }
    }
}

impl std::fmt::Debug for Use {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Use").field("rule", &self.rule).finish_non_exhaustive()
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        let Some(entry) = self.entry.upgrade() else { return };
        let mut uses = entry.uses.lock();
        if let Some(count) = uses.get_mut(&self.rule) {
            *count -= 1;
            if *count == 0 {
                uses.remove(&self.rule);
            }
        }
    }
}
