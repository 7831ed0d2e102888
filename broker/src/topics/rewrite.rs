//! From the topic a client names to the topic it means: rewriting (manual §5.18.3) and the prefixes of `effective`.
//!
//! Invariants:
//! - Everything that is checked, authorized, stored or matched is what comes out here; the client's own spelling goes no
//!   further.
//! - The first rule whose filter matches decides. When its expression does not match, the topic stays as it is and no
//!   further rule is tried.
//! - Expressions are matched in linear time and compiled within [`EXPRESSION_BYTES_MAX`] of memory; what they make is
//!   checked like what a client sends.
//! - A client identifier or user name with a wildcard in it is never put into a topic.

use model::{ClientInfo, Str, filter_matches, validate_filter, validate_topic};
use regex::{Captures, Regex, RegexBuilder};

use super::effective::{BadDelay, split_delay, split_share};
use crate::error::Error;
use crate::settings::{RewriteRule, Settings};

/// Rules of one list.
const RULES_MAX: usize = 1_000;
/// Bytes one expression may take when it is compiled.
const EXPRESSION_BYTES_MAX: usize = 1 << 20;

/// The rules in force.
#[derive(Debug)]
pub(crate) struct Rewrites {
    publish: Vec<Rule>,
    subscribe: Vec<Rule>,
    delay_secs_max: Option<u32>,
}

#[derive(Debug)]
struct Rule {
    filter: String,
    expression: Regex,
    target: Template,
}

/// A text with places for what is known later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Group(usize),
    ClientId,
    Username,
}

/// Where a message goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Destination {
    /// The effective topic.
    pub topic: Str,
    /// How long it has to wait, seconds.
    pub delay_secs: Option<u32>,
}

/// What the client names leads to no valid topic: MQTT 5 reasons 0x90 and 0x8F.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadTopic;

impl From<BadDelay> for BadTopic {
    fn from(_: BadDelay) -> Self {
        Self
    }
}

impl Rewrites {
    /// Compiles the rules of `settings`.
    pub(crate) fn compile(settings: &Settings) -> Result<Self, Error> {
        Ok(Self {
            publish: rules("rewrite_publish", &settings.rewrite_publish)?,
            subscribe: rules("rewrite_subscribe", &settings.rewrite_subscribe)?,
            delay_secs_max: (settings.delayed_messages_max > 0).then_some(settings.delay_secs_max),
        })
    }

    /// Where a message of `client` to `topic` goes.
    pub(crate) fn destination(&self, topic: Str, client: &ClientInfo) -> Result<Destination, BadTopic> {
        let split = self.delay_secs_max.map_or(Ok(None), |secs_max| split_delay(&topic, secs_max))?;
        let (delay_secs, topic) = match split {
            Some((secs, inner)) => (Some(secs), Str::new(inner)),
            None => (None, topic),
        };
        let Some(rewritten) = rewrite(&self.publish, &topic, client)? else {
            return Ok(Destination { topic, delay_secs });
        };
        // What a rule makes is taken as it is: it cannot ask for another delay.
        validate_topic(&rewritten).map_err(|_| BadTopic)?;
        Ok(Destination { topic: Str::from(rewritten), delay_secs })
    }

    /// The filter, with the prefix of its share if it has one, that `client` subscribes to by `filter`.
    pub(crate) fn filter(&self, filter: &str, client: &ClientInfo) -> Result<Str, BadTopic> {
        let (prefix, inner) = match split_share(filter) {
            Some((_, inner)) => (filter.strip_suffix(inner).unwrap_or_default(), inner),
            None => ("", filter),
        };
        let Some(rewritten) = rewrite(&self.subscribe, inner, client)? else { return Ok(Str::new(filter)) };
        let whole = format!("{prefix}{rewritten}");
        validate_filter(&whole).map_err(|_| BadTopic)?;
        if split_share(&whole).is_some() != split_share(filter).is_some() {
            return Err(BadTopic);
        }
        Ok(Str::from(whole))
    }
}

fn rules(setting: &'static str, rules: &[RewriteRule]) -> Result<Vec<Rule>, Error> {
    if rules.len() > RULES_MAX {
        let why = format!("at most {RULES_MAX} rules");
        return Err(Error::Item { setting, number: rules.len(), why });
    }
    let compile = |(index, rule): (usize, &RewriteRule)| {
        Rule::compile(rule).map_err(|why| Error::Item { setting, number: index + 1, why })
    };
    rules.iter().enumerate().map(compile).collect()
}

