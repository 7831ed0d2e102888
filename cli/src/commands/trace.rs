//! `weir trace …` (manual §4.18, §14.15)

use serde_json::{Value as Json, json};

use super::Out;
use crate::api_client::ApiClient;
use crate::args::{Format, TraceCommand};
use crate::exit::{Exit, Failure};
use crate::manual_text;
use crate::output::{self, View};

static VIEW: View = View {
    columns: &[
        ("TRACE", "/name"),
        ("KIND", "/kind"),
        ("TARGET", "/target"),
        ("RUNNING", "/is_running"),
        ("ENDED BY", "/ended_by"),
        ("LINES", "/line_count"),
        ("BYTES", "/bytes"),
        ("LOST", "/lost_count"),
    ],
    name: "/name",
    manual: manual_text::trace,
};

const PATH: [&str; 3] = ["api", "v1", "traces"];

pub(super) async fn run(
    client: &ApiClient,
    format: Format,
    command: &TraceCommand,
    out: Out<'_>,
) -> Result<(), Failure> {
    match command {
        TraceCommand::List => {
            let found = client.get(&PATH, &[]).await?;
            Ok(output::list(out, format, &VIEW, found.as_array().map_or(&[], Vec::as_slice))?)
        }
        TraceCommand::Start { kind, target, name, level: _, payload, minutes } => {
            let mut body = json!({
                "name": plain_name(name),
                "payload": payload,
                "duration_secs": minutes.map(|minutes| minutes * 60),
            });
            let key = if kind == "client" { "client_id" } else { kind.as_str() };
            if let Some(body) = body.as_object_mut() {
                body.insert(key.to_owned(), json!(target));
            }
            client.post(&PATH, &body).await?;
            Ok(writeln!(out, "trace {kind} {} successfully", output::printable(target))?)
        }
        TraceCommand::Stop { words } => stop(client, words, out).await,
        TraceCommand::Show { name } => show(client, name, out).await,
        TraceCommand::Delete { name } => {
            client.delete(&["api", "v1", "traces", name]).await?;
            Ok(writeln!(out, "ok")?)
        }
    }
}

/// The manual names a file, perhaps in a folder; the server has one folder for all of them.
fn plain_name(file: &str) -> &str {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.strip_suffix(".log").unwrap_or(name)
}

async fn stop(client: &ApiClient, words: &[String], out: Out<'_>) -> Result<(), Failure> {
    let [kind, target] = words else {
        let name = words.first().map_or("", String::as_str);
        client.post(&["api", "v1", "traces", name, "stop"], &json!({})).await?;
        return Ok(writeln!(out, "stop tracing {} successfully", output::printable(name))?);
    };
    let traces = client.get(&PATH, &[]).await?;
    let is_it = |trace: &&Json| {
        trace.get("kind").and_then(Json::as_str) == Some(kind.as_str())
            && trace.get("target").and_then(Json::as_str) == Some(target.as_str())
            && trace.get("is_running").and_then(Json::as_bool) == Some(true)
    };
    let found: Vec<&str> = traces
        .as_array()
        .into_iter()
        .flatten()
        .filter(is_it)
        .filter_map(|trace| trace.get("name").and_then(Json::as_str))
        .collect();
    if found.is_empty() {
        let what = format!("no trace of {kind} {} is running", output::printable(target));
        return Err(Failure::new(Exit::NotFound, what));
    }
    for name in found {
        client.post(&["api", "v1", "traces", name, "stop"], &json!({})).await?;
    }
    Ok(writeln!(out, "stop tracing {kind} {} successfully", output::printable(target))?)
}

/// Asks for the next part until there is none.
async fn show(client: &ApiClient, name: &str, out: Out<'_>) -> Result<(), Failure> {
    let mut offset = 0_usize;
    loop {
        let text = offset.to_string();
        let bytes = client.bytes(&["api", "v1", "traces", name, "log"], &[("offset", text.as_str())]).await?;
        if bytes.is_empty() {
            return Ok(());
        }
        offset += bytes.len();
        // What clients sent is escaped in the file already; it is printed as it is.
        out.write_all(&bytes)?;
    }
}
