//! `weir apply`: hands pipeline files to the server, which works out and makes the difference.

use serde_json::{Value as Json, json};

use super::Out;
use crate::api_client::ApiClient;
use crate::args::{ApplyArgs, Format};
use crate::exit::{Exit, Failure};
use crate::manual_text;
use crate::output::{self, View};

static VIEW: View = View {
    columns: &[("CHANGE", "/change"), ("KIND", "/kind"), ("ID", "/id"), ("DETAIL", "/detail")],
    name: "/id",
    manual: manual_text::json,
};

pub(super) async fn run(client: &ApiClient, format: Format, args: &ApplyArgs, out: Out<'_>) -> Result<(), Failure> {
    let mut files = Vec::new();
    for path in &args.files {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::new(Exit::Usage, format!("cannot read {}: {error}", path.display())))?;
        files.push(json!({"name": path.display().to_string(), "text": text}));
    }
    let body = json!({"files": files, "dry_run": args.dry_run, "prune": args.prune});
    let answer = client.post(&["api", "v1", "pipelines", "apply"], &body).await?;
    let changes = answer.get("changes").and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
    if changes.is_empty() && format == Format::Table {
        return Ok(writeln!(out, "nothing to change")?);
    }
    Ok(output::list(out, format, &VIEW, changes)?)
}