fn rewrite(rules: &[Rule], topic: &str, client: &ClientInfo) -> Result<Option<String>, BadTopic> {
    let Some(rule) = rules.iter().find(|rule| filter_matches(&rule.filter, topic)) else { return Ok(None) };
    let Some(captures) = rule.expression.captures(topic) else { return Ok(None) };
    rule.target.fill(Some(&captures), client).map(Some).ok_or(BadTopic)
}

impl Rule {
    fn compile(rule: &RewriteRule) -> Result<Self, String> {
        validate_filter(&rule.filter).map_err(|error| format!("filter {:?}: {error}", rule.filter))?;
        let expression = RegexBuilder::new(&rule.expression)
            .size_limit(EXPRESSION_BYTES_MAX)
            .dfa_size_limit(EXPRESSION_BYTES_MAX)
            .nest_limit(50)
            .build()
            .map_err(|error| format!("expression {:?}: {error}", rule.expression))?;
        let target = Template::parse(&rule.target);
        if let Some(group) = target.highest_group().filter(|group| *group >= expression.captures_len()) {
            return Err(format!("target {:?} names ${group}, and the expression has no such group", rule.target));
        }
        Ok(Self { filter: rule.filter.clone(), expression, target })
    }
}

impl Template {
    /// Reads `$1` to `$99`, `%c` (client identifier) and `%u` (user name); everything else is text.
    pub(crate) fn parse(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let tail = rest.get(first.len_utf8()..).unwrap_or_default();
            let digits = tail.bytes().take(2).take_while(u8::is_ascii_digit).count();
            let (part, len) = match first {
                '$' if digits > 0 => (tail.get(..digits).and_then(|n| n.parse().ok()).map(Part::Group), 1 + digits),
                '%' if tail.starts_with('c') => (Some(Part::ClientId), 2),
                '%' if tail.starts_with('u') => (Some(Part::Username), 2),
                _ => (None, first.len_utf8()),
            };
            match part {
                Some(part) => {
                    if !plain.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut plain)));
                    }
                    parts.push(part);
                }
                None => plain.push(first),
            }
            rest = rest.get(len..).unwrap_or_default();
        }
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Self(parts)
    }

    /// The text with everything in its place. `None` when the client has no user name to put in, or a wildcard in what
    /// would be.
    pub(crate) fn fill(&self, captures: Option<&Captures<'_>>, client: &ClientInfo) -> Option<String> {
        let mut out = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Group(at) => {
                    out.push_str(captures.and_then(|found| found.get(*at)).map_or("", |found| found.as_str()));
                }
                Part::ClientId => out.push_str(without_wildcards(&client.client_id)?),
                Part::Username => out.push_str(without_wildcards(client.username.as_deref()?)?),
            }
        }
        Some(out)
    }

    fn highest_group(&self) -> Option<usize> {
        let group = |part: &Part| if let Part::Group(at) = part { Some(*at) } else { None };
        self.0.iter().filter_map(group).max()
    }
}

fn without_wildcards(text: &str) -> Option<&str> {
    (!text.is_empty() && !text.contains(['+', '#'])).then_some(text)
}

#[cfg(test)]
mod tests {
    use model::ProtocolVersion;

    use super::*;

    fn client(client_id: &str, username: Option<&str>) -> ClientInfo {
        ClientInfo {
            client_id: client_id.into(),
            username: username.map(Str::new),
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
        }
    }

    fn rule(line: &str) -> RewriteRule {
        let parts: Vec<&str> = line.split(' ').collect();
        RewriteRule { filter: parts[0].to_owned(), expression: parts[1].to_owned(), target: parts[2].to_owned() }
    }

    fn rewrites(lines: &[&str]) -> Rewrites {
        let rules: Vec<RewriteRule> = lines.iter().map(|line| rule(line)).collect();
        let settings = Settings { rewrite_publish: rules.clone(), rewrite_subscribe: rules, ..Settings::default() };
        Rewrites::compile(&settings).unwrap()
    }

