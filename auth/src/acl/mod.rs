//! The access control list: rules from a file, or the built-in ones, and what they say about one access.
//!
//! Invariants: a file that cannot be read or parsed changes nothing, neither at the start (which fails) nor at a reload
//! (which keeps the last good rules); the rules change as a whole; judging takes no lock and never waits.

mod erlang;
mod erlang_rules;
mod pattern;
mod problem;
mod rule;
#[cfg(test)]
pub(crate) mod tests;
mod toml_rules;

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use model::ClientInfo;
use model::ports::Access;

use self::pattern::Match;
pub use self::problem::{Place, Problem};

pub use self::rule::Permission;
use self::rule::Rule;
pub(crate) use self::rule::network;
use crate::chain::{AccessLink, Opinion};
use crate::counters::Counters;

/// The rules without a file (manual §9.4): only clients of this machine read the server's topics or everything at once.
pub const BUILT_IN: &str = r##"
%% Allow the user "dashboard" to subscribe to $SYS/#.
{allow, {user, "dashboard"}, subscribe, ["$SYS/#"]}.

%% Allow clients of this machine everything.
{allow, {'or', [{ipaddr, "127.0.0.0/8"}, {ipaddr, "::1"}]}, pubsub, ["$SYS/#", "#"]}.

%% Deny everybody else to subscribe to $SYS/# and to the filter #.
{deny, all, subscribe, ["$SYS/#", {eq, "#"}]}.

%% Allow everything else.
{allow, all}.
"##;

/// From how many rules on the broker should remember answers instead of asking again.
const REMEMBER_FROM_RULES: usize = 16;

/// Where rules come from, and their bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AclSettings {
    /// The file; `None` takes [`BUILT_IN`]. A name that ends in `.toml` is TOML, every other Erlang terms.
    pub file: Option<PathBuf>,
    /// What an access is that no rule speaks of.
    pub nomatch: Permission,
    /// Largest file, bytes.
    pub file_bytes_max: u64,
    /// Most rules.
    pub rules_max: usize,
}

/// The access control list.
pub(crate) struct Acl {
    settings: AclSettings,
    rules: ArcSwap<Vec<Rule>>,
    counters: Arc<Counters>,
}

impl Acl {
    /// Reads the rules for the first time.
    pub(crate) fn open(settings: AclSettings, counters: Arc<Counters>) -> Result<Self, Problem> {
        let rules = load(&settings)?;
        Ok(Self { settings, rules: ArcSwap::from_pointee(rules), counters })
    }

    /// Reads the rules again and returns how many there are. After an error everything is as before.
    pub(crate) fn reload(&self) -> Result<usize, Problem> {
        let rules = load(&self.settings)?;
        let count = rules.len();
        self.rules.store(Arc::new(rules));
        Ok(count)
    }

    /// Number of rules in force.
    pub(crate) fn rule_count(&self) -> usize {
        self.rules.load().len()
    }

    /// Where the rules are from.
    pub(crate) fn source(&self) -> String {
        self.settings.file.as_deref().map_or_else(|| "built-in".to_owned(), |file| file.display().to_string())
    }

    /// What the first rule that matches says; none matches: `nomatch`.
    pub(crate) fn permission(&self, client: &ClientInfo, access: Access, topic: &str) -> Permission {
        for rule in self.rules.load().iter() {
            match rule.matches(client, access, topic) {
                Match::Yes => return rule.permission,
                Match::No => {}
                Match::UnsafeName => {
                    self.counters.unsafe_names.add(1);
                    tracing::debug!(client_id = ?client.client_id, username = ?client.username, ?topic,
                        "denied: a rule puts a name into its topic that holds + # or /");
                    return Permission::Deny;
                }
            }
        }
        self.settings.nomatch
    }
}

impl AccessLink for Acl {
    fn name(&self) -> &'static str {
        "acl"
    }

    fn judge(&self, client: &ClientInfo, access: Access, topic: &str) -> Opinion {
        match self.permission(client, access, topic) {
            Permission::Allow => Opinion::Allow,
            Permission::Deny => Opinion::Deny,
        }
    }

    fn is_costly(&self) -> bool {
        self.rule_count() >= REMEMBER_FROM_RULES
    }
}

fn load(settings: &AclSettings) -> Result<Vec<Rule>, Problem> {
    let Some(file) = &settings.file else {
        return erlang_rules::parse(BUILT_IN, usize::MAX).map_err(|problem| problem.in_file("the built-in rules"));
    };
    let named = |problem: Problem| problem.in_file(&file.display().to_string());
    let text = read(file, settings.file_bytes_max).map_err(named)?;
    let parsed = if file.extension().is_some_and(|extension| extension == "toml") {
        toml_rules::parse(&text, settings.rules_max)
    } else {
        erlang_rules::parse(&text, settings.rules_max)
    };
    parsed.map_err(named)
}

fn read(path: &Path, bytes_max: u64) -> Result<String, Problem> {
    let unreadable = |error: std::io::Error| {
        Problem::whole(format!("cannot be read: {error}; check auth.acl_file and the rights of the file"))
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > bytes_max {
        return Err(Problem::whole(format!("is larger than {bytes_max} bytes; raise auth.acl_file_bytes_max")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let valid = String::from_utf8_lossy(error.as_bytes().get(..at).unwrap_or_default()).into_owned();
        Problem::at(Place::of(&valid, valid.len()), "is not UTF-8; save the file as UTF-8")
    })
}
