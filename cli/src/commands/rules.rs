//! `weir rules …`

use serde_json::{Value as Json, json};

use super::{Out, created, json_argument};
use crate::api_client::ApiClient;
use crate::args::{Format, RulesCommand};
use crate::exit::{Exit, Failure};
use crate::manual_text;
use crate::output::{self, View};

static VIEW: View = View {
    columns: &[
        ("ID", "/id"),
        ("ENABLED", "/enabled"),
        ("FOR", "/for"),
        ("ACTIONS", "/action_names"),
        ("MATCHED", "/metrics/0/matched"),
        ("SQL", "/rawsql"),
        ("DESCRIPTION", "/description"),
    ],
    name: "/id",
    manual: manual_text::rule,
};

const RULES: [&str; 3] = ["api", "v3", "rules"];

fn one(id: &str) -> [&str; 4] {
    ["api", "v3", "rules", id]
}

pub(super) async fn run(
    client: &ApiClient,
    format: Format,
    command: &RulesCommand,
    out: Out<'_>,
) -> Result<(), Failure> {
    match command {
        RulesCommand::Create { words, description } => {
            let body = creation(words, description)?;
            let sql = body.get("rawsql").and_then(Json::as_str).unwrap_or_default();
            let made = client.post(&RULES, &body).await.map_err(|failure| failure.with_excerpt(sql))?;
            created(out, format, "Rule", &made)
        }
        RulesCommand::List => {
            let mut rules = client.list(&RULES, &[]).await?;
            if format == Format::Table {
                rules.iter_mut().for_each(shorten);
            }
            Ok(output::list(out, format, &VIEW, &rules)?)
        }
        RulesCommand::Show { id } => Ok(output::object(out, format, &VIEW, &client.get(&one(id), &[]).await?)?),
        RulesCommand::Delete { id } => {
            client.delete(&one(id)).await?;
            Ok(writeln!(out, "ok")?)
        }
        RulesCommand::Enable { id } => enable(client, id, true, out).await,
        RulesCommand::Disable { id } => enable(client, id, false, out).await,
        RulesCommand::Test(_) => Err(Failure::new(Exit::Usage, "rules test needs no server")),
    }
}

async fn enable(client: &ApiClient, id: &str, enabled: bool, out: Out<'_>) -> Result<(), Failure> {
    client.put(&one(id), &json!({"enabled": enabled})).await?;
    Ok(writeln!(out, "ok")?)
}

/// The short form has the SQL and the actions (manual §7.3.1), the long one a name and an event before them (§14.18).
fn creation(words: &[String], description: &str) -> Result<Json, Failure> {
    match words {
        [sql, actions] => {
            Ok(json!({"rawsql": sql, "actions": json_argument("ACTIONS", actions)?, "description": description}))
        }
        [name, event, sql, actions] => Ok(json!({
            "name": name,
            "for": event,
            "rawsql": sql,
            "actions": json_argument("ACTIONS", actions)?,
            "description": description,
        })),
        _ => Err(Failure::new(
            Exit::Usage,
            "rules create takes two arguments, SQL and ACTIONS, or four, NAME EVENT SQL ACTIONS; quote the SQL and the JSON",
        )),
    }
}

/// Characters of the SQL that a list shows; `show` has all of it.
const SQL_CHARS_MAX: usize = 60;

/// A rule for one line of a table.
fn shorten(rule: &mut Json) {
    let sql: Vec<&str> = rule.get("rawsql").and_then(Json::as_str).unwrap_or_default().split_whitespace().collect();
    let sql = sql.join(" ");
    let short = match sql.char_indices().nth(SQL_CHARS_MAX) {
        Some((end, _)) => format!("{}…", sql.get(..end).unwrap_or_default()),
        None => sql,
    };
    let names: Vec<Json> = rule
        .get("actions")
        .and_then(Json::as_array)
        .into_iter()
        .flatten()
        .filter_map(|action| action.get("name").cloned())
        .collect();
    if let Some(rule) = rule.as_object_mut() {
        rule.insert("action_names".to_owned(), Json::Array(names));
        rule.insert("rawsql".to_owned(), Json::String(short));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_grammars_of_rules_create_are_told_apart_by_their_number_of_arguments() {
        let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let short = creation(&words(&["select 1", "[]"]), "d").unwrap();
        assert_eq!(short, json!({"rawsql": "select 1", "actions": [], "description": "d"}));
        let long = creation(&words(&["test1", "message.publish", "select 1", "[]"]), "").unwrap();
        assert_eq!(
            long,
            json!({"name": "test1", "for": "message.publish", "rawsql": "select 1", "actions": [], "description": ""})
        );
        assert_eq!(creation(&words(&["a", "b", "c"]), "").unwrap_err().exit, Exit::Usage);
        let error = creation(&words(&["select 1", "[{]"]), "").unwrap_err();
        assert_eq!((error.exit, error.message.contains("line 1 column 3")), (Exit::Invalid, true), "{error}");
    }
}
