//! Evaluation of one batch: events grouped by the rules they concern, one payload extraction an event, then each rule in
//! its vectorised form over the group, or row by row where the group is small.
//!
//! Invariant: a panic in the evaluation fails the one row that caused it.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use foldhash::fast::RandomState;
use model::Event;
use sql::{Class, Decoded, EventView, Outcome, RowError, Span};

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

/// How a rule is evaluated. The tests put one in that panics.
pub(crate) trait Evaluate {
    /// The payload paths of one event.
    fn extract(&self, view: &EventView<'_>, set: &RuleSet) -> Decoded;
    /// The vectorised form over a group.
    fn columns(&self, rule: &Rule, views: &[EventView<'_>], decoded: &[Decoded], slots: &[usize]) -> Vec<Outcome>;
    /// The row form over one event.
    fn row(&self, rule: &Rule, view: &EventView<'_>, decoded: &Decoded, slots: &[usize]) -> Outcome;
}

/// The compiled forms of the rule.
pub(crate) struct Compiled;

impl Evaluate for Compiled {
    fn extract(&self, view: &EventView<'_>, set: &RuleSet) -> Decoded {
        Decoded(view.extract(&set.paths))
    }

    fn columns(&self, rule: &Rule, views: &[EventView<'_>], decoded: &[Decoded], slots: &[usize]) -> Vec<Outcome> {
        rule.program.evaluate(&rule.plan, views, decoded, slots)
    }

    fn row(&self, rule: &Rule, view: &EventView<'_>, decoded: &Decoded, slots: &[usize]) -> Outcome {
        sql::evaluate_shared(&rule.plan, view, decoded, slots)
    }
}

/// Evaluates a batch. A rule's outcomes of several groups come together.
pub(crate) fn evaluate(events: &Events, by: &impl Evaluate) -> Vec<RuleOutcomes> {
    let mut by_rule = ByRule::default();
    let mut left: Vec<usize> = (0..events.len()).collect();
    while let Some(first) = left.first().and_then(|index| events.get(*index)) {
        let set = &first.1;
        let (group, rest): (Vec<usize>, Vec<usize>) = if left.len() == 1 {
            (std::mem::take(&mut left), Vec::new())
        } else {
            left.into_iter().partition(|index| events.get(*index).is_some_and(|(_, other)| Arc::ptr_eq(other, set)))
        };
        evaluate_group(events, &group, set, by, &mut by_rule);
        left = rest;
    }
    by_rule.into_values().collect()
}

fn evaluate_group(events: &Events, group: &[usize], set: &RuleSet, by: &impl Evaluate, by_rule: &mut ByRule) {
    let views: Vec<EventView<'_>> =
        group.iter().filter_map(|index| events.get(*index)).map(|(event, _)| EventView::new(event)).collect();
    // A payload whose reading panics is an error of every rule of its event.
    let decoded: Vec<Result<Decoded, RowError>> = if set.paths.is_empty() {
        Vec::new()
    } else {
        views.iter().map(|view| contained(|| by.extract(view, set))).collect()
    };
    let (decoded, unread) = readable(decoded);
    let nothing = Decoded(Ok(Vec::new()));
    for (rule, slots) in &set.rules {
        let found = by_rule
            .entry(Arc::as_ptr(rule))
            .or_insert_with(|| RuleOutcomes { rule: Arc::clone(rule), of_events: Vec::with_capacity(group.len()) });
        if group.len() >= VECTOR_ROWS_MIN && rule.program.is_useful() && unread.is_empty() {
            // When the whole group panics, the row form finds the row that did it.
            if let Ok(outcomes) = contained(|| by.columns(rule, &views, &decoded, slots)) {
                found.of_events.extend(group.iter().copied().zip(outcomes));
                continue;
            }
        }
        for (place, (index, view)) in group.iter().zip(&views).enumerate() {
            let outcome = match unread.get(&place) {
                Some(error) => Outcome::Error(error.clone()),
                None => {
                    let decoded = decoded.get(place).unwrap_or(&nothing);
                    contained(|| by.row(rule, view, decoded, slots)).unwrap_or_else(Outcome::Error)
                }
            };
            found.of_events.push((*index, outcome));
        }
    }
}

/// The payloads that were read, and the errors of those that were not, by their place.
fn readable(decoded: Vec<Result<Decoded, RowError>>) -> (Vec<Decoded>, HashMap<usize, RowError, RandomState>) {
    let mut unread = HashMap::default();
    let read = decoded
        .into_iter()
        .enumerate()
        .map(|(place, decoded)| {
            decoded.unwrap_or_else(|error| {
                unread.insert(place, error);
                Decoded(Ok(Vec::new()))
            })
        })
        .collect();
    (read, unread)
}

/// A panic becomes the error of its row: a fault in one function must not cost its neighbours anything.
fn contained<T>(task: impl FnOnce() -> T) -> Result<T, RowError> {
    catch_unwind(AssertUnwindSafe(task)).map_err(|panic| {
        let text = panic.downcast_ref::<&str>().copied().map(str::to_owned);
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        let text = text.unwrap_or_else(|| "it gave no reason".to_owned());
        RowError {
            class: Class::Internal,
            message: format!("the evaluation panicked, which is a fault of weir: {text}"),
            span: Span::default(),
            undecodable: false,
        }
    })
}
