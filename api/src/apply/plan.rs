//! Carrying out the difference: first everything that can be refused is asked for, then it is done step by step, and
//! taken back when a step fails all the same.

use std::collections::BTreeSet;

use engine::{Engine, PlannedResources, Transaction};
use model::Str;
use pipelines::{Changes, Objects, Pipeline};
use resources::{By, Resources, Snapshot};

use super::{Applied, ApplyError, Cause};

/// What is to be done, and to whom.
pub(super) struct Plan<'a> {
    pub(super) engine: &'a Engine,
    pub(super) resources: &'a Resources,
    pub(super) files: &'a [Pipeline],
    pub(super) desired: &'a Objects,
    pub(super) changes: &'a Changes,
}

/// What was done so far, to take it back.
#[derive(Default)]
struct Done {
    /// Resources before they were created or replaced.
    changed: Vec<Snapshot>,
    /// Resources before they were deleted.
    deleted: Vec<Snapshot>,
    applied: Vec<Applied>,
}

/// Why a step failed.
struct Refusal {
    problems: Vec<String>,
    cause: Cause,
}

impl Plan<'_> {
    /// Asks for everything that can be refused, with nothing changed.
    pub(super) fn foresee(&self) -> Result<(), ApplyError> {
        let (resources, rules) = (&self.changes.resources, &self.changes.rules);
        let mut found = Vec::new();
        let mut planned = PlannedResources::new();
        for spec in &self.desired.resources {
            let Some(id) = spec.id.as_ref() else { continue };
            planned.extend(
                self.resources.registry().get(&spec.resource_type).map(|connector| (id.clone(), connector.spec().name)),
            );
            if (resources.create.contains(id) || resources.update.contains(id))
                && let Err(error) = self.resources.validate(spec, By::File)
            {
                found.push(self.of_resource(id, &error));
            }
        }
        for spec in &self.desired.rules {
            let Some(id) = spec.id.as_ref() else { continue };
            if (rules.create.contains(id) || rules.update.contains(id))
                && let Err(error) = self.engine.check_rule(spec, &planned)
            {
                found.push(self.of_rule(id, &error));
            }
        }
        for id in &resources.delete {
            let users = self.users_left(id);
            if !users.is_empty() {
                let message = format!("{id} is not in the files any more, and {} still use it", users.join(", "));
                found.push(Refusal { problems: vec![self.owned(id, message)], cause: Cause::Conflict });
            }
        }
        let Some(cause) = found.iter().map(|refusal| refusal.cause).max() else { return Ok(()) };
        Err(ApplyError::Refused {
            cause,
            problems: found.into_iter().flat_map(|refusal| refusal.problems).collect(),
            taken_back: Vec::new(),
            left: Vec::new(),
        })
    }

    /// Rules that would still use a resource when everything is done.
    fn users_left(&self, id: &str) -> Vec<String> {
        let is_changed = |rule: &Str| {
            // A rule of the files uses what the files say, and they do not have this resource.
            self.changes.rules.delete.contains(rule) || self.changes.rules.update.contains(rule)
        };
        self.engine.rules_using(id).iter().filter(|rule| !is_changed(rule)).map(ToString::to_string).collect()
    }

    /// Does it, or takes back what was done.
    pub(super) async fn carry_out(&self) -> Result<(), ApplyError> {
        let mut rules = self.engine.transaction().await;
        let mut done = Done::default();
        let Err(refusal) = self.steps(&mut rules, &mut done).await else {
            rules.keep().await;
            return Ok(());
        };
        let mut left = Vec::new();
        self.put_back(done.deleted, &mut left).await;
        left.extend(rules.take_back().await);
        self.put_back(done.changed, &mut left).await;
        let Refusal { problems, cause } = refusal;
        tracing::warn!(problems = ?problems, left = ?left, "applying files was refused and taken back");
        Err(ApplyError::Refused { problems, cause, taken_back: done.applied, left })
    }

    async fn put_back(&self, snapshots: Vec<Snapshot>, left: &mut Vec<String>) {
        for snapshot in snapshots.into_iter().rev() {
            let id = snapshot.id().clone();
            if let Err(error) = self.resources.put_back(snapshot).await {
                left.push(format!("{id}: {error}"));
            }
        }
    }

    async fn steps(&self, rules: &mut Transaction, done: &mut Done) -> Result<(), Refusal> {
        self.change_resources(done).await?;
        for spec in &self.desired.rules {
            let Some(id) = spec.id.as_ref() else { continue };
            let (change, result) = if self.changes.rules.create.contains(id) {
                ("create", rules.create(spec.clone()).await.map(drop))
            } else if self.changes.rules.update.contains(id) {
                ("update", rules.replace(id, spec.clone()).await)
            } else {
                continue;
            };
            result.map_err(|error| self.of_rule(id, &error))?;
            done.did(change, "rule", id);
        }
        for id in &self.changes.rules.delete {
            let owner = self.engine.rule(id).ok().and_then(|rule| rule.origin).map(|origin| origin.file);
            rules.delete(id, owner.as_deref()).await.map_err(|error| self.of_rule(id, &error))?;
            done.did("delete", "rule", id);
        }
        for id in &self.changes.resources.delete {
            let before = self.resources.snapshot(id);
            self.resources.delete(id, By::File).await.map_err(|error| self.of_resource(id, &error))?;
            done.deleted.push(before);
            done.did("delete", "resource", id);
        }
        Ok(())
    }

    async fn change_resources(&self, done: &mut Done) -> Result<(), Refusal> {
        let (changes, rules) = (&self.changes.resources, &self.changes.rules);
        let changing: BTreeSet<Str> = rules.update.iter().chain(&rules.delete).cloned().collect();
        for spec in &self.desired.resources {
            let Some(id) = spec.id.as_ref() else { continue };
            let change = match (changes.create.contains(id), changes.update.contains(id)) {
                (true, _) => "create",
                (false, true) => "update",
                (false, false) => continue,
            };
            let before = self.resources.snapshot(id);
            let result = self.resources.apply(spec.clone(), By::File, &changing).await;
            result.map_err(|error| self.of_resource(id, &error))?;
            done.changed.push(before);
            done.did(change, "resource", id);
        }
        Ok(())
    }

    fn of_rule(&self, id: &str, error: &engine::Error) -> Refusal {
        let problems = match error.diagnostics() {
            [] => vec![self.placed(id, "", None, &error.to_string())],
            found => found
                .iter()
                .map(|fault| {
                    let start = fault.span.map(|[start, _]| start);
                    self.placed(id, &fault.field, start, &fault.to_string())
                })
                .collect(),
        };
        let cause = match error {
            engine::Error::Invalid { .. } | engine::Error::NotFound(_) => Cause::Invalid,
            engine::Error::Conflict(_) => Cause::Conflict,
            engine::Error::Unavailable(_) | engine::Error::Internal(_) => Cause::Failed,
        };
        Refusal { problems, cause }
    }

    fn of_resource(&self, id: &str, error: &resources::Error) -> Refusal {
        let problems = match error {
            resources::Error::Invalid(found) => {
                found.iter().map(|fault| self.placed(id, &fault.key, None, &fault.to_string())).collect()
            }
            error => vec![self.placed(id, "", None, &error.to_string())],
        };
        let cause = match error {
            resources::Error::Invalid(_) | resources::Error::NotFound(_) => Cause::Invalid,
            resources::Error::Conflict(_) => Cause::Conflict,
            resources::Error::Connection(_) | resources::Error::Unavailable(_) => Cause::Failed,
        };
        Refusal { problems, cause }
    }

    /// `file:line:column: id: message`; an object that is in none of the files has the place where it was.
    fn placed(&self, id: &str, field: &str, sql_byte: Option<usize>, message: &str) -> String {
        let message = format!("{id}: {message}");
        let problem = self.files.iter().find_map(|file| file.problem_of(id, field, sql_byte, &message));
        problem.map_or_else(|| self.owned(id, message), |problem| problem.to_string())
    }

    /// The message with the file and line that an object of the server came from.
    fn owned(&self, id: &str, message: String) -> String {
        let rule = self.engine.rule(id).ok().and_then(|rule| rule.origin).map(|origin| origin.to_string());
        let origin = rule.or_else(|| {
            self.resources.get(id).ok().and_then(|resource| resource.origin).map(|origin| origin.to_string())
        });
        match origin {
            Some(origin) => format!("{origin}: {message}"),
            None => message,
        }
    }
}

impl Done {
    fn did(&mut self, change: &'static str, kind: &'static str, id: &Str) {
        self.applied.push(Applied { change, kind, id: id.to_string() });
    }
}
