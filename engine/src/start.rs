//! Starting and stopping the actions of a rule.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use connector::{ActionHandle, ActionName, ActionParts, DeadLetters, ErrorKind};
use model::{Clock, Str};
use resources::Resources;
use store::DataDir;

use crate::actions::{Action, BuiltIns, Inspector, SinkResult};
use crate::check::{Checked, CheckedAction};
use crate::letters::Letters;
use crate::rule::{Metrics, Rule};
use crate::vector::Program;
use crate::{Diagnostic, Error, RuleSpec};

/// What actions are started with.
pub(crate) struct Starter {
    pub(crate) resources: Resources,
    pub(crate) dead_letters: Option<DeadLetters>,
    pub(crate) data_dir: Option<DataDir>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) built_ins: BuiltIns,
    pub(crate) inspections_kept: usize,
}

impl Starter {
    /// Starts every action and makes the rule. Nothing stays running when one cannot be started.
    pub(crate) async fn rule(
        &self,
        id: &Str,
        spec: RuleSpec,
        checked: Checked,
        created_at_ms: i64,
        metrics: Arc<Metrics>,
    ) -> Result<Arc<Rule>, Error> {
        let inspector = Arc::new(Inspector::new(self.inspections_kept));
        let letters = self.letters(&checked.plan)?;
        let mut actions = Vec::new();
        for (place, action) in checked.actions.into_iter().enumerate() {
            match self.action(id, &format!("{place}"), action, &inspector).await {
                Ok(started) => actions.push(started),
                Err(error) => {
                    for action in &actions {
                        stop(action, Duration::ZERO).await;
                    }
                    return Err(error);
                }
            }
        }
        Ok(Arc::new(Rule {
            id: id.clone(),
            program: Program::compile(&checked.plan),
            plan: checked.plan,
            durable: actions.iter().any(Action::is_durable),
            blocks: actions.iter().any(Action::blocks),
            keep_event: actions.iter().any(|action| action.handle.settings().keep_event),
            spec,
            actions,
            created_at_ms,
            metrics,
            congestion: Arc::default(),
            inspector,
            letters,
        }))
    }

    /// Where a rule's undecodable events go, when they become dead letters.
    fn letters(&self, plan: &sql::Plan) -> Result<Option<Letters>, Error> {
        if plan.on_decode_error != sql::OnDecodeError::DeadLetter {
            return Ok(None);
        }
        let Some(dead_letters) = &self.dead_letters else {
            let fault = Diagnostic::action("on_decode_error", "this server keeps no dead letters");
            return Err(Error::invalid(fault.with_hint("fail keeps the last ones in the rule's failures")));
        };
        Ok(Some(Letters::new(dead_letters.clone())))
    }

    /// A sink for rendering: nothing runs and nothing is queued.
    pub(crate) fn dry(&self, checked: CheckedAction) -> SinkResult {
        let inspector = Arc::new(Inspector::new(1));
        match checked.connector {
            None => self.built_ins.sink(checked.spec, &checked.params, &checked.config.params, &inspector),
            Some(_) => Binding {
                spec: checked.spec,
                params: checked.params,
                resource: checked.resource,
                rule: Str::new("rule:test"),
            }
            .sink(&self.resources),
        }
    }

    async fn action(
        &self,
        rule: &Str,
        place: &str,
        checked: CheckedAction,
        inspector: &Arc<Inspector>,
    ) -> Result<Action, Error> {
        let mut fallback: Vec<Action> = Vec::new();
        for (number, checked) in checked.fallback.into_iter().enumerate() {
            let place = format!("{place}.fallback{number}");
            fallback.push(
                Box::pin(self.action(rule, &place, CheckedAction { fallback: Vec::new(), ..checked }, inspector))
                    .await?,
            );
        }
        let field = format!("actions[{place}]");
        let binding =
            Binding { spec: checked.spec, params: checked.params, resource: checked.resource, rule: rule.clone() };
        let sink = match checked.connector {
            None => self.built_ins.sink(binding.spec, &binding.params, &checked.config.params, inspector),
            Some(_) => binding.sink(&self.resources),
        };
        let bound = AtomicBool::new(sink.is_ok());
        if let Err(error) = &sink
            && error.kind == ErrorKind::Config
        {
            return Err(Error::invalid(Diagnostic::action(format!("{field}.params"), error.context.clone())));
        }
        let parts = ActionParts {
            name: ActionName {
                id: format!("{rule}/{place}").into(),
                rule: rule.clone(),
                action: checked.config.name.as_str().into(),
                resource: binding.resource.clone(),
            },
            settings: checked.settings,
            sink,
            data_dir: self.data_dir.clone(),
            dead_letters: self.dead_letters.clone(),
            fallback: fallback.iter().map(|action| action.handle.clone()).collect(),
            clock: Arc::clone(&self.clock),
        };
        let handle = ActionHandle::start(parts).await.map_err(|error| match error.kind {
            ErrorKind::Config => Error::invalid(Diagnostic::action(field, error.context)),
            _ => Error::Unavailable(format!("the action {} cannot be started: {error}", checked.config.name)),
        })?;
        Ok(Action { config: checked.config, handle, fallback, binding, bound })
    }
}

/// How an action of a connector gets its sink.
pub(crate) struct Binding {
    pub(crate) spec: &'static connector::ActionSpec,
    pub(crate) params: connector::Config,
    pub(crate) resource: Option<Str>,
    pub(crate) rule: Str,
}

impl Binding {
    /// A sink of the resource, or why there is none now. An error of kind `Config` will not go away by itself.
    pub(crate) fn sink(&self, resources: &Resources) -> SinkResult {
        let Some(id) = &self.resource else {
            return Err(connector::Error::permanent(ErrorKind::Internal, "the action has no resource"));
        };
        resources.sink(id, self.spec, &self.params, &self.rule).map_err(|error| match error {
            resources::Error::Connection(error) => error,
            resources::Error::Invalid(_) => connector::Error::permanent(ErrorKind::Config, error.to_string()),
            other => connector::Error::temporary(ErrorKind::NotFound, other.to_string()),
        })
    }
}

impl Action {
    /// Tries to bind an action whose resource was not there when it was started.
    pub(crate) fn rebind(&self, resources: &Resources) {
        for action in &self.fallback {
            action.rebind(resources);
        }
        if self.bound.load(Ordering::Relaxed) {
            return;
        }
        if let Ok(sink) = self.binding.sink(resources) {
            self.handle.set_sink(Ok(sink));
            self.bound.store(true, Ordering::Relaxed);
        }
    }
}

/// Stops an action and then its fallbacks, which it may still give rows to.
pub(crate) async fn stop(action: &Action, deadline: Duration) {
    for handle in std::iter::once(&action.handle).chain(action.fallback.iter().map(|action| &action.handle)) {
        handle.stop(deadline).await;
        // The resource is not used any more, also while events in flight still hold the rule.
        handle.set_sink(Err(connector::Error::temporary(ErrorKind::Closed, "the action is stopped")));
    }
}

/// Stops an action at once and deletes its queue.
pub(crate) async fn remove(action: &Action) {
    stop(action, Duration::ZERO).await;
    action.handle.remove().await;
    for action in &action.fallback {
        action.handle.remove().await;
    }
}
