//! The handle: what the API, the CLI's server side, the pipelines and the binary use.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use connector::DeadLetters;
use futures::future::join_all;
use model::ports::{EventTap, Metrics, Publish, Sample};
use model::{Clock, Str};
use parking_lot::{Mutex, RwLock};
use resources::Resources;
use store::{DataDir, Kv};
use tokio::task::JoinHandle;

use crate::actions::{BuiltIns, Late};
use crate::check::{Checker, Strictness};
use crate::rule::Rule;
use crate::run::{Index, Limits, Queue, Tap, run_worker};
use crate::start::{self, Starter};
use crate::stored::{self, Stored};
use crate::{ActionInfo, Error, Inspection, RuleView, Settings, show};

/// What the engine needs from the rest of the server.
pub struct Deps {
    /// The connectors of this binary.
    pub registry: connector::Registry,
    /// The resources that actions are bound to.
    pub resources: Resources,
    /// Where rules are kept.
    pub kv: Kv,
    /// Where rows go that finally failed; `None` = they are only counted.
    pub dead_letters: Option<DeadLetters>,
    /// Where the disk queues of actions live; `None` refuses at_least_once.
    pub data_dir: Option<DataDir>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// This node's name.
    pub node: Str,
    /// Bounds.
    pub settings: Settings,
}

/// The rule engine. Cloning gives another handle to the same engine.
#[derive(Clone)]
pub struct Engine {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    registry: connector::Registry,
    pub(crate) kv: Kv,
    node: Str,
    pub(crate) starter: Starter,
    /// Enabled rules by what they select; read by every event, written by changes.
    pub(crate) index: Arc<RwLock<Index>>,
    /// Every rule.
    pub(crate) rules: RwLock<BTreeMap<Str, Entry>>,
    /// Held while rules are changed, so that changes happen one after the other.
    pub(crate) changes: Arc<tokio::sync::Mutex<()>>,
    tap: Arc<Tap>,
    queues: Vec<Arc<Queue>>,
    workers: Mutex<Vec<JoinHandle<()>>>,
    ticker: Mutex<Option<JoinHandle<()>>>,
    publish: Arc<Late>,
}

/// One rule as the engine knows it.
pub(crate) struct Entry {
    pub(crate) stored: Stored,
    /// What runs, or why nothing does: a stored rule that this server cannot compile stays stored and is shown.
    pub(crate) running: Result<Arc<Rule>, Error>,
}