    #[test]
    fn manual_5_18_3_the_rules_of_the_manual() {
        let rewrites = rewrites(&["x/# ^x/y/(.+)$ z/y/$1", "y/+/z/# ^y/(.+)/z/(.+)$ y/z/$2"]);
        let me = client("c", None);
        for (given, expected) in [
            ("x/y/1", "z/y/1"),
            ("x/1/2", "x/1/2"),
            ("y/a/z/b", "y/z/b"),
            ("y/a/z/b/c", "y/z/b/c"),
            ("y/def", "y/def"),
            ("other", "other"),
        ] {
            let destination = rewrites.destination(given.into(), &me).unwrap();
            assert_eq!((&*destination.topic, destination.delay_secs), (expected, None), "{given}");
            assert_eq!(&*rewrites.filter(given, &me).unwrap(), expected, "{given}");
            for prefix in ["$share/g/", "$queue/"] {
                let shared = rewrites.filter(&format!("{prefix}{given}"), &me).unwrap();
                assert_eq!(&*shared, format!("{prefix}{expected}"));
            }
            let delayed = rewrites.destination(format!("$delayed/7/{given}").into(), &me).unwrap();
            assert_eq!((&*delayed.topic, delayed.delay_secs), (expected, Some(7)), "{given}");
        }
        assert_eq!(&*rewrites.filter("x/y/#", &me).unwrap(), "z/y/#", "wildcards are levels like others");
    }

    #[test]
    fn the_first_rule_whose_filter_matches_decides() {
        let rewrites = rewrites(&["a/# ^a/no$ never", "a/# ^a/(.*)$ b/$1", "b/# ^b/(.*)$ c/$1"]);
        assert_eq!(&*rewrites.destination("a/1".into(), &client("c", None)).unwrap().topic, "a/1");
        assert_eq!(&*rewrites.destination("b/1".into(), &client("c", None)).unwrap().topic, "c/1", "once, not twice");
    }

    #[test]
    fn client_identifier_and_user_name_are_put_in_unless_they_hold_wildcards() {
        let rewrites = rewrites(&["up/# ^up/(.*)$ dev/%c/%u/$1"]);
        let fill = |id, name| rewrites.filter("up/x", &client(id, name)).map(|filter| filter.to_string());
        assert_eq!(fill("c", Some("u")), Ok("dev/c/u/x".to_owned()));
        for (id, name) in [("+", Some("u")), ("c", Some("a/#")), ("c", None), ("c", Some(""))] {
            assert_eq!(fill(id, name), Err(BadTopic), "{id} {name:?}");
        }
    }

    #[test]
    fn what_a_rule_makes_is_checked_like_what_a_client_sends() {
        let me = client("c", None);
        for target in ["$1/+", "$1#", "$9"] {
            let settings =
                Settings { rewrite_publish: vec![rule(&format!("# ^(.*)$ {target}"))], ..Settings::default() };
            let refused = Rewrites::compile(&settings).and_then(|rewrites| {
                rewrites.destination("a".into(), &me).map_err(|BadTopic| Error::Item {
                    setting: "",
                    number: 0,
                    why: String::new(),
                })
            });
            assert!(refused.is_err(), "{target}");
        }
        let smuggle = rewrites(&["in/# ^in/(.*)$ $1", "back/# ^back/(.*)$ $1"]);
        assert_eq!(smuggle.filter("in/$share/g/secret", &me), Err(BadTopic), "no share by rewriting");
        assert_eq!(smuggle.filter("$queue/in/$queue/x", &me), Err(BadTopic));
        let delayed = smuggle.destination("in/$delayed/5/x".into(), &me).unwrap();
        assert_eq!(delayed.delay_secs, None, "a `$` topic like any other: clients may not publish to it");
    }

    #[test]
    fn a_wrong_rule_is_named() {
        for (line, expected) in [
            ("a#/b . c", "rewrite_publish, item 1: filter"),
            ("a ( c", "expression"),
            ("a (x) c/$2", "names $2"),
            ("a (((a{100}){100}){100}) c", "expression"),
        ] {
            let settings = Settings { rewrite_publish: vec![rule(line)], ..Settings::default() };
            let error = Rewrites::compile(&settings).unwrap_err().to_string();
            assert!(error.contains(expected), "{line}: {error}");
        }
    }
}
