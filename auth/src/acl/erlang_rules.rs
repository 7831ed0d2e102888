//! `acl.conf`: rules as Erlang terms (manual §4.9, §9.4).
//!
//! ```text
//! {allow|deny, Who, publish|subscribe|pubsub, ["topic", {eq, "topic"}, …]}.
//! {allow|deny, Who}.
//! Who = all | {user, "name"|all} | {client, "id"|all} | {ipaddr, "address or CIDR"} | {'and', [Who]} | {'or', [Who]}
//! ```

use super::erlang::{Kind, Term, read};
use super::pattern::Pattern;
use super::problem::Problem;
use super::rule::{Act, Permission, Rule, Who, network};

/// Reads a whole file.
pub(super) fn parse(text: &str, rules_max: usize) -> Result<Vec<Rule>, Problem> {
    read(text, rules_max)?.iter().map(rule).collect()
}

fn wrong<T>(term: &Term, expected: &str) -> Result<T, Problem> {
    Err(Problem::at(term.place, format!("expected {expected}, found {}", term.kind.describe())))
}

fn rule(term: &Term) -> Result<Rule, Problem> {
    let shape = "a rule, {allow, Who, Act, Topics} or {allow, Who}";
    let Kind::Tuple(parts) = &term.kind else { return wrong(term, shape) };
    match &parts[..] {
        [verb, subject] => {
            Ok(Rule { permission: permission(verb)?, who: who(subject)?, act: Act::PubSub, topics: None })
        }
        [verb, subject, what, topics] => Ok(Rule {
            permission: permission(verb)?,
            who: who(subject)?,
            act: act(what)?,
            topics: Some(patterns(topics)?),
        }),
        _ => Err(Problem::at(term.place, format!("expected {shape}, found a tuple of {}", parts.len()))),
    }
}

fn permission(term: &Term) -> Result<Permission, Problem> {
    match &term.kind {
        Kind::Atom(name) if name == "allow" => Ok(Permission::Allow),
        Kind::Atom(name) if name == "deny" => Ok(Permission::Deny),
        _ => wrong(term, "allow or deny"),
    }
}

fn act(term: &Term) -> Result<Act, Problem> {
    match &term.kind {
        Kind::Atom(name) if name == "publish" => Ok(Act::Publish),
        Kind::Atom(name) if name == "subscribe" => Ok(Act::Subscribe),
        Kind::Atom(name) if name == "pubsub" => Ok(Act::PubSub),
        _ => wrong(term, "publish, subscribe or pubsub"),
    }
}

fn who(term: &Term) -> Result<Who, Problem> {
    let shape = "all, {user, \"name\"}, {client, \"id\"}, {ipaddr, \"10.0.0.0/8\"}, {'and', […]} or {'or', […]}";
    let Kind::Tuple(parts) = &term.kind else {
        return if term.kind == Kind::Atom("all".to_owned()) { Ok(Who::All) } else { wrong(term, shape) };
    };
    let [Term { kind: Kind::Atom(what), .. }, value] = &parts[..] else { return wrong(term, shape) };
    match what.as_str() {
        "user" => Ok(Who::User(name(value)?)),
        "client" => Ok(Who::Client(name(value)?)),
        "ipaddr" => {
            let Kind::Text(address) = &value.kind else { return wrong(value, "an address in \"…\"") };
            Ok(Who::Address(network(address).map_err(|message| Problem::at(value.place, message))?))
        }
        "and" => Ok(Who::And(several(value)?)),
        "or" => Ok(Who::Or(several(value)?)),
        _ => wrong(term, shape),
    }
}

fn name(term: &Term) -> Result<Option<String>, Problem> {
    match &term.kind {
        Kind::Text(name) => Ok(Some(name.clone())),
        Kind::Atom(word) if word == "all" => Ok(None),
        _ => wrong(term, "a name in \"…\" or all"),
    }
}

fn several(term: &Term) -> Result<Vec<Who>, Problem> {
    match &term.kind {
        Kind::List(items) if !items.is_empty() => items.iter().map(who).collect(),
        _ => wrong(term, "a list of at least one, such as [{user, \"a\"}, {ipaddr, \"10.0.0.0/8\"}]"),
    }
}

fn patterns(term: &Term) -> Result<Vec<Pattern>, Problem> {
    match &term.kind {
        Kind::List(items) if !items.is_empty() => items.iter().map(pattern).collect(),
        _ => wrong(term, "a list of at least one topic, such as [\"a/#\", {eq, \"#\"}]"),
    }
}

fn pattern(term: &Term) -> Result<Pattern, Problem> {
    let (text, is_literal) = match &term.kind {
        Kind::Text(text) => (text, false),
        Kind::Tuple(parts) => match &parts[..] {
            [Term { kind: Kind::Atom(eq), .. }, Term { kind: Kind::Text(text), .. }] if eq == "eq" => (text, true),
            _ => return wrong(term, "{eq, \"topic\"}"),
        },
        _ => return wrong(term, "a topic in \"…\" or {eq, \"topic\"}"),
    };
    Pattern::parse(text, is_literal)
        .map_err(|message| Problem::at(term.place, format!("the topic {text:?}: {message}")))
}
