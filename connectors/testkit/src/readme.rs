//! The YAML example of a connector's README, read with a real YAML parser and checked against its own fields (C13).

use connector::{ActionSettings, Config, Spec};
use saphyr_parser::{Event, Parser};
use serde_json::{Map, Value as Json};

/// More lines are not an example but a manual.
const LINES_MAX: usize = 24;

/// Panics unless the first YAML block of the README is a short, valid example of resources and sinks of `spec`. Settings
/// stand beside `type`, or under `config`; parameters beside `action`, or under `params`.
pub fn check_readme(spec: &'static Spec, readme: &str) {
    if let Err(why) = check(spec, readme) {
        panic!("the example in the README of {}: {why}", spec.name);
    }
}

fn check(spec: &'static Spec, readme: &str) -> Result<(), String> {
    let yaml = readme.split_once("```yaml\n").and_then(|(_, rest)| rest.split_once("```")).ok_or("there is none")?.0;
    if yaml.lines().count() > LINES_MAX {
        return Err(format!("is longer than {LINES_MAX} lines"));
    }
    let mut events = Vec::new();
    for event in Parser::new_from_str(yaml) {
        events.push(event.map_err(|error| error.to_string())?.0);
    }
    let document = node(&mut events.into_iter())?.ok_or("is empty")?;
    let resources = members(&document, "resources")?;
    for (name, resource) in &resources {
        let mut settings = object(resource)?;
        let kind = text(&mut settings, "type")?;
        if kind != spec.name && !spec.aliases.contains(&kind.as_str()) {
            return Err(format!("{name}: {kind} is not this connector"));
        }
        parse(spec.fields, inner(settings, "config"), name)?;
    }
    for (name, sink) in members(&document, "sinks")? {
        let mut params = object(&sink)?;
        let action = text(&mut params, "action")?;
        let action = spec
            .actions
            .iter()
            .find(|known| known.name == action)
            .ok_or_else(|| format!("{name}: there is no action {action}"))?;
        let resource = text(&mut params, "resource")?;
        if !resources.contains_key(&resource) {
            return Err(format!("{name}: there is no resource {resource}"));
        }
        let delivery = take_delivery(&mut params);
        ActionSettings::parse(&delivery, action.batch).map_err(|errors| format!("{name}: {errors:?}"))?;
        parse(action.params, inner(params, "params"), &name)?;
    }
    Ok(())
}

/// Takes the delivery settings out, so that only parameters stay.
fn take_delivery(params: &mut Map<String, Json>) -> Map<String, Json> {
    let top = connector::action::SETTING_GROUPS.iter().flat_map(|(group, fields)| {
        if group.is_empty() { fields.iter().map(|field| field.name).collect() } else { vec![*group] }
    });
    top.filter_map(|key: &str| Some((key.to_owned(), params.remove(key)?))).collect()
}

fn parse(fields: &'static [connector::Field], settings: Json, name: &str) -> Result<(), String> {
    Config::parse(fields, &settings).map(|_| ()).map_err(|errors| format!("{name}: {}", crate::connect::join(&errors)))
}

fn inner(mut settings: Map<String, Json>, key: &str) -> Json {
    settings.remove(key).unwrap_or(Json::Object(settings))
}

fn members(document: &Json, key: &str) -> Result<Map<String, Json>, String> {
    document.get(key).ok_or_else(|| format!("has no {key}")).and_then(object)
}

fn object(json: &Json) -> Result<Map<String, Json>, String> {
    json.as_object().cloned().ok_or_else(|| format!("expected a mapping, found {json}"))
}

fn text(object: &mut Map<String, Json>, key: &str) -> Result<String, String> {
    match object.remove(key) {
        Some(Json::String(text)) => Ok(text),
        _ => Err(format!("{key} is missing")),
    }
}

/// The next node as JSON; every scalar is text, which is what settings are parsed from. `None` at the end of a
/// collection.
fn node<'a>(events: &mut impl Iterator<Item = Event<'a>>) -> Result<Option<Json>, String> {
    loop {
        match events.next() {
            Some(Event::Scalar(text, ..)) => return Ok(Some(Json::String(text.into_owned()))),
            Some(Event::MappingStart(..)) => {
                let mut map = Map::new();
                while let Some(key) = node(events)? {
                    let key = key.as_str().ok_or("keys are text")?.to_owned();
                    map.insert(key, node(events)?.ok_or("a key has no value")?);
                }
                return Ok(Some(Json::Object(map)));
            }
            Some(Event::SequenceStart(..)) => {
                let mut items = Vec::new();
                while let Some(item) = node(events)? {
                    items.push(item);
                }
                return Ok(Some(Json::Array(items)));
            }
            Some(Event::MappingEnd | Event::SequenceEnd) | None => return Ok(None),
            Some(_) => {}
        }
    }
}