impl Engine {
    /// Opens the engine: reads the stored rules and starts them. A rule whose resource is down or gone starts too; its
    /// rows wait in their queues.
    pub async fn open(deps: Deps) -> Result<Self, Error> {
        let settings = deps.settings;
        let workers = match settings.workers {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get),
            given => given,
        };
        let queues: Vec<Arc<Queue>> = (0..workers)
            .map(|_| Arc::new(Queue::new(settings.tap_queue_events_max, settings.tap_queue_bytes_max)))
            .collect();
        let index = Arc::new(RwLock::new(Index::default()));
        let publish = Arc::new(Late::default());
        let built_ins = BuiltIns {
            publish: Arc::clone(&publish),
            clock: Arc::clone(&deps.clock),
            hops_max: settings.republish_hops_max,
        };
        let starter = Starter {
            resources: deps.resources,
            dead_letters: deps.dead_letters,
            data_dir: deps.data_dir,
            clock: deps.clock,
            built_ins,
            inspections_kept: settings.inspections_kept,
        };
        let inner = Arc::new(Inner {
            registry: deps.registry,
            kv: deps.kv,
            node: deps.node,
            starter,
            tap: Arc::new(Tap::new(Arc::clone(&index), queues.clone())),
            index,
            rules: RwLock::default(),
            changes: Arc::default(),
            queues,
            workers: Mutex::default(),
            ticker: Mutex::default(),
            publish,
        });
        inner.restore().await?;
        let limits = Limits { batch_events_max: settings.batch_events_max, failures_kept: settings.failures_kept };
        let workers: Vec<JoinHandle<()>> = inner
            .queues
            .iter()
            .map(|queue| model::task::spawn("engine-worker", run_worker(Arc::clone(queue), limits)))
            .collect();
        *inner.workers.lock() = workers;
        *inner.ticker.lock() = Some(model::task::spawn("engine-rates", tick(Arc::downgrade(&inner))));
        Ok(Self { inner })
    }

    /// Binds the broker; once, after it was started with [`Engine::tap`]. Republished rows wait until then.
    pub fn set_publish(&self, publish: Arc<dyn Publish>) {
        self.inner.publish.set(publish);
    }

    /// Where the broker hands over its events.
    pub fn tap(&self) -> Arc<dyn EventTap> {
        Arc::clone(&self.inner.tap) as Arc<dyn EventTap>
    }

    /// This node's name.
    pub fn node(&self) -> &Str {
        &self.inner.node
    }

    /// Switches a rule on or off. Rows that wait are still delivered.
    pub async fn set_enabled(&self, id: &str, enabled: bool) -> Result<RuleView, Error> {
        let _change = self.inner.changes.lock().await;
        self.inner.may_change(id, None)?;
        let mut stored = self.inner.stored(id)?;
        stored.spec.enabled = enabled;
        stored::save(&self.inner.kv, id, &stored).await?;
        if let Some(entry) = self.inner.rules.write().get_mut(id) {
            entry.stored = stored;
            if let Ok(rule) = &entry.running {
                let mut index = self.inner.index.write();
                if enabled { index.insert(Arc::clone(rule)) } else { index.remove(id) }
            }
        }
        self.rule(id)
    }

    /// Every rule, by id.
    pub fn rules(&self) -> Vec<RuleView> {
        self.inner.rules.read().iter().map(|(id, entry)| show::rule(id, entry, &self.inner.registry)).collect()
    }

    /// One rule.
    pub fn rule(&self, id: &str) -> Result<RuleView, Error> {
        let rules = self.inner.rules.read();
        let (id, entry) = rules.get_key_value(id).ok_or_else(|| not_found(id))?;
        Ok(show::rule(id, entry, &self.inner.registry))
    }

    /// Ids of the rules with an action bound to this resource; the resource cannot be deleted before them.
    pub fn rules_using(&self, resource: &str) -> Vec<Str> {
        let uses = |entry: &Entry| {
            entry
                .stored
                .spec
                .actions
                .iter()
                .flat_map(|action| action.fallback.iter().chain([action]))
                .any(|action| action.resource() == Some(resource))
        };
        self.inner.rules.read().iter().filter(|(_, entry)| uses(entry)).map(|(id, _)| id.clone()).collect()
    }

    /// Every action a rule can name: the built-in ones and those of the connectors.
    pub fn actions(&self) -> Vec<ActionInfo> {
        show::actions(&self.inner.registry)
    }

    /// One action.
    pub fn action(&self, name: &str) -> Result<ActionInfo, Error> {
        let actions = self.actions();
        let known = actions.iter().map(|action| action.name).collect::<Vec<_>>().join(", ");
        let found = actions.into_iter().find(|action| action.name == name);
        found.ok_or_else(|| Error::NotFound(format!("there is no action {name:?}; known: {known}")))
    }

    /// The last rows of the `inspect` actions of a rule since it was started or changed, oldest first.
    pub fn inspections(&self, rule: &str) -> Result<Vec<Inspection>, Error> {
        match self.inner.rules.read().get(rule) {
            Some(Entry { running: Ok(rule), .. }) => Ok(rule.inspector.all()),
            Some(_) => Ok(Vec::new()),
            None => Err(not_found(rule)),
        }
    }

    /// The dead letters, where the server keeps them.
    pub fn dead_letters(&self) -> Option<&DeadLetters> {
        self.inner.starter.dead_letters.as_ref()
    }

    /// What checks a rule against this engine's actions and resources.
    pub(crate) fn checker(&self) -> Checker<'_> {
        self.inner.checker(Strictness::Create)
    }

    /// What sinks are made with, for dry runs.
    pub(crate) fn starter(&self) -> &Starter {
        &self.inner.starter
    }

    /// Takes no more events, finishes batches, and drains the queues until `deadline` has passed; what is left in
    /// disk queues stays there.
    pub async fn stop(&self, deadline: Duration) {
        let until = tokio::time::Instant::now() + deadline;
        self.inner.queues.iter().for_each(|queue| queue.close());
        if let Some(ticker) = self.inner.ticker.lock().take() {
            ticker.abort();
        }
        let workers = std::mem::take(&mut *self.inner.workers.lock());
        for mut task in workers {
            if tokio::time::timeout_at(until, &mut task).await.is_err() {
                task.abort();
            }
        }
        let rules: Vec<Arc<Rule>> =
            self.inner.rules.read().values().filter_map(|entry| entry.running.as_ref().ok().cloned()).collect();
        let left = until.saturating_duration_since(tokio::time::Instant::now());
        join_all(rules.iter().flat_map(|rule| &rule.actions).map(|action| start::stop(action, left))).await;
    }
}

pub(crate) fn not_found(id: &str) -> Error {
    Error::NotFound(format!("there is no rule {id}"))
}

impl Inner {
    pub(crate) fn checker(&self, strictness: Strictness) -> Checker<'_> {
        Checker { registry: &self.registry, resources: &self.starter.resources, planned: None, strictness }
    }

    /// Starts what is stored.
    async fn restore(&self) -> Result<(), Error> {
        for (id, stored) in stored::load(&self.kv).await? {
            let running = self.build(&id, stored.spec.clone(), stored.created_at_ms, None, Strictness::Restore).await;
            match running {
                Ok(rule) => self.enter(stored, &rule),
                Err(error) => {
                    tracing::error!(rule = %id, %error, "a stored rule cannot run; it stays stored");
                    self.rules.write().insert(id, Entry { stored, running: Err(error) });
                }
            }
        }
        Ok(())
    }

    pub(crate) fn stored(&self, id: &str) -> Result<Stored, Error> {
        self.rules.read().get(id).map(|entry| entry.stored.clone()).ok_or_else(|| not_found(id))
    }
}

/// Once a second: the rates of every rule, and another try for actions whose resource was not there.
async fn tick(inner: std::sync::Weak<Inner>) {
    let mut every = tokio::time::interval(Duration::from_secs(1));
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let Some(inner) = inner.upgrade() else { return };
        let rules: Vec<Arc<Rule>> =
            inner.rules.read().values().filter_map(|entry| entry.running.as_ref().ok().cloned()).collect();
        for rule in rules {
            let matched = rule.metrics.matched.load(std::sync::atomic::Ordering::Relaxed);
            rule.metrics.rates.lock().tick(matched);
            rule.actions.iter().for_each(|action| action.rebind(&inner.starter.resources));
        }
    }
}

impl Metrics for Engine {
    fn collect(&self, out: &mut Vec<Sample>) {
        for (id, entry) in self.inner.rules.read().iter() {
            if let Ok(rule) = &entry.running {
                show::samples(id, rule, out);
            }
        }
        let waiting: usize = self.inner.queues.iter().map(|queue| queue.len()).sum();
        out.push(show::waiting(waiting));
    }
}
