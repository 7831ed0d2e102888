//! The rules that one event concerns, with the union of the payload paths they read, so that a payload is decoded once
//! for all of them.

use std::sync::Arc;

use sql::PathSet;

use crate::rule::Rule;

/// Some rules, in the order of their slots.
pub(crate) struct RuleSet {
    /// The rules, each with the places of its own payload paths in `paths`.
    pub(crate) rules: Vec<(Arc<Rule>, Box<[usize]>)>,
    /// Every payload path that one of them reads.
    pub(crate) paths: PathSet,
    /// One of them promises at-least-once: the publisher waits until its rows are on disk.
    pub(crate) durable: bool,
}

impl RuleSet {
    /// The set of these rules.
    pub(crate) fn new(rules: impl Iterator<Item = Arc<Rule>>) -> Self {
        let mut paths = PathSet::new();
        let rules: Vec<_> = rules
            .map(|rule| {
                let slots = rule.plan.paths.paths().map(|path| paths.insert(path)).collect();
                (rule, slots)
            })
            .collect();
        let durable = rules.iter().any(|(rule, _)| rule.durable);
        Self { rules, paths, durable }
    }

    /// Whether a publisher has to wait although nothing is promised: a rule that blocks has rows that wait for room.
    pub(crate) fn is_congested(&self) -> bool {
        self.rules.iter().any(|(rule, _)| rule.is_congested())
    }
}
