//! Rules as TOML, for people who do not write Erlang. The same rules as in `erlang_rules.rs`:
//!
//! ```toml
//! [[rule]]
//! permission = "deny"
//! action = "subscribe"               # publish, subscribe or pubsub (the default)
//! topics = ["$SYS/#", { eq = "#" }]  # left out: every topic
//! # Who: user, client, ipaddr (together: all of them), and = [{…}], or = [{…}]; nothing: everybody. "*" is any name.
//! or = [{ user = "ann" }, { client = "c1", ipaddr = "10.0.0.0/8" }]
//! ```

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::pattern::Pattern;
use super::problem::{Place, Problem};
use super::rule::{Act, Permission, Rule, Who, network};

/// `and` and `or` inside each other.
const DEPTH_MAX: usize = 16;

type Value<'a> = Spanned<DeValue<'a>>;

/// Reads a whole file.
pub(super) fn parse(text: &str, rules_max: usize) -> Result<Vec<Rule>, Problem> {
    let file = File { text };
    let table = DeTable::parse(text).map_err(|error| {
        Problem::at(Place::of(text, error.span().map_or(0, |span| span.start)), error.message().to_owned())
    })?;
    let mut rules = Vec::new();
    for (key, value) in table.get_ref() {
        if key.get_ref() != "rule" {
            return file
                .wrong(key.span().start, format!("unknown key {}; a file of rules has [[rule]]", key.get_ref()));
        }
        let Some(items) = value.get_ref().as_array() else {
            return file.wrong(value.span().start, "write each rule as [[rule]]");
        };
        if items.len() > rules_max {
            let message = format!("more than {rules_max} rules; raise auth.acl_rules_max or shorten the file");
            return file.wrong(value.span().start, message);
        }
        for item in items.iter() {
            rules.push(file.rule(item)?);
        }
    }
    Ok(rules)
}

struct File<'a> {
    text: &'a str,
}

impl File<'_> {
    fn wrong<T>(&self, offset: usize, message: impl Into<String>) -> Result<T, Problem> {
        Err(Problem::at(Place::of(self.text, offset), message))
    }

    fn rule(&self, value: &Value<'_>) -> Result<Rule, Problem> {
        let table = self.table(value)?;
        let (mut permission, mut act, mut topics, mut who) = (None, Act::PubSub, None, Vec::new());
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "permission" => {
                    permission = Some(self.word(value, &[("allow", Permission::Allow), ("deny", Permission::Deny)])?);
                }
                "action" => {
                    let words = [("publish", Act::Publish), ("subscribe", Act::Subscribe), ("pubsub", Act::PubSub)];
                    act = self.word(value, &words)?;
                }
                "topics" => topics = Some(self.patterns(value)?),
                _ => who.push(self.condition(key, value, 0)?),
            }
        }
        let Some(permission) = permission else {
            return self
                .wrong(value.span().start, "the rule has no permission; add permission = \"allow\" or \"deny\"");
        };
        Ok(Rule { permission, who: all_of(who), act, topics })
    }

    fn condition(&self, key: &Spanned<DeString<'_>>, value: &Value<'_>, depth: usize) -> Result<Who, Problem> {
        if depth > DEPTH_MAX {
            return self.wrong(key.span().start, format!("and, or are more than {DEPTH_MAX} deep"));
        }
        match key.get_ref().as_ref() {
            "user" => Ok(Who::User(self.name(value)?)),
            "client" => Ok(Who::Client(self.name(value)?)),
            "ipaddr" => {
                let network = network(self.string(value)?);
                network.map(Who::Address).or_else(|message| self.wrong(value.span().start, message))
            }
            "and" => Ok(Who::And(self.several(value, depth)?)),
            "or" => Ok(Who::Or(self.several(value, depth)?)),
            other => self.wrong(
                key.span().start,
                format!("unknown key {other}; a rule has permission, action, topics, user, client, ipaddr, and, or"),
            ),
        }
    }

    fn several(&self, value: &Value<'_>, depth: usize) -> Result<Vec<Who>, Problem> {
        let items = match value.get_ref().as_array() {
            Some(items) if !items.is_empty() => items,
            _ => {
                return self.wrong(value.span().start, "expected a list of at least one, such as [{ user = \"ann\" }]");
            }
        };
        let one = |item: &Value<'_>| {
            let conditions = self.table(item)?.iter().map(|(key, value)| self.condition(key, value, depth + 1));
            Ok(all_of(conditions.collect::<Result<_, _>>()?))
        };
        items.iter().map(one).collect()
    }

    fn patterns(&self, value: &Value<'_>) -> Result<Vec<Pattern>, Problem> {
        match value.get_ref().as_array() {
            Some(items) if !items.is_empty() => items.iter().map(|item| self.pattern(item)).collect(),
            _ => self
                .wrong(value.span().start, "expected a list of at least one topic, such as [\"a/#\", { eq = \"#\" }]"),
        }
    }

    fn pattern(&self, value: &Value<'_>) -> Result<Pattern, Problem> {
        let (text, is_literal) = match value.get_ref() {
            DeValue::String(text) => (text.as_ref(), false),
            DeValue::Table(table) if table.len() == 1 && table.contains_key("eq") => {
                let text = table.get("eq").and_then(|text| text.get_ref().as_str());
                match text {
                    Some(text) => (text, true),
                    None => return self.wrong(value.span().start, "eq needs a topic in \"…\""),
                }
            }
            _ => return self.wrong(value.span().start, "expected a topic in \"…\" or { eq = \"topic\" }"),
        };
        let parsed = Pattern::parse(text, is_literal);
        parsed.or_else(|message| self.wrong(value.span().start, format!("the topic {text:?}: {message}")))
    }

    fn table<'a, 'b>(&self, value: &'a Value<'b>) -> Result<&'a DeTable<'b>, Problem> {
        match value.get_ref() {
            DeValue::Table(table) => Ok(table),
            _ => self.wrong(value.span().start, "expected a table, such as { user = \"ann\" }"),
        }
    }

    fn string<'a>(&self, value: &'a Value<'_>) -> Result<&'a str, Problem> {
        match value.get_ref().as_str() {
            Some(text) => Ok(text),
            None => self.wrong(value.span().start, "expected a text in \"…\""),
        }
    }

    fn name(&self, value: &Value<'_>) -> Result<Option<String>, Problem> {
        Ok(Some(self.string(value)?).filter(|name| *name != "*").map(str::to_owned))
    }

    fn word<T: Copy>(&self, value: &Value<'_>, words: &[(&str, T)]) -> Result<T, Problem> {
        let found = words.iter().find(|(word, _)| value.get_ref().as_str() == Some(word));
        match found {
            Some((_, meaning)) => Ok(*meaning),
            None => {
                let words: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
                self.wrong(value.span().start, format!("expected {}", words.join(" or ")))
            }
        }
    }
}

/// Conditions side by side all have to hold; none is everybody.
fn all_of(mut who: Vec<Who>) -> Who {
    match (who.len(), who.pop()) {
        (0, _) | (_, None) => Who::All,
        (1, Some(only)) => only,
        (_, Some(last)) => {
            who.push(last);
            Who::And(who)
        }
    }
}
