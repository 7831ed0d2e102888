//! The subscription trie.
//!
//! Filters without wildcards are keys of a hash map. Filters with wildcards are paths of a trie that branches by levels;
//! what lies between two branchings is one node with a label of several levels, so that a filter that shares nothing costs
//! one node, not one for each level. Topics that start with `$` have a root of their own, so that no node has to know
//! about [MQTT-4.7.2-1].
//!
//! Invariants:
//! - A node other than a root has values or at least two children: churn gives every node back.
//! - `#` is only ever the last level of a label, and a node whose label ends with it has no children.
//! - Matching visits at most the number of nodes the caller allows. `+/+/+/…` filters can make a walk exponential in the
//!   levels of the topic; that is a bound of the server, never a stall.

use std::collections::HashMap;
use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::Slots;
use super::arena::{Arena, Id};
use super::label::{Label, common_levels, split_level};

/// The roots; being nobody's children, their ids also say "none".
const NORMAL_ROOT: Id = 0;
const DOLLAR_ROOT: Id = 1;
const NONE: Id = NORMAL_ROOT;

/// Nodes a walk remembers without allocating.
const STACK: usize = 16;

/// Values by topic filter.
#[derive(Debug)]
pub struct Trie<V> {
    exact: HashMap<Box<str>, Slots<V>, RandomState>,
    nodes: Arena<Node<V>>,
    hasher: RandomState,
    len: usize,
    filter_count: usize,
}

#[derive(Debug)]
struct Node<V> {
    /// The levels that lead here from the parent.
    label: Label,
    /// Values of the filter that ends here.
    slots: Slots<V>,
    branch: Option<Box<Branch>>,
}

/// The children of a node, by the first level of their labels.
#[derive(Debug, Default)]
struct Branch {
    named: HashTable<Id>,
    /// The child whose label begins with `+`.
    plus: Id,
    /// The child whose label is `#`.
    hash: Id,
}

impl<V> Default for Node<V> {
    fn default() -> Self {
        Self::new(b"")
    }
}

impl<V> Node<V> {
    fn new(label: &[u8]) -> Self {
        Self { label: Label::new(label), slots: Slots::Empty, branch: None }
    }
}

impl Branch {
    fn len(&self) -> usize {
        self.named.len() + usize::from(self.plus != NONE) + usize::from(self.hash != NONE)
    }

    /// The only child there is.
    fn only(&self) -> Option<Id> {
        if self.len() != 1 {
            return None;
        }
        self.named.iter().copied().chain([self.plus, self.hash]).find(|id| *id != NONE)
    }
}

/// What a match found out besides the values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Matched {
    /// Distinct filters that matched; with one filter no session can appear twice.
    pub filters: usize,
    /// The visit limit ended the walk: there may be more values.
    pub cut_short: bool,
}

impl<V> Default for Trie<V> {
    fn default() -> Self {
        let mut nodes = Arena::default();
        nodes.insert(Node::default());
        nodes.insert(Node::default());
        Self { exact: HashMap::default(), nodes, hasher: RandomState::default(), len: 0, filter_count: 0 }
    }
}

impl<V> Trie<V> {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Number of different filters.
    pub fn filter_count(&self) -> usize {
        self.filter_count
    }

    /// Nodes in use for filters with wildcards; the two roots are always there.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// Puts `value` under `filter` and `key`; returns the value it replaces.
    pub fn insert(&mut self, filter: &str, key: u64, value: V) -> Option<V> {
        let slots = if is_exact(filter) {
            self.exact.entry(filter.into()).or_insert(Slots::Empty)
        } else {
            let id = self.node_or_new(filter);
            // The arena has just said that the node is there.
            &mut self.nodes.get_mut(id)?.slots
        };
        self.filter_count += usize::from(slots.is_empty());
        let old = slots.insert(key, value);
        self.len += usize::from(old.is_none());
        old
    }

    /// The value under `filter` and `key`.
    pub fn get(&self, filter: &str, key: u64) -> Option<&V> {
        if is_exact(filter) {
            return self.exact.get(filter)?.get(key);
        }
        let mut path = Vec::new();
        let id = self.find(filter, &mut path)?;
        self.nodes.get(id)?.slots.get(key)
    }

