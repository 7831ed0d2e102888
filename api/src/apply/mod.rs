//! Brings rules and resources to what pipeline files say: for `weir apply` over HTTP, and for `weir run` in the binary.
//!
//! Invariants: nothing is changed before every file is checked, with its tests, and before everything that the server
//! would refuse is known; all of it is done or none of it, and where taking back fails the answer says what is left;
//! resources come before the rules that use them and go after them; only what came from one of the files is ever deleted.

use std::collections::BTreeSet;

use connector::config::masked;
use engine::{ActionConfig, ActionView, Engine, RuleSpec, RuleView};
use pipelines::{Changes, Objects, Pipeline, Problem, diff};
use resources::{ResourceSpec, ResourceView, Resources};
use serde::Serialize;
use serde_json::Value as Json;

use self::plan::Plan;

mod plan;

/// How to apply.
#[derive(Clone, Copy, Debug, Default)]
pub struct ApplyOptions {
    /// Only say what would change.
    pub dry_run: bool,
    /// Delete what came from one of the files and is in none of them any more.
    pub prune: bool,
}

/// One object and what happened, or would happen, to it.
#[derive(Clone, Debug, Serialize)]
pub struct Applied {
    /// `create`, `update`, `delete`.
    pub change: &'static str,
    /// `resource` or `rule`.
    pub kind: &'static str,
    /// Its id.
    pub id: String,
}

/// Why files could not be applied.
#[derive(Debug)]
pub enum ApplyError {
    /// The files are wrong; nothing was changed. `file:line:column: message` each.
    Invalid(Vec<String>),
    /// The server refused something.
    Refused {
        /// What, and why: `file:line:column: message` each.
        problems: Vec<String>,
        /// Whose fault it is.
        cause: Cause,
        /// What had been changed by then and was taken back.
        taken_back: Vec<Applied>,
        /// What could not be taken back; empty when everything is as it was.
        left: Vec<String>,
    },
}

/// Whose fault a refusal is; of several, the last here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The files': what they say cannot work.
    Invalid,
    /// The object belongs to somebody else, or is in use.
    Conflict,
    /// The server's: it could not store or start something.
    Failed,
}

impl std::fmt::Display for ApplyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Invalid(problems) => f.write_str(&problems.join("\n")),
            Self::Refused { problems, taken_back, left, .. } => {
                writeln!(f, "{}", problems.join("\n"))?;
                let names: Vec<String> =
                    taken_back.iter().map(|done| format!("{} of {}", done.change, done.id)).collect();
                match (names.as_slice(), left.as_slice()) {
                    ([], []) => f.write_str("nothing was changed"),
                    (_, []) => write!(f, "everything is as it was; taken back: {}", names.join(", ")),
                    (_, left) => write!(
                        f,
                        "taken back: {}; but not everything could be, this is left: {}",
                        names.join(", "),
                        left.join("; ")
                    ),
                }
            }
        }
    }
}

impl std::error::Error for ApplyError {}

/// Applies the files. Returns every change, in the order in which it was made.
///
/// # Errors
/// See [`ApplyError`].
pub async fn apply(
    engine: &Engine,
    resources: &Resources,
    files: &[Pipeline],
    options: ApplyOptions,
) -> Result<Vec<Applied>, ApplyError> {
    check(files, resources)?;
    let desired = merged(files)?;
    let current = Objects {
        resources: resources.list().into_iter().map(resource_of).collect(),
        rules: engine.rules().into_iter().map(rule_of).collect(),
    };
    let names: Vec<&str> = files.iter().map(|file| file.file.as_str()).collect();
    let mut changes = diff(&current, &comparable(&desired, resources), &names);
    if !options.prune {
        changes.rules.delete.clear();
        changes.resources.delete.clear();
    }
    recheck_secrets(&mut changes, &desired, resources);
    let plan = Plan { engine, resources, files, desired: &desired, changes: &changes };
    plan.foresee()?;
    if !options.dry_run {
        plan.carry_out().await?;
    }
    Ok(lines(&changes))
}

