//! `/api/v3/banned`: who may not connect.

use ::auth::{Ban, Error, Target};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::reply::{Data, Refusal, V3};
use crate::request::{Body, Page, required, text};
use crate::state::{Shared, State as Inner};

/// What can be banned, in the words of this version.
const KINDS: [&str; 3] = ["client_id", "username", "ip_address"];

pub(crate) async fn list(State(state): State<Shared>, Query(page): Query<Page>) -> V3 {
    Ok(page.cut(state.auth.banned().list().iter().map(shown).collect())?)
}

pub(crate) async fn create(State(state): State<Shared>, body: Body) -> V3 {
    Ok(Data::Is(add(&state, &body.0?).await?))
}

/// `?as=`, which may be left out where only one kind of that name is banned.
#[derive(Debug, Deserialize)]
pub(crate) struct Kind {
    #[serde(rename = "as")]
    kind: Option<String>,
}

pub(crate) async fn remove(State(state): State<Shared>, Path(who): Path<String>, Query(kind): Query<Kind>) -> V3 {
    let kinds: Vec<&str> = kind.kind.as_deref().map_or_else(|| KINDS.to_vec(), |kind| vec![kind]);
    let bans = state.auth.banned().list();
    let targets: Vec<Target> = kinds
        .into_iter()
        .filter_map(|kind| Target::parse(kind, &who).ok())
        .filter(|target| bans.iter().any(|ban| ban.target == *target))
        .collect();
    match &targets[..] {
        [] => Err(Refusal::not_found("ban of", &who).into()),
        [target] => {
            state.auth.banned().remove(target).await.map_err(|error| refused(&error))?;
            Ok(Data::Nothing)
        }
        _ => {
            Err(Refusal::invalid(format!("{who} is banned in several ways; say which with ?as={}", KINDS.join("|")))
                .into())
        }
    }
}

/// Bans what a body says; the ban as it is now, with the number of connections it ended.
pub(crate) async fn add(state: &Inner, body: &Json) -> Result<Json, Refusal> {
    let kind = text(body, "as")?.unwrap_or("client_id");
    let target = Target::parse(kind, required(body, "who")?).map_err(|error| refused(&error))?;
    let at_ms = state.clock.now_ms();
    let until_ms = match (seconds(body, "until")?, seconds(body, "for_secs")?) {
        (Some(_), Some(_)) => return Err(Refusal::invalid("give until or for_secs, not both")),
        (Some(until), None) => Some(until.saturating_mul(1_000)),
        (None, Some(secs)) => Some(at_ms.saturating_add(secs.saturating_mul(1_000))),
        (None, None) => None,
    };
    let reason = text(body, "reason")?.or(text(body, "desc")?).unwrap_or_default().to_owned();
    let by = text(body, "by")?.unwrap_or_else(|| state.credentials.app_id()).to_owned();
    let ban = Ban { target, reason, by, at_ms, until_ms };
    let mut answer = shown(&ban);
    let ended = state.auth.ban(ban).await.map_err(|error| refused(&error))?;
    if let Some(answer) = answer.as_object_mut() {
        answer.insert("ended_connections".to_owned(), json!(ended));
    }
    Ok(answer)
}

/// A number of seconds: since the epoch for `until`.
fn seconds(body: &Json, key: &str) -> Result<Option<i64>, Refusal> {
    match body.get(key) {
        None | Some(Json::Null) => Ok(None),
        Some(given) => match given.as_i64().or_else(|| given.as_str()?.parse().ok()) {
            Some(secs) => Ok(Some(secs)),
            None => Err(Refusal::invalid(format!("{key} must be a whole number of seconds"))),
        },
    }
}

/// A ban in the shape of this version; times are seconds.
pub(crate) fn shown(ban: &Ban) -> Json {
    json!({
        "who": ban.target.who(),
        "as": ban.target.kind(),
        "reason": ban.reason,
        "by": ban.by,
        "at": ban.at_ms / 1_000,
        "until": ban.until_ms.map(|until_ms| until_ms / 1_000),
    })
}

/// An error of access control in the words of an answer.
pub(crate) fn refused(error: &Error) -> Refusal {
    let status = match error {
        Error::Acl(_) | Error::Invalid(_) => StatusCode::BAD_REQUEST,
        Error::NotFound(_) => StatusCode::NOT_FOUND,
        Error::Exists(_) => StatusCode::CONFLICT,
        Error::Full(_) => StatusCode::INSUFFICIENT_STORAGE,
        Error::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let mut refusal = Refusal::new(status, error.to_string());
    if let Error::Acl(problem) = error {
        let place = problem.place.map(|place| json!({"line": place.line, "column": place.column}));
        refusal.diagnostics = vec![json!({"file": problem.file, "place": place, "message": problem.message})];
    }
    refusal
}
