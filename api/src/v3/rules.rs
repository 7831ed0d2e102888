//! `/api/v3/rules` (manual §7.3.2, Rule API), with the SQL tester (`"test": true`).

use axum::extract::{Path, Query, State};
use engine::{ActionConfig, ActionView, RuleSpec, RuleView, TestEvent, TestOutcome};
use model::EventKind;
use serde_json::{Value as Json, json};
use sql::Generation;
use sql::catalogue::{self, EVENTS, EventInfo};

use crate::reply::{Data, Refusal, V3};
use crate::request::{Body, Page, flag, text};
use crate::state::{Shared, State as Inner};

pub(crate) async fn list(State(state): State<Shared>, Query(page): Query<Page>) -> V3 {
    let rules = state.engine.rules().iter().map(|rule| shown(&state.node, rule)).collect();
    Ok(page.cut(rules)?)
}

pub(crate) async fn show(State(state): State<Shared>, Path(id): Path<String>) -> V3 {
    Ok(Data::Is(shown(&state.node, &state.engine.rule(&id).map_err(refused)?)))
}

pub(crate) async fn remove(State(state): State<Shared>, Path(id): Path<String>) -> V3 {
    state.engine.delete_rule(&id, None).await.map_err(refused)?;
    Ok(Data::Nothing)
}

pub(crate) async fn create(State(state): State<Shared>, Body(body): Body) -> V3 {
    let body = body?;
    if flag(&body, "test")? {
        return test(&state, &body).await;
    }
    known_keys(
        &body,
        &["rawsql", "sql", "actions", "description", "enabled", "id", "name", "for", "on_decode_error", "test"],
    )?;
    let spec = spec(&state, &body)?;
    let rule = match text(&body, "for")?.map(event_of).transpose()? {
        None => state.engine.create_rule(spec).await.map_err(refused)?,
        Some(event) => create_for(&state, spec, event).await?,
    };
    Ok(Data::Is(shown(&state.node, &rule)))
}

/// The long form names the event beside the SQL (manual §14.18). The SQL decides; a rule that selects from something else
/// than its creator thinks is refused. It is off until that is known.
async fn create_for(state: &Inner, spec: RuleSpec, event: EventKind) -> Result<RuleView, Refusal> {
    let enabled = spec.enabled;
    let rule = state.engine.create_rule(RuleSpec { enabled: false, ..spec }).await.map_err(refused)?;
    if !rule.sources.iter().any(|source| event_of(source).unwrap_or(EventKind::MessagePublish) == event) {
        state.engine.delete_rule(&rule.id, None).await.map_err(refused)?;
        let message = format!("the rule is for {}, but its SQL selects from {}", event.name(), rule.sources.join(", "));
        return Err(Refusal::invalid(message));
    }
    if enabled { state.engine.set_enabled(&rule.id, true).await.map_err(refused) } else { Ok(rule) }
}

/// Version 3.4.5 could not change a rule; this is the later form: what is given replaces what was.
pub(crate) async fn update(State(state): State<Shared>, Path(id): Path<String>, Body(body): Body) -> V3 {
    let body = body?;
    known_keys(&body, &["rawsql", "sql", "actions", "description", "enabled", "on_decode_error"])?;
    let old = state.engine.rule(&id).map_err(refused)?;
    let keys = body.as_object().map_or(0, serde_json::Map::len);
    let rule = if keys == 1 && body.get("enabled").is_some() {
        state.engine.set_enabled(&id, flag(&body, "enabled")?).await
    } else {
        state.engine.replace_rule(&id, changed(&old, &body)?).await
    };
    Ok(Data::Is(shown(&state.node, &rule.map_err(refused)?)))
}

/// The rule as it was, with what the body says.
fn changed(old: &RuleView, body: &Json) -> Result<RuleSpec, Refusal> {
    let actions = match body.get("actions") {
        Some(given) => actions(given)?,
        None => old.actions.iter().map(config_of).collect::<Result<_, _>>()?,
    };
    let sql = text(body, "rawsql")?.or(text(body, "sql")?).unwrap_or(&old.sql);
    let mut spec = RuleSpec::new(sql, actions);
    spec.id = Some(old.id.clone());
    spec.description = text(body, "description")?.unwrap_or(&old.description).to_owned();
    spec.enabled = if body.get("enabled").is_some() { flag(body, "enabled")? } else { old.enabled };
    spec.on_decode_error = decode_policy(body)?.or(old.on_decode_error);
    Ok(spec)
}