    /// Takes the value under `filter` and `key` away.
    pub fn remove(&mut self, filter: &str, key: u64) -> Option<V> {
        let (removed, is_last) = if is_exact(filter) {
            let slots = self.exact.get_mut(filter)?;
            let removed = slots.remove(key)?;
            let is_last = slots.is_empty();
            if is_last {
                self.exact.remove(filter);
            }
            (removed, is_last)
        } else {
            let mut path = Vec::new();
            let id = self.find(filter, &mut path)?;
            let slots = &mut self.nodes.get_mut(id)?.slots;
            let removed = slots.remove(key)?;
            let is_last = slots.is_empty();
            if is_last {
                self.tidy(id, path.pop());
            }
            (removed, is_last)
        };
        self.filter_count -= usize::from(is_last);
        self.len -= 1;
        Some(removed)
    }

    /// Calls `each` with the value of every filter that matches `topic`, visiting at most `visits_max` nodes.
    pub fn matches(&self, topic: &str, visits_max: usize, mut each: impl FnMut(&V)) -> Matched {
        let mut matched = Matched::default();
        let mut take = |slots: &Slots<V>| {
            if !slots.is_empty() {
                matched.filters += 1;
                slots.for_each(&mut each);
            }
        };
        if let Some(slots) = self.exact.get(topic) {
            take(slots);
        }
        // Depth first with a stack of its own: recursion depth must not be the client's choice.
        let mut stack = Stack::default();
        stack.push((root_of(topic), Some(topic.as_bytes())));
        let mut visits = 0;
        while let Some((id, rest)) = stack.pop() {
            visits += 1;
            if visits > visits_max {
                matched.cut_short = true;
                break;
            }
            let Some(node) = self.nodes.get(id) else { continue };
            // A root has no label of its own.
            let rest = if id <= DOLLAR_ROOT { Passed::Before(rest) } else { pass(node.label.bytes(), rest) };
            let rest = match rest {
                Passed::Not => continue,
                Passed::All => {
                    take(&node.slots);
                    continue;
                }
                Passed::Before(rest) => rest,
            };
            if rest.is_none() {
                take(&node.slots);
            }
            let Some(branch) = &node.branch else { continue };
            if branch.hash != NONE
                && let Some(child) = self.nodes.get(branch.hash)
            {
                take(&child.slots);
            }
            let Some(rest) = rest else { continue };
            if branch.plus != NONE {
                stack.push((branch.plus, Some(rest)));
            }
            if let Some(child) = self.named_child(branch, split_level(rest).0) {
                stack.push((child, Some(rest)));
            }
        }
        matched
    }

    fn named_child(&self, branch: &Branch, level: &[u8]) -> Option<Id> {
        let is_it = |id: &Id| self.nodes.get(*id).is_some_and(|node| split_level(node.label.bytes()).0 == level);
        branch.named.find(self.hasher.hash_one(level), is_it).copied()
    }

    fn child(&self, at: Id, level: &[u8]) -> Option<Id> {
        let branch = self.nodes.get(at)?.branch.as_ref()?;
        match level {
            b"+" => Some(branch.plus).filter(|id| *id != NONE),
            b"#" => Some(branch.hash).filter(|id| *id != NONE),
            _ => self.named_child(branch, level),
        }
    }

    /// The node of `filter`; `path` gets its ancestors.
    fn find(&self, filter: &str, path: &mut Vec<Id>) -> Option<Id> {
        let mut at = root_of(filter);
        let mut rest = Some(filter.as_bytes());
        while let Some(text) = rest {
            path.push(at);
            at = self.child(at, split_level(text).0)?;
            let label = self.nodes.get(at)?.label.bytes();
            rest = match text.strip_prefix(label)? {
                [] => None,
                [b'/', tail @ ..] => Some(tail),
                _ => return None,
            };
        }
        Some(at)
    }

    /// The node of `filter`, made when there is none.
    fn node_or_new(&mut self, filter: &str) -> Id {
        let mut at = root_of(filter);
        let mut rest = filter.as_bytes();
        loop {
            let Some(child) = self.child(at, split_level(rest).0) else {
                let new = self.nodes.insert(Node::new(rest));
                self.attach(at, new);
                return new;
            };
            let label = self.nodes.get(child).map_or(&b""[..], |node| node.label.bytes());
            // The first level is the same, or it would not be this child.
            let common = common_levels(label, rest).unwrap_or(label.len());
            if common < label.len() {
                self.split(child, common);
            }
            at = child;
            match rest.get(common + 1..) {
                Some(tail) => rest = tail,
                None => return child,
            }
        }
    }

