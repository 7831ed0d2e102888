//! What a connection may do: the authorizer's answers, remembered for a while where asking is costly, and the
//! subscriptions judged again when rights change.
//!
//! Invariants: at most `rights_remembered_max` answers are kept, none longer than `rights_remembered_ms` and none of
//! an earlier version of the rights; a connection that needs none holds no memory for them.

use std::collections::VecDeque;

use model::ports::Access;
use model::{EventKind, Str};

use super::Connection;
use super::end::End;
use crate::codec::{Properties, Reason};
use crate::durable::Record;
use crate::numbers::Metric;
use crate::topics::effective_filter;

/// Remembered answers, the oldest first.
#[derive(Default)]
pub(super) struct Rights {
    version: u64,
    known: VecDeque<Known>,
}

struct Known {
    access: Access,
    topic: Str,
    allowed: bool,
    until_ms: i64,
}

impl Rights {
    fn get(&self, version: u64, access: Access, topic: &str, now_ms: i64) -> Option<bool> {
        let is_it = |known: &&Known| known.access == access && &*known.topic == topic && now_ms < known.until_ms;
        self.known.iter().find(is_it).filter(|_| self.version == version).map(|known| known.allowed)
    }

    fn put(&mut self, version: u64, answer: Known, now_ms: i64, count_max: usize) {
        if self.version != version {
            self.version = version;
            self.known.clear();
        }
        self.known
            .retain(|known| now_ms < known.until_ms && (known.access, &known.topic) != (answer.access, &answer.topic));
        while self.known.len() >= count_max {
            self.known.pop_front();
        }
        self.known.push_back(answer);
    }
}

impl Connection {
    /// Whether the client may do this; see [`crate::node::Core::allows`].
    pub(super) async fn allows(&mut self, access: Access, topic: &str) -> bool {
        let count_max = self.core.settings.rights_remembered_max;
        if count_max == 0 || self.info.is_superuser || !self.core.ports.authorize.is_costly() {
            return self.core.allows(&self.info, access, topic).await;
        }
        // Read before asking: an answer from before a change must not pass for one from after it.
        let version = self.core.ports.authorize.version();
        let now_ms = self.core.monotonic_ms();
        if let Some(allowed) = self.rights.as_ref().and_then(|rights| rights.get(version, access, topic, now_ms)) {
            return allowed;
        }
        let allowed = self.core.allows(&self.info, access, topic).await;
        let until_ms =
            now_ms.saturating_add(i64::try_from(self.core.settings.rights_remembered_ms).unwrap_or(i64::MAX));
        let answer = Known { access, topic: Str::new(topic), allowed, until_ms };
        self.rights.get_or_insert_default().put(version, answer, now_ms, count_max);
        allowed
    }

    /// The client was denied something: an error, where that ends connections.
    pub(super) fn denied(&self) -> Result<(), End> {
        self.core.counters.add(Metric::ClientAclDeny, 1);
        if self.core.settings.deny_disconnects { Err(End::Server(Reason::NOT_AUTHORIZED)) } else { Ok(()) }
    }

    /// Rights may have changed since the session subscribed: what it may no longer have, it no longer has.
    pub(super) async fn reauthorize_subscriptions(&mut self) {
        let filters: Vec<Str> = self.entry.inner.lock().subscriptions.keys().cloned().collect();
        let mut revoked = Vec::new();
        for filter in filters {
            if self.core.allows(&self.info, Access::Subscribe, effective_filter(&filter)).await {
                self.core.subscribers.came_online(&filter, &self.entry);
                continue;
            }
            let known = if self.entry.durable {
                // Out of the index at once; the session has it until the log says otherwise.
                self.core.subscribers.remove(&filter, &self.entry);
                self.entry.inner.lock().subscriptions.get(&filter).copied()
            } else {
                self.core.remove_subscription(&self.entry, &filter)
            };
            if let Some(subscribed) = known {
                tracing::info!(client_id = ?self.info.client_id, ?filter, "subscription removed: no longer allowed");
                revoked.push((filter, subscribed.options.qos as i64));
            }
        }
        if revoked.is_empty() {
            return;
        }
        self.core.counters.add(Metric::SubscriptionsRevoked, revoked.len() as u64);
        let none = Properties::default();
        self.core.emit_subscribed(EventKind::SessionUnsubscribed, &self.info, &revoked, &none);
        if self.entry.durable {
            let filters = revoked.into_iter().map(|(filter, _)| filter).collect();
            // If the log cannot have it, the next connection asks again; it is out of the index either way.
            self.core.store(Record::Unsubscribe { session: self.entry.key, filters }).await.ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(topic: &str, until_ms: i64) -> Known {
        Known { access: Access::Publish, topic: topic.into(), allowed: true, until_ms }
    }

    #[test]
    fn answers_are_bounded_by_number_time_and_version() {
        let mut rights = Rights::default();
        for (now_ms, topic) in [(0, "a"), (1, "b"), (2, "c"), (3, "c")] {
            rights.put(1, answer(topic, now_ms + 10), now_ms, 2);
        }
        let get = |rights: &Rights, version, topic, now_ms| rights.get(version, Access::Publish, topic, now_ms);
        assert_eq!(rights.known.len(), 2);
        assert_eq!(
            (get(&rights, 1, "a", 3), get(&rights, 1, "b", 3), get(&rights, 1, "c", 3)),
            (None, Some(true), Some(true))
        );
        assert_eq!((get(&rights, 1, "b", 11), get(&rights, 1, "c", 12)), (None, Some(true)), "each for its time");
        assert_eq!(rights.get(1, Access::Receive, "b", 3), None);
        assert_eq!(get(&rights, 2, "b", 3), None, "rights have changed");
        rights.put(2, answer("d", 20), 5, 2);
        assert_eq!((rights.known.len(), get(&rights, 2, "b", 6)), (1, None));
    }
}
