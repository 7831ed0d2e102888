//! Everything that can be known about a rule before it runs: the SQL compiles, the actions exist, their parameters
//! parse, their resources are there and of the right type, their templates name columns the plan produces, and no
//! republish feeds its own rule.
//!
//! All faults are reported, not only the first.

use std::collections::BTreeMap;

use connector::template::Part;
use connector::{ActionSettings, ActionSpec, Config, FieldKind, Registry, Spec, Template};
use model::Str;
use resources::Resources;
use serde_json::Value as Json;
use sql::Plan;

use crate::actions::{BUILT_IN, DO_NOTHING, INSPECT, REPUBLISH, check_loop, check_target, default_topic};
use crate::{ActionConfig, Diagnostic, OnDecodeError, RuleSpec};

/// A rule that can be started.
pub(crate) struct Checked {
    pub(crate) plan: Plan,
    pub(crate) actions: Vec<CheckedAction>,
}

/// An action that can be started.
pub(crate) struct CheckedAction {
    pub(crate) config: ActionConfig,
    pub(crate) spec: &'static ActionSpec,
    /// The connector it belongs to; `None` for a built-in action.
    pub(crate) connector: Option<&'static Spec>,
    pub(crate) resource: Option<Str>,
    pub(crate) params: Config,
    pub(crate) settings: ActionSettings,
    pub(crate) fallback: Vec<CheckedAction>,
}

/// Types of resources, by id.
pub type PlannedResources = BTreeMap<Str, &'static str>;

/// Whether resources have to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strictness {
    /// The rule is being created or changed.
    Create,
    /// The rule comes from the store: what is missing now may come back.
    Restore,
}

/// Most actions of one rule, fallbacks not counted.
const ACTIONS_MAX: usize = 64;

/// What the checks look things up in.
pub(crate) struct Checker<'c> {
    pub(crate) registry: &'c Registry,
    pub(crate) resources: &'c Resources,
    /// Resources that will be there when the rule is made.
    pub(crate) planned: Option<&'c PlannedResources>,
    pub(crate) strictness: Strictness,
}

/// Compiles the SQL of a rule.
pub(crate) fn compile(sql: &str, on_decode_error: Option<OnDecodeError>) -> Result<Plan, Vec<Diagnostic>> {
    let on_decode_error = on_decode_error.map(|policy| match policy {
        OnDecodeError::Fail => sql::OnDecodeError::Fail,
        OnDecodeError::Null => sql::OnDecodeError::Null,
        OnDecodeError::DeadLetter => sql::OnDecodeError::DeadLetter,
    });
    sql::compile(sql, &sql::Options { on_decode_error }).map_err(|diagnostics| {
        diagnostics
            .into_iter()
            .map(|found| Diagnostic {
                field: "sql".to_owned(),
                class: found.class.name(),
                message: found.message,
                hint: found.hint,
                span: Some([found.span.start, found.span.end]),
                position: Some([found.line, found.column]),
            })
            .collect()
    })
}

