//! `weir actions …` and `weir resource-types …`: what rules and resources can be made of.

use serde_json::Value as Json;

use super::Out;
use crate::api_client::ApiClient;
use crate::args::{ActionsCommand, Format, ResourceTypesCommand};
use crate::exit::Failure;
use crate::manual_text;
use crate::output::{self, View};

static ACTIONS: View = View {
    columns: &[
        ("NAME", "/name"),
        ("FOR", "/for"),
        ("TYPES", "/types"),
        ("TITLE", "/title"),
        ("DESCRIPTION", "/description"),
    ],
    name: "/name",
    manual: manual_text::action,
};

static TYPES: View = View {
    columns: &[("NAME", "/name"), ("TITLE", "/title"), ("DESCRIPTION", "/description")],
    name: "/name",
    manual: manual_text::resource_type,
};

pub(super) async fn run(
    client: &ApiClient,
    format: Format,
    command: &ActionsCommand,
    out: Out<'_>,
) -> Result<(), Failure> {
    match command {
        ActionsCommand::List { event, resource_type } => {
            let query: Vec<(&str, &str)> = event.iter().map(|event| ("for", event.as_str())).collect();
            let mut actions = client.list(&["api", "v3", "actions"], &query).await?;
            if let Some(wanted) = resource_type {
                let has_type = |action: &Json| {
                    action
                        .get("types")
                        .and_then(Json::as_array)
                        .is_some_and(|types| types.iter().any(|name| name == wanted.as_str()))
                };
                actions.retain(has_type);
            }
            Ok(output::list(out, format, &ACTIONS, &actions)?)
        }
        ActionsCommand::Show { name } => {
            let action = client.get(&["api", "v3", "actions", name], &[]).await?;
            Ok(output::object(out, format, &ACTIONS, &action)?)
        }
    }
}

pub(super) async fn run_types(
    client: &ApiClient,
    format: Format,
    command: &ResourceTypesCommand,
    out: Out<'_>,
) -> Result<(), Failure> {
    match command {
        ResourceTypesCommand::List => {
            let types = client.list(&["api", "v3", "resource_types"], &[]).await?;
            Ok(output::list(out, format, &TYPES, &types)?)
        }
        ResourceTypesCommand::Show { name } => {
            let found = client.get(&["api", "v3", "resource_types", name], &[]).await?;
            Ok(output::object(out, format, &TYPES, &found)?)
        }
    }
}
