//! `weir subscriptions …`, `weir routes …`, `weir topics …` and `weir pub`

use serde_json::json;

use super::Out;
use crate::api_client::ApiClient;
use crate::args::{Format, PubArgs, RoutesCommand, SubscriptionsCommand};
use crate::exit::{Exit, Failure};
use crate::manual_text;
use crate::output::{self, View};

static SUBSCRIPTIONS: View = View {
    columns: &[("CLIENT", "/client_id"), ("FILTER", "/filter"), ("QOS", "/qos"), ("IDENTIFIER", "/identifier")],
    name: "/filter",
    manual: manual_text::subscription,
};

static ROUTES: View = View {
    columns: &[("FILTER", "/filter"), ("SUBSCRIPTIONS", "/subscription_count"), ("NODE", "/node")],
    name: "/filter",
    manual: manual_text::route,
};

const PATH: [&str; 3] = ["api", "v1", "subscriptions"];
const ROUTES_PATH: [&str; 3] = ["api", "v1", "routes"];

pub(super) async fn run(
    client: &ApiClient,
    format: Format,
    command: &SubscriptionsCommand,
    out: Out<'_>,
) -> Result<(), Failure> {
    match command {
        SubscriptionsCommand::List { matches, limit } => {
            let query: Vec<(&str, &str)> = matches.iter().map(|topic| ("matches", topic.as_str())).collect();
            let found = client.list_after(&PATH, &query, *limit).await?;
            Ok(output::list(out, format, &SUBSCRIPTIONS, &found)?)
        }
        SubscriptionsCommand::Show { id } => {
            let found = client.list_after(&PATH, &[("client_id", id.as_str())], usize::MAX).await?;
            Ok(output::list(out, format, &SUBSCRIPTIONS, &found)?)
        }
        SubscriptionsCommand::Add { id, topic, qos } => {
            client.post(&PATH, &json!({"client_id": id, "topic": topic, "qos": qos})).await?;
            Ok(writeln!(out, "ok")?)
        }
        SubscriptionsCommand::Del { id, topic } => {
            let path = ["api", "v1", "subscriptions", "remove"];
            client.post(&path, &json!({"client_id": id, "topic": topic})).await?;
            Ok(writeln!(out, "ok")?)
        }
    }
}

pub(super) async fn run_routes(
    client: &ApiClient,
    format: Format,
    command: &RoutesCommand,
    out: Out<'_>,
) -> Result<(), Failure> {
    match command {
        RoutesCommand::List { like, matches, limit } => {
            let given = [("filter_like", like), ("matches", matches)];
            let query: Vec<(&str, &str)> =
                given.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))).collect();
            let found = client.list_after(&ROUTES_PATH, &query, *limit).await?;
            Ok(output::list(out, format, &ROUTES, &found)?)
        }
        RoutesCommand::Show { topic } => {
            let found = client.list_after(&ROUTES_PATH, &[("filter", topic.as_str())], 1).await?;
            let found = found.first().ok_or_else(|| {
                Failure::new(Exit::NotFound, format!("nobody subscribes to {}", output::printable(topic)))
            })?;
            Ok(output::object(out, format, &ROUTES, found)?)
        }
    }
}

pub(super) async fn publish(client: &ApiClient, args: &PubArgs, out: Out<'_>) -> Result<(), Failure> {
    let body = json!({"topic": args.topic, "payload": args.message, "qos": args.qos, "retain": args.retain});
    let answer = client.post(&["api", "v1", "publish"], &body).await?;
    let receivers = answer.get("receivers").and_then(serde_json::Value::as_u64).unwrap_or_default();
    Ok(writeln!(out, "published to {receivers} subscribers")?)
}
