//! What a server must hold for a pipeline, and what applying it would change.

use std::collections::BTreeMap;

use engine::{RuleSpec, SourceLine};
use model::Str;
use resources::{Origin, ResourceSpec};
use serde::Serialize;

use crate::pipeline::{Pipeline, resource_id, rule_id};

/// Resources and rules as they should be, or as a server has them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Objects {
    /// Each with its id.
    pub resources: Vec<ResourceSpec>,
    /// Each with its id.
    pub rules: Vec<RuleSpec>,
}

impl Pipeline {
    /// The objects of this pipeline. Ids come from the names and stay the same from one apply to the next; secrets are
    /// filled in.
    pub fn objects(&self) -> Objects {
        let resources = self
            .resources
            .iter()
            .map(|resource| ResourceSpec {
                id: Some(Str::from(resource_id(&resource.name))),
                resource_type: resource.kind.clone(),
                config: resource.config.clone(),
                description: resource.description.clone(),
                origin: Some(Origin { file: self.file.clone(), line: resource.at.line }),
            })
            .collect();
        let rules = self
            .rules
            .iter()
            .map(|rule| RuleSpec {
                id: Some(Str::from(rule_id(&rule.name))),
                sql: rule.sql.clone(),
                actions: rule.sinks.iter().map(crate::pipeline::Sink::to_action).collect(),
                description: rule.description.clone(),
                enabled: rule.enabled,
                on_decode_error: rule.on_decode_error,
                origin: Some(SourceLine { file: self.file.clone(), line: rule.at.line }),
            })
            .collect();
        Objects { resources, rules }
    }
}

/// Ids by what happens to them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Not there yet.
    pub create: Vec<Str>,
    /// There, and different.
    pub update: Vec<Str>,
    /// There, owned by one of the files, and not wanted any more; done only with `--prune`.
    pub delete: Vec<Str>,
    /// There already, as wanted.
    pub unchanged: Vec<Str>,
}

/// What applying would change. Resources are created before rules and deleted after them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// Resources.
    pub resources: Change,
    /// Rules.
    pub rules: Change,
}

impl Changes {
    /// Nothing to create, update or delete.
    pub fn is_empty(&self) -> bool {
        let idle = |change: &Change| change.create.is_empty() && change.update.is_empty() && change.delete.is_empty();
        idle(&self.resources) && idle(&self.rules)
    }
}

/// Compares what is there with what is wanted. Only objects that came from one of `files` are ever deleted: what a
/// person or another file made is not ours. Moving within a file changes nothing.
pub fn diff(current: &Objects, desired: &Objects, files: &[&str]) -> Changes {
    let ours = |file: Option<&str>| file.is_some_and(|file| files.contains(&file));
    Changes {
        resources: compare(
            current.resources.iter().map(|resource| (resource.id.clone(), resource)),
            desired.resources.iter().map(|resource| (resource.id.clone(), resource)),
            |a, b| ResourceSpec { origin: None, ..a.clone() } == ResourceSpec { origin: None, ..b.clone() },
            |resource| ours(resource.origin.as_ref().map(|origin| origin.file.as_str())),
        ),
        rules: compare(
            current.rules.iter().map(|rule| (rule.id.clone(), rule)),
            desired.rules.iter().map(|rule| (rule.id.clone(), rule)),
            |a, b| RuleSpec { origin: None, ..a.clone() } == RuleSpec { origin: None, ..b.clone() },
            |rule| ours(rule.origin.as_ref().map(|origin| origin.file.as_str())),
        ),
    }
}

fn compare<'a, T: 'a>(
    current: impl Iterator<Item = (Option<Str>, &'a T)>,
    desired: impl Iterator<Item = (Option<Str>, &'a T)>,
    same: impl Fn(&T, &T) -> bool,
    ours: impl Fn(&T) -> bool,
) -> Change {
    let mut left: BTreeMap<Str, &T> = current.filter_map(|(id, object)| Some((id?, object))).collect();
    let mut change = Change::default();
    for (id, wanted) in desired {
        let Some(id) = id else { continue };
        match left.remove(&id) {
            None => change.create.push(id),
            Some(there) if same(there, wanted) => change.unchanged.push(id),
            Some(_) => change.update.push(id),
        }
    }
    change.delete = left.into_iter().filter(|(_, object)| ours(object)).map(|(id, _)| id).collect();
    change
}
