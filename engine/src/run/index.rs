//! Finds the rules an event concerns: a trie over the topic filters of FROM and of WHERE, and a list for each other kind
//! of event. Rules on other topics cost nothing.
//!
//! Invariants: [`Index::find`] gives exactly the enabled rules whose FROM matches the event and whose topic hints, if
//! any, match its topic; an event nobody wants makes no allocation.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use model::{EventKind, Str};
use parking_lot::RwLock;

use super::set::RuleSet;
use crate::rule::Rule;

/// Combinations of rules remembered; beyond it they are made anew for each event, which is slower and never wrong.
const SETS_MAX: usize = 4096;

/// The rules by what they select.
#[derive(Default)]
pub(crate) struct Index {
    /// Rules by slot; a deleted rule's slot is used again.
    slots: Vec<Option<Arc<Rule>>>,
    free: Vec<u32>,
    by_id: HashMap<Str, u32, RandomState>,
    topics: Node,
    /// Slots by event kind, for everything but published messages found by topic.
    kinds: HashMap<EventKind, Vec<u32>, RandomState>,
    /// Sets that were asked for, by their slots. Emptied whenever the rules change.
    sets: RwLock<HashMap<Box<[u32]>, Arc<RuleSet>, RandomState>>,
}

/// One level of the topic trie.
#[derive(Default)]
struct Node {
    children: HashMap<Str, Node, RandomState>,
    plus: Option<Box<Node>>,
    /// Rules whose filter ends in `#` here.
    hash: Vec<u32>,
    /// Rules whose filter ends here.
    here: Vec<u32>,
}

thread_local! {
    /// The slots found for the event at hand; kept so that matching allocates nothing.
    static FOUND: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
}

impl Index {
    /// Adds an enabled rule; one of the same id is replaced.
    pub(crate) fn insert(&mut self, rule: Arc<Rule>) {
        self.remove(&rule.id);
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        for place in places(&rule) {
            match place {
                Place::Topic(filter) => self.topics.at(filter).push(slot),
                Place::Kind(kind) => self.kinds.entry(kind).or_default().push(slot),
            }
        }
        self.by_id.insert(rule.id.clone(), slot);
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = Some(rule);
        }
        self.sets.get_mut().clear();
    }

    /// Removes a rule; nothing happens when it is not there.
    pub(crate) fn remove(&mut self, id: &str) {
        let Some(slot) = self.by_id.remove(id) else { return };
        let Some(rule) = self.slots.get_mut(slot as usize).and_then(Option::take) else { return };
        for place in places(&rule) {
            match place {
                Place::Topic(filter) => drop(self.topics.remove(&mut filter.split('/'), slot)),
                Place::Kind(kind) => {
                    if let Some(slots) = self.kinds.get_mut(&kind) {
                        slots.retain(|known| *known != slot);
                    }
                }
            }
        }
        self.free.push(slot);
        self.sets.get_mut().clear();
    }

    /// Whether any rule selects from events of this kind.
    pub(crate) fn wants(&self, kind: EventKind) -> bool {
        self.kinds.get(&kind).is_some_and(|slots| !slots.is_empty())
            || kind == EventKind::MessagePublish && !self.topics.is_empty()
    }

    /// The rules for an event of `kind` on `topic`; `None` when there are none.
    pub(crate) fn find(&self, kind: EventKind, topic: Option<&str>) -> Option<Arc<RuleSet>> {
        FOUND.with_borrow_mut(|found| {
            found.clear();
            if let Some(slots) = self.kinds.get(&kind) {
                found.extend_from_slice(slots);
            }
            if kind == EventKind::MessagePublish
                && let Some(topic) = topic
            {
                self.topics.find(topic, topic.starts_with('$'), found);
            }
            found.sort_unstable();
            found.dedup();
            // A rule found by a hint in WHERE, or by its kind, still has to match the rest.
            found.retain(|slot| self.rule(*slot).is_some_and(|rule| rule.selects(kind, topic)));
            if found.is_empty() { None } else { Some(self.set(found)) }
        })
    }

    fn rule(&self, slot: u32) -> Option<&Arc<Rule>> {
        self.slots.get(slot as usize)?.as_ref()
    }

    fn set(&self, slots: &[u32]) -> Arc<RuleSet> {
        if let Some(known) = self.sets.read().get(slots) {
            return Arc::clone(known);
        }
        let set = Arc::new(RuleSet::new(slots.iter().filter_map(|slot| self.rule(*slot)).cloned()));
        let mut sets = self.sets.write();
        if sets.len() < SETS_MAX {
            sets.insert(slots.into(), Arc::clone(&set));
        }
        set
    }
}