/// An action as the engine shows it, given back. What it shows masked it cannot be given back.
fn config_of(view: &ActionView) -> Result<ActionConfig, Refusal> {
    if view.params.to_string().contains("\"******\"") {
        return Err(Refusal::invalid(
            "this rule's actions hold secrets, which are never shown: give the actions again",
        ));
    }
    let mut config = ActionConfig::new(view.name.clone(), view.params.clone());
    config.settings = view.settings.as_object().cloned().unwrap_or_default();
    config.fallback = view.fallback.iter().map(config_of).collect::<Result<_, _>>()?;
    Ok(config)
}

fn spec(state: &Inner, body: &Json) -> Result<RuleSpec, Refusal> {
    let sql = text(body, "rawsql")?.or(text(body, "sql")?).ok_or_else(|| Refusal::invalid("rawsql is required"))?;
    let given = body.get("actions").ok_or_else(|| Refusal::invalid("actions is required: a list of actions"))?;
    let mut spec = RuleSpec::new(sql, actions(given)?);
    spec.description = text(body, "description")?.unwrap_or_default().to_owned();
    spec.enabled = if body.get("enabled").is_some() { flag(body, "enabled")? } else { true };
    spec.on_decode_error = decode_policy(body)?;
    spec.id = match (text(body, "id")?, text(body, "name")?) {
        (Some(id), _) => Some(id.into()),
        // Manual §14.18: the name and a number, so that one name can be used for many rules.
        (None, Some(name)) => Some(format!("{name}:{}", state.clock.now_ns()).into()),
        (None, None) => None,
    };
    Ok(spec)
}

fn decode_policy(body: &Json) -> Result<Option<engine::OnDecodeError>, Refusal> {
    let Some(given) = body.get("on_decode_error").filter(|given| !given.is_null()) else { return Ok(None) };
    serde_json::from_value(given.clone())
        .map(Some)
        .map_err(|_| Refusal::invalid("on_decode_error must be one of fail, null, dead_letter"))
}

fn actions(given: &Json) -> Result<Vec<ActionConfig>, Refusal> {
    let items = given
        .as_array()
        .ok_or_else(|| Refusal::invalid("actions must be a list, such as [{\"name\":\"inspect\",\"params\":{}}]"))?;
    items
        .iter()
        .enumerate()
        .map(|(index, item)| {
            let mut config =
                ActionConfig::from_json(item).map_err(|why| Refusal::invalid(format!("actions[{index}]: {why}")))?;
            config.name = current_action_name(&config.name).to_owned();
            Ok(config)
        })
        .collect()
}

/// Names of manual §14.18 and §14.19 that §7.3.1 no longer has.
pub(crate) fn current_action_name(name: &str) -> &str {
    match name {
        "built_in:inspect_action" => "inspect",
        "built_in:republish_action" => "republish",
        "web_hook:publish_action" | "web_hook:event_action" => "data_to_webserver",
        name => name,
    }
}

/// An unknown key is a mistake that would otherwise be passed over in silence.
pub(crate) fn known_keys(body: &Json, known: &[&str]) -> Result<(), Refusal> {
    let Some(object) = body.as_object() else { return Err(Refusal::invalid("the body must be a JSON object")) };
    match object.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(Refusal::invalid(format!("unknown key {key:?}; the keys are {}", known.join(", ")))),
        None => Ok(()),
    }
}

/// The event of a name in any of its spellings: `message.publish`, `message_publish`, `$events/message_publish`.
fn event_of(name: &str) -> Result<EventKind, Refusal> {
    let plain = |name: &str| name.strip_prefix("$events/").unwrap_or(name).replace('.', "_");
    let is_it = |info: &&EventInfo| info.v3_names.iter().chain(info.v5_names).any(|known| plain(known) == plain(name));
    EVENTS.iter().find(is_it).map(|info| info.kind).ok_or_else(|| {
        Refusal::invalid(format!("there is no event {name:?}; the events are {}", catalogue::v3_names().join(", ")))
    })
}

/// The event a FROM source stands for; a topic filter selects published messages.
fn event_name(source: &str) -> &str {
    let kind = event_of(source).unwrap_or(EventKind::MessagePublish);
    catalogue::event_name(kind, Generation::V3)
}

