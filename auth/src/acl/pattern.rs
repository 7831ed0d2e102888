//! Topics of rules: filters with `%c` (client identifier) and `%u` (user name), and `eq`, which means the text itself.
//!
//! Invariant: what a client calls itself never becomes a wildcard or a level separator. A pattern that would take such
//! a name in is not matched but reported ([`Match::UnsafeName`]).

use model::ClientInfo;
use model::ports::Access;

/// One topic of a rule.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pattern {
    levels: Vec<Level>,
    /// The text itself, wildcards included, and not what it matches.
    is_literal: bool,
    names: Names,
}

#[derive(Clone, Debug, PartialEq)]
enum Level {
    /// `#`
    Rest,
    /// `+`
    Any,
    Text(String),
    /// Text with placeholders.
    Named(Vec<Part>),
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(String),
    ClientId,
    Username,
}

/// Which placeholders occur.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Names {
    client_id: bool,
    username: bool,
}

/// Whether a pattern speaks of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Match {
    Yes,
    No,
    /// The pattern needs a name of the client that holds `+`, `#` or `/`.
    UnsafeName,
}

impl Pattern {
    /// Reads a pattern; the error says what is wrong with it as a filter.
    pub(crate) fn parse(text: &str, is_literal: bool) -> Result<Self, String> {
        // Placeholders are valid level texts, so the filter can be checked as it stands.
        model::validate_filter(text).map_err(|error| error.to_string())?;
        if text.starts_with("$share/") {
            return Err("rules speak of the filter behind $share/<group>/; write only that".to_owned());
        }
        let levels: Vec<Level> = text.split('/').map(level).collect();
        let has =
            |wanted: &Part| levels.iter().any(|level| matches!(level, Level::Named(parts) if parts.contains(wanted)));
        let names = Names { client_id: has(&Part::ClientId), username: has(&Part::Username) };
        Ok(Self { levels, is_literal, names })
    }

    /// Whether a rule with this pattern speaks of `topic`. `allows`: what the rule would do.
    ///
    /// A filter to subscribe to is spoken of when everything it can match is. For receiving, an `eq` that allows a filter
    /// allows what comes through it, while an `eq` that denies a filter denies only that subscription.
    pub(crate) fn matches(&self, client: &ClientInfo, access: Access, topic: &str, allows: bool) -> Match {
        let names = self.names;
        if (names.client_id && is_unsafe(&client.client_id))
            || (names.username && client.username.as_deref().is_some_and(is_unsafe))
        {
            return Match::UnsafeName;
        }
        if names.username && client.username.is_none() {
            return Match::No;
        }
        let is_literal = self.is_literal && !(access == Access::Receive && allows);
        let found = if is_literal { self.equals(client, topic) } else { self.covers(client, topic) };
        if found { Match::Yes } else { Match::No }
    }

    /// Whether every topic that `filter` matches is matched by the pattern. A topic name is a filter without wildcards.
    fn covers(&self, client: &ClientInfo, filter: &str) -> bool {
        // A wildcard at the front does not reach the server's topics [MQTT-4.7.2-1].
        if filter.starts_with('$') && matches!(self.levels.first(), Some(Level::Any | Level::Rest)) {
            return false;
        }
        let mut wanted = self.levels.iter();
        let mut given = filter.split('/');
        loop {
            match (wanted.next(), given.next()) {
                (Some(Level::Rest), _) | (None, None) => return true,
                (_, Some("#")) => return false,
                (Some(Level::Any), Some(_)) => {}
                (Some(level), Some(given)) if level.is(given, client) => {}
                _ => return false,
            }
        }
    }

    fn equals(&self, client: &ClientInfo, topic: &str) -> bool {
        let mut wanted = self.levels.iter();
        let mut given = topic.split('/');
        loop {
            match (wanted.next(), given.next()) {
                (None, None) => return true,
                (Some(level), Some(given)) if level.is(given, client) => {}
                _ => return false,
            }
        }
    }
}

impl Level {
    /// Whether the level is written `given`.
    fn is(&self, given: &str, client: &ClientInfo) -> bool {
        match self {
            Self::Rest => given == "#",
            Self::Any => given == "+",
            Self::Text(text) => text == given,
            Self::Named(parts) => {
                let rest = parts.iter().try_fold(given, |rest, part| match part {
                    Part::Text(text) => rest.strip_prefix(text.as_str()),
                    Part::ClientId => rest.strip_prefix(&*client.client_id),
                    Part::Username => rest.strip_prefix(&**client.username.as_ref()?),
                });
                rest == Some("")
            }
        }
    }
}

