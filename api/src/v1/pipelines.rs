//! `POST /api/v1/pipelines/apply`: brings the server to what pipeline files say.

use std::path::{Component, Path, PathBuf};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use pipelines::{Absent, Environment, Options, Pipeline, ProcessEnvironment};
use serde_json::{Value as Json, json};

use crate::apply::{ApplyError, ApplyOptions, Cause};
use crate::reply::{Refusal, V1, data};
use crate::request::{Body, flag, required};
use crate::state::{Shared, State as Inner};

pub(crate) async fn apply(State(state): State<Shared>, body: Body) -> Response {
    data(applied(&state, body).await)
}

async fn applied(state: &Inner, body: Body) -> V1 {
    let body = body.0?;
    let options = ApplyOptions { dry_run: flag(&body, "dry_run")?, prune: flag(&body, "prune")? };
    let given = body.get("files").and_then(Json::as_array).filter(|files| !files.is_empty());
    let given = given.ok_or_else(|| Refusal::invalid("files is required: a list of {\"name\", \"text\"}"))?;
    let environment = ServerEnvironment { secrets: &state.secrets_dir };
    let mut files = Vec::new();
    let mut wrong = Vec::new();
    for file in given {
        match load(required(file, "name")?, required(file, "text")?, &environment) {
            Ok(pipeline) => files.push(pipeline),
            Err(problems) => wrong.extend(problems),
        }
    }
    if !wrong.is_empty() {
        return Err(refused(ApplyError::Invalid(wrong)).into());
    }
    // A change that has begun is finished, also when the client goes away or the request runs out of time.
    let (engine, resources) = (state.engine.clone(), state.resources.clone());
    let (done, answer) = tokio::sync::oneshot::channel();
    model::task::spawn("api-apply", async move {
        // Without a receiver there is nobody to tell.
        drop(done.send(crate::apply::apply(&engine, &resources, &files, options).await));
    });
    let changes = answer.await.map_err(|_| Refusal::internal("applying broke off; the server's log says more"))?;
    let changes = changes.map_err(refused)?;
    Ok(json!({"changes": changes, "dry_run": options.dry_run}))
}

fn load(name: &str, text: &str, environment: &dyn Environment) -> Result<Pipeline, Vec<String>> {
    let options = Options { environment, absent: Absent::Fail };
    pipelines::load(name, text, &options).map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

fn refused(error: ApplyError) -> Refusal {
    let status = match &error {
        ApplyError::Invalid(_) | ApplyError::Refused { cause: Cause::Invalid, .. } => StatusCode::BAD_REQUEST,
        ApplyError::Refused { cause: Cause::Conflict, .. } => StatusCode::CONFLICT,
        ApplyError::Refused { cause: Cause::Failed, .. } => StatusCode::SERVICE_UNAVAILABLE,
    };
    let message = error.to_string();
    let (ApplyError::Invalid(problems) | ApplyError::Refused { problems, .. }) = error;
    let diagnostics = problems.iter().map(|problem| json!({"message": problem})).collect();
    Refusal { diagnostics, ..Refusal::new(status, message) }
}

/// Variables of the server's process, and secret files from one folder only: whoever may apply a pipeline must not be
/// able to read every file of the machine by sending it somewhere.
struct ServerEnvironment<'a> {
    secrets: &'a Path,
}

impl Environment for ServerEnvironment<'_> {
    fn var(&self, name: &str) -> Option<String> {
        ProcessEnvironment::default().var(name)
    }

    fn file(&self, path: &str) -> Result<String, String> {
        let wanted = Path::new(path);
        let inside = wanted.strip_prefix(self.secrets).unwrap_or(wanted);
        if !inside.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(format!(
                "a pipeline applied to a server reads secret files only from {}",
                self.secrets.display()
            ));
        }
        ProcessEnvironment { folder: PathBuf::from(self.secrets) }.file(&inside.to_string_lossy())
    }
}
