//! `weir dead-letters …`

use serde_json::{Value as Json, json};

use super::Out;
use crate::api_client::ApiClient;
use crate::args::{DeadLettersCommand, Format, LettersArgs};
use crate::exit::Failure;
use crate::manual_text;
use crate::output::{self, View};

static VIEW: View = View {
    columns: &[
        ("ID", "/id"),
        ("TIME", "/time"),
        ("RULE", "/rule"),
        ("ACTION", "/action"),
        ("CLASS", "/class"),
        ("ATTEMPTS", "/attempts"),
        ("ERROR", "/error"),
    ],
    name: "/id",
    manual: manual_text::json,
};

const LETTERS: [&str; 3] = ["api", "v1", "dead_letters"];

pub(super) async fn run(
    client: &ApiClient,
    format: Format,
    command: &DeadLettersCommand,
    out: Out<'_>,
) -> Result<(), Failure> {
    match command {
        DeadLettersCommand::List { rule, limit } => {
            let limit = limit.to_string();
            let mut query = vec![("_limit", limit.as_str())];
            query.extend(rule.iter().map(|rule| ("rule", rule.as_str())));
            let letters = client.get(&LETTERS, &query).await?;
            Ok(output::list(out, format, &VIEW, letters.as_array().map_or(&[], Vec::as_slice))?)
        }
        DeadLettersCommand::Show { id } => {
            let letter = client.get(&["api", "v1", "dead_letters", id], &[]).await?;
            Ok(output::object(out, format, &VIEW, &letter)?)
        }
        DeadLettersCommand::Replay(which) => change(client, "replay", "replayed", which, out).await,
        DeadLettersCommand::Drop(which) => change(client, "drop", "dropped", which, out).await,
    }
}

async fn change(client: &ApiClient, verb: &str, done: &str, which: &LettersArgs, out: Out<'_>) -> Result<(), Failure> {
    let body = json!({"ids": which.ids, "all": which.all, "rule": which.rule});
    let answer = client.post(&["api", "v1", "dead_letters", verb], &body).await?;
    let count = answer.get("count").and_then(Json::as_u64).unwrap_or_default();
    Ok(writeln!(out, "{count} {done}")?)
}
