//! `weir clients …` and `weir sessions …`

use super::Out;
use crate::api_client::ApiClient;
use crate::args::{ClientFilterArgs, ClientsCommand, Format, SessionsCommand};
use crate::exit::Failure;
use crate::manual_text;
use crate::output::{self, View};

static CLIENTS: View = View {
    columns: &[
        ("CLIENT", "/client_id"),
        ("USER", "/username"),
        ("ADDRESS", "/address"),
        ("PORT", "/port"),
        ("PROTOCOL", "/protocol"),
        ("VERSION", "/version"),
        ("KEEPALIVE", "/keepalive_secs"),
        ("CONNECTED", "/connected_at_ms"),
    ],
    name: "/client_id",
    manual: manual_text::client,
};

static SESSIONS: View = View {
    columns: &[
        ("CLIENT", "/client_id"),
        ("USER", "/username"),
        ("CONNECTED", "/is_connected"),
        ("EXPIRY", "/session_expiry_secs"),
        ("SUBSCRIPTIONS", "/subscription_count"),
        ("QUEUED", "/queue_message_count"),
        ("INFLIGHT", "/inflight_count"),
        ("DROPPED", "/dropped_count"),
        ("CREATED", "/created_at_ms"),
    ],
    name: "/client_id",
    manual: manual_text::session,
};

const PATH: [&str; 3] = ["api", "v1", "clients"];

pub(super) async fn run(
    client: &ApiClient,
    format: Format,
    command: &ClientsCommand,
    out: Out<'_>,
) -> Result<(), Failure> {
    match command {
        ClientsCommand::List(wanted) => {
            let mut query = query(wanted);
            query.push(("connected", "true"));
            let clients = client.list_after(&PATH, &query, wanted.limit).await?;
            Ok(output::list(out, format, &CLIENTS, &clients)?)
        }
        ClientsCommand::Show { id } => show(client, format, &CLIENTS, id, out).await,
        ClientsCommand::Kick { id } => {
            client.delete(&["api", "v1", "clients", id]).await?;
            Ok(writeln!(out, "ok")?)
        }
    }
}

pub(super) async fn run_sessions(
    client: &ApiClient,
    format: Format,
    command: &SessionsCommand,
    out: Out<'_>,
) -> Result<(), Failure> {
    match command {
        SessionsCommand::List(wanted) => {
            let sessions = client.list_after(&PATH, &query(wanted), wanted.limit).await?;
            Ok(output::list(out, format, &SESSIONS, &sessions)?)
        }
        SessionsCommand::Show { id } => show(client, format, &SESSIONS, id, out).await,
    }
}

async fn show(client: &ApiClient, format: Format, view: &View, id: &str, out: Out<'_>) -> Result<(), Failure> {
    let found = client.get(&["api", "v1", "clients", id], &[]).await?;
    Ok(output::object(out, format, view, &found)?)
}

fn query(wanted: &ClientFilterArgs) -> Vec<(&str, &str)> {
    let given = [
        ("client_id_like", &wanted.like),
        ("username", &wanted.username),
        ("address", &wanted.address),
        ("version", &wanted.protocol),
    ];
    given.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))).collect()
}
