//! The list of stats (manual §4.17.3, §14.3.1): each a number now and the highest it has been since the start.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! stats {
    ($( $variant:ident [$first:ident $($rest:ident)*] $help:literal; )*) => {
        /// A number that goes up and down.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Stat { $( #[doc = $help] $variant ),* }

        impl Stat {
            /// Every stat, in the order of the lists.
            pub const ALL: &'static [Self] = &[ $( Self::$variant ),* ];

            /// The name of the number now, such as `sessions.persistent.count`. The manual writes it with slashes.
            pub fn count_name(self) -> &'static str {
                match self { $( Self::$variant => concat!(stringify!($first), $( ".", stringify!($rest), )* ".count") ),* }
            }

            /// The name of the highest number.
            pub fn max_name(self) -> &'static str {
                match self { $( Self::$variant => concat!(stringify!($first), $( ".", stringify!($rest), )* ".max") ),* }
            }

            /// The names in `/metrics`.
            pub(crate) fn families(self) -> (&'static str, &'static str) {
                match self { $( Self::$variant => (
                    concat!("broker_", stringify!($first), $( "_", stringify!($rest), )* "_count"),
                    concat!("broker_", stringify!($first), $( "_", stringify!($rest), )* "_max"),
                ) ),* }
            }

            /// One line for people.
            pub fn help(self) -> &'static str {
                match self { $( Self::$variant => $help ),* }
            }
        }
    };
}

stats! {
    Connections [connections] "Connected clients.";
    Sessions [sessions] "Sessions, connected or not.";
    PersistentSessions [sessions persistent] "Sessions that outlive their connection.";
    Suboptions [suboptions] "Options of subscriptions, one for each.";
    Subscribers [subscribers] "Subscribers of topics, one for each subscription.";
    Subscriptions [subscriptions] "Subscriptions; every member of a shared group counts.";
    SharedSubscriptions [subscriptions shared] "Shared subscriptions; every member counts.";
    Topics [topics] "Different filters that are subscribed to.";
    Routes [routes] "Different filters that are routed; on one node the same as the topics.";
    Retained [retained] "Retained messages.";
}

/// The highest value of every stat.
#[derive(Debug, Default)]
pub(crate) struct Peaks([AtomicU64; Stat::ALL.len()]);

impl Peaks {
    /// Takes a value into account and returns the highest so far.
    pub(crate) fn see(&self, stat: Stat, value: u64) -> u64 {
        self.0.get(stat as usize).map_or(value, |peak| peak.fetch_max(value, Ordering::Relaxed).max(value))
    }
}
