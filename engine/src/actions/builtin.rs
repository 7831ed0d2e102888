//! The built-in actions as data (manual §7.3.1; later-engine names as aliases).

use std::sync::Arc;

use async_trait::async_trait;
use connector::{ActionSpec, BatchDefaults, Config, Error, Field, FieldKind, Record, Sink, WriteError};
use model::Clock;
use serde_json::{Value as Json, json};

use super::SinkResult;
use super::inspect::{Inspect, Inspector};
use super::republish::{Late, Republish};

/// Prints and keeps rows. Takes any parameters.
pub(crate) static INSPECT: ActionSpec = ActionSpec {
    name: "inspect",
    title: "Inspect (debug)",
    description: "Inspect the details of action params for debug purpose",
    params: &[],
    batch: BatchDefaults::NATURAL,
};

/// Counts rows and nothing else.
pub(crate) static DO_NOTHING: ActionSpec = ActionSpec {
    name: "do_nothing",
    title: "Do Nothing (debug)",
    description: "This action does nothing and never fails. It's for debug purpose",
    params: &[],
    batch: BatchDefaults::NATURAL,
};

/// Publishes rows into the broker.
pub(crate) static REPUBLISH: ActionSpec = ActionSpec {
    name: "republish",
    title: "Republish",
    description: "Republish a MQTT message to another topic",
    params: REPUBLISH_PARAMS,
    batch: BatchDefaults::NATURAL,
};

static REPUBLISH_PARAMS: &[Field] = &[
    Field {
        name: "target_topic",
        aliases: &["topic"],
        title: "Target Topic",
        kind: FieldKind::Template,
        default: Some("repub/to/${client_id}"),
        doc: "To which topic the message will be republished. ${clientid} where the rule's output has that name.",
        ..Field::OPTIONAL
    },
    Field {
        name: "target_qos",
        aliases: &["qos"],
        title: "Target QoS",
        kind: FieldKind::Integer { min: -1, max: 2 },
        default: Some("-1"),
        doc: "The QoS to publish with. -1 takes that of the row, or else of the event; 0 where there is none.",
        ..Field::OPTIONAL
    },
    Field {
        name: "payload_tmpl",
        aliases: &["payload"],
        title: "Payload Template",
        kind: FieldKind::Template,
        default: Some("${payload}"),
        doc: "The payload, with values of the row. ${.} is the whole row as JSON.",
        ..Field::OPTIONAL
    },
    Field {
        name: "retain",
        title: "Retain",
        kind: FieldKind::Bool,
        default: Some("false"),
        doc: "Whether the broker keeps the message for later subscribers.",
        ..Field::OPTIONAL
    },
];

/// Every built-in action.
pub(crate) static BUILT_IN: [&ActionSpec; 3] = [&INSPECT, &REPUBLISH, &DO_NOTHING];

/// What the built-in sinks need.
#[derive(Clone)]
pub(crate) struct BuiltIns {
    pub(crate) publish: Arc<Late>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) hops_max: usize,
}

impl BuiltIns {
    /// The sink of a built-in action.
    pub(crate) fn sink(
        &self,
        spec: &'static ActionSpec,
        config: &Config,
        params: &Json,
        inspector: &Arc<Inspector>,
    ) -> SinkResult {
        match spec.name {
            "inspect" => Ok(Arc::new(Inspect::new(Arc::clone(inspector), params.clone(), Arc::clone(&self.clock)))),
            "do_nothing" => Ok(Arc::new(DoNothing)),
            _ => {
                Ok(Arc::new(Republish::new(config, Arc::clone(&self.publish), Arc::clone(&self.clock), self.hops_max)?))
            }
        }
    }
}

struct DoNothing;

#[async_trait]
impl Sink for DoNothing {
    async fn write(&self, _: &[Record]) -> Result<(), WriteError> {
        Ok(())
    }

    fn render(&self, _: &Record) -> Result<Json, Error> {
        Ok(json!({}))
    }
}