fn level(text: &str) -> Level {
    match text {
        "#" => return Level::Rest,
        "+" => return Level::Any,
        _ if !text.contains("%c") && !text.contains("%u") => return Level::Text(text.to_owned()),
        _ => {}
    }
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(at) = [rest.find("%c"), rest.find("%u")].into_iter().flatten().min() {
        let (before, from) = rest.split_at(at);
        if !before.is_empty() {
            parts.push(Part::Text(before.to_owned()));
        }
        parts.push(if from.starts_with("%c") { Part::ClientId } else { Part::Username });
        rest = from.get(2..).unwrap_or_default();
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.to_owned()));
    }
    Level::Named(parts)
}

/// A name that would change the shape of a filter.
fn is_unsafe(name: &str) -> bool {
    name.contains(['+', '#', '/'])
}

#[cfg(test)]
mod tests {
    use super::super::tests::client;
    use super::*;

    #[test]
    fn a_rule_speaks_of_a_filter_when_it_covers_all_of_it() {
        for (pattern, filter, expected) in [
            ("a/#", "a/+", true),
            ("a/#", "a/#", true),
            ("a/#", "a", true),
            ("a/#", "a/b/+/c/#", true),
            ("a/#", "+/b", false),
            ("a/#", "#", false),
            ("a/+", "a/+", true),
            ("a/+", "a/b", true),
            ("a/+", "a/#", false),
            ("a/+", "a", false),
            ("a/b", "a/+", false),
            ("+/b", "a/b", true),
            ("#", "a/+/c", true),
            ("#", "$SYS/#", false),
            ("+/x", "$SYS/x", false),
            ("$SYS/#", "$SYS/+", true),
            ("$SYS/#", "#", false),
            ("a/+/#", "a/#", false),
            ("a//+", "a//b", true),
        ] {
            let pattern = Pattern::parse(pattern, false).unwrap();
            let expected = if expected { Match::Yes } else { Match::No };
            let found = pattern.matches(&client("c", None, "127.0.0.1"), Access::Subscribe, filter, true);
            assert_eq!(found, expected, "{pattern:?} of {filter}");
        }
    }

    #[test]
    fn eq_means_the_text_itself() {
        let me = client("c", None, "127.0.0.1");
        let hash = Pattern::parse("#", true).unwrap();
        let matched = |access, topic, allows| hash.matches(&me, access, topic, allows) == Match::Yes;
        assert!(matched(Access::Subscribe, "#", false));
        assert!(!matched(Access::Subscribe, "a/#", false));
        assert!(!matched(Access::Receive, "a/b", false), "denying the filter # denies no message");
        assert!(matched(Access::Receive, "a/b", true), "allowing the filter # allows what comes through it");
        assert!(!matched(Access::Publish, "a/b", true));
    }

    #[test]
    fn names_are_put_into_levels_and_never_become_wildcards() {
        let yes_no = |pattern: &str, client: &ClientInfo, topic: &str| {
            Pattern::parse(pattern, false).unwrap().matches(client, Access::Publish, topic, true)
        };
        let me = client("c1", Some("ann"), "127.0.0.1");
        for (pattern, topic, expected) in [
            ("dev/%c/up", "dev/c1/up", Match::Yes),
            ("dev/%c/up", "dev/c2/up", Match::No),
            ("dev/%u-%c/#", "dev/ann-c1/a/b", Match::Yes),
            ("dev/x%c", "dev/xc1", Match::Yes),
            ("dev/x%c", "dev/xc11", Match::No),
            ("%u/%c", "ann/c1", Match::Yes),
            ("dev/%%c", "dev/%c1", Match::Yes),
        ] {
            assert_eq!(yes_no(pattern, &me, topic), expected, "{pattern} of {topic}");
        }
        assert_eq!(yes_no("u/%u", &client("c", None, "127.0.0.1"), "u/"), Match::No, "no user name, no match");
        for name in ["+", "#", "a/b", "a+", "x/#"] {
            assert_eq!(yes_no("dev/%c/up", &client(name, None, "127.0.0.1"), "dev/c2/up"), Match::UnsafeName, "{name}");
            assert_eq!(yes_no("dev/%u", &client("c", Some(name), "127.0.0.1"), "dev/c2"), Match::UnsafeName, "{name}");
            assert_eq!(
                yes_no("dev/fixed", &client(name, None, "127.0.0.1"), "dev/fixed"),
                Match::Yes,
                "not needed: {name}"
            );
        }
    }

    #[test]
    fn patterns_that_are_no_filters_are_refused() {
        for (text, says) in [("a/#/b", "last level"), ("a+", "alone"), ("", "at least one"), ("$share/g/a", "behind")] {
            assert!(Pattern::parse(text, false).unwrap_err().contains(says), "{text}");
        }
    }
}
