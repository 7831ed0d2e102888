//! Evaluation of one batch: events grouped by the rules they concern, one payload extraction an event, then each rule in
//! its vectorised form over the group, or row by row where the group is small.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use model::Event;
use sql::{Decoded, EventView, Outcome};

use super::set::RuleSet;
use crate::rule::Rule;
use crate::vector::VECTOR_ROWS_MIN;

/// The events of a batch with the rules they concern.
pub(crate) type Events = Vec<(Event, Arc<RuleSet>)>;

/// What one rule made of the events of a batch, by event index; not in order.
pub(crate) struct RuleOutcomes {
    pub(crate) rule: Arc<Rule>,
    pub(crate) of_events: Vec<(usize, Outcome)>,
}

/// Outcomes by the address of their rule: a rule that was changed between two events of a batch is two rules here.
type ByRule = HashMap<*const Rule, RuleOutcomes, RandomState>;

/// Evaluates a batch. A rule's outcomes of several groups come together.
pub(crate) fn evaluate(events: &Events) -> Vec<RuleOutcomes> {
    let mut by_rule = ByRule::default();
    let mut left: Vec<usize> = (0..events.len()).collect();
    while let Some(first) = left.first().and_then(|index| events.get(*index)) {
        let set = &first.1;
        let (group, rest): (Vec<usize>, Vec<usize>) = if left.len() == 1 {
            (std::mem::take(&mut left), Vec::new())
        } else {
            left.into_iter().partition(|index| events.get(*index).is_some_and(|(_, other)| Arc::ptr_eq(other, set)))
        };
        evaluate_group(events, &group, set, &mut by_rule);
        left = rest;
    }
    by_rule.into_values().collect()
}

fn evaluate_group(events: &Events, group: &[usize], set: &RuleSet, by_rule: &mut ByRule) {
    let views: Vec<EventView<'_>> =
        group.iter().filter_map(|index| events.get(*index)).map(|(event, _)| EventView::new(event)).collect();
    let decoded: Vec<Decoded> = if set.paths.is_empty() {
        Vec::new()
    } else {
        views.iter().map(|view| Decoded(view.extract(&set.paths))).collect()
    };
    let nothing = Decoded(Ok(Vec::new()));
    for (rule, slots) in &set.rules {
        let found = by_rule
            .entry(Arc::as_ptr(rule))
            .or_insert_with(|| RuleOutcomes { rule: Arc::clone(rule), of_events: Vec::with_capacity(group.len()) });
        if group.len() >= VECTOR_ROWS_MIN && rule.program.is_useful() {
            let outcomes = rule.program.evaluate(&rule.plan, &views, &decoded, slots);
            found.of_events.extend(group.iter().copied().zip(outcomes));
            continue;
        }
        for (place, (index, view)) in group.iter().zip(&views).enumerate() {
            let outcome = sql::evaluate_shared(&rule.plan, view, decoded.get(place).unwrap_or(&nothing), slots);
            found.of_events.push((*index, outcome));
        }
    }
}
