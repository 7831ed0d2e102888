//! Changing rules: one by one, or several that are kept or taken back together.
//!
//! Invariants:
//! - A rule that is replaced runs as it was again when the new one cannot run or cannot be stored.
//! - The queue of an action that is gone is deleted only when the change is kept: rows in it outlive a change that is
//!   taken back.

use std::sync::Arc;
use std::time::Duration;

use connector::ActionHandle;
use futures::future::join_all;
use model::Str;
use tokio::sync::OwnedMutexGuard;

use crate::check::{PlannedResources, Strictness};
use crate::engine::{Engine, Entry, Inner, not_found};
use crate::rule::{Metrics, Rule};
use crate::stored::{self, Stored};
use crate::{Error, RuleSpec, RuleView, start};

/// How long a changed rule's actions may still deliver what they hold.
const CHANGE_DEADLINE: Duration = Duration::from_secs(2);
/// Longest rule id, bytes.
const ID_BYTES_MAX: usize = 128;

/// Changes of rules that are kept or taken back together. Other changes wait until this is over; what is dropped
/// without a word is kept, with the queues of what is gone.
#[must_use = "changes are kept or taken back"]
pub struct Transaction {
    inner: Arc<Inner>,
    _changes: OwnedMutexGuard<()>,
    undo: Vec<Undo>,
    /// Actions that are no more.
    gone: Vec<ActionHandle>,
}

enum Undo {
    /// There was no such rule.
    Created(Str),
    /// The rule was like this.
    Was(Before),
}

/// A rule before it was changed.
struct Before {
    id: Str,
    stored: Stored,
    /// `None` when it did not run.
    metrics: Option<Arc<Metrics>>,
}

impl Engine {
    /// Begins to change several rules together; waits for a change that is being made.
    pub async fn transaction(&self) -> Transaction {
        let changes = Arc::clone(&self.inner.changes).lock_owned().await;
        Transaction { inner: Arc::clone(&self.inner), _changes: changes, undo: Vec::new(), gone: Vec::new() }
    }

    /// Checks, compiles, stores and starts a rule. `Conflict` when the id is taken.
    pub async fn create_rule(&self, spec: RuleSpec) -> Result<RuleView, Error> {
        let mut change = self.transaction().await;
        let id = change.create(spec).await?;
        change.keep().await;
        self.rule(&id)
    }

    /// See [`Transaction::replace`].
    pub async fn replace_rule(&self, id: &str, spec: RuleSpec) -> Result<RuleView, Error> {
        let mut change = self.transaction().await;
        change.replace(id, spec).await?;
        change.keep().await;
        self.rule(id)
    }

    /// Deletes a rule and the queues of its actions. `by_file` is the file on whose behalf it is done (`weir apply`),
    /// `None` for the API.
    pub async fn delete_rule(&self, id: &str, by_file: Option<&str>) -> Result<(), Error> {
        let mut change = self.transaction().await;
        change.delete(id, by_file).await?;
        change.keep().await;
        Ok(())
    }

    /// Everything that can be said about creating or replacing this rule with nothing stored or started. `planned`:
    /// resources that will be there by then.
    pub fn check_rule(&self, spec: &RuleSpec, planned: &PlannedResources) -> Result<(), Error> {
        if let Some(id) = &spec.id
            && self.inner.rules.read().contains_key(id)
        {
            self.inner.may_change(id, spec.origin.as_ref().map(|origin| origin.file.as_str()))?;
        }
        self.inner.id_for(spec.id.as_ref())?;
        let checker = crate::check::Checker { planned: Some(planned), ..self.inner.checker(Strictness::Create) };
        checker.rule(spec).map(drop).map_err(|diagnostics| Error::Invalid { diagnostics })
    }
}

impl Transaction {
    /// Checks, compiles, stores and starts a rule; its id. `Conflict` when that is taken.
    pub async fn create(&mut self, spec: RuleSpec) -> Result<Str, Error> {
        let inner = &self.inner;
        let id = inner.id_for(spec.id.as_ref())?;
        if inner.rules.read().contains_key(&id) {
            return Err(Error::Conflict(format!("there is a rule {id} already")));
        }
        let spec = RuleSpec { id: Some(id.clone()), ..spec };
        let rule = inner.build(&id, spec, inner.starter.clock.now_ms(), None, Strictness::Create).await?;
        if let Err(error) = inner.put(&rule).await {
            join_all(rule.actions.iter().map(start::remove)).await;
            return Err(error);
        }
        self.undo.push(Undo::Created(id.clone()));
        Ok(id)
    }

