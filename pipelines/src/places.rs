//! From what a server says about an object back to the place in the file that made it.

use crate::pipeline::{Pipeline, Settings, Sink, resource_id, rule_id};
use crate::problem::{Place, Problem, Severity};

impl Pipeline {
    /// A problem at the place of the rule or resource with this id; `None` when it is not one of this file's. `field` is
    /// the server's path into it, such as `actions[0].params.table` or a key of a resource's settings, and `sql_byte`
    /// a place in the SQL of a rule: the nearest place there is for them.
    pub fn problem_of(&self, id: &str, field: &str, sql_byte: Option<usize>, message: &str) -> Option<Problem> {
        let rule = self.rules.iter().find(|rule| rule_id(&rule.name) == id);
        let resource = self.resources.iter().find(|resource| resource_id(&resource.name) == id);
        let place = match (rule, resource) {
            (Some(rule), _) if field == "sql" => sql_byte.map_or(rule.at, |byte| rule.place(byte)),
            (Some(rule), _) => action_place(&rule.sinks, field).unwrap_or(rule.at),
            (None, Some(resource)) => key_place(&resource.settings, field).unwrap_or(resource.at),
            (None, None) => return None,
        };
        Some(Problem { file: self.file.clone(), place, severity: Severity::Error, message: message.to_owned() })
    }
}

/// `actions[2].params.url`, `actions[0].fallback[1].params.$resource`, `actions[0].batch.records_max`, …
fn action_place(sinks: &[Sink], field: &str) -> Option<Place> {
    let (sink, rest) = indexed(sinks, field, "actions[")?;
    let (sink, rest) = indexed(&sink.fallback, rest, "fallback[").unwrap_or((sink, rest));
    Some(match rest.strip_prefix("params.") {
        Some("$resource") => sink.resource_at,
        Some(key) => key_place(&sink.param_settings, key).unwrap_or(sink.at),
        None if rest == "name" => sink.action_at,
        None => sink.at,
    })
}

/// The sink that `PREFIX NUMBER ]` names, and what follows.
fn indexed<'s, 'f>(sinks: &'s [Sink], field: &'f str, prefix: &str) -> Option<(&'s Sink, &'f str)> {
    let (number, rest) = field.strip_prefix(prefix)?.split_once(']')?;
    Some((sinks.get(number.parse::<usize>().ok()?)?, rest.strip_prefix('.').unwrap_or(rest)))
}

/// The value of a key, or of the map that has it.
fn key_place(settings: &Settings, key: &str) -> Option<Place> {
    let head = key.split_once('.').map_or(key, |(head, _)| head);
    settings.find(key).or_else(|| settings.find(head)).map(|known| known.value)
}
