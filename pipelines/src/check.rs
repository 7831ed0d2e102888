//! Checking a pipeline without a server: every rule is planned, every setting is validated against its connector's
//! specification, templates are held against the rule's columns, and the tests are run.

use std::collections::BTreeSet;

use connector::{
    ActionSettings, BatchDefaults, Config, ConfigError, Field, FieldKind, Registry, Template, action::SETTING_GROUPS,
};
use serde::Serialize;
use serde_json::Value as Json;

use crate::pipeline::{Pipeline, Resource, Rule, Settings, Sink};
use crate::problem::{Place, Problem, Severity, suggest};
use crate::testing::{TestReport, run_tests};

/// What `weir check` prints.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Everything that is wrong, in the file's order; failed tests are not repeated here.
    pub problems: Vec<Problem>,
    /// Every test.
    pub tests: Vec<TestReport>,
}

impl Report {
    /// No errors and no failed test; warnings are allowed.
    pub fn passed(&self) -> bool {
        self.problems.iter().all(|problem| problem.severity != Severity::Error)
            && self.tests.iter().all(|test| test.failures.is_empty())
    }
}

/// Checks a pipeline. Nothing is dialled and nothing is stored.
pub fn check(pipeline: &Pipeline, registry: &Registry) -> Report {
    let mut checker = Checker { pipeline, registry, problems: pipeline.warnings.clone(), seen: BTreeSet::new() };
    for resource in &pipeline.resources {
        checker.resource(resource);
    }
    for sink in &pipeline.sinks {
        checker.sink(sink);
    }
    let mut planned = true;
    for rule in &pipeline.rules {
        let plan = checker.plan(rule);
        planned &= plan.is_some();
        for sink in &rule.sinks {
            checker.sink(sink);
            if let Some(plan) = &plan {
                checker.templates(rule, sink, plan);
            }
            for sink in std::iter::once(sink).chain(&sink.fallback) {
                checker.built_in(sink, plan.as_ref());
            }
        }
    }
    checker.unused();
    let mut problems = checker.problems;
    problems.sort_by_key(|problem| problem.place);
    problems.dedup();
    // A rule that does not compile would fail each of its tests once more.
    let tests = if planned { run_tests(pipeline) } else { Vec::new() };
    Report { problems, tests }
}

struct Checker<'a> {
    pipeline: &'a Pipeline,
    registry: &'a Registry,
    problems: Vec<Problem>,
    /// Places of sinks that are checked already: a named sink stands in several rules.
    seen: BTreeSet<Place>,
}