    /// Replaces a rule by id; its numbers go on, and rows of the old one that wait in disk queues are delivered by the
    /// new one. While the actions change over, publishers with a promise are refused rather than acknowledged. When the
    /// new one cannot run or cannot be stored, the old one runs on.
    ///
    /// # Errors
    /// `Conflict` unless `spec.origin` names the file that owns the rule, if one does; and everything that
    /// [`Transaction::create`] refuses.
    pub async fn replace(&mut self, id: &str, spec: RuleSpec) -> Result<(), Error> {
        let inner = &self.inner;
        inner.may_change(id, spec.origin.as_ref().map(|origin| origin.file.as_str()))?;
        let spec = RuleSpec { id: Some(id.into()), ..spec };
        let (before, old) = inner.before(id)?;
        // Everything that can be refused is refused before anything is stopped.
        inner.checker(Strictness::Create).rule(&spec).map_err(|diagnostics| Error::Invalid { diagnostics })?;
        if let Some(old) = &old {
            join_all(old.actions.iter().map(|action| start::stop(action, CHANGE_DEADLINE))).await;
        }
        let old_actions = old.as_deref().map(handles).unwrap_or_default();
        match inner.start_and_store(spec, &before, &old_actions).await {
            Ok(new) => {
                self.gone.extend(without(old_actions, &handles(&new)));
                self.undo.push(Undo::Was(before));
                Ok(())
            }
            Err(error) if old.is_none() => Err(error),
            Err(error) => match inner.run_again(&before).await {
                Ok(()) => Err(error),
                Err(again) => Err(Error::Unavailable(format!("{error}; and {id} as it was cannot run: {again}"))),
            },
        }
    }

    /// Deletes a rule. Its queues are deleted when the changes are kept.
    pub async fn delete(&mut self, id: &str, by_file: Option<&str>) -> Result<(), Error> {
        let inner = &self.inner;
        inner.may_change(id, by_file)?;
        let (before, running) = inner.before(id)?;
        stored::delete(&inner.kv, id).await?;
        inner.index.write().remove(id);
        inner.rules.write().remove(id);
        if let Some(rule) = running {
            join_all(rule.actions.iter().map(|action| start::stop(action, Duration::ZERO))).await;
            self.gone.extend(handles(&rule));
        }
        self.undo.push(Undo::Was(before));
        Ok(())
    }

    /// Everything stays as it is now; deletes the queues of actions that are no more.
    pub async fn keep(self) {
        join_all(self.gone.iter().map(ActionHandle::remove)).await;
    }

    /// Everything is as it was before, the last change first. What could not be taken back, a sentence each.
    pub async fn take_back(self) -> Vec<String> {
        let mut left = Vec::new();
        for undo in self.undo.into_iter().rev() {
            match undo {
                Undo::Created(id) => {
                    if let Err(error) = stored::delete(&self.inner.kv, &id).await {
                        left.push(format!("{id} is stopped, and comes back at the next start: {error}"));
                    }
                    self.inner.index.write().remove(&id);
                    let entry = self.inner.rules.write().remove(&id);
                    if let Some(Entry { running: Ok(rule), .. }) = entry {
                        join_all(rule.actions.iter().map(start::remove)).await;
                    }
                }
                Undo::Was(before) => self.inner.put_back(before, &mut left).await,
            }
        }
        left
    }
}

impl Inner {
    /// Checks and starts a rule; nothing is stored, and it does not select yet.
    pub(crate) async fn build(
        &self,
        id: &Str,
        spec: RuleSpec,
        created_at_ms: i64,
        metrics: Option<&Arc<Metrics>>,
        strictness: Strictness,
    ) -> Result<Arc<Rule>, Error> {
        let checked = self.checker(strictness).rule(&spec).map_err(|diagnostics| Error::Invalid { diagnostics })?;
        let metrics = metrics.cloned().unwrap_or_default();
        self.starter.rule(id, spec, checked, created_at_ms, metrics).await
    }

    /// Stores a started rule and lets it select.
    async fn put(&self, rule: &Arc<Rule>) -> Result<(), Error> {
        let stored = Stored::new(rule.spec.clone(), rule.created_at_ms);
        stored::save(&self.kv, &rule.id, &stored).await?;
        self.enter(stored, rule);
        Ok(())
    }

    /// Lets a started rule select, if it is switched on.
    pub(crate) fn enter(&self, stored: Stored, rule: &Arc<Rule>) {
        if let Some(dead_letters) = &self.starter.dead_letters {
            // Also a rule that keeps no letters now may have kept some before.
            let weak = Arc::downgrade(rule);
            dead_letters.register_rule(&rule.id, weak);
        }
        let enabled = stored.spec.enabled;
        self.rules.write().insert(rule.id.clone(), Entry { stored, running: Ok(Arc::clone(rule)) });
        let mut index = self.index.write();
        if enabled { index.insert(Arc::clone(rule)) } else { index.remove(&rule.id) }
    }

    /// The new form of a rule whose actions are stopped. When it cannot be stored, it is stopped again and the queues
    /// that only it has are deleted.
    async fn start_and_store(
        &self,
        spec: RuleSpec,
        before: &Before,
        old_actions: &[ActionHandle],
    ) -> Result<Arc<Rule>, Error> {
        let created_at_ms = before.stored.created_at_ms;
        let new = self.build(&before.id, spec, created_at_ms, before.metrics.as_ref(), Strictness::Create).await?;
        if let Err(error) = self.put(&new).await {
            self.end(&new, old_actions).await;
            return Err(error);
        }
        Ok(new)
    }