    /// Splits a node's label after `head_len` bytes: what it held moves to a new child. The node keeps its id, so that its
    /// parent needs no change.
    fn split(&mut self, id: Id, head_len: usize) {
        let Some(node) = self.nodes.get_mut(id) else { return };
        let label = std::mem::replace(&mut node.label, Label::new(b""));
        let (head, tail) = (label.bytes().get(..head_len), label.bytes().get(head_len + 1..));
        node.label = Label::new(head.unwrap_or_default());
        let lower = Node {
            label: Label::new(tail.unwrap_or_default()),
            slots: std::mem::replace(&mut node.slots, Slots::Empty),
            branch: node.branch.take(),
        };
        let lower = self.nodes.insert(lower);
        self.attach(id, lower);
    }

    fn attach(&mut self, parent: Id, child: Id) {
        let level = self.first_level_hash(child);
        let Some(node) = self.nodes.get_mut(parent) else { return };
        let mut branch = node.branch.take().unwrap_or_default();
        match level {
            Level::Plus => branch.plus = child,
            Level::Hash => branch.hash = child,
            Level::Named(hash) => {
                let rehash = |id: &Id| match self.first_level_hash(*id) {
                    Level::Named(hash) => hash,
                    Level::Plus | Level::Hash => 0,
                };
                branch.named.insert_unique(hash, child, rehash);
            }
        }
        if let Some(node) = self.nodes.get_mut(parent) {
            node.branch = Some(branch);
        }
    }

    fn detach(&mut self, parent: Id, child: Id) {
        let level = self.first_level_hash(child);
        let Some(node) = self.nodes.get_mut(parent) else { return };
        let Some(branch) = &mut node.branch else { return };
        match level {
            Level::Plus => branch.plus = NONE,
            Level::Hash => branch.hash = NONE,
            Level::Named(hash) => {
                if let Ok(found) = branch.named.find_entry(hash, |id| *id == child) {
                    found.remove();
                }
            }
        }
        if branch.len() == 0 {
            node.branch = None;
        }
    }

    fn first_level_hash(&self, id: Id) -> Level {
        let label = self.nodes.get(id).map_or(&b""[..], |node| node.label.bytes());
        match split_level(label).0 {
            b"+" => Level::Plus,
            b"#" => Level::Hash,
            level => Level::Named(self.hasher.hash_one(level)),
        }
    }

    /// `id` has lost its last value: it goes when it has no child, and becomes one with its child when it has one.
    fn tidy(&mut self, id: Id, parent: Option<Id>) {
        let Some(parent) = parent else { return };
        let child_count = self.nodes.get(id).and_then(|node| node.branch.as_ref()).map_or(0, |branch| branch.len());
        if child_count == 0 {
            self.detach(parent, id);
            self.nodes.remove(id);
            self.join(parent);
        } else {
            self.join(id);
        }
    }

    /// Makes a node without values one with its only child.
    fn join(&mut self, id: Id) {
        if id <= DOLLAR_ROOT {
            return;
        }
        let Some(node) = self.nodes.get(id).filter(|node| node.slots.is_empty()) else { return };
        let Some(child) = node.branch.as_ref().and_then(|branch| branch.only()) else { return };
        let child = self.nodes.remove(child);
        if let Some(node) = self.nodes.get_mut(id) {
            *node = Node { label: node.label.joined(&child.label), ..child };
        }
    }
}

/// Where a child stands among its parent's children.
enum Level {
    Named(u64),
    Plus,
    Hash,
}

/// How far a label takes a topic.
enum Passed<'t> {
    /// It does not match.
    Not,
    /// It ends with `#` and matches whatever there is.
    All,
    /// It matches, and this is left; `None`: nothing.
    Before(Option<&'t [u8]>),
}

fn pass<'t>(label: &[u8], topic: Option<&'t [u8]>) -> Passed<'t> {
    let mut wanted = Some(label);
    let mut rest = topic;
    while let Some(label) = wanted {
        let (pattern, label_rest) = split_level(label);
        if pattern == b"#" {
            return Passed::All;
        }
        let Some(topic) = rest else { return Passed::Not };
        let (level, topic_rest) = split_level(topic);
        if pattern != b"+" && pattern != level {
            return Passed::Not;
        }
        (wanted, rest) = (label_rest, topic_rest);
    }
    Passed::Before(rest)
}

type Visit<'t> = (Id, Option<&'t [u8]>);

/// A stack whose first entries need no allocation.
#[derive(Default)]
struct Stack<'t> {
    first: [Visit<'t>; STACK],
    first_len: usize,
    more: Vec<Visit<'t>>,
}