impl Checker<'_> {
    fn report(&mut self, place: Place, severity: Severity, message: String) {
        self.problems.push(Problem { file: self.pipeline.file.clone(), place, severity, message });
    }

    fn fail(&mut self, place: Place, message: String) {
        self.report(place, Severity::Error, message);
    }

    fn resource(&mut self, resource: &Resource) {
        let Some(connector) = self.registry.get(&resource.kind) else {
            let known = self.registry.iter().map(|connector| connector.spec().name);
            let message = format!("there is no resource type {}; {}", resource.kind, suggest(&resource.kind, known));
            return self.fail(resource.kind_at, message);
        };
        let fields = connector.spec().fields;
        self.secrets(fields, &resource.settings);
        let place = if resource.settings.keys.is_empty() { resource.at } else { resource.settings.at };
        self.config_errors(Config::parse(fields, &resource.config).err(), &resource.settings, place);
    }

    /// Plans the rule; `None` when it does not compile.
    fn plan(&mut self, rule: &Rule) -> Option<sql::Plan> {
        match sql::compile(&rule.sql, &sql::Options::default()) {
            Ok(plan) => Some(plan),
            Err(diagnostics) => {
                for diagnostic in diagnostics {
                    let hint = diagnostic.hint.map(|hint| format!("; {hint}")).unwrap_or_default();
                    self.fail(
                        rule.place(diagnostic.span.start),
                        format!("rule {}: {} error: {}{hint}", rule.name, diagnostic.class, diagnostic.message),
                    );
                }
                None
            }
        }
    }

    fn sink(&mut self, sink: &Sink) {
        if !self.seen.insert(sink.at) {
            return;
        }
        for fallback in &sink.fallback {
            self.sink(fallback);
        }
        self.delivery(sink);
        if engine::built_in_actions().any(|name| name == sink.action) {
            if sink.resource.is_some() {
                self.fail(sink.resource_at, format!("the action {} needs no resource", sink.action));
            }
            return;
        }
        let Some((connector, action)) = self.registry.action(&sink.action) else {
            let known: Vec<&str> = self
                .registry
                .iter()
                .flat_map(|connector| connector.spec().actions)
                .map(|action| action.name)
                .chain(engine::built_in_actions())
                .collect();
            return self
                .fail(sink.action_at, format!("there is no action {}; {}", sink.action, suggest(&sink.action, known)));
        };
        let spec = connector.spec();
        match &sink.resource {
            None => self.fail(sink.at, format!("the action {} needs a resource of type {}", sink.action, spec.name)),
            Some(name) => {
                let named = self.pipeline.resources.iter().find(|resource| resource.name == *name);
                if let Some(resource) = named
                    && self.registry.get(&resource.kind).is_some_and(|other| other.spec().name != spec.name)
                {
                    self.fail(
                        sink.resource_at,
                        format!(
                            "the action {} needs a resource of type {}, {name} is a {}",
                            sink.action, spec.name, resource.kind
                        ),
                    );
                }
            }
        }
        self.secrets(action.params, &sink.param_settings);
        let place = if sink.param_settings.keys.is_empty() { sink.at } else { sink.param_settings.at };
        self.config_errors(Config::parse(action.params, &sink.params).err(), &sink.param_settings, place);
    }

    fn delivery(&mut self, sink: &Sink) {
        let batch = self.registry.action(&sink.action).map_or(BatchDefaults::NATURAL, |(_, action)| action.batch);
        self.config_errors(ActionSettings::parse(&sink.settings, batch).err(), &Settings::default(), sink.at);
    }

    /// Secrets are written as `{env: …}` or `{file: …}`, in secret settings and nowhere else.
    fn secrets(&mut self, fields: &[Field], settings: &Settings) {
        for key in settings.keys.iter().filter(|key| key.secret) {
            let field =
                fields.iter().find(|field| field.name == key.name || field.aliases.contains(&key.name.as_str()));
            if field.is_some_and(|field| !field.secret) {
                self.fail(key.value, format!("{} is no secret: write ${{env:NAME}} inside the value; {{env: …}} and {{file: …}} are for secrets", key.name));
            }
        }
    }

    fn config_errors(&mut self, errors: Option<Vec<ConfigError>>, settings: &Settings, place: Place) {
        for error in errors.unwrap_or_default() {
            let known = settings.find(&error.key);
            if known.is_some_and(|known| known.absent) {
                continue;
            }
            // An unknown key is wrong itself, a bad value is wrong where the value stands.
            let at = known
                .map_or(place, |known| if error.message.starts_with("unknown key") { known.key } else { known.value });
            self.fail(at, error.to_string());
        }
    }

    /// The parameters of a built-in action, as the engine checks them when it creates the rule.
    fn built_in(&mut self, sink: &Sink, plan: Option<&sql::Plan>) {
        let found = engine::check_built_in(&sink.to_action(), plan).unwrap_or_default();
        let errors = found.into_iter().map(|fault| {
            let key = fault.field.strip_prefix("actions[0].params.").unwrap_or_default().to_owned();
            let hint = fault.hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
            ConfigError { key, message: fault.message + &hint }
        });
        let place = if sink.param_settings.keys.is_empty() { sink.at } else { sink.param_settings.at };
        self.config_errors(Some(errors.collect()), &sink.param_settings, place);
    }

    /// Template variables that the rule can never fill.
    fn templates(&mut self, rule: &Rule, sink: &Sink, plan: &sql::Plan) {
        let Some((_, action)) = self.registry.action(&sink.action) else { return };
        let Some(outputs) = &plan.names else { return };
        for (name, text) in template_texts(action.params, &sink.params) {
            let Ok(template) = Template::parse(text) else { continue };
            for variable in template.names() {
                if outputs.iter().any(|output| output.as_str() == variable) {
                    continue;
                }
                let at = sink.param_settings.find(name).map_or(sink.at, |place| place.value);
                let message = format!(
                    "${{{variable}}}: the rule {} has no column {variable}; {}",
                    rule.name,
                    suggest(variable, outputs.iter().map(|output| output.as_str()))
                );
                self.fail(at, message);
            }
        }
    }

    fn unused(&mut self) {
        let used_sinks: BTreeSet<&str> = self
            .pipeline
            .rules
            .iter()
            .flat_map(|rule| &rule.sinks)
            .flat_map(|sink| std::iter::once(sink).chain(&sink.fallback))
            .filter_map(|sink| sink.name.as_deref())
            .collect();
        let unused: Vec<(Place, String)> = self
            .pipeline
            .sinks
            .iter()
            .filter(|sink| !sink.name.as_deref().is_some_and(|name| used_sinks.contains(name)))
            .map(|sink| (sink.at, format!("the sink {} is used by no rule", sink.name.as_deref().unwrap_or_default())))
            .collect();
        for (place, message) in unused {
            self.report(place, Severity::Warning, message);
        }
        let replaced = |source: &&crate::pipeline::Source| {
            self.pipeline
                .rules
                .iter()
                .any(|rule| crate::from::names(&rule.written.value).iter().any(|name| name.text == source.name))
        };
        let idle: Vec<(Place, String)> = self
            .pipeline
            .sources
            .iter()
            .filter(|source| !replaced(source))
            .map(|source| (source.at, format!("the source {} is used by no rule", source.name)))
            .collect();
        for (place, message) in idle {
            self.report(place, Severity::Warning, message);
        }
    }
}

/// The templates among the parameters.
fn template_texts<'a>(fields: &[Field], params: &'a Json) -> Vec<(&'a str, &'a str)> {
    let Some(object) = params.as_object() else { return Vec::new() };
    let mut texts = Vec::new();
    for (key, value) in object {
        let Some(field) = fields.iter().find(|field| field.name == key || field.aliases.contains(&key.as_str())) else {
            continue;
        };
        match (field.kind, value) {
            (FieldKind::Template | FieldKind::SqlTemplate, Json::String(text)) => {
                texts.push((key.as_str(), text.as_str()))
            }
            (FieldKind::TemplateMap, Json::Object(map)) => {
                texts.extend(map.values().filter_map(Json::as_str).map(|text| (key.as_str(), text)))
            }
            _ => {}
        }
    }
    texts
}

/// Keys beside `action`, `resource`, `params` and `fallback` that set how a sink's queue works.
pub(crate) fn delivery_keys() -> Vec<&'static str> {
    SETTING_GROUPS
        .iter()
        .flat_map(
            |(group, fields)| {
                if group.is_empty() { fields.iter().map(|field| field.name).collect() } else { vec![*group] }
            },
        )
        .collect()
}
