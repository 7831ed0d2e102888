//! `weir resources …`

use serde_json::{Value as Json, json};

use super::{Out, created, json_argument};
use crate::api_client::ApiClient;
use crate::args::{Format, ResourcesCommand};
use crate::exit::{Exit, Failure};
use crate::manual_text;
use crate::output::{self, View};

static VIEW: View = View {
    columns: &[
        ("ID", "/id"),
        ("TYPE", "/type"),
        ("ALIVE", "/status/is_alive"),
        ("CONFIG", "/config"),
        ("DESCRIPTION", "/description"),
    ],
    name: "/id",
    manual: manual_text::resource,
};

const RESOURCES: [&str; 3] = ["api", "v3", "resources"];

fn one(id: &str) -> [&str; 4] {
    ["api", "v3", "resources", id]
}

pub(super) async fn run(
    client: &ApiClient,
    format: Format,
    command: &ResourcesCommand,
    out: Out<'_>,
) -> Result<(), Failure> {
    match command {
        ResourcesCommand::Create { words, config, description } => {
            let body = creation(words, config, description)?;
            created(out, format, "Resource", &client.post(&RESOURCES, &body).await?)
        }
        ResourcesCommand::List { resource_type: None } => list(client, format, &RESOURCES, out).await,
        ResourcesCommand::List { resource_type: Some(name) } => {
            list(client, format, &["api", "v3", "resource_types", name, "resources"], out).await
        }
        ResourcesCommand::Show { id } => Ok(output::object(out, format, &VIEW, &client.get(&one(id), &[]).await?)?),
        ResourcesCommand::Test { id, config } => {
            match config {
                Some(config) => {
                    let body = json!({"test": true, "type": id, "config": json_argument("--config", config)?});
                    client.post(&RESOURCES, &body).await?;
                }
                None => {
                    client.post(&["api", "v1", "resources", id, "check"], &json!({})).await?;
                }
            }
            Ok(writeln!(out, "ok")?)
        }
        ResourcesCommand::Delete { id } => {
            client.delete(&one(id)).await?;
            Ok(writeln!(out, "ok")?)
        }
    }
}

async fn list(client: &ApiClient, format: Format, path: &[&str], out: Out<'_>) -> Result<(), Failure> {
    let resources = client.list(path, &[]).await?;
    Ok(output::list(out, format, &VIEW, &resources)?)
}

/// The short form has the type (manual §7.3.1), the long one a name before it (§14.20).
fn creation(words: &[String], config: &str, description: &str) -> Result<Json, Failure> {
    let config = json_argument("--config", config)?;
    match words {
        [resource_type] => Ok(json!({"type": resource_type, "config": config, "description": description})),
        [name, resource_type] => {
            Ok(json!({"name": name, "type": resource_type, "config": config, "description": description}))
        }
        _ => Err(Failure::new(Exit::Usage, "resources create takes a TYPE, or a NAME and a TYPE")),
    }
}