async fn test(state: &Inner, body: &Json) -> V3 {
    let sql = text(body, "rawsql")?.or(text(body, "sql")?).ok_or_else(|| Refusal::invalid("rawsql is required"))?;
    let fields = body.get("ctx").or_else(|| body.get("context")).cloned().unwrap_or_else(|| json!({}));
    if !fields.is_object() {
        return Err(Refusal::invalid("ctx must be an object of the event's fields").into());
    }
    let named = text(&fields, "event_type")?.or(text(&fields, "event")?).or(text(body, "event_type")?);
    let event_type = named.map_or(Ok(EventKind::MessagePublish), event_of)?.name().to_owned();
    let given = match body.get("actions") {
        Some(given) => actions(given)?,
        None => Vec::new(),
    };
    let event = TestEvent { event_type, fields };
    let (outcome, rendered) = if given.is_empty() {
        (engine::test(sql, &event), Vec::new())
    } else {
        state.engine.test_rule(&RuleSpec::new(sql, given), &event).await
    };
    let mut data = serde_json::to_value(&outcome).map_err(|error| Refusal::internal(error.to_string()))?;
    if let (Some(data), false) = (data.as_object_mut(), rendered.is_empty()) {
        data.insert(
            "actions".to_owned(),
            serde_json::to_value(&rendered).map_err(|error| Refusal::internal(error.to_string()))?,
        );
    }
    match outcome {
        TestOutcome::Row { .. } => Ok(Data::Is(data)),
        TestOutcome::NoMatch { reason } => {
            Err(Refusal::not_found_because(format!("SQL Not Match: {reason}")).with_data(data).into())
        }
        TestOutcome::Error { class, message, .. } => {
            Err(Refusal::invalid(format!("{class}: {message}")).with_data(data).into())
        }
    }
}

/// A rule in the shape of manual §7.3.2.
pub(crate) fn shown(node: &str, rule: &RuleView) -> Json {
    let mut events: Vec<&str> = rule.sources.iter().map(|source| event_name(source)).collect();
    events.dedup();
    // The manual shows one event as text; several, which it cannot have, as a list.
    let events = match events.as_slice() {
        [one] => json!(one),
        many => json!(many),
    };
    let metrics = &rule.metrics;
    let mut json = json!({
        "id": rule.id,
        "for": events,
        "from": rule.sources,
        "rawsql": rule.sql,
        "actions": rule.actions.iter().map(|action| shown_action(node, action)).collect::<Vec<_>>(),
        "metrics": [{
            "node": node,
            "matched": metrics.matched,
            "speed": metrics.rate,
            "speed_max": metrics.rate_max,
            "speed_last5m": metrics.rate_last_5m,
            "passed": metrics.passed,
            "failed": metrics.failed,
            "failed.exception": metrics.failed_exception,
            "no_result": metrics.no_result,
            "dropped": metrics.dropped,
            "rows": metrics.rows,
            "dead_letters_lost": metrics.dead_letters_lost,
        }],
        "enabled": rule.enabled,
        "description": rule.description,
        "created_at": rule.created_at_ms,
    });
    if let Some(json) = json.as_object_mut() {
        if let Some(policy) = rule.on_decode_error {
            json.insert("on_decode_error".to_owned(), json!(policy));
        }
        if let Some(origin) = &rule.origin {
            json.insert("origin".to_owned(), json!(origin.to_string()));
        }
        if !rule.failures.is_empty() {
            json.insert("failures".to_owned(), json!(rule.failures));
        }
    }
    json
}

fn shown_action(node: &str, action: &ActionView) -> Json {
    let metrics = &action.metrics;
    let mut json = json!({
        "id": action.id,
        "name": action.name,
        "params": action.params,
        "metrics": [{
            "node": node,
            "matched": metrics.matched,
            "success": metrics.success,
            "failed": metrics.failed,
            "retried": metrics.retried,
            "dropped": metrics.dropped,
            "queued": metrics.queued,
            "inflight": metrics.inflight,
        }],
    });
    if let Some(json) = json.as_object_mut() {
        json.extend(action.settings.as_object().cloned().unwrap_or_default());
        if let Some(why) = &action.unavailable {
            json.insert("unavailable".to_owned(), json!(why));
        }
        if !action.fallback.is_empty() {
            json.insert(
                "fallback".to_owned(),
                action.fallback.iter().map(|action| shown_action(node, action)).collect(),
            );
        }
    }
    json
}

/// The engine's no in the API's words.
pub(crate) fn refused(error: engine::Error) -> Refusal {
    use axum::http::StatusCode;
    let status = match error {
        engine::Error::Invalid { .. } => StatusCode::BAD_REQUEST,
        engine::Error::NotFound(_) => StatusCode::NOT_FOUND,
        engine::Error::Conflict(_) => StatusCode::CONFLICT,
        engine::Error::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        engine::Error::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let diagnostics =
        error.diagnostics().iter().filter_map(|diagnostic| serde_json::to_value(diagnostic).ok()).collect();
    Refusal { diagnostics, ..Refusal::new(status, error.to_string()) }
}
