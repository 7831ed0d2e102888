//! The values that hang on one filter. Most filters have one subscriber, some have a hundred thousand.

use indexmap::IndexMap;

/// Values by key. One value lies inline; more are in an index map, so that neither replacing nor removing scans.
#[derive(Debug)]
pub enum Slots<V> {
    /// No value.
    Empty,
    /// One value, without a table.
    One(u64, V),
    /// Several values; their order is that of insertion until one is removed.
    Many(Box<IndexMap<u64, V, foldhash::fast::RandomState>>),
}

impl<V> Slots<V> {
    /// Puts `value` at `key` and returns the one it replaces.
    pub fn insert(&mut self, key: u64, value: V) -> Option<V> {
        match std::mem::replace(self, Self::Empty) {
            Self::Empty => {
                *self = Self::One(key, value);
                None
            }
            Self::One(first, old) if first == key => {
                *self = Self::One(key, value);
                Some(old)
            }
            Self::One(first, old) => {
                *self = Self::Many(Box::new([(first, old), (key, value)].into_iter().collect()));
                None
            }
            Self::Many(mut map) => {
                let old = map.insert(key, value);
                *self = Self::Many(map);
                old
            }
        }
    }

    /// Takes the value of `key` away.
    pub fn remove(&mut self, key: u64) -> Option<V> {
        match std::mem::replace(self, Self::Empty) {
            Self::Empty => None,
            Self::One(first, value) if first == key => Some(value),
            one @ Self::One(..) => {
                *self = one;
                None
            }
            Self::Many(mut map) => {
                let removed = map.swap_remove(&key);
                if map.len() > 1 {
                    *self = Self::Many(map);
                } else if let Some((key, value)) = map.pop() {
                    *self = Self::One(key, value);
                }
                removed
            }
        }
    }

    /// The value of `key`.
    pub fn get(&self, key: u64) -> Option<&V> {
        match self {
            Self::One(first, value) if *first == key => Some(value),
            Self::Many(map) => map.get(&key),
            _ => None,
        }
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::One(..) => 1,
            Self::Many(map) => map.len(),
        }
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// Calls `each` with every value.
    pub fn for_each(&self, mut each: impl FnMut(&V)) {
        match self {
            Self::Empty => {}
            Self::One(_, value) => each(value),
            Self::Many(map) => map.values().for_each(each),
        }
    }
}
