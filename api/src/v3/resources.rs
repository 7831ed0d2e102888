//! `/api/v3/resources`, `/api/v3/resource_types` and `/api/v3/resource_status` (manual §7.3.2).

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use connector::Spec;
use resources::{By, Error, ResourceSpec, ResourceView, Status};
use serde_json::{Value as Json, json};

use super::actions::params;
use super::rules::known_keys;
use crate::reply::{Data, Refusal, V3};
use crate::request::{Body, Page, flag, required, text};
use crate::state::{Shared, State as Inner};

pub(crate) async fn list(State(state): State<Shared>, Query(page): Query<Page>) -> V3 {
    Ok(page.cut(state.resources.list().iter().map(shown).collect())?)
}

pub(crate) async fn show(State(state): State<Shared>, Path(id): Path<String>) -> V3 {
    Ok(Data::Is(shown(&state.resources.get(&id).map_err(refused)?)))
}

pub(crate) async fn create(State(state): State<Shared>, Body(body): Body) -> V3 {
    let body = body?;
    known_keys(&body, &["type", "config", "description", "id", "name", "test"])?;
    let resource_type = required(&body, "type")?;
    let config = body.get("config").cloned().unwrap_or_else(|| json!({}));
    if flag(&body, "test")? {
        state.resources.test(resource_type, &config).await.map_err(refused)?;
        return Ok(Data::Nothing);
    }
    let id = match (text(&body, "id")?, text(&body, "name")?) {
        (Some(id), _) => Some(id.into()),
        // Manual §14.20: `web_hook:webhook1`.
        (None, Some(name)) => Some(format!("{resource_type}:{name}").into()),
        (None, None) => None,
    };
    let spec = ResourceSpec {
        id,
        resource_type: resource_type.to_owned(),
        config,
        description: text(&body, "description")?.unwrap_or_default().to_owned(),
        origin: None,
    };
    let made = state.resources.create(spec).await.map_err(refused)?;
    Ok(Data::Is(shown(&made)))
}

/// Connects again, as version 3 did after a resource had failed to start.
pub(crate) async fn start(State(state): State<Shared>, Path(id): Path<String>) -> V3 {
    state.resources.start(&id).await.map_err(refused)?;
    Ok(Data::Nothing)
}

pub(crate) async fn remove(State(state): State<Shared>, Path(id): Path<String>) -> V3 {
    state.resources.delete(&id, By::Api).await.map_err(refused)?;
    Ok(Data::Nothing)
}

pub(crate) async fn status(State(state): State<Shared>, Path(id): Path<String>) -> V3 {
    Ok(Data::Is(shown_status(&state.resources.status(&id).map_err(refused)?)))
}

pub(crate) async fn list_types(State(state): State<Shared>, Query(page): Query<Page>) -> V3 {
    Ok(page.cut(state.resources.resource_types().into_iter().map(shown_type).collect())?)
}

pub(crate) async fn show_type(State(state): State<Shared>, Path(name): Path<String>) -> V3 {
    Ok(Data::Is(shown_type(spec_of(&state, &name)?)))
}

pub(crate) async fn list_of_type(
    State(state): State<Shared>,
    Path(name): Path<String>,
    Query(page): Query<Page>,
) -> V3 {
    let spec = spec_of(&state, &name)?;
    let found = state.resources.list();
    Ok(page.cut(found.iter().filter(|resource| resource.resource_type == spec.name).map(shown).collect())?)
}

fn spec_of(state: &Inner, name: &str) -> Result<&'static Spec, Refusal> {
    let known = state.resources.registry().get(name);
    known.map(|connector| connector.spec()).ok_or_else(|| {
        let names: Vec<&str> = state.resources.resource_types().iter().map(|spec| spec.name).collect();
        Refusal::not_found_because(format!(
            "Not Found: there is no resource type {name}; the types are {}",
            names.join(", ")
        ))
    })
}

fn shown_type(spec: &Spec) -> Json {
    json!({
        "name": spec.name,
        "provider": spec.provider,
        "title": spec.title,
        "description": spec.description,
        "params": params(spec.fields),
    })
}

fn shown(resource: &ResourceView) -> Json {
    let mut json = json!({
        "id": resource.id,
        "type": resource.resource_type,
        "config": resource.config,
        "description": resource.description,
        "status": shown_status(&resource.status),
        "created_at": resource.created_at_ms,
        "used_by": resource.used_by,
    });
    if let (Some(origin), Some(json)) = (&resource.origin, json.as_object_mut()) {
        json.insert("origin".to_owned(), json!(format!("{}:{}", origin.file, origin.line)));
    }
    json
}

pub(crate) fn shown_status(status: &Status) -> Json {
    json!({
        "is_alive": status.state == resources::State::Connected,
        "state": status.state,
        "since": status.since_ms,
        "checked_at": status.checked_at_ms,
        "last_error": status.last_error,
    })
}

/// The resources' no in the API's words.
pub(crate) fn refused(error: Error) -> Refusal {
    let status = match error {
        Error::Invalid(_) => StatusCode::BAD_REQUEST,
        Error::NotFound(_) => StatusCode::NOT_FOUND,
        Error::Conflict(_) => StatusCode::CONFLICT,
        Error::Connection(_) => StatusCode::INTERNAL_SERVER_ERROR,
        Error::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    let diagnostics = match &error {
        Error::Invalid(errors) => {
            errors.iter().map(|error| json!({"field": error.key, "message": error.message})).collect()
        }
        _ => Vec::new(),
    };
    Refusal { diagnostics, ..Refusal::new(status, error.to_string()) }
}
