//! The members of one shared subscription (MQTT 5.0 §4.8.2, manual §4.10), and which of them gets a message.
//!
//! Invariants:
//! - A member without connection is picked only when no member has one.
//! - The first `online_count` members of the list are those believed to be connected. A pick that finds one of them gone
//!   moves it back; a session that connects again says so ([`Group::came_online`]). A pick among a thousand members, most
//!   of them gone, is therefore as quick as among two.
//! - The lock is the innermost: nothing else is locked while it is held, and nobody else's code runs under it.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::{FixedState, RandomState};
use indexmap::IndexMap;
use parking_lot::Mutex;

use super::subscribers::Member;
use crate::settings::SharedStrategy;

/// One shared subscription.
pub(crate) struct Group {
    /// Key of the group in the trie.
    pub(super) key: u64,
    strategy: SharedStrategy,
    members: Mutex<Members>,
}

#[derive(Default)]
struct Members {
    list: IndexMap<u64, Member, RandomState>,
    online_count: usize,
    turn: usize,
    sticky: Option<u64>,
}

/// Goes with a message that was given to one member of a group, so that another can have it when that one cannot.
#[derive(Debug)]
pub(crate) struct Ticket {
    /// The group.
    pub group: Arc<Group>,
    /// Keys of the sessions that had the message before and handed it on.
    pub tried: Vec<u64>,
}

/// What a strategy may look at.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// Topic of the message.
    pub topic: &'a str,
    /// Client identifier of its publisher; the server's own messages have none.
    pub publisher: &'a str,
    /// Session keys that are not to be picked.
    pub skip: &'a [u64],
}

impl std::fmt::Debug for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Group").field("key", &self.key).field("strategy", &self.strategy).finish_non_exhaustive()
    }
}

impl Group {
    /// A group without members.
    pub(super) fn new(key: u64, strategy: SharedStrategy) -> Self {
        Self { key, strategy, members: Mutex::default() }
    }

    /// Adds a member, or replaces what it subscribed with.
    pub(super) fn add(&self, member: Member) {
        let mut members = self.members.lock();
        let key = member.session.key;
        if members.list.insert(key, member).is_none() {
            members.promote(key);
        }
    }

    /// Removes a member. `true`: nobody is left.
    pub(super) fn remove(&self, key: u64) -> bool {
        let mut members = self.members.lock();
        members.demote(key);
        members.list.swap_remove(&key);
        members.list.is_empty()
    }

    /// The member has a connection again.
    pub(super) fn came_online(&self, key: u64) {
        self.members.lock().promote(key);
    }

    /// A connected member for the message.
    pub(super) fn pick_online(&self, asked: Asked<'_>) -> Option<Member> {
        self.members.lock().pick_online(self.strategy, asked)
    }

    /// A member for the message, connected or not; for when none is connected.
    pub(super) fn pick_any(&self, asked: Asked<'_>) -> Option<Member> {
        self.members.lock().pick_any(self.strategy, asked)
    }

    /// Whether a member other than `key` is connected.
    pub(crate) fn has_other_online(&self, key: u64) -> bool {
        let asked = Asked { topic: "", publisher: "", skip: &[key] };
        // Any strategy that moves nothing will do.
        self.members.lock().pick_online(SharedStrategy::HashTopic, asked).is_some()
    }
}

impl Members {
    fn promote(&mut self, key: u64) {
        let online_count = self.online_count;
        if let Some(at) = self.list.get_index_of(&key).filter(|at| *at >= online_count) {
            self.list.swap_indices(at, online_count);
            self.online_count += 1;
        }
    }

    fn demote(&mut self, key: u64) {
        let online_count = self.online_count;
        if let Some(at) = self.list.get_index_of(&key).filter(|at| *at < online_count) {
            self.list.swap_indices(at, online_count - 1);
            self.online_count -= 1;
        }
    }

    fn pick_online(&mut self, strategy: SharedStrategy, asked: Asked<'_>) -> Option<Member> {
        let mut at = self.start(strategy, asked, self.online_count);
        let mut passed = 0;
        while passed < self.online_count {
            at = if at < self.online_count { at } else { 0 };
            let (key, member) = self.list.get_index(at)?;
            let key = *key;
            if !member.session.is_connected() {
                self.demote(key);
            } else if asked.skip.contains(&key) {
                at += 1;
                passed += 1;
            } else {
                let member = member.clone();
                self.sticky = Some(key);
                return Some(member);
            }
        }
        None
    }

