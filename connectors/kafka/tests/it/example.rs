//! The YAML example of the README, read with a real YAML parser and checked against the connector's own fields.

use connector::{Config, Spec};
use saphyr_parser::{Event, Parser};
use serde_json::{Map, Value as Json};

/// Panics unless every resource and sink of the example is valid for `spec`.
pub(crate) fn check(spec: &'static Spec, readme: &str) {
    let (_, rest) = readme.split_once("```yaml\n").expect("the README has an example");
    let (yaml, _) = rest.split_once("```").expect("the example ends");
    assert!(yaml.lines().count() <= 13, "the example is short");
    let mut events = Parser::new_from_str(yaml).map(|event| event.expect("the example is YAML").0);
    let document = node(&mut events).expect("the example is not empty");
    let resources = document["resources"].as_object().expect("resources");
    for (name, resource) in resources {
        let mut settings = resource.as_object().expect("a resource").clone();
        let kind = settings.remove("type").expect("a type");
        let known = kind.as_str().is_some_and(|kind| kind == spec.name || spec.aliases.contains(&kind));
        assert!(known, "{name}: {kind} is not this connector");
        Config::parse(spec.fields, &Json::Object(settings)).unwrap_or_else(|errors| panic!("{name}: {errors:?}"));
    }
    for (name, sink) in document["sinks"].as_object().expect("sinks") {
        let mut params = sink.as_object().expect("a sink").clone();
        let action = params.remove("action").expect("an action");
        let action =
            spec.actions.iter().find(|known| Some(known.name) == action.as_str()).expect("an action of this connector");
        let resource = params.remove("resource").expect("a resource");
        assert!(resources.contains_key(resource.as_str().unwrap_or_default()), "{name}: no resource {resource}");
        Config::parse(action.params, &Json::Object(params)).unwrap_or_else(|errors| panic!("{name}: {errors:?}"));
    }
}

/// The next node as JSON; every scalar is text, which is what settings are parsed from. `None` at the end of a collection.
fn node<'a>(events: &mut impl Iterator<Item = Event<'a>>) -> Option<Json> {
    loop {
        match events.next()? {
            Event::Scalar(text, ..) => return Some(Json::String(text.into_owned())),
            Event::MappingStart(..) => {
                let mut map = Map::new();
                while let Some(key) = node(events) {
                    let key = key.as_str().expect("keys are text").to_owned();
                    map.insert(key, node(events).expect("a key has a value"));
                }
                return Some(Json::Object(map));
            }
            Event::SequenceStart(..) => return Some(Json::Array(std::iter::from_fn(|| node(events)).collect())),
            Event::MappingEnd | Event::SequenceEnd => return None,
            _ => {}
        }
    }
}