    /// Stops a rule and deletes the queues that none of `kept` has.
    async fn end(&self, rule: &Rule, kept: &[ActionHandle]) {
        join_all(rule.actions.iter().map(|action| start::stop(action, Duration::ZERO))).await;
        join_all(without(handles(rule), kept).iter().map(ActionHandle::remove)).await;
    }

    /// A rule as it is, and what runs of it.
    fn before(&self, id: &str) -> Result<(Before, Option<Arc<Rule>>), Error> {
        let rules = self.rules.read();
        let (id, entry) = rules.get_key_value(id).ok_or_else(|| not_found(id))?;
        let running = entry.running.as_ref().ok().cloned();
        let metrics = running.as_ref().map(|rule| Arc::clone(&rule.metrics));
        Ok((Before { id: id.clone(), stored: entry.stored.clone(), metrics }, running))
    }

    /// Starts a rule as it was; the store has it. When that fails it is there, does not run, and says why.
    async fn run_again(&self, before: &Before) -> Result<(), Error> {
        let Before { id, stored, metrics } = before;
        let (spec, created_at_ms) = (stored.spec.clone(), stored.created_at_ms);
        match self.build(id, spec, created_at_ms, metrics.as_ref(), Strictness::Restore).await {
            Ok(rule) => {
                self.enter(stored.clone(), &rule);
                Ok(())
            }
            Err(error) => {
                self.index.write().remove(id);
                let why = Error::Unavailable(error.to_string());
                self.rules.write().insert(id.clone(), Entry { stored: stored.clone(), running: Err(error) });
                Err(why)
            }
        }
    }

    async fn put_back(&self, before: Before, left: &mut Vec<String>) {
        let id = &before.id;
        let now = self.rules.read().get(id).and_then(|entry| entry.running.as_ref().ok().cloned());
        if let Some(now) = &now {
            join_all(now.actions.iter().map(|action| start::stop(action, CHANGE_DEADLINE))).await;
        }
        if let Err(error) = stored::save(&self.kv, id, &before.stored).await {
            left.push(format!("{id} runs as before, but not any more after the next start: {error}"));
        }
        match self.run_again(&before).await {
            Ok(()) => {}
            // It did not run before either.
            Err(_) if before.metrics.is_none() => {}
            Err(error) => left.push(format!("{id} is as before and does not run: {error}")),
        }
        let kept = match self.rules.read().get(id) {
            Some(Entry { running: Ok(rule), .. }) => handles(rule),
            // Nobody can tell which queues are its own: all stay.
            _ => return,
        };
        if let Some(now) = &now {
            join_all(without(handles(now), &kept).iter().map(ActionHandle::remove)).await;
        }
    }

    /// Refuses changes to what a file owns, but by that file.
    pub(crate) fn may_change(&self, id: &str, by_file: Option<&str>) -> Result<(), Error> {
        match self.stored(id)?.spec.origin {
            Some(owner) if by_file != Some(owner.file.as_str()) => {
                Err(Error::Conflict(format!("{id} is owned by {owner}: change it there")))
            }
            _ => Ok(()),
        }
    }

    /// The asked-for id, checked, or a new one.
    fn id_for(&self, asked: Option<&Str>) -> Result<Str, Error> {
        if let Some(id) = asked {
            let bad = id.is_empty()
                || id.len() > ID_BYTES_MAX
                || id.chars().any(|c| c.is_control() || c.is_whitespace() || c == '/');
            if bad {
                let message = format!("{id:?} cannot be an id: 1 to {ID_BYTES_MAX} bytes without spaces and slashes");
                return Err(Error::invalid(crate::Diagnostic::action("id", message)));
            }
            return Ok(id.clone());
        }
        let rules = self.rules.read();
        loop {
            let id = Str::from(format!("rule:{:08x}", random()));
            if !rules.contains_key(&id) {
                return Ok(id);
            }
        }
    }
}

/// Every action of a rule, fallbacks included.
fn handles(rule: &Rule) -> Vec<ActionHandle> {
    rule.actions
        .iter()
        .flat_map(|action| std::iter::once(&action.handle).chain(action.fallback.iter().map(|action| &action.handle)))
        .cloned()
        .collect()
}

/// Those whose id none of `kept` has.
fn without(actions: Vec<ActionHandle>, kept: &[ActionHandle]) -> Vec<ActionHandle> {
    actions.into_iter().filter(|action| kept.iter().all(|other| other.name().id != action.name().id)).collect()
}

/// 32 random bits: every `RandomState` has new keys.
fn random() -> u32 {
    use std::hash::{BuildHasher, Hasher};
    let hash = std::collections::hash_map::RandomState::new().build_hasher().finish();
    u32::try_from(hash & u64::from(u32::MAX)).unwrap_or_default()
}
