//! `/api/v1/dead_letters`: rows that could not be delivered.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use connector::{DeadLetterFilter, ErrorKind};
use model::Str;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::reply::{Refusal, V1, data};
use crate::request::{Body, Page, flag, text};
use crate::state::{Shared, State as Inner};

/// Letters in one answer unless `_limit` says otherwise.
const PAGE_LETTERS: usize = 100;

/// `?rule=&action=&after=`
#[derive(Debug, Deserialize)]
pub(crate) struct Wanted {
    rule: Option<String>,
    action: Option<String>,
    after: Option<String>,
}

pub(crate) async fn list(
    State(state): State<Shared>,
    Query(wanted): Query<Wanted>,
    Query(page): Query<Page>,
) -> Response {
    data(listed(&state, wanted, &page).await)
}

pub(crate) async fn show(State(state): State<Shared>, Path(id): Path<String>) -> Response {
    let letter = state.dead_letters.show(&id).await;
    data(letter.map(|letter| json!(letter)).map_err(|error| refused(&error).into()))
}

pub(crate) async fn replay(State(state): State<Shared>, body: Body) -> Response {
    data(replayed(&state, body).await)
}

pub(crate) async fn drop(State(state): State<Shared>, body: Body) -> Response {
    data(dropped(&state, body).await)
}

/// Pages are walked from the front: letters come and go between two requests, so only the order by id is stable.
async fn listed(state: &Inner, wanted: Wanted, page: &Page) -> V1 {
    let (number, limit) = page.numbers(PAGE_LETTERS)?;
    let filter = DeadLetterFilter { rule: wanted.rule.map(Str::from), action: wanted.action.map(Str::from) };
    let mut after: Option<Str> = wanted.after.map(Str::from);
    for _ in 1..number {
        let skipped =
            state.dead_letters.list(&filter, after.as_deref(), limit).await.map_err(|error| refused(&error))?;
        match skipped.next {
            Some(next) => after = Some(next),
            None => return Ok(json!([])),
        }
    }
    let found = state.dead_letters.list(&filter, after.as_deref(), limit).await.map_err(|error| refused(&error))?;
    Ok(json!(found.letters))
}

/// Which letters a body names.
enum Which {
    These(Vec<Str>),
    All(DeadLetterFilter),
}

fn which(body: &Json) -> Result<Which, Refusal> {
    let ids: Vec<Str> = match body.get("ids") {
        None | Some(Json::Null) => Vec::new(),
        Some(ids) => serde_json::from_value(ids.clone())
            .map_err(|_| Refusal::invalid("ids must be a list of dead letter ids"))?,
    };
    match (flag(body, "all")?, ids.is_empty()) {
        (true, true) => Ok(Which::All(DeadLetterFilter {
            rule: text(body, "rule")?.map(Str::new),
            action: text(body, "action")?.map(Str::new),
        })),
        (false, false) => Ok(Which::These(ids)),
        _ => Err(Refusal::invalid("give either ids, or all: true, perhaps with rule or action")),
    }
}

async fn replayed(state: &Inner, body: Body) -> V1 {
    let count = match which(&body.0?)? {
        Which::All(filter) => state.dead_letters.replay_all(&filter).await.map_err(|error| refused(&error))?,
        Which::These(ids) => {
            let outcomes = state.dead_letters.replay(&ids).await;
            let total = outcomes.len();
            let failed: Vec<_> = outcomes.into_iter().filter_map(|(id, outcome)| Some((id, outcome.err()?))).collect();
            if let Some((id, error)) = failed.first() {
                let refusal = refused(error);
                let message = format!("{} of {total} could not be replayed; {id}: {}", failed.len(), refusal.message);
                return Err(Refusal { message, ..refusal }.into());
            }
            total as u64
        }
    };
    Ok(json!({"count": count}))
}

async fn dropped(state: &Inner, body: Body) -> V1 {
    let count = match which(&body.0?)? {
        Which::All(filter) => state.dead_letters.drop_all(&filter).await,
        Which::These(ids) => match state.dead_letters.drop_letters(&ids).await {
            Ok(0) => return Err(Refusal::not_found("dead letter", &ids.join(", ")).into()),
            counted => counted,
        },
    };
    Ok(json!({"count": count.map_err(|error| refused(&error))?}))
}

fn refused(error: &connector::Error) -> Refusal {
    let status = match error.kind {
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Exhausted | ErrorKind::Closed => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    Refusal::new(status, error.to_string())
}
