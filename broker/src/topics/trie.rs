//! The subscription trie.
//!
//! Filters without wildcards are keys of a hash map. Filters with wildcards are paths of a trie whose nodes lie in one
//! arena; topics that start with `$` have a root of their own, so that no node has to know about [MQTT-4.7.2-1].
//!
//! Invariants:
//! - A node without values and children is given back at once: churn does not grow the arena.
//! - Matching visits at most the number of nodes the caller allows. `+/+/+/…` filters can make a walk exponential in the
//!   levels of the topic; that is a bound of the server, never a stall.

use std::collections::HashMap;

use super::Slots;

type ByText<V> = HashMap<Box<str>, V, foldhash::fast::RandomState>;
type NodeId = u32;

const NORMAL_ROOT: NodeId = 0;
const DOLLAR_ROOT: NodeId = 1;

/// Values by topic filter.
#[derive(Debug)]
pub struct Trie<V> {
    exact: ByText<Slots<V>>,
    nodes: Vec<Node<V>>,
    free: Vec<NodeId>,
    len: usize,
    filter_count: usize,
}

#[derive(Debug)]
struct Node<V> {
    children: Option<Box<ByText<NodeId>>>,
    /// The child for `+`; 0, the root, which is nobody's child, means none.
    plus: NodeId,
    /// Values of the filter that ends here.
    here: Slots<V>,
    /// Values of the filter that ends here with a further `#`.
    hash: Slots<V>,
}

impl<V> Node<V> {
    const fn new() -> Self {
        Self { children: None, plus: 0, here: Slots::Empty, hash: Slots::Empty }
    }

