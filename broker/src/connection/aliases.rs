//! Topic aliases the server assigns towards one client (MQTT 5.0 §3.3.2.3.4).
//!
//! The first topics of a connection get them and keep them: a client that listens to few topics saves their names, and one
//! that listens to many costs no bookkeeping beyond the bound.

use std::collections::HashMap;

use model::Str;

use crate::router::Alias;

/// The aliases of one connection; there is none of these for a client that takes no aliases.
pub(super) struct Aliases {
    count_max: u16,
    by_topic: HashMap<Str, u16, foldhash::fast::RandomState>,
}

impl Aliases {
    /// A table for at most `count_max` aliases; `None` when that is 0.
    pub(super) fn new(count_max: u16) -> Option<Box<Self>> {
        (count_max > 0).then(|| Box::new(Self { count_max, by_topic: HashMap::default() }))
    }

    /// The alias of a topic, or the one it would get; `None` when all are given away.
    pub(super) fn of(&self, topic: &str) -> Option<Alias> {
        if let Some(&id) = self.by_topic.get(topic) {
            return Some(Alias { id, is_known: true });
        }
        let next = u16::try_from(self.by_topic.len()).ok()?.checked_add(1)?;
        (next <= self.count_max).then_some(Alias { id: next, is_known: false })
    }

    /// The client has been told of `alias`.
    pub(super) fn remember(&mut self, topic: &Str, alias: Alias) {
        if !alias.is_known {
            self.by_topic.insert(topic.clone(), alias.id);
        }
    }
}