/// Where a rule is found.
enum Place<'r> {
    Topic(&'r str),
    Kind(EventKind),
}

/// A published message is found by the hints of WHERE when there are any (they are the narrower), else by FROM.
fn places(rule: &Rule) -> Vec<Place<'_>> {
    let mut places = Vec::new();
    let selects_messages = rule.plan.selects_from(EventKind::MessagePublish);
    let by_hint = selects_messages && !rule.plan.topic_hints.is_empty();
    if by_hint {
        places.extend(rule.plan.topic_hints.iter().map(|hint| Place::Topic(hint)));
    }
    for source in &rule.plan.sources {
        match source {
            sql::plan::Source::TopicFilter(filter) if !by_hint => places.push(Place::Topic(filter)),
            sql::plan::Source::TopicFilter(_) => {}
            sql::plan::Source::Event { kinds, .. } => places.extend(
                kinds
                    .iter()
                    .filter(|kind| !(by_hint && **kind == EventKind::MessagePublish))
                    .map(|kind| Place::Kind(*kind)),
            ),
        }
    }
    places
}

impl Node {
    fn is_empty(&self) -> bool {
        self.children.is_empty() && self.plus.is_none() && self.hash.is_empty() && self.here.is_empty()
    }

    /// The list of rules with exactly this filter.
    fn at(&mut self, filter: &str) -> &mut Vec<u32> {
        let mut node = self;
        for level in filter.split('/') {
            match level {
                "#" => return &mut node.hash,
                "+" => node = node.plus.get_or_insert_default(),
                name => node = node.children.entry(Str::new(name)).or_default(),
            }
        }
        &mut node.here
    }

    /// Removes a rule at a filter and the nodes that are empty then; whether this node is.
    fn remove(&mut self, levels: &mut std::str::Split<'_, char>, slot: u32) -> bool {
        match levels.next() {
            None => self.here.retain(|known| *known != slot),
            Some("#") => self.hash.retain(|known| *known != slot),
            Some("+") => {
                if self.plus.as_mut().is_some_and(|plus| plus.remove(levels, slot)) {
                    self.plus = None;
                }
            }
            Some(name) => {
                if self.children.get_mut(name).is_some_and(|child| child.remove(levels, slot)) {
                    self.children.remove(name);
                }
            }
        }
        self.is_empty()
    }

    /// Adds the rules whose filter matches the levels of `rest`. `hidden`: this is the first level of a topic that
    /// starts with `$`, which no wildcard matches [MQTT-4.7.2-1].
    fn find(&self, rest: &str, hidden: bool, found: &mut Vec<u32>) {
        let mut node = self;
        let (mut rest, mut hidden) = (Some(rest), hidden);
        while let Some(levels) = rest {
            let (level, below) = levels.split_once('/').map_or((levels, None), |(level, below)| (level, Some(below)));
            if !hidden {
                found.extend_from_slice(&node.hash);
                if let Some(plus) = &node.plus {
                    match below {
                        Some(below) => plus.find(below, false, found),
                        None => plus.end(found),
                    }
                }
            }
            hidden = false;
            let Some(child) = node.children.get(level) else { return };
            node = child;
            rest = below;
        }
        node.end(found);
    }

    /// The topic ends here: `a/#` matches `a` itself.
    fn end(&self, found: &mut Vec<u32>) {
        found.extend_from_slice(&self.here);
        found.extend_from_slice(&self.hash);
    }
}