fn check(files: &[Pipeline], resources: &Resources) -> Result<(), ApplyError> {
    let mut wrong = Vec::new();
    for file in files {
        let report = pipelines::check(file, resources.registry());
        if !report.passed() {
            let is_error = |problem: &&Problem| problem.severity == pipelines::Severity::Error;
            wrong.extend(report.problems.iter().filter(is_error).map(ToString::to_string));
            wrong.extend(report.tests.iter().flat_map(|test| failed_test(&file.file, test)));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(ApplyError::Invalid(wrong)) }
}

/// The failures of one test as lines for people; none when it passed.
pub fn failed_test(file: &str, test: &pipelines::TestReport) -> Vec<String> {
    let one = |failure: &pipelines::Failure| {
        let rows = |rows: &[Json]| Json::Array(rows.to_vec()).to_string();
        let mut line = format!(
            "{file}:{}:{}: test {:?}: {} gave {}, expected {}",
            failure.place.line,
            failure.place.column,
            test.name,
            failure.target,
            rows(&failure.got),
            rows(&failure.expected)
        );
        for reason in &failure.reasons {
            line.push_str("; ");
            line.push_str(reason);
        }
        line
    };
    test.failures.iter().map(one).collect()
}

/// The objects of all files; an id that two of them have is a mistake.
fn merged(files: &[Pipeline]) -> Result<Objects, ApplyError> {
    let mut all = Objects::default();
    let mut seen = BTreeSet::new();
    let mut twice = Vec::new();
    for file in files {
        let objects = file.objects();
        let ids =
            objects.resources.iter().map(|resource| &resource.id).chain(objects.rules.iter().map(|rule| &rule.id));
        for id in ids.flatten() {
            if !seen.insert(id.clone()) {
                let message = format!("{id} is in another of these files too");
                let problem = file.problem_of(id, "", None, &message).map(|problem| problem.to_string());
                twice.push(problem.unwrap_or_else(|| format!("{}: {message}", file.file)));
            }
        }
        all.resources.extend(objects.resources);
        all.rules.extend(objects.rules);
    }
    if twice.is_empty() { Ok(all) } else { Err(ApplyError::Invalid(twice)) }
}

/// The wanted objects in the form in which the server shows its own: types by their own name, secrets masked.
fn comparable(desired: &Objects, resources: &Resources) -> Objects {
    let mut comparable = desired.clone();
    for resource in &mut comparable.resources {
        if let Some(connector) = resources.registry().get(&resource.resource_type) {
            let spec = connector.spec();
            spec.name.clone_into(&mut resource.resource_type);
            resource.config = masked(spec.fields, &resource.config);
        }
    }
    comparable
}

/// Secrets are never shown, so they cannot be compared: a resource that has some is applied every time.
fn recheck_secrets(changes: &mut Changes, desired: &Objects, resources: &Resources) {
    let has_secret = |resource: &ResourceSpec| {
        let Some(connector) = resources.registry().get(&resource.resource_type) else { return false };
        masked(connector.spec().fields, &resource.config) != resource.config
    };
    let secret: BTreeSet<_> = desired
        .resources
        .iter()
        .filter(|resource| has_secret(resource))
        .filter_map(|resource| resource.id.clone())
        .collect();
    let (again, same) =
        std::mem::take(&mut changes.resources.unchanged).into_iter().partition(|id| secret.contains(id));
    changes.resources.unchanged = same;
    changes.resources.update.extend::<Vec<_>>(again);
}

fn lines(changes: &Changes) -> Vec<Applied> {
    let of = |change, kind, ids: &[model::Str]| -> Vec<Applied> {
        ids.iter().map(|id| Applied { change, kind, id: id.to_string() }).collect()
    };
    let (resources, rules) = (&changes.resources, &changes.rules);
    [
        of("create", "resource", &resources.create),
        of("update", "resource", &resources.update),
        of("create", "rule", &rules.create),
        of("update", "rule", &rules.update),
        of("delete", "rule", &rules.delete),
        of("delete", "resource", &resources.delete),
    ]
    .concat()
}

fn resource_of(view: ResourceView) -> ResourceSpec {
    ResourceSpec {
        id: Some(view.id),
        resource_type: view.resource_type.to_owned(),
        config: view.config,
        description: view.description,
        origin: view.origin,
    }
}

fn rule_of(view: RuleView) -> RuleSpec {
    RuleSpec {
        id: Some(view.id),
        sql: view.sql,
        actions: view.actions.into_iter().map(action_of).collect(),
        description: view.description,
        enabled: view.enabled,
        on_decode_error: view.on_decode_error,
        origin: view.origin,
    }
}

fn action_of(view: ActionView) -> ActionConfig {
    ActionConfig {
        name: view.name,
        params: view.params,
        settings: view.settings.as_object().cloned().unwrap_or_default(),
        fallback: view.fallback.into_iter().map(action_of).collect(),
    }
}