    fn is_unused(&self) -> bool {
        self.children.is_none() && self.plus == 0 && self.here.is_empty() && self.hash.is_empty()
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
        Self {
            exact: ByText::default(),
            nodes: vec![Node::new(), Node::new()],
            free: Vec::new(),
            len: 0,
            filter_count: 0,
        }
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

    /// Nodes in use for filters with wildcards.
    pub fn node_count(&self) -> usize {
        self.nodes.len() - self.free.len()
    }

    /// Puts `value` under `filter` and `key`; returns the value it replaces.
    pub fn insert(&mut self, filter: &str, key: u64, value: V) -> Option<V> {
        let old = if is_exact(filter) {
            let slots = self.exact.entry(filter.into()).or_insert(Slots::Empty);
            self.filter_count += usize::from(slots.is_empty());
            slots.insert(key, value)
        } else {
            self.insert_wildcard(filter, key, value)
        };
        self.len += usize::from(old.is_none());
        old
    }

    /// The value under `filter` and `key`.
    pub fn get(&self, filter: &str, key: u64) -> Option<&V> {
        if is_exact(filter) {
            return self.exact.get(filter)?.get(key);
        }
        let mut at = root_of(filter);
        for level in filter.split('/') {
            let node = self.nodes.get(at as usize)?;
            match level {
                "#" => return node.hash.get(key),
                "+" if node.plus != 0 => at = node.plus,
                "+" => return None,
                _ => at = *node.children.as_ref()?.get(level)?,
            }
        }
        self.nodes.get(at as usize)?.here.get(key)
    }

    /// Takes the value under `filter` and `key` away.
    pub fn remove(&mut self, filter: &str, key: u64) -> Option<V> {
        let removed = if is_exact(filter) {
            let slots = self.exact.get_mut(filter)?;
            let removed = slots.remove(key);
            if slots.is_empty() {
                self.filter_count -= 1;
                self.exact.remove(filter);
            }
            removed
        } else {
            self.remove_wildcard(filter, key)
        };
        self.len -= usize::from(removed.is_some());
        removed
    }

    /// Calls `each` with the value of every filter that matches `topic`, visiting at most `visits_max` nodes.
    pub fn matches(&self, topic: &str, visits_max: usize, mut each: impl FnMut(&V)) -> Matched {
        let mut matched = Matched::default();
        let mut take = |slots: &Slots<V>, matched: &mut Matched| {
            if !slots.is_empty() {
                matched.filters += 1;
                slots.for_each(&mut each);
            }
        };
        if let Some(slots) = self.exact.get(topic) {
            take(slots, &mut matched);
        }
        if self.node_count() <= 2 && self.nodes.iter().take(2).all(Node::is_unused) {
            return matched;
        }
        // Depth first with an explicit stack: recursion depth must not be the client's choice.
        let mut stack: Vec<(NodeId, Option<&str>)> = vec![(root_of(topic), Some(topic))];
        let mut visits = 0;
        while let Some((id, rest)) = stack.pop() {
            visits += 1;
            if visits > visits_max {
                matched.cut_short = true;
                break;
            }
            let Some(node) = self.nodes.get(id as usize) else { continue };
            take(&node.hash, &mut matched);
            let Some(rest) = rest else {
                take(&node.here, &mut matched);
                continue;
            };
            let (level, rest) = match rest.split_once('/') {
                Some((level, rest)) => (level, Some(rest)),
                None => (rest, None),
            };
            if node.plus != 0 {
                stack.push((node.plus, rest));
            }
            if let Some(&child) = node.children.as_ref().and_then(|children| children.get(level)) {
                stack.push((child, rest));
            }
        }
        matched
    }

    fn insert_wildcard(&mut self, filter: &str, key: u64, value: V) -> Option<V> {
        let mut at = root_of(filter);
        for level in filter.split('/') {
            if level == "#" {
                let slots = &mut self.nodes.get_mut(at as usize)?.hash;
                self.filter_count += usize::from(slots.is_empty());
                return slots.insert(key, value);
            }
            at = self.child_or_new(at, level);
        }
        let slots = &mut self.nodes.get_mut(at as usize)?.here;
        self.filter_count += usize::from(slots.is_empty());
        slots.insert(key, value)
    }

    fn child_or_new(&mut self, at: NodeId, level: &str) -> NodeId {
        if let Some(child) = self.child(at, level) {
            return child;
        }
        let child = match self.free.pop() {
            Some(id) => id,
            None => {
                self.nodes.push(Node::new());
                (self.nodes.len() - 1) as NodeId
            }
        };
        if let Some(node) = self.nodes.get_mut(at as usize) {
            if level == "+" {
                node.plus = child;
            } else {
                node.children.get_or_insert_default().insert(level.into(), child);
            }
        }
        child
    }

    fn child(&self, at: NodeId, level: &str) -> Option<NodeId> {
        let node = self.nodes.get(at as usize)?;
        if level == "+" {
            return (node.plus != 0).then_some(node.plus);
        }
        node.children.as_ref()?.get(level).copied()
    }

    fn remove_wildcard(&mut self, filter: &str, key: u64) -> Option<V> {
        let mut path: Vec<(NodeId, &str)> = Vec::new();
        let mut at = root_of(filter);
        let mut below_hash = false;
        for level in filter.split('/') {
            if level == "#" {
                below_hash = true;
                break;
            }
            path.push((at, level));
            at = self.child(at, level)?;
        }
        let node = self.nodes.get_mut(at as usize)?;
        let slots = if below_hash { &mut node.hash } else { &mut node.here };
        let removed = slots.remove(key);
        self.filter_count -= usize::from(removed.is_some() && slots.is_empty());
        for (parent, level) in path.into_iter().rev() {
            if !self.nodes.get(at as usize).is_some_and(Node::is_unused) {
                break;
            }
            self.free.push(at);
            if let Some(node) = self.nodes.get_mut(parent as usize) {
                if level == "+" {
                    node.plus = 0;
                } else if let Some(children) = node.children.as_mut() {
                    children.remove(level);
                    if children.is_empty() {
                        node.children = None;
                    }
                }
            }
            at = parent;
        }
        removed
    }
}

fn is_exact(filter: &str) -> bool {
    !filter.bytes().any(|byte| byte == b'+' || byte == b'#')
}

fn root_of(topic_or_filter: &str) -> NodeId {
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
