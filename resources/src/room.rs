//! The public item: every resource of a server.

use std::collections::BTreeMap;
use std::sync::Arc;

use connector::{ActionSpec, Client, Config, Connector, Registry, Sink, Spec};
use model::ports::{Metrics, Sample, SampleKind};
use model::{Clock, Str};
use parking_lot::RwLock;
use serde_json::Value as Json;
use store::Kv;

use crate::entry::{Entry, Link, Stored, Use};
use crate::health;
use crate::sink::FollowingSink;
use crate::types::{By, Error, ResourceSpec, ResourceView, Settings, State, Status};

const TABLE: &str = "resources";
/// The longest id, bytes.
const ID_BYTES_MAX: usize = 128;

/// Every resource of a server. Clones share them.
#[derive(Clone)]
pub struct Resources {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    registry: Registry,
    kv: Kv,
    settings: Settings,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entries: RwLock<BTreeMap<Str, Arc<Entry>>>,
    /// Held across each change, so that store, entries and clients agree.
    pub(crate) changing: tokio::sync::Mutex<()>,
}

impl Resources {
    /// Reads the stored resources, opens their clients and begins to check them. A stored resource that cannot be
    /// opened any more is kept, listed as disconnected with the reason.
    pub async fn open(registry: Registry, kv: Kv, settings: Settings, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let stored = kv.scan(TABLE, b"").await?;
        let inner = Inner {
            registry,
            kv,
            settings,
            clock,
            entries: RwLock::default(),
            changing: tokio::sync::Mutex::default(),
        };
        let room = Self { inner: Arc::new(inner) };
        for (key, value) in stored {
            let (Ok(id), Ok(stored)) = (std::str::from_utf8(&key), serde_json::from_slice::<Stored>(&value)) else {
                tracing::error!(key = ?key, "a stored resource cannot be read and is left alone");
                continue;
            };
            room.load(Str::new(id), stored).await;
        }
        Ok(room)
    }

    pub(crate) async fn load(&self, id: Str, stored: Stored) {
        let connector = self.inner.registry.get(&stored.resource_type).cloned();
        let link = self.link(connector.as_ref(), &stored).await;
        if let Link::Broken(why) = &link {
            tracing::warn!(resource = %id, %why, "a stored resource cannot be opened");
        }
        let entry = Entry::new(id.clone(), connector, stored, link, self.inner.clock.as_ref());
        self.inner.entries.write().insert(id, Arc::clone(&entry));
        self.watch(&entry);
    }

    /// The client of what is stored, or why there is none.
    pub(crate) async fn link(&self, connector: Option<&Arc<dyn Connector>>, stored: &Stored) -> Link {
        match connector {
            _ if stored.stopped => Link::Stopped,
            None => Link::Broken(format!("this server has no resource type {}", stored.resource_type)),
            Some(connector) => match open_client(connector.as_ref(), &stored.config).await {
                Ok(client) => Link::Open(client),
                Err(error) => Link::Broken(error.to_string()),
            },
        }
    }

