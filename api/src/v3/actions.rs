//! `/api/v3/actions` and `/api/v3/rule_events`: what a rule can be made of.

use axum::extract::{Path, Query, State};
use connector::{Field, FieldKind};
use engine::ActionInfo;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use sql::Generation;
use sql::catalogue::{self, EVENTS, EventInfo, FieldInfo, Sample};

use super::rules::{current_action_name, refused};
use crate::reply::{Data, V3};
use crate::request::Page;
use crate::state::Shared;

/// `?for=client.connected`
#[derive(Debug, Deserialize)]
pub(crate) struct For {
    #[serde(rename = "for")]
    event: Option<String>,
}

pub(crate) async fn list(State(state): State<Shared>, Query(wanted): Query<For>, Query(page): Query<Page>) -> V3 {
    let fits = |action: &ActionInfo| match wanted.event.as_deref() {
        None | Some("$any") => true,
        Some(event) => action.for_event == "$any" || action.for_event == event,
    };
    Ok(page.cut(state.engine.actions().iter().filter(|action| fits(action)).map(shown).collect())?)
}

pub(crate) async fn show(State(state): State<Shared>, Path(name): Path<String>) -> V3 {
    Ok(Data::Is(shown(&state.engine.action(current_action_name(&name)).map_err(refused)?)))
}

/// Events with their fields, in the vocabulary of version 3 where it had them.
pub(crate) async fn events(Query(page): Query<Page>) -> V3 {
    Ok(page.cut(EVENTS.iter().map(shown_event).collect())?)
}

fn shown_event(info: &EventInfo) -> Json {
    let name = catalogue::event_name(info.kind, Generation::V3);
    let generation = if info.v3_names.is_empty() { Generation::V5 } else { Generation::V3 };
    let from = if info.v3_names.is_empty() { info.v5_names.first().copied().unwrap_or(name) } else { name };
    let fields: Vec<(&str, &FieldInfo)> =
        info.fields().filter_map(|field| Some((field.name(generation)?, field))).collect();
    let samples: Map<String, Json> =
        fields.iter().map(|(name, field)| ((*name).to_owned(), sample(field.sample))).collect();
    json!({
        "event": name,
        "title": name,
        "description": info.doc,
        "names": info.v3_names.iter().chain(info.v5_names).collect::<Vec<_>>(),
        "columns": fields.iter().map(|(name, _)| name).collect::<Vec<_>>(),
        "test_columns": samples,
        "sql_example": format!("SELECT * FROM \"{from}\""),
    })
}

fn sample(sample: Sample) -> Json {
    match sample {
        Sample::Text(text) => json!(text),
        Sample::Integer(number) => json!(number),
        Sample::Boolean(flag) => json!(flag),
        Sample::Json(text) => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
        // A time that does not change, so that the answer does not.
        Sample::Now => json!(1_558_587_875_090_i64),
    }
}

fn shown(action: &ActionInfo) -> Json {
    json!({
        "name": action.name,
        "app": action.app,
        "for": action.for_event,
        "types": action.types,
        "title": action.title,
        "description": action.description,
        "params": params(action.params),
    })
}

/// Fields in the shape of the manual: `{"target_topic": {"title", "description", "type", "required"}}`.
pub(crate) fn params(fields: &[Field]) -> Json {
    Json::Object(fields.iter().map(|field| (field.name.to_owned(), param(field))).collect())
}

fn param(field: &Field) -> Json {
    let (kind, format) = match field.kind {
        FieldKind::Text => ("string", None),
        FieldKind::Template => ("string", Some("template")),
        FieldKind::SqlTemplate => ("string", Some("sql")),
        FieldKind::Integer { .. } => ("integer", None),
        FieldKind::Number => ("number", None),
        FieldKind::Bool => ("boolean", None),
        FieldKind::Duration => ("string", Some("duration")),
        FieldKind::Bytes => ("string", Some("size")),
        FieldKind::Choice(_) => ("string", None),
        FieldKind::Url => ("string", Some("url")),
        FieldKind::Path => ("string", Some("path")),
        FieldKind::TextMap | FieldKind::TemplateMap => ("object", None),
        FieldKind::TextList => ("array", None),
    };
    let mut shown = Map::new();
    shown.insert("title".to_owned(), json!(if field.title.is_empty() { field.name } else { field.title }));
    shown.insert("description".to_owned(), json!(field.doc));
    shown.insert("type".to_owned(), json!(kind));
    shown.insert("required".to_owned(), json!(field.required));
    if let Some(format) = format {
        shown.insert("format".to_owned(), json!(format));
    }
    if let Some(default) = field.default {
        shown.insert("default".to_owned(), json!(default));
    }
    if let FieldKind::Choice(words) = field.kind {
        shown.insert("enum".to_owned(), json!(words));
    }
    if field.secret {
        shown.insert("secret".to_owned(), json!(true));
    }
    if field.advanced {
        shown.insert("advanced".to_owned(), json!(true));
    }
    Json::Object(shown)
}
