//! `/api/v3/alarms`: those that last, and those that are over.

use axum::extract::{Path, State};
use model::manage::AlarmView;
use serde_json::{Value as Json, json};

use super::nodes::here;
use crate::reply::{Data, V3};
use crate::state::Shared;

pub(crate) async fn present(State(state): State<Shared>) -> V3 {
    let alarms: Vec<Json> = state.manage.present().iter().map(shown).collect();
    Ok(Data::List { items: vec![json!({"node": state.node, "alarms": alarms})], meta: None })
}

pub(crate) async fn present_on(State(state): State<Shared>, Path(node): Path<String>) -> V3 {
    here(&state, &node)?;
    Ok(Data::List { items: state.manage.present().iter().map(shown).collect(), meta: None })
}

pub(crate) async fn history(State(state): State<Shared>) -> V3 {
    let alarms: Vec<Json> = state.manage.history().iter().map(shown).collect();
    Ok(Data::List { items: vec![json!({"node": state.node, "alarms": alarms})], meta: None })
}

pub(crate) async fn history_on(State(state): State<Shared>, Path(node): Path<String>) -> V3 {
    here(&state, &node)?;
    Ok(Data::List { items: state.manage.history().iter().map(shown).collect(), meta: None })
}

fn shown(alarm: &AlarmView) -> Json {
    let mut json = json!({
        "id": alarm.name,
        "desc": alarm.message,
        "details": alarm.details,
        "activated_at": alarm.activated_at_ms,
    });
    if let (Some(over_ms), Some(json)) = (alarm.deactivated_at_ms, json.as_object_mut()) {
        json.insert("clear_at".to_owned(), json!(over_ms));
    }
    json
}
