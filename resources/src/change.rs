//! Replacing a resource in place, and taking a change back.
//!
//! Invariant: until a new client is open and stored, the old one serves.

use std::collections::BTreeSet;
use std::sync::Arc;

use connector::{Config, Connector, Spec};
use model::Str;
use serde_json::Value as Json;

use crate::entry::{Entry, Link, Snapshot, Stored};
use crate::room::{Resources, checked_id, open_client};
use crate::types::{By, Error, ResourceSpec, ResourceView};

/// What stands for a secret in views; given back in an update it means "as it was".
const MASK: &str = "******";

impl Resources {
    /// Creates the resource, or replaces the one with this id: sinks made from it go on with the new client at their
    /// next write. A secret given as `******` keeps its stored value; a stopped resource is started. Until the new
    /// client is open, could serve every sink there is (but those of rules in `changing`, which get new ones), and the
    /// change is stored, the old one serves.
    ///
    /// # Errors
    /// [`Error::Conflict`] when a file owns it and `by` is the API, or the other way round, or another file owns it, or
    /// the type differs.
    pub async fn apply(&self, mut spec: ResourceSpec, by: By, changing: &BTreeSet<Str>) -> Result<ResourceView, Error> {
        let _changing = self.inner.changing.lock().await;
        if by == By::Api {
            spec.origin = None;
        }
        let Some(entry) = self.existing(&spec) else { return self.create_locked(spec).await };
        let connector = self.may_apply(&entry, &spec, by)?;
        let (old_config, created_at_ms) = {
            let live = entry.live.lock();
            (live.stored.config.clone(), live.stored.created_at_ms)
        };
        keep_secrets(connector.spec(), &mut spec.config, &old_config);
        let stored = Stored::new(&spec, connector.spec().name, created_at_ms);
        self.exchange(&entry, connector.as_ref(), stored, Some(changing)).await?;
        Ok(entry.view())
    }

    fn existing(&self, spec: &ResourceSpec) -> Option<Arc<Entry>> {
        spec.id.as_ref().and_then(|id| self.inner.entries.read().get(id).cloned())
    }

    /// Whether `spec` may take the place of what is there, as far as that can be said without opening a client.
    fn may_apply(&self, entry: &Entry, spec: &ResourceSpec, by: By) -> Result<Arc<dyn Connector>, Error> {
        entry.may_change(by, spec.origin.as_ref().map(|origin| origin.file.as_str()))?;
        let connector = Arc::clone(self.connector(&spec.resource_type)?);
        let old_type = entry.live.lock().stored.resource_type.clone();
        if old_type != connector.spec().name {
            let why = format!(
                "the resource {} is of type {old_type}; a type cannot change, delete the resource first",
                entry.id
            );
            return Err(Error::Conflict(why));
        }
        Ok(connector)
    }

    /// Opens a client for `stored`, stores it and puts both in place of what is there. When that fails, the old client
    /// goes on. `changing` as in [`Resources::apply`]; `None` asks no sink.
    pub(crate) async fn exchange(
        &self,
        entry: &Arc<Entry>,
        connector: &dyn Connector,
        stored: Stored,
        changing: Option<&BTreeSet<Str>>,
    ) -> Result<(), Error> {
        let client = open_client(connector, &stored.config).await?;
        let fits = changing.map_or(Ok(()), |changing| entry.fits(client.as_ref(), changing));
        let kept = match fits {
            Ok(()) => self.keep(&entry.id, &stored).await,
            Err(error) => Err(error),
        };
        if let Err(error) = kept {
            self.close_link(&entry.id, Link::Open(client)).await;
            return Err(error);
        }
        let old = entry.replace(stored, Link::Open(client), self.inner.clock.now_ms());
        self.watch(entry);
        self.close_link(&entry.id, old).await;
        Ok(())
    }

    /// What [`Resources::apply`] would say about owner, type and settings, without doing it.
    pub fn validate(&self, spec: &ResourceSpec, by: By) -> Result<(), Error> {
        if let Some(id) = &spec.id {
            checked_id(id)?;
        }
        if let Some(entry) = self.existing(spec) {
            self.may_apply(&entry, spec, by)?;
        }
        let connector = self.connector(&spec.resource_type)?;
        Config::parse(connector.spec().fields, &spec.config).map(|_| ()).map_err(Error::Invalid)
    }

    /// What a resource is, or that there is none of this id.
    pub fn snapshot(&self, id: &str) -> Snapshot {
        let entry = self.inner.entries.read().get(id).cloned();
        Snapshot { id: id.into(), stored: entry.map(|entry| entry.live.lock().stored.clone()) }
    }

    /// Takes a change back: what was there is there again, what was not is deleted. Nobody's ownership is asked: the
    /// change that is taken back was permitted.
    ///
    /// # Errors
    /// The resource cannot be stored, or is used by a rule and has to go. Settings that cannot be opened any more are no
    /// error: the resource is there as it was, disconnected, and says why.
    pub async fn put_back(&self, snapshot: Snapshot) -> Result<(), Error> {
        let Snapshot { id, stored } = snapshot;
        let existing = self.inner.entries.read().get(&id).cloned();
        let Some(stored) = stored else {
            return if existing.is_some() { self.delete(&id, By::File).await } else { Ok(()) };
        };
        let _changing = self.inner.changing.lock().await;
        self.keep(&id, &stored).await?;
        let Some(entry) = existing else {
            self.load(id, stored).await;
            return Ok(());
        };
        let link = self.link(entry.connector.as_ref(), &stored).await;
        let old = entry.replace(stored, link, self.inner.clock.now_ms());
        self.watch(&entry);
        self.close_link(&entry.id, old).await;
        Ok(())
    }
}

/// A secret that comes back as it was shown keeps its value.
fn keep_secrets(spec: &Spec, config: &mut Json, old: &Json) {
    let Json::Object(config) = config else { return };
    for field in spec.fields.iter().filter(|field| field.secret) {
        let names = || std::iter::once(&field.name).chain(field.aliases);
        let stored = names().find_map(|name| old.get(*name));
        for name in names() {
            if let Some(value) = config.get_mut(*name).filter(|value| value.as_str() == Some(MASK))
                && let Some(stored) = stored
            {
                *value = stored.clone();
            }
        }
    }
}
