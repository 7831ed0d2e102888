//! What a pipeline file says, read and resolved: names bound, variables filled in, every part with its place.

use engine::ActionConfig;
use serde_json::{Map as JsonMap, Value as Json};

use crate::problem::{Place, Problem};
use crate::text::Text;

/// A pipeline.
#[derive(Clone, Debug, Default)]
pub struct Pipeline {
    /// The file as it was named.
    pub file: String,
    /// Free text.
    pub description: String,
    /// Connections, in the file's order.
    pub resources: Vec<Resource>,
    /// Named inputs.
    pub sources: Vec<Source>,
    /// Rules.
    pub rules: Vec<Rule>,
    /// Named sinks. Sinks written inside a rule are only in [`Rule::sinks`].
    pub sinks: Vec<Sink>,
    /// Tests.
    pub tests: Vec<Test>,
    /// What is probably not as meant.
    pub warnings: Vec<Problem>,
}

/// A connection.
#[derive(Clone, Debug)]
pub struct Resource {
    /// Its name in the file.
    pub name: String,
    /// Resource type, such as `backend_pgsql`.
    pub kind: String,
    /// Settings; secrets are filled in, so this must not be printed.
    pub config: Json,
    /// Free text.
    pub description: String,
    pub(crate) at: Place,
    pub(crate) kind_at: Place,
    pub(crate) settings: Settings,
}

/// A named input.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its name in the file.
    pub name: String,
    /// What FROM gets instead of the name: topic filters or one event name.
    pub from: Vec<String>,
    pub(crate) at: Place,
}

/// A rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name in the file.
    pub name: String,
    /// The SQL with source names replaced by what they stand for.
    pub sql: String,
    /// Free text.
    pub description: String,
    /// Whether it runs.
    pub enabled: bool,
    /// What a payload that cannot be decoded does.
    pub on_decode_error: Option<engine::OnDecodeError>,
    /// What is done with its rows, in order.
    pub sinks: Vec<Sink>,
    pub(crate) at: Place,
    pub(crate) written: Text,
    /// Pieces of the written SQL that were replaced: start and end there, length of the replacement.
    pub(crate) replaced: Vec<(usize, usize, usize)>,
}

impl Rule {
    /// The place in the file of a byte of [`Rule::sql`].
    pub(crate) fn place(&self, byte: usize) -> Place {
        let mut shift = 0isize;
        for (start, end, length) in &self.replaced {
            let now = start.saturating_add_signed(shift);
            if byte < now {
                break;
            }
            if byte < now + length {
                return self.written.place(*start);
            }
            shift += *length as isize - (*end - *start) as isize;
        }
        self.written.place(byte.saturating_add_signed(-shift))
    }
}

/// What is done with rows.
#[derive(Clone, Debug)]
pub struct Sink {
    /// Its name in the file; `None` for one written inside a rule.
    pub name: Option<String>,
    /// Action name, such as `data_to_lake`.
    pub action: String,
    /// Name of the resource in the file, or the id of one on the server.
    pub resource: Option<String>,
    /// Parameters besides the resource.
    pub params: Json,
    /// Delivery, queue, batch and retry settings.
    pub settings: JsonMap<String, Json>,
    /// Sinks that get what this one could not deliver.
    pub fallback: Vec<Sink>,
    pub(crate) at: Place,
    pub(crate) action_at: Place,
    pub(crate) resource_at: Place,
    pub(crate) param_settings: Settings,
}

impl Sink {
    /// The sink as the engine takes it.
    pub fn to_action(&self) -> ActionConfig {
        let mut params = self.params.as_object().cloned().unwrap_or_default();
        if let Some(resource) = &self.resource {
            params.insert("$resource".to_owned(), Json::String(resource_id(resource)));
        }
        let mut action = ActionConfig::new(&self.action, Json::Object(params));
        action.settings = self.settings.clone();
        action.fallback = self.fallback.iter().map(Self::to_action).collect();
        action
    }
}

/// The id of a resource by its name in the file; a name with a colon is an id of the server already.
pub(crate) fn resource_id(name: &str) -> String {
    if name.contains(':') { name.to_owned() } else { format!("resource:{name}") }
}

/// The id of a rule by its name in the file.
pub(crate) fn rule_id(name: &str) -> String {
    format!("rule:{name}")
}

/// Places of the keys of a map of settings, and what is known about its values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    pub(crate) at: Place,
    pub(crate) keys: Vec<SettingPlace>,
}

#[derive(Clone, Debug)]
pub(crate) struct SettingPlace {
    pub(crate) name: String,
    pub(crate) key: Place,
    pub(crate) value: Place,
    /// Written as `{env: …}` or `{file: …}`.
    pub(crate) secret: bool,
    /// A variable or file of it is not there, so the value says nothing.
    pub(crate) absent: bool,
}

impl Settings {
    pub(crate) fn find(&self, key: &str) -> Option<&SettingPlace> {
        self.keys.iter().find(|known| known.name == key)
    }
}

/// A test.
#[derive(Clone, Debug)]
pub struct Test {
    /// What it shows.
    pub name: String,
    /// Events, in order.
    pub inputs: Vec<Input>,
    /// Expected rows by rule or sink.
    pub expect: Vec<Expect>,
    pub(crate) at: Place,
}

/// A simulated event.
#[derive(Clone, Debug)]
pub struct Input {
    /// `message.publish` or another event name.
    pub event: String,
    /// Its fields.
    pub fields: Json,
}

/// Expected rows of one rule or sink over all inputs, in order.
#[derive(Clone, Debug)]
pub struct Expect {
    /// Name of the rule or sink.
    pub target: String,
    /// Rows.
    pub rows: Vec<Json>,
    pub(crate) at: Place,
}