impl Checker<'_> {
    /// Checks a rule.
    pub(crate) fn rule(&self, spec: &RuleSpec) -> Result<Checked, Vec<Diagnostic>> {
        let mut faults = Vec::new();
        let plan = compile(&spec.sql, spec.on_decode_error).map_err(|found| faults.extend(found)).ok();
        if spec.actions.is_empty() {
            let fault = Diagnostic::action("actions", "a rule needs at least one action");
            faults.push(fault.with_hint("use [{\"name\": \"do_nothing\"}] for a rule that only counts"));
        }
        if spec.actions.len() > ACTIONS_MAX {
            faults.push(Diagnostic::action("actions", format!("a rule has at most {ACTIONS_MAX} actions")));
        }
        let mut actions = Vec::new();
        for (place, config) in spec.actions.iter().take(ACTIONS_MAX).enumerate() {
            actions.extend(self.action(&format!("actions[{place}]"), config, plan.as_ref(), true, &mut faults));
        }
        match plan {
            Some(plan) if faults.is_empty() => Ok(Checked { plan, actions }),
            _ => Err(faults),
        }
    }

    fn action(
        &self,
        field: &str,
        config: &ActionConfig,
        plan: Option<&Plan>,
        may_fall_back: bool,
        faults: &mut Vec<Diagnostic>,
    ) -> Option<CheckedAction> {
        let before = faults.len();
        let Some((spec, connector)) = self.find(&config.name) else {
            faults.push(self.unknown_action(field, &config.name));
            return None;
        };
        let params = params(field, config, spec, connector, plan, faults);
        let settings = ActionSettings::parse(&config.settings, spec.batch)
            .map_err(|found| faults.extend(found.into_iter().map(|error| in_params(field, "", &error))))
            .ok();
        let resource = connector.and_then(|connector| self.resource(field, config, connector, faults));
        if let (Some(params), Some(plan)) = (&params, plan) {
            against_plan(field, config, spec, params, plan, faults);
        }
        let mut fallback = Vec::new();
        for (place, config) in config.fallback.iter().enumerate() {
            let field = format!("{field}.fallback[{place}]");
            if may_fall_back {
                fallback.extend(self.action(&field, config, plan, false, faults));
            } else {
                faults.push(Diagnostic::action(field, "a fallback has no fallback of its own"));
            }
        }
        if faults.len() > before {
            return None;
        }
        Some(CheckedAction {
            config: config.clone(),
            spec,
            connector,
            resource,
            params: params?,
            settings: settings?,
            fallback,
        })
    }

    fn find(&self, name: &str) -> Option<(&'static ActionSpec, Option<&'static Spec>)> {
        if let Some(spec) = BUILT_IN.iter().find(|spec| spec.name == name) {
            return Some((spec, None));
        }
        self.registry.action(name).map(|(connector, spec)| (spec, Some(connector.spec())))
    }

    fn unknown_action(&self, field: &str, name: &str) -> Diagnostic {
        let of_connectors = self.registry.iter().flat_map(|connector| connector.spec().actions);
        let mut known: Vec<&str> = BUILT_IN.iter().copied().chain(of_connectors).map(|spec| spec.name).collect();
        known.sort_unstable();
        known.dedup();
        let fault = Diagnostic::action(
            format!("{field}.name"),
            format!("there is no action {name:?}; known: {}", known.join(", ")),
        );
        let near = known
            .iter()
            .map(|known| (strsim::damerau_levenshtein(known, name), *known))
            .filter(|(distance, known)| *distance <= 1 + known.len() / 4)
            .min();
        match near {
            Some((_, near)) => fault.with_hint(format!("did you mean {near}?")),
            None => fault,
        }
    }

    fn resource(
        &self,
        field: &str,
        config: &ActionConfig,
        connector: &'static Spec,
        faults: &mut Vec<Diagnostic>,
    ) -> Option<Str> {
        let field = format!("{field}.params.$resource");
        let Some(id) = config.resource() else {
            let message = format!("{} needs a resource of type {}", config.name, connector.name);
            faults.push(Diagnostic::action(field, message).with_hint("set params.$resource to the id of one"));
            return None;
        };
        let planned = self.planned.and_then(|planned| planned.get(id)).map(|name| (*name).to_owned());
        let found = planned.map_or_else(|| self.resources.get(id).map(|view| view.resource_type), Ok);
        match found {
            Ok(name) if name == connector.name => Some(id.into()),
            Ok(name) => {
                let message =
                    format!("{} needs a resource of type {}, and {id} is a {name}", config.name, connector.name);
                faults.push(Diagnostic::action(field, message));
                None
            }
            Err(_) if self.strictness == Strictness::Restore => Some(id.into()),
            Err(error) => {
                faults.push(Diagnostic::action(field, error.to_string()));
                None
            }
        }
    }
}

/// Checks the parameters of a built-in action as creating the rule does, against its plan where there is one; `None` when
/// the action is no built-in one. Fields of the answer begin with `actions[0]`.
pub fn check_built_in(config: &ActionConfig, plan: Option<&Plan>) -> Option<Vec<Diagnostic>> {
    let spec = BUILT_IN.iter().find(|spec| spec.name == config.name)?;
    let (field, mut faults) = ("actions[0]", Vec::new());
    if let (Some(params), Some(plan)) = (params(field, config, spec, None, plan, &mut faults), plan) {
        against_plan(field, config, spec, &params, plan, &mut faults);
    }
    Some(faults)
}

/// The names of the built-in actions.
pub fn built_in_actions() -> impl Iterator<Item = &'static str> {
    BUILT_IN.iter().map(|spec| spec.name)
}