impl<'t> Stack<'t> {
    fn push(&mut self, visit: Visit<'t>) {
        match self.first.get_mut(self.first_len) {
            Some(place) => {
                *place = visit;
                self.first_len += 1;
            }
            None => self.more.push(visit),
        }
    }

    fn pop(&mut self) -> Option<Visit<'t>> {
        if let Some(visit) = self.more.pop() {
            return Some(visit);
        }
        self.first_len = self.first_len.checked_sub(1)?;
        self.first.get(self.first_len).copied()
    }
}

fn is_exact(filter: &str) -> bool {
    !filter.bytes().any(|byte| byte == b'+' || byte == b'#')
}

fn root_of(topic_or_filter: &str) -> Id {
    if topic_or_filter.starts_with('$') { DOLLAR_ROOT } else { NORMAL_ROOT }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(trie: &Trie<u64>, topic: &str) -> Vec<u64> {
        let mut keys = Vec::new();
        trie.matches(topic, usize::MAX, |key| keys.push(*key));
        keys.sort_unstable();
        keys
    }

    fn level() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec!["a", "b", "", "$x", "c"])
    }

    fn filter() -> impl Strategy<Value = String> {
        (prop::collection::vec(prop_oneof![3 => level(), 1 => Just("+")], 1..5), any::<bool>()).prop_map(
            |(mut levels, hash)| {
                if hash {
                    levels.push("#");
                }
                levels.join("/")
            },
        )
    }

    fn topic() -> impl Strategy<Value = String> {
        prop::collection::vec(level(), 1..6).prop_map(|levels| levels.join("/"))
    }

    proptest! {
        #[test]
        fn matches_what_the_naive_matcher_matches(
            filters in prop::collection::vec(filter(), 0..30),
            removed in prop::collection::vec(any::<bool>(), 30),
            topics in prop::collection::vec(topic(), 1..20),
        ) {
            let mut trie = Trie::default();
            for (key, filter) in filters.iter().enumerate() {
                trie.insert(filter, key as u64, key as u64);
            }
            for (key, filter) in filters.iter().enumerate().filter(|(key, _)| removed[*key]) {
                prop_assert_eq!(trie.get(filter, key as u64), Some(&(key as u64)));
                prop_assert_eq!(trie.remove(filter, key as u64), Some(key as u64));
            }
            let kept: std::collections::BTreeSet<&String> =
                filters.iter().enumerate().filter(|(key, _)| !removed[*key]).map(|(_, filter)| filter).collect();
            prop_assert_eq!(trie.filter_count(), kept.len());
            for topic in &topics {
                let expected: Vec<u64> = filters.iter().enumerate()
                    .filter(|(key, filter)| !removed[*key] && model::filter_matches(filter, topic))
                    .map(|(key, _)| key as u64)
                    .collect();
                prop_assert_eq!(found(&trie, topic), expected, "topic {}", topic);
            }
            for (key, filter) in filters.iter().enumerate().filter(|(key, _)| !removed[*key]) {
                trie.remove(filter, key as u64);
            }
            prop_assert!(trie.is_empty());
            prop_assert_eq!(trie.filter_count(), 0);
            prop_assert_eq!(trie.node_count(), 2, "removing everything gives every node back");
        }
    }

    #[test]
    fn a_walk_stops_at_the_visit_limit_and_says_so() {
        let mut trie = Trie::default();
        for bits in 0..1u32 << 12 {
            let levels: Vec<&str> = (0..12).map(|bit| if bits >> bit & 1 == 1 { "+" } else { "a" }).collect();
            trie.insert(&levels.join("/"), 1, 1);
        }
        let topic = ["a"; 12].join("/");
        let all = trie.matches(&topic, usize::MAX, |_| {});
        assert_eq!((all.filters, all.cut_short), (1 << 12, false));
        assert!(trie.matches(&topic, 100, |_| {}).cut_short);
    }

    #[test]
    fn a_key_is_replaced_in_place() {
        let mut trie = Trie::default();
        for filter in ["a/b", "a/+", "#"] {
            assert_eq!(trie.insert(filter, 1, 1), None);
            assert_eq!(trie.insert(filter, 2, 2), None);
            assert_eq!(trie.insert(filter, 1, 3), Some(1));
            assert_eq!(trie.remove(filter, 9), None);
        }
        assert_eq!(found(&trie, "a/b"), [2, 2, 2, 3, 3, 3]);
        assert_eq!(trie.len(), 6);
    }
}
