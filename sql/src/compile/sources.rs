//! FROM: which names are events and which are topic filters.

use model::EventKind;

use super::Compiler;
use crate::ast::SourceName;
use crate::catalogue;
use crate::plan::{Generation, Source};
use crate::span::Class;

/// Beginnings that say a bare name is meant as an event of 3.4.5 and not as a topic.
const EVENT_FAMILIES: [&str; 5] = ["message.", "client.", "session.", "delivery.", "alarm."];

/// The kinds of events a FROM clause can see.
pub(super) fn kinds_of(sources: &[Source]) -> Vec<EventKind> {
    let mut kinds = Vec::new();
    for source in sources {
        match source {
            Source::TopicFilter(_) => kinds.push(EventKind::MessagePublish),
            Source::Event { kinds: some, .. } => kinds.extend(some),
        }
    }
    kinds
}

impl Compiler<'_> {
    pub(super) fn sources(&mut self, names: &[SourceName]) -> (Vec<Source>, Generation) {
        self.class = Class::Plan;
        let mut generation = Generation::V5;
        let mut sources: Vec<Source> = Vec::new();
        for name in names {
            if let Some(kind) = catalogue::kind_of_v3_name(&name.name) {
                generation = Generation::V3;
                sources.push(Source::Event { pattern: name.name.clone(), kinds: vec![kind] });
            } else if name.name.starts_with("$events/") || name.name.starts_with("$events") && name.name.len() == 7 {
                sources.extend(self.event_pattern(name));
            } else {
                sources.extend(self.topic_filter(name));
            }
        }
        (sources, generation)
    }

    fn event_pattern(&mut self, name: &SourceName) -> Option<Source> {
        match catalogue::kinds_of_pattern(&name.name) {
            Some(kinds) => Some(Source::Event { pattern: name.name.clone(), kinds }),
            None => {
                self.unknown_event(name, catalogue::v5_names());
                None
            }
        }
    }

    fn topic_filter(&mut self, name: &SourceName) -> Option<Source> {
        let text = name.name.as_str();
        if let Some(system) = ["$bridges/", "$sources/"].into_iter().find(|prefix| text.starts_with(prefix)) {
            self.report(name.span, format!("sources of the form {system}type:name are not built yet"));
            return None;
        }
        // `Client.Connected` is an event in the wrong case, not a topic.
        let misspelt = catalogue::kind_of_v3_name(&text.to_ascii_lowercase()).is_some()
            || EVENT_FAMILIES.iter().any(|family| text.starts_with(family)) && !text.contains('/');
        if misspelt {
            self.unknown_event(name, catalogue::v3_names());
            return None;
        }
        if let Err(error) = model::validate_filter(text) {
            self.report(name.span, format!("\"{text}\" is neither an event nor a topic filter: {error}"));
            return None;
        }
        Some(Source::TopicFilter(text.to_owned()))
    }

    fn unknown_event(&mut self, name: &SourceName, known: Vec<&'static str>) {
        let mut near: Vec<(f64, &str)> =
            known.iter().map(|known| (strsim::jaro_winkler(known, &name.name), *known)).collect();
        near.sort_by(|a, b| b.0.total_cmp(&a.0));
        let hint = match near.first() {
            Some((likeness, best)) if *likeness > 0.85 => format!("did you mean \"{best}\"?"),
            _ => format!("events: {}", known.join(", ")),
        };
        self.report_with_hint(name.span, format!("there is no event \"{}\"", name.name), hint);
    }
}