    fn pick_any(&mut self, strategy: SharedStrategy, asked: Asked<'_>) -> Option<Member> {
        let count = self.list.len();
        let start = self.start(strategy, asked, count);
        let free = |at: &usize| self.list.get_index(*at).is_some_and(|(key, _)| !asked.skip.contains(key));
        let at = (start..count).chain(0..start).find(free)?;
        self.list.get_index(at).map(|(_, member)| member.clone())
    }

    /// Where among the first `count` members the search begins.
    fn start(&mut self, strategy: SharedStrategy, asked: Asked<'_>, count: usize) -> usize {
        if count == 0 {
            return 0;
        }
        // Without a seed, so that what belongs together stays together over a restart with the same members.
        let hash = |text: &str| (FixedState::default().hash_one(text) % count as u64) as usize;
        match strategy {
            SharedStrategy::Random => fastrand::usize(..count),
            SharedStrategy::RoundRobin => {
                self.turn = self.turn.wrapping_add(1);
                self.turn % count
            }
            SharedStrategy::Sticky => {
                let known = self.sticky.and_then(|key| self.list.get_index_of(&key)).filter(|at| *at < count);
                known.unwrap_or_else(|| fastrand::usize(..count))
            }
            SharedStrategy::HashClientId => hash(asked.publisher),
            SharedStrategy::HashTopic => hash(asked.topic),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use model::{ClientInfo, ProtocolVersion, Qos};

    use super::*;
    use crate::codec::SubscribeOptions;
    use crate::registry::{Entry, Link};

    fn member(key: u64) -> Member {
        let info = Arc::new(ClientInfo {
            client_id: key.to_string().into(),
            username: None,
            peer: None,
            local: None,
            version: ProtocolVersion::V5,
            keepalive_secs: 0,
            clean_start: true,
            session_expiry_secs: 0,
            is_bridge: false,
            mountpoint: "".into(),
            connected_at_ms: 0,
            is_superuser: false,
        });
        let session = Arc::new(Entry::new(key, info, Arc::default(), 0));
        Member { session, options: SubscribeOptions::of_qos(Qos::AtMostOnce), identifier: None }
    }

    fn connect(member: &Member) {
        let mut inner = member.session.inner.lock();
        let link = Arc::new(Link::new(inner.info.clone(), 0, 0));
        let zone = inner.zone.clone();
        member.session.attach(&mut inner, link, zone);
    }

    fn picks(group: &Group, times: usize) -> BTreeSet<u64> {
        let asked = Asked { topic: "t", publisher: "p", skip: &[] };
        (0..times).map(|_| group.pick_online(asked).map_or(u64::MAX, |member| member.session.key)).collect()
    }

    #[test]
    fn the_connected_one_of_a_thousand_is_searched_for_once() {
        let group = Group::new(0, SharedStrategy::RoundRobin);
        let members: Vec<Member> = (0..1_000).map(member).collect();
        members.iter().for_each(|member| group.add(member.clone()));
        let asked = Asked { topic: "t", publisher: "p", skip: &[] };
        assert!(group.pick_online(asked).is_none());
        assert!(group.pick_any(asked).is_some(), "somebody keeps it when all are gone");
        connect(&members[777]);
        group.came_online(777);
        assert_eq!(picks(&group, 10), BTreeSet::from([777]));
        assert_eq!(group.members.lock().online_count, 1, "the others are no longer looked at");
        assert!(!group.has_other_online(777) && group.has_other_online(776));
        for key in [5, 999] {
            connect(&members[key as usize]);
            group.came_online(key);
        }
        assert_eq!(picks(&group, 3), BTreeSet::from([5, 777, 999]), "each has its turn");
        for key in (0..1_000).rev() {
            assert_eq!(group.remove(key), key == 0, "only the last one leaves an empty group");
        }
    }

    #[test]
    fn nobody_to_be_skipped_is_picked_by_any_strategy() {
        for strategy in [
            SharedStrategy::Random,
            SharedStrategy::RoundRobin,
            SharedStrategy::Sticky,
            SharedStrategy::HashClientId,
            SharedStrategy::HashTopic,
        ] {
            let group = Group::new(0, strategy);
            for key in 0..5 {
                let member = member(key);
                connect(&member);
                group.add(member);
            }
            let mut skip = Vec::new();
            for _ in 0..5 {
                let asked = Asked { topic: "t", publisher: "p", skip: &skip };
                let picked = group.pick_online(asked).map(|member| member.session.key);
                assert!(picked.is_some_and(|key| !skip.contains(&key)), "{strategy:?} {skip:?} {picked:?}");
                skip.extend(picked);
            }
            let asked = Asked { topic: "t", publisher: "p", skip: &skip };
            assert!(group.pick_online(asked).is_none() && group.pick_any(asked).is_none(), "{strategy:?}");
        }
    }
}