/// What the parameters say, held against what the plan gives.
fn against_plan(
    field: &str,
    config: &ActionConfig,
    spec: &'static ActionSpec,
    params: &Config,
    plan: &Plan,
    faults: &mut Vec<Diagnostic>,
) {
    templates(field, config, spec, params, plan, faults);
    if spec.name != REPUBLISH.name {
        return;
    }
    let target = params.text("target_topic").unwrap_or_default();
    let field = format!("{field}.params.{}", as_written(config, spec, "target_topic"));
    if let Some(why) = check_target(target) {
        faults.push(Diagnostic::action(field, why));
    } else if let Some(why) = check_loop(plan, target) {
        let fault = Diagnostic::action(field, why);
        faults.push(
            fault.with_hint(
                "republish to a topic outside the rule's FROM, or narrow FROM or the topic condition of WHERE",
            ),
        );
    }
}

/// The name under which a parameter was given: its own or another of its names.
fn as_written(config: &ActionConfig, spec: &'static ActionSpec, name: &'static str) -> &'static str {
    let aliases = spec.params.iter().find(|field| field.name == name).map_or(&[][..], |field| field.aliases);
    aliases.iter().copied().find(|alias| config.params.get(alias).is_some()).unwrap_or(name)
}

fn params(
    field: &str,
    config: &ActionConfig,
    spec: &'static ActionSpec,
    connector: Option<&'static Spec>,
    plan: Option<&Plan>,
    faults: &mut Vec<Diagnostic>,
) -> Option<Config> {
    let mut params = config.params.clone();
    // The debug actions print whatever arguments they get (manual §7.3.1 gives inspect {"a": 1}).
    if spec.name == INSPECT.name || spec.name == DO_NOTHING.name {
        params = Json::Null;
    }
    if let Some(object) = params.as_object_mut() {
        if connector.is_some() {
            object.remove("$resource");
        }
        if spec.name == REPUBLISH.name
            && !object.contains_key("target_topic")
            && !object.contains_key("topic")
            && let Some(plan) = plan
        {
            object.insert("target_topic".to_owned(), default_topic(plan).into());
        }
    }
    Config::parse(spec.params, &params)
        .map_err(|found| faults.extend(found.into_iter().map(|error| in_params(field, "params", &error))))
        .ok()
}

fn in_params(field: &str, below: &str, error: &connector::ConfigError) -> Diagnostic {
    let path = [field, below, error.key.as_str()]
        .iter()
        .filter(|part| !part.is_empty())
        .copied()
        .collect::<Vec<_>>()
        .join(".");
    Diagnostic::action(path, error.message.clone())
}

/// Template variables that the plan never produces, where its columns are known.
fn templates(
    field: &str,
    config: &ActionConfig,
    spec: &'static ActionSpec,
    params: &Config,
    plan: &Plan,
    faults: &mut Vec<Diagnostic>,
) {
    let Some(names) = &plan.names else { return };
    for setting in spec.params {
        let texts: Vec<&str> = match setting.kind {
            FieldKind::Template | FieldKind::SqlTemplate => params.text(setting.name).into_iter().collect(),
            FieldKind::TemplateMap => params.map(setting.name).iter().map(|(_, text)| text.as_str()).collect(),
            _ => Vec::new(),
        };
        for template in texts.into_iter().filter_map(|text| Template::parse(text).ok()) {
            for part in template.parts() {
                let Part::Slot { path, default: None } = part else { continue };
                let Some(column) = path.first() else { continue };
                if names.iter().any(|name| name == column.as_str()) {
                    continue;
                }
                let given = names.iter().map(Str::as_str).collect::<Vec<_>>().join(", ");
                let message = format!("${{{}}} is never there: the rule's output is {given}", path.join("."));
                let fault =
                    Diagnostic::action(format!("{field}.params.{}", as_written(config, spec, setting.name)), message);
                let hint = format!("select {column}, or give a default as in ${{{column}:-none}}");
                let hint = if setting.default.is_some_and(|default| params.text(setting.name) == Some(default)) {
                    format!("{} was not set and has this default; set it, or select {column}", setting.name)
                } else {
                    hint
                };
                faults.push(fault.with_hint(hint));
            }
        }
    }
}
