//! `weir broker …`, `weir listeners …` and `weir alarms …`

use serde_json::{Value as Json, json};

use super::Out;
use crate::api_client::ApiClient;
use crate::args::{AlarmsCommand, BrokerCommand, Format, ListenersCommand};
use crate::exit::Failure;
use crate::manual_text;
use crate::output::{self, View};

static ABOUT: View = View {
    columns: &[("NODE", "/node"), ("VERSION", "/version"), ("UPTIME", "/uptime")],
    name: "/node",
    manual: manual_text::broker,
};

static NUMBERS: View =
    View { columns: &[("NAME", "/name"), ("VALUE", "/value")], name: "/name", manual: manual_text::number };

static LISTENERS: View = View {
    columns: &[
        ("NAME", "/name"),
        ("PROTOCOL", "/protocol"),
        ("ADDRESS", "/address"),
        ("CONNECTIONS", "/connection_count"),
        ("MAX", "/connections_max"),
    ],
    name: "/name",
    manual: manual_text::listener,
};

static ALARMS: View = View {
    columns: &[
        ("ALARM", "/name"),
        ("SINCE", "/activated_at_ms"),
        ("UNTIL", "/deactivated_at_ms"),
        ("MESSAGE", "/message"),
        ("DETAILS", "/details"),
    ],
    name: "/name",
    manual: manual_text::json,
};

pub(super) async fn run(
    client: &ApiClient,
    format: Format,
    command: Option<&BrokerCommand>,
    out: Out<'_>,
) -> Result<(), Failure> {
    let numbers = match command {
        None => {
            let brokers = client.get(&["api", "v3", "brokers"], &[]).await?;
            let about = brokers.get(0).cloned().unwrap_or_default();
            return Ok(output::object(out, format, &ABOUT, &about)?);
        }
        Some(BrokerCommand::Stats) => client.get(&["api", "v1", "stats"], &[]).await?,
        Some(BrokerCommand::Metrics) => client.get(&["api", "v1", "metrics"], &[]).await?,
    };
    let numbers: Vec<Json> = numbers
        .as_object()
        .map(|numbers| numbers.iter().map(|(name, value)| json!({"name": name, "value": value})).collect())
        .unwrap_or_default();
    Ok(output::list(out, format, &NUMBERS, &numbers)?)
}

pub(super) async fn run_listeners(
    client: &ApiClient,
    format: Format,
    command: Option<&ListenersCommand>,
    out: Out<'_>,
) -> Result<(), Failure> {
    match command {
        None | Some(ListenersCommand::List) => {
            let found = client.get(&["api", "v1", "listeners"], &[]).await?;
            Ok(output::list(out, format, &LISTENERS, found.as_array().map_or(&[], Vec::as_slice))?)
        }
    }
}

pub(super) async fn run_alarms(
    client: &ApiClient,
    format: Format,
    command: &AlarmsCommand,
    out: Out<'_>,
) -> Result<(), Failure> {
    let alarms = match command {
        AlarmsCommand::List => client.get(&["api", "v1", "alarms"], &[]).await?,
        AlarmsCommand::History { clear: false } => client.get(&["api", "v1", "alarms", "history"], &[]).await?,
        AlarmsCommand::History { clear: true } => {
            client.delete(&["api", "v1", "alarms", "history"]).await?;
            return Ok(writeln!(out, "ok")?);
        }
        AlarmsCommand::Clear { name } => {
            client.delete(&["api", "v1", "alarms", name]).await?;
            return Ok(writeln!(out, "ok")?);
        }
    };
    Ok(output::list(out, format, &ALARMS, alarms.as_array().map_or(&[], Vec::as_slice))?)
}
