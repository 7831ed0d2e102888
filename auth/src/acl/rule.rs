//! One rule: who, doing what, with which topics, is allowed or denied.

use std::net::IpAddr;

use ipnet::IpNet;
use model::ClientInfo;
use model::ports::Access;

use super::pattern::{Match, Pattern};

/// What a rule does, or what happens when no rule matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Allow.
    Allow,
    /// Deny.
    Deny,
}

/// Whom a rule speaks of.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Who {
    All,
    /// A user name; `None` is any user name, but one.
    User(Option<String>),
    /// A client identifier; `None` is any.
    Client(Option<String>),
    Address(IpNet),
    And(Vec<Who>),
    Or(Vec<Who>),
}

/// Which acts a rule speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Publish,
    /// Subscribing and receiving.
    Subscribe,
    PubSub,
}

/// One rule.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rule {
    pub(crate) permission: Permission,
    pub(crate) who: Who,
    pub(crate) act: Act,
    /// `None` is every topic.
    pub(crate) topics: Option<Vec<Pattern>>,
}

impl Rule {
    /// Whether the rule speaks of this access.
    pub(crate) fn matches(&self, client: &ClientInfo, access: Access, topic: &str) -> Match {
        if !self.act.includes(access) || !self.who.is(client) {
            return Match::No;
        }
        let Some(topics) = &self.topics else { return Match::Yes };
        let allows = self.permission == Permission::Allow;
        let found = topics.iter().map(|pattern| pattern.matches(client, access, topic, allows));
        found.into_iter().find(|found| *found != Match::No).unwrap_or(Match::No)
    }
}

impl Act {
    fn includes(self, access: Access) -> bool {
        match self {
            Self::PubSub => true,
            Self::Publish => access == Access::Publish,
            Self::Subscribe => access != Access::Publish,
        }
    }
}

impl Who {
    fn is(&self, client: &ClientInfo) -> bool {
        match self {
            Self::All => true,
            Self::User(None) => client.username.is_some(),
            Self::User(Some(name)) => client.username.as_deref() == Some(name.as_str()),
            Self::Client(None) => true,
            Self::Client(Some(id)) => &*client.client_id == id.as_str(),
            Self::Address(net) => client.peer.is_some_and(|peer| net.contains(&peer.ip().to_canonical())),
            Self::And(all) => all.iter().all(|who| who.is(client)),
            Self::Or(any) => any.iter().any(|who| who.is(client)),
        }
    }
}

/// An address, or a network in CIDR notation.
pub(crate) fn network(text: &str) -> Result<IpNet, String> {
    let parsed = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    parsed.map_err(|_| format!("{text:?} is no address; expected one such as 127.0.0.1, 10.0.0.0/8 or fe80::/10"))
}
