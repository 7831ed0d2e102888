//! The subscriptions of all sessions, and who receives a message by them.
//!
//! Locks: the trie is read for the time of one match and written for one subscribe; the groups of shared subscriptions
//! have a lock of their own, taken before the trie's. No session is locked from in here.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use model::{Qos, Str};
use parking_lot::{Mutex, RwLock};

use crate::codec::SubscribeOptions;
use crate::registry::Entry;
use crate::topics::Trie;

/// All subscriptions of the node.
#[derive(Default)]
pub(crate) struct Subscribers {
    trie: RwLock<Trie<Target>>,
    groups: Mutex<HashMap<Str, Arc<Group>, foldhash::fast::RandomState>>,
    next_group_key: AtomicU64,
}

enum Target {
    Session(Member),
    Group(Arc<Group>),
}

#[derive(Clone)]
struct Member {
    session: Arc<Entry>,
    options: SubscribeOptions,
    identifier: Option<u32>,
}

/// The members of `$share/<group>/<filter>`.
struct Group {
    key: u64,
    members: Mutex<Vec<Member>>,
    turn: AtomicUsize,
}

/// One session that gets a message, with what its matching subscriptions say together.
pub(crate) struct Receiver {
    /// The session.
    pub session: Arc<Entry>,
    /// The highest QoS of its matching subscriptions [MQTT-3.3.4-2].
    pub qos: Qos,
    /// Whether one of them keeps the RETAIN flag.
    pub retain_as_published: bool,
    /// All their identifiers [MQTT-3.3.4-3, MQTT-3.3.4-4].
    pub identifiers: Vec<u32>,
}

/// Splits `$share/<group>/<filter>`; `None` for an ordinary filter.
pub(crate) fn split_share(filter: &str) -> Option<(&str, &str)> {
    filter.strip_prefix("$share/")?.split_once('/')
}

impl Subscribers {
    /// Number of subscriptions; a shared group counts as one.
    pub(crate) fn len(&self) -> usize {
        self.trie.read().len()
    }

    /// Number of different filters; the one inside a shared subscription is what counts.
    pub(crate) fn filter_count(&self) -> usize {
        self.trie.read().filter_count()
    }

    /// Adds or replaces the subscription of `session` to `filter`.
    pub(crate) fn add(&self, filter: &str, session: &Arc<Entry>, options: SubscribeOptions, identifier: Option<u32>) {
        let member = Member { session: session.clone(), options, identifier };
        let Some((_, inner)) = split_share(filter) else {
            self.trie.write().insert(filter, session.key, Target::Session(member));
            return;
        };
        let mut groups = self.groups.lock();
        let group = groups.entry(Str::new(filter)).or_insert_with(|| {
            // Keys of groups count down from the top, keys of sessions up from zero: they never meet.
            let key = u64::MAX - self.next_group_key.fetch_add(1, Ordering::Relaxed);
            let group = Arc::new(Group { key, members: Mutex::default(), turn: AtomicUsize::new(0) });
            self.trie.write().insert(inner, key, Target::Group(group.clone()));
            group
        });
        let mut members = group.members.lock();
        match members.iter_mut().find(|known| known.session.key == session.key) {
            Some(known) => *known = member,
            None => members.push(member),
        }
    }

    /// Removes the subscription of `session` to `filter`.
    pub(crate) fn remove(&self, filter: &str, session: &Entry) {
        let Some((_, inner)) = split_share(filter) else {
            self.trie.write().remove(filter, session.key);
            return;
        };
        let mut groups = self.groups.lock();
        let Some(group) = groups.get(filter) else { return };
        let emptied = {
            let mut members = group.members.lock();
            members.retain(|member| member.session.key != session.key);
            members.is_empty()
        };
        if emptied {
            self.trie.write().remove(inner, group.key);
            groups.remove(filter);
        }
    }

    /// The sessions that receive a message on `topic`, each once for its ordinary subscriptions. `publisher` is the client
    /// id that no-local compares. `false` when the visit limit cut the match short.
    pub(crate) fn resolve(
        &self,
        topic: &str,
        publisher: Option<&str>,
        visits_max: usize,
        found: &mut Vec<Receiver>,
    ) -> bool {
        let mut shared: Vec<Arc<Group>> = Vec::new();
        let matched = self.trie.read().matches(topic, visits_max, |target| match target {
            Target::Session(member) => found.extend(member.receiver(publisher)),
            Target::Group(group) => shared.push(group.clone()),
        });
        // With a single matching filter nobody can be in the list twice.
        if matched.filters > 1 {
            merge(found);
        }
        found.extend(shared.iter().filter_map(|group| group.pick()));
        !matched.cut_short
    }
}

impl Member {
    fn receiver(&self, publisher: Option<&str>) -> Option<Receiver> {
        if self.options.no_local && publisher == Some(&*self.session.client_id) {
            return None;
        }
        Some(Receiver {
            session: self.session.clone(),
            qos: self.options.qos,
            retain_as_published: self.options.retain_as_published,
            identifiers: self.identifier.into_iter().collect(),
        })
    }
}

impl Group {
    /// Round robin over the connected members; a disconnected one gets the message only when all are.
    fn pick(&self) -> Option<Receiver> {
        let members = self.members.lock();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let in_turn = || members.iter().cycle().skip(turn % members.len().max(1)).take(members.len());
        in_turn().find(|member| member.session.is_connected()).or_else(|| in_turn().next())?.receiver(None)
    }
}

fn merge(found: &mut Vec<Receiver>) {
    found.sort_by_key(|receiver| receiver.session.key);
    found.dedup_by(|later, kept| {
        if later.session.key != kept.session.key {
            return false;
        }
        kept.qos = kept.qos.max(later.qos);
        kept.retain_as_published |= later.retain_as_published;
        kept.identifiers.append(&mut later.identifiers);
        true
    });
}
