//! One file per noun: arguments → requests → output.

mod access;
mod actions;
mod apply;
mod broker;
mod clients;
mod dead_letters;
mod resources;
mod rules;
mod subscriptions;
mod trace;

use std::io::Write;

use clap::Parser as _;
use serde_json::Value as Json;

use crate::api_client::ApiClient;
use crate::args::{Cli, Command, Format, Global};
use crate::exit::{Exit, Failure};

/// Where the data of a command goes.
type Out<'a> = &'a mut (dyn Write + Send);

pub(crate) async fn run(cli: &Cli, out: Out<'_>) -> Result<(), Failure> {
    if let Command::Ctl { words } = &cli.command {
        return ctl(&cli.global, words, out).await;
    }
    remote(&cli.global, &cli.command, out).await
}

async fn remote(global: &Global, command: &Command, out: Out<'_>) -> Result<(), Failure> {
    let client = ApiClient::new(global)?;
    let format = global.output;
    match command {
        Command::Rules(command) => rules::run(&client, format, command, out).await,
        Command::Resources(command) => resources::run(&client, format, command, out).await,
        Command::Actions(command) => actions::run(&client, format, command, out).await,
        Command::ResourceTypes(command) => actions::run_types(&client, format, command, out).await,
        Command::DeadLetters(command) => dead_letters::run(&client, format, command, out).await,
        Command::Clients(command) => clients::run(&client, format, command, out).await,
        Command::Sessions(command) => clients::run_sessions(&client, format, command, out).await,
        Command::Subscriptions(command) => subscriptions::run(&client, format, command, out).await,
        Command::Routes(command) => subscriptions::run_routes(&client, format, command, out).await,
        Command::Listeners { command } => broker::run_listeners(&client, format, command.as_ref(), out).await,
        Command::Broker { command } => broker::run(&client, format, command.as_ref(), out).await,
        Command::Alarms(command) => broker::run_alarms(&client, format, command, out).await,
        Command::Trace(command) => trace::run(&client, format, command, out).await,
        Command::Pub(args) => subscriptions::publish(&client, args, out).await,
        Command::Banned(command) => access::banned(&client, format, command, out).await,
        Command::Users(command) => access::users(&client, format, "username", command, out).await,
        Command::ClientIds(command) => access::users(&client, format, "client_id", command, out).await,
        Command::Acl(command) => access::acl(&client, format, command, out).await,
        Command::Apply(args) => apply::run(&client, format, args, out).await,
        Command::Status => status(&client, out).await,
        _ => Err(Failure::new(Exit::Usage, "this command does not talk to a server")),
    }
}

/// `weir ctl rules list`: the same commands with the text of the manual.
async fn ctl(global: &Global, words: &[String], out: Out<'_>) -> Result<(), Failure> {
    let line = std::iter::once("weir").chain(words.iter().map(String::as_str));
    let parsed = Cli::try_parse_from(line).map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
    let global = Global { output: Format::Manual, ..global.clone() };
    remote(&global, &parsed.command, out).await
}

async fn status(client: &ApiClient, out: Out<'_>) -> Result<(), Failure> {
    let (_, text) = client.text(&["status"]).await?;
    writeln!(out, "{}", text.trim_end())?;
    let (code, ready) = client.text(&["readyz"]).await?;
    if code == 200 { Ok(()) } else { Err(Failure::new(Exit::Failed, format!("not ready: {}", ready.trim_end()))) }
}

/// Parses an argument that has to be JSON; the message names the argument and the place.
fn json_argument(name: &str, text: &str) -> Result<Json, Failure> {
    serde_json::from_str(text).map_err(|error| Failure::new(Exit::Invalid, format!("{name} is not JSON: {error}")))
}

/// The id of a new object, as `Rule rule:9a6a725d created` or in the chosen format.
fn created(out: Out<'_>, format: Format, noun: &str, data: &Json) -> Result<(), Failure> {
    let id = data.get("id").and_then(Json::as_str).unwrap_or_default();
    match format {
        Format::Table | Format::Manual => writeln!(out, "{noun} {id} created")?,
        Format::Name => writeln!(out, "{id}")?,
        Format::Json => writeln!(out, "{data:#}")?,
        Format::Jsonl => writeln!(out, "{data}")?,
        Format::Yaml => write!(out, "{}", crate::output::yaml(data))?,
    }
    Ok(())
}
