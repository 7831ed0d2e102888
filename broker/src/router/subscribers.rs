//! The subscriptions of all sessions, and who receives a message by them.
//!
//! Locks: the trie is read for the time of one match and written for one subscribe; the table of groups of shared
//! subscriptions has a lock of its own, taken before the trie's. No session is locked from in here.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::{Qos, Str};
use parking_lot::{Mutex, RwLock};

use super::Outgoing;
use super::group::{Group, Ticket};
use crate::codec::SubscribeOptions;
use crate::registry::Entry;
use crate::session::Delivery;
use crate::settings::{Settings, SharedStrategy};
use crate::topics::{Trie, split_share};

/// All subscriptions of the node.
pub(crate) struct Subscribers {
    trie: RwLock<Trie<Target>>,
    groups: Mutex<HashMap<Str, Arc<Group>, foldhash::fast::RandomState>>,
    next_group_key: AtomicU64,
    strategy: SharedStrategy,
    strategy_by_group: BTreeMap<String, SharedStrategy>,
}

enum Target {
    Session(Member),
    Group(Arc<Group>),
}

/// One subscription of one session.
#[derive(Clone)]
pub(crate) struct Member {
    pub(super) session: Arc<Entry>,
    pub(super) options: SubscribeOptions,
    /// The standard has no identifier 0; leaving it out keeps a subscription at 16 bytes in the trie.
    pub(super) identifier: Option<NonZeroU32>,
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

/// Who gets a message.
#[derive(Default)]
pub(crate) struct Routes {
    /// Sessions by their ordinary subscriptions, each once.
    pub receivers: Vec<Receiver>,
    /// Shared subscriptions: one member of each.
    pub groups: Vec<Arc<Group>>,
    /// The visit limit ended the match: there may be more.
    pub cut_short: bool,
}

impl Subscribers {
    /// No subscriptions; shared ones will be dispatched as `settings` say.
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            trie: RwLock::default(),
            groups: Mutex::default(),
            next_group_key: AtomicU64::new(0),
            strategy: settings.shared_strategy,
            strategy_by_group: settings.shared_strategy_by_group.clone(),
        }
    }

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
        let member = Member { session: session.clone(), options, identifier: identifier.and_then(NonZeroU32::new) };
        let Some((name, inner)) = split_share(filter) else {
            self.trie.write().insert(filter, session.key, Target::Session(member));
            return;
        };
        let mut groups = self.groups.lock();
        let group = groups.entry(Str::new(filter)).or_insert_with(|| {
            // Keys of groups count down from the top, keys of sessions up from zero: they never meet.
            let key = u64::MAX - self.next_group_key.fetch_add(1, Ordering::Relaxed);
            let strategy = self.strategy_by_group.get(name).copied().unwrap_or(self.strategy);
            let group = Arc::new(Group::new(key, strategy));
            self.trie.write().insert(inner, key, Target::Group(group.clone()));
            group
        });
        group.add(member);
    }

    /// Removes the subscription of `session` to `filter`; returns the group it has left, if it was a shared one.
    pub(crate) fn remove(&self, filter: &str, session: &Entry) -> Option<Arc<Group>> {
        let Some((_, inner)) = split_share(filter) else {
            self.trie.write().remove(filter, session.key);
            return None;
        };
        let mut groups = self.groups.lock();
        let group = groups.get(filter)?.clone();
        if group.remove(session.key) {
            self.trie.write().remove(inner, group.key);
            groups.remove(filter);
        }
        Some(group)
    }

    /// `session`, which shares `filter`, has a connection again.
    pub(crate) fn came_online(&self, filter: &str, session: &Entry) {
        if let Some(group) = self.groups.lock().get(filter) {
            group.came_online(session.key);
        }
    }

    /// Who receives a message on `topic`. `publisher` is the client identifier that no-local compares.
    pub(crate) fn resolve(&self, topic: &str, publisher: Option<&str>, visits_max: usize) -> Routes {
        let mut routes = Routes::default();
        let Routes { receivers, groups, .. } = &mut routes;
        let matched = self.trie.read().matches(topic, visits_max, |target| match target {
            Target::Session(member) if member.is_own(publisher) => {}
            Target::Session(member) => receivers.push(member.receiver()),
            Target::Group(group) => groups.push(group.clone()),
        });
        // With a single matching filter nobody can be in the list twice.
        if matched.filters > 1 {
            merge(receivers);
        }
        routes.cut_short = matched.cut_short;
        routes
    }
}

impl Member {
    fn is_own(&self, publisher: Option<&str>) -> bool {
        self.options.no_local && publisher == Some(&*self.session.client_id)
    }

    pub(super) fn receiver(&self) -> Receiver {
        Receiver {
            session: self.session.clone(),
            qos: self.options.qos,
            retain_as_published: self.options.retain_as_published,
            identifiers: self.identifier.into_iter().map(NonZeroU32::get).collect(),
        }
    }
}

impl Receiver {
    /// The message as this session gets it.
    pub(crate) fn delivery(&self, outgoing: &Arc<Outgoing>, ticket: Option<Arc<Ticket>>) -> Delivery {
        let message = &outgoing.message;
        Delivery {
            qos: message.qos.min(self.qos),
            retain: message.retain && self.retain_as_published,
            identifiers: (!self.identifiers.is_empty()).then(|| Box::from(self.identifiers.as_slice())),
            outgoing: outgoing.clone(),
            ticket,
            number: 0,
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topics::Slots;

    #[test]
    fn a_subscription_takes_24_bytes_in_its_node() {
        assert_eq!(size_of::<Target>(), 16);
        assert_eq!(size_of::<Slots<Target>>(), 24);
    }
}