    /// The resource types.
    pub fn resource_types(&self) -> Vec<&'static Spec> {
        self.inner.registry.iter().map(|connector| connector.spec()).collect()
    }

    /// The connectors.
    pub fn registry(&self) -> &Registry {
        &self.inner.registry
    }

    /// Creates a resource and opens its client; does not need the outside to be up. [`Error::Conflict`] when the id is
    /// taken.
    pub async fn create(&self, spec: ResourceSpec) -> Result<ResourceView, Error> {
        let _changing = self.inner.changing.lock().await;
        self.create_locked(spec).await
    }

    /// Stores a resource; durable when it returns.
    pub(crate) async fn keep(&self, id: &Str, stored: &Stored) -> Result<(), Error> {
        Ok(self.inner.kv.put(TABLE, id.as_bytes().to_vec(), stored.encode()?).await?)
    }

    pub(crate) async fn create_locked(&self, spec: ResourceSpec) -> Result<ResourceView, Error> {
        let connector = Arc::clone(self.connector(&spec.resource_type)?);
        let id = match &spec.id {
            Some(id) => checked_id(id)?,
            None => self.fresh_id(),
        };
        {
            let entries = self.inner.entries.read();
            if entries.contains_key(&id) {
                return Err(Error::Conflict(format!("there is a resource {id} already")));
            }
            if entries.len() >= self.inner.settings.count_max {
                return Err(Error::Conflict(format!(
                    "there are {} resources, the most this server keeps",
                    entries.len()
                )));
            }
        }
        let stored = Stored::new(&spec, connector.spec().name, self.inner.clock.now_ms());
        let client = open_client(connector.as_ref(), &stored.config).await?;
        if let Err(error) = self.keep(&id, &stored).await {
            self.close_link(&id, Link::Open(client)).await;
            return Err(error);
        }
        let entry = Entry::new(id.clone(), Some(connector), stored, Link::Open(client), self.inner.clock.as_ref());
        self.inner.entries.write().insert(id, Arc::clone(&entry));
        self.watch(&entry);
        Ok(entry.view())
    }

    /// Deletes a resource and closes its client. [`Error::Conflict`] names the rules that use it or the file that owns it.
    pub async fn delete(&self, id: &str, by: By) -> Result<(), Error> {
        let _changing = self.inner.changing.lock().await;
        let entry = self.entry(id)?;
        if by == By::Api {
            entry.may_change(by, None)?;
        }
        let users = entry.used_by();
        if !users.is_empty() {
            let users: Vec<&str> = users.iter().map(Str::as_str).collect();
            return Err(Error::Conflict(format!(
                "the resource {id} is used by {}; delete the rules first",
                users.join(", ")
            )));
        }
        self.inner.kv.delete(TABLE, id.as_bytes().to_vec()).await?;
        self.inner.entries.write().remove(id);
        self.take_down(&entry, State::Stopped).await;
        Ok(())
    }

    /// Every resource, by id.
    pub fn list(&self) -> Vec<ResourceView> {
        self.inner.entries.read().values().map(|entry| entry.view()).collect()
    }

    /// One resource.
    pub fn get(&self, id: &str) -> Result<ResourceView, Error> {
        Ok(self.entry(id)?.view())
    }

    /// Opens a client with these settings, checks it within the deadline, and closes it.
    pub async fn test(&self, resource_type: &str, config: &Json) -> Result<(), Error> {
        let client = open_client(self.connector(resource_type)?.as_ref(), config).await?;
        let result = health::check_client(client.as_ref(), self.inner.settings.check_timeout).await;
        self.close_link(&Str::new("(test)"), Link::Open(client)).await;
        result.map_err(Error::Connection)
    }

    /// Its state as last seen.
    pub fn status(&self, id: &str) -> Result<Status, Error> {
        Ok(self.entry(id)?.status.lock().clone())
    }

    /// Checks it now.
    pub async fn check(&self, id: &str) -> Result<Status, Error> {
        let entry = self.entry(id)?;
        Ok(health::check(&entry, &self.inner.settings, self.inner.clock.as_ref()).await)
    }

    /// Opens the client of a stopped resource; nothing happens to one that runs.
    pub async fn start(&self, id: &str) -> Result<(), Error> {
        let _changing = self.inner.changing.lock().await;
        let entry = self.entry(id)?;
        if matches!(entry.live.lock().link, Link::Open(_)) {
            return Ok(());
        }
        let Some(connector) = entry.connector.clone() else {
            let why = format!("this server has no resource type {}", entry.live.lock().stored.resource_type);
            return Err(Error::Unavailable(why));
        };
        let stored = Stored { stopped: false, ..entry.live.lock().stored.clone() };
        self.exchange(&entry, connector.as_ref(), stored, None).await
    }

    /// Closes the client; writes fail as temporary until it is started again. Survives a restart.
    pub async fn stop(&self, id: &str) -> Result<(), Error> {
        let _changing = self.inner.changing.lock().await;
        let entry = self.entry(id)?;
        let stored = Stored { stopped: true, ..entry.live.lock().stored.clone() };
        self.keep(&entry.id, &stored).await?;
        entry.live.lock().stored = stored;
        self.take_down(&entry, State::Stopped).await;
        Ok(())
    }

    /// The shared client. [`Error::Connection`] when the resource is stopped or cannot be opened.
    pub fn client(&self, id: &str) -> Result<Arc<dyn Client>, Error> {
        self.entry(id)?.client().map(|(_, client)| client).map_err(Error::Connection)
    }

    /// A sink of this resource for one action of `rule`. It follows the resource: when that is replaced, stopped or
    /// started, the next write uses what is there then. While the sink lives, `rule` counts as a user of the resource.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the action does not belong to the resource's type or its parameters cannot work;
    /// [`Error::Connection`] when the resource is stopped or cannot be opened.
    pub fn sink(
        &self,
        id: &str,
        action: &'static ActionSpec,
        params: &Config,
        rule: &str,
    ) -> Result<Arc<dyn Sink>, Error> {
        let entry = self.entry(id)?;
        let actions = entry.connector.as_ref().map_or(&[][..], |connector| connector.spec().actions);
        if !actions.iter().any(|known| known.name == action.name) {
            let known: Vec<&str> = actions.iter().map(|action| action.name).collect();
            let resource_type = entry.live.lock().stored.resource_type.clone();
            let why = format!(
                "the resource {id} of type {resource_type} has no action {}; it has {}",
                action.name,
                known.join(", ")
            );
            return Err(Error::invalid("$resource", why));
        }
        match FollowingSink::new(entry, action, params.clone(), rule) {
            Ok(sink) => Ok(Arc::new(sink)),
            Err(error) if error.is_temporary() => Err(Error::Connection(error)),
            Err(error) => Err(Error::invalid("params", error.to_string())),
        }
    }

    /// Counts `rule` as a user of the resource until the guard is dropped.
    pub fn register_use(&self, id: &str, rule: &str) -> Result<Use, Error> {
        Ok(Use::new(&self.entry(id)?, rule))
    }

    /// Ends the checks and closes every client.
    pub async fn close(&self) {
        let _changing = self.inner.changing.lock().await;
        let entries: Vec<Arc<Entry>> = self.inner.entries.read().values().cloned().collect();
        futures::future::join_all(entries.iter().map(|entry| self.take_down(entry, State::Stopped))).await;
    }

    async fn take_down(&self, entry: &Entry, state: State) {
        health::unwatch(entry);
        let old = {
            let mut live = entry.live.lock();
            live.generation += 1;
            let mut status = entry.status.lock();
            if status.state != state {
                status.since_ms = self.inner.clock.now_ms();
            }
            status.state = state;
            std::mem::replace(&mut live.link, Link::Stopped)
        };
        self.close_link(&entry.id, old).await;
    }

    pub(crate) async fn close_link(&self, id: &Str, link: Link) {
        let Link::Open(client) = link else { return };
        if tokio::time::timeout(self.inner.settings.close_timeout, client.close()).await.is_err() {
            tracing::warn!(resource = %id, "the client did not close in time and is left to itself");
        }
    }

    pub(crate) fn watch(&self, entry: &Arc<Entry>) {
        if matches!(entry.live.lock().link, Link::Open(_)) {
            health::watch(entry, self.inner.settings, Arc::clone(&self.inner.clock));
        }
    }

    fn entry(&self, id: &str) -> Result<Arc<Entry>, Error> {
        let entries = self.inner.entries.read();
        entries.get(id).cloned().ok_or_else(|| {
            let known: Vec<&str> = entries.keys().take(10).map(Str::as_str).collect();
            let more = if entries.len() > known.len() { ", …" } else { "" };
            Error::NotFound(match known.as_slice() {
                [] => format!("there is no resource {id}; there are none at all"),
                _ => format!("there is no resource {id}; there are {}{more}", known.join(", ")),
            })
        })
    }

    pub(crate) fn connector(&self, resource_type: &str) -> Result<&Arc<dyn Connector>, Error> {
        let registry = &self.inner.registry;
        registry.get(resource_type).ok_or_else(|| {
            let known: Vec<&str> = registry.iter().map(|connector| connector.spec().name).collect();
            let near = registry
                .iter()
                .flat_map(|connector| std::iter::once(&connector.spec().name).chain(connector.spec().aliases))
                .map(|name| (strsim::damerau_levenshtein(name, resource_type), *name))
                .filter(|(distance, name)| *distance <= 1 + name.len() / 4)
                .min();
            let hint = near.map(|(_, name)| format!("did you mean {name}? ")).unwrap_or_default();
            Error::invalid(
                "type",
                format!("there is no resource type {resource_type}; {hint}the known types are {}", known.join(", ")),
            )
        })
    }

    fn fresh_id(&self) -> Str {
        let entries = self.inner.entries.read();
        loop {
            let id = Str::from(format!("resource:{:08x}", fastrand::u32(..)));
            if !entries.contains_key(&id) {
                return id;
            }
        }
    }
}

impl Metrics for Resources {
    fn collect(&self, out: &mut Vec<Sample>) {
        for entry in self.inner.entries.read().values() {
            let now = entry.status.lock().state;
            for state in State::ALL {
                out.push(Sample {
                    name: "resource_state",
                    help: "1 for the state the resource is in.",
                    kind: SampleKind::Gauge,
                    labels: vec![("resource", entry.id.clone()), ("state", Str::new(state.name()))],
                    value: f64::from(u8::from(state == now)),
                });
            }
        }
    }
}

pub(crate) async fn open_client(connector: &dyn Connector, config: &Json) -> Result<Arc<dyn Client>, Error> {
    let config = Config::parse(connector.spec().fields, config).map_err(Error::Invalid)?;
    connector.open(&config).await.map_err(|error| Error::invalid("config", error.to_string()))
}

pub(crate) fn checked_id(id: &Str) -> Result<Str, Error> {
    if id.is_empty() || id.len() > ID_BYTES_MAX || id.chars().any(|c| c.is_control() || c.is_whitespace()) {
        let why = format!("an id has 1 to {ID_BYTES_MAX} bytes, none of them a space or control character");
        return Err(Error::invalid("id", why));
    }
    Ok(id.clone())
}
