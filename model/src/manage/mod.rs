//! What the management side may ask of a broker, and have it do: the broker implements it, the API and the CLI behind it
//! ask. Whoever calls is an administrator; the broker's limits hold for him too.
//!
//! Calls that walk all sessions say so; they belong on a thread that may block for some milliseconds.

mod alarms;
mod lists;
mod traces;

use std::fmt;
use std::net::SocketAddr;

use serde::Serialize;

use crate::{Qos, Str};

pub use alarms::{Alarm, AlarmView, Alarms};
pub use lists::{ClientFilter, ClientView, Found, RouteFilter, RouteView, Slice, SubscriptionFilter, SubscriptionView};
pub use traces::{TraceError, TraceSpec, TraceTarget, TraceView, Traces};

/// The broker as its administrators see it.
pub trait Manage: Alarms + Traces + Send + Sync + 'static {
    /// What it is and since when.
    fn about(&self) -> About;
    /// Where it listens.
    fn listeners(&self) -> Vec<ListenerView>;
    /// Numbers that go up and down, with their highest values (manual §4.17.3).
    fn stats(&self) -> Vec<Number>;
    /// Numbers that only grow (manual §4.17.4).
    fn metrics(&self) -> Vec<Number>;
    /// Sessions, connected or not, by client identifier. Walks all sessions.
    fn clients(&self, wanted: &ClientFilter, slice: Slice<'_>) -> Found<ClientView>;
    /// The session of one client identifier.
    fn client(&self, client_id: &str) -> Option<ClientView>;
    /// Subscriptions by client identifier and filter. Walks all sessions.
    fn subscriptions(&self, wanted: &SubscriptionFilter, slice: Slice<'_>) -> Found<SubscriptionView>;
    /// Different filters, by name. Walks all sessions.
    fn routes(&self, wanted: &RouteFilter, slice: Slice<'_>) -> Found<RouteView>;
    /// Ends a client's connection and its session (0x98 Administrative action). `false`: there is neither.
    fn kick(&self, client_id: &str) -> bool;
    /// Subscribes a session on its behalf. The authorizer is not asked: the administrator is above it.
    ///
    /// # Errors
    /// There is no such session, the filter is not valid, or a bound is reached.
    fn subscribe(&self, client_id: &str, filter: &str, qos: Qos) -> Result<(), ManageError>;
    /// Unsubscribes a session on its behalf.
    ///
    /// # Errors
    /// There is no such session or subscription.
    fn unsubscribe(&self, client_id: &str, filter: &str) -> Result<(), ManageError>;
}

/// What a broker is.
#[derive(Clone, Debug, Serialize)]
pub struct About {
    /// Name of the node.
    pub node: Str,
    /// What it calls itself.
    pub description: &'static str,
    /// Its version.
    pub version: &'static str,
    /// When it started, milliseconds since the epoch.
    pub started_at_ms: i64,
    /// How long it has run, milliseconds.
    pub uptime_ms: i64,
    /// The time there: `2019-04-29 10:42:10`, in its time zone.
    pub datetime: String,
}

impl About {
    /// The time it has run, in the manual's words: `1 hours, 17 minutes, 1 seconds`.
    pub fn uptime_text(&self) -> String {
        let secs = self.uptime_ms.max(0) / 1000;
        let parts = [(secs / 86_400, "days"), (secs / 3600 % 24, "hours"), (secs / 60 % 60, "minutes")];
        let mut text = String::new();
        for (number, unit) in parts {
            if number > 0 || !text.is_empty() {
                text.push_str(&format!("{number} {unit}, "));
            }
        }
        text + &format!("{} seconds", secs % 60)
    }
}

/// One place to listen.
#[derive(Clone, Debug, Serialize)]
pub struct ListenerView {
    /// Its name.
    pub name: String,
    /// The manual's name of the protocol, such as `mqtt:tcp`.
    pub protocol: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// Connections it takes at the same time.
    pub connections_max: u64,
    /// Connections now, where they are counted for each listener.
    pub connection_count: u64,
}

/// A named number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Number {
    /// Name in its parts, such as `packets.publish.received`.
    pub name: &'static str,
    /// Value.
    pub value: u64,
}

impl Number {
    /// The name as the manual writes it, `packets/publish/received`.
    pub fn slashed(&self) -> String {
        self.name.replace('.', "/")
    }
}

/// Why an action on a client was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManageError {
    /// No session has this client identifier.
    NoSuchClient,
    /// The session has no such subscription.
    NoSuchSubscription,
    /// The filter is not valid, and why.
    InvalidFilter(String),
    /// The session has as many subscriptions as one may have.
    TooManySubscriptions,
}

impl fmt::Display for ManageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchClient => f.write_str("no client has this client id, connected or not"),
            Self::NoSuchSubscription => f.write_str("the client is not subscribed to this filter"),
            Self::InvalidFilter(why) => write!(f, "the topic filter is not valid: {why}"),
            Self::TooManySubscriptions => {
                f.write_str("the client has as many subscriptions as mqtt.subscriptions_max allows")
            }
        }
    }
}

impl std::error::Error for ManageError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manual_16_3_1_uptime_in_words() {
        let text = |uptime_ms| {
            About {
                node: "n".into(),
                description: "",
                version: "",
                started_at_ms: 0,
                uptime_ms,
                datetime: String::new(),
            }
            .uptime_text()
        };
        assert_eq!(text(25_900), "25 seconds");
        assert_eq!(text(4_621_000), "1 hours, 17 minutes, 1 seconds");
        assert_eq!(text(86_400_000), "1 days, 0 hours, 0 minutes, 0 seconds");
    }
}
