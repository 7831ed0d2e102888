//! Making and ending the subscriptions of a session, no matter who asks: the client, an administrator, or the end of the
//! session. Rights, limits of filters and retained messages are the asker's business.

use std::sync::Arc;

use model::Str;

use crate::codec::{Reason, SubscribeOptions};
use crate::durable::Record;
use crate::node::Core;
use crate::numbers::{Dropped, Stat};
use crate::registry::{Entry, Subscribed};
use crate::router::Ticket;
use crate::sys;
use crate::topics::{effective_filter, split_share};

/// What became of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Added {
    /// It is new.
    New,
    /// It replaced one with the same filter.
    Replaced,
    /// The session has `subscriptions_max` already.
    Full,
    /// The session is over.
    Ended,
}

impl Core {
    /// The options a subscription gets: with `ignore_loop_deliver` nobody gets its own messages, whatever was asked for.
    pub(crate) fn own_options(&self, filter: &str, options: SubscribeOptions) -> SubscribeOptions {
        let no_local = options.no_local || self.settings.ignore_loop_deliver && split_share(filter).is_none();
        SubscribeOptions { no_local, ..options }
    }

    /// Subscribes a session. Its lock is held until the trie knows: a session that ends meanwhile would leave the
    /// subscription behind.
    pub(crate) fn add_subscription(
        &self,
        entry: &Arc<Entry>,
        filter: &Str,
        options: SubscribeOptions,
        identifier: Option<u32>,
    ) -> Added {
        let mut inner = entry.inner.lock();
        if inner.ended {
            return Added::Ended;
        }
        if entry.durable {
            drop(inner);
            return match self.check_subscription(entry, filter, std::iter::empty()) {
                Ok(is_new) => {
                    let subscriptions = vec![(filter.clone(), Subscribed { options, identifier })];
                    self.tell(Record::Subscribe { session: entry.key, subscriptions });
                    if is_new { Added::New } else { Added::Replaced }
                }
                Err(_) => Added::Full,
            };
        }
        let is_new = !inner.subscriptions.contains_key(filter);
        if is_new && inner.subscriptions.len() >= self.settings.subscriptions_max {
            return Added::Full;
        }
        inner.subscriptions.insert(filter.clone(), Subscribed { options, identifier });
        self.subscribers.add(filter, entry, options, identifier);
        drop(inner);
        if !is_new {
            return Added::Replaced;
        }
        self.count_subscription(filter);
        Added::New
    }

    /// Whether a durable session may have the subscription, after those of `coming` that are on their way; `true`: it is
    /// new. It is in force when the log has it.
    pub(crate) fn check_subscription<'a>(
        &self,
        entry: &Entry,
        filter: &Str,
        coming: impl Iterator<Item = &'a Str>,
    ) -> Result<bool, Reason> {
        let inner = entry.inner.lock();
        let mut count = inner.subscriptions.len();
        let mut is_new = !inner.subscriptions.contains_key(filter);
        for other in coming {
            is_new &= other != filter;
            count += usize::from(!inner.subscriptions.contains_key(other));
        }
        if is_new && count >= self.settings.subscriptions_max {
            return Err(Reason::QUOTA_EXCEEDED);
        }
        Ok(is_new)
    }

    /// A subscription is there; for the numbers.
    pub(crate) fn count_subscription(&self, filter: &str) {
        self.counters.subscriptions.add(1);
        self.counters.shared_subscriptions.add(u64::from(split_share(filter).is_some()));
        self.counters.system_subscriptions.add(u64::from(sys::is_system(effective_filter(filter))));
        for stat in [Stat::Subscriptions, Stat::SharedSubscriptions, Stat::Suboptions, Stat::Subscribers] {
            self.stat(stat);
        }
        self.stat(Stat::Topics);
        self.stat(Stat::Routes);
    }

    /// Unsubscribes a session; `None` when it had no such subscription.
    pub(crate) fn remove_subscription(&self, entry: &Entry, filter: &str) -> Option<Subscribed> {
        let mut inner = entry.inner.lock();
        if entry.durable {
            let known = inner.subscriptions.get(filter).copied()?;
            drop(inner);
            self.tell(Record::Unsubscribe { session: entry.key, filters: vec![Str::new(filter)] });
            return Some(known);
        }
        let known = inner.subscriptions.remove(filter)?;
        let group = self.subscribers.remove(filter, entry);
        // What it was given for a group and was not sent goes to the other members; what was sent is completed
        // [MQTT-3.10.4-3].
        let waiting = group.map_or_else(Vec::new, |group| {
            let is_of_group = |ticket: &Arc<Ticket>| Arc::ptr_eq(&ticket.group, &group);
            inner.queue.take_if(|delivery| delivery.ticket.as_ref().is_some_and(is_of_group))
        });
        let info = inner.info.clone();
        drop(inner);
        self.hand_on_all(waiting, entry, &info, Dropped::NoSubscribers);
        self.forget_subscription(filter);
        Some(known)
    }

    /// A subscription is no more; for the numbers.
    pub(crate) fn forget_subscription(&self, filter: &str) {
        self.counters.subscriptions.sub(1);
        self.counters.shared_subscriptions.sub(u64::from(split_share(filter).is_some()));
        self.counters.system_subscriptions.sub(u64::from(sys::is_system(effective_filter(filter))));
    }

    /// A stat now; its peak takes the value into account.
    pub(crate) fn stat(&self, stat: Stat) -> (u64, u64) {
        let value = match stat {
            Stat::Connections => self.counters.clients.get(),
            Stat::Sessions => self.registry.len() as u64,
            Stat::PersistentSessions => self.counters.persistent_sessions.get(),
            Stat::Suboptions | Stat::Subscribers | Stat::Subscriptions => self.counters.subscriptions.get(),
            Stat::SharedSubscriptions => self.counters.shared_subscriptions.get(),
            Stat::Topics | Stat::Routes => self.subscribers.filter_count() as u64,
            Stat::Retained => self.retained.read().len() as u64,
        };
        (value, self.peaks.see(stat, value))
    }
}
