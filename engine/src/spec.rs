//! What a rule is when it is given to the engine and when it is stored: plain data.

use model::Str;
use serde::{Deserialize, Serialize};
use serde_json::{Map as JsonMap, Value as Json};

/// Where an object that came from a file is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceLine {
    /// Path of the file as it was given.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
}

impl std::fmt::Display for SourceLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// What happens when a path looks into a payload that cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDecodeError {
    /// The row fails and is counted; the default for topic sources.
    Fail,
    /// The path is missing; the default of the 3.4.5 form `FROM "message.publish"`.
    Null,
    /// As `fail`, and the event is kept as a dead letter.
    DeadLetter,
}

/// A rule as it is asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleSpec {
    /// Its id; `None` makes `rule:<8 hex>`.
    #[serde(default)]
    pub id: Option<Str>,
    /// The SQL text.
    pub sql: String,
    /// What is done with each row, in order; at least one.
    pub actions: Vec<ActionConfig>,
    /// Free text.
    #[serde(default)]
    pub description: String,
    /// A rule that is off selects nothing.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// `None` takes the default of the FROM clause's form.
    #[serde(default)]
    pub on_decode_error: Option<OnDecodeError>,
    /// Set for rules that come from a file: the API and the CLI then refuse to change them.
    #[serde(default)]
    pub origin: Option<SourceLine>,
}

fn yes() -> bool {
    true
}

impl RuleSpec {
    /// An enabled rule without description.
    pub fn new(sql: impl Into<String>, actions: Vec<ActionConfig>) -> Self {
        Self {
            id: None,
            sql: sql.into(),
            actions,
            description: String::new(),
            enabled: true,
            on_decode_error: None,
            origin: None,
        }
    }
}

/// One action of a rule: `{"name": …, "params": {…}}` and, beside them, the settings of its queue
/// (`delivery`, `batch`, `queue`, `retry`, …; see [`connector`]'s action settings), and `fallback`.
#[derive(Clone, Debug, PartialEq)]
pub struct ActionConfig {
    /// Name such as `data_to_pgsql`, `republish`, `inspect`.
    pub name: String,
    /// Parameters; `$resource` names the resource.
    pub params: Json,
    /// Delivery and queue settings: every other key of the object.
    pub settings: JsonMap<String, Json>,
    /// Given the rows this action finally could not deliver; fallbacks of fallbacks are refused.
    pub fallback: Vec<ActionConfig>,
}

impl ActionConfig {
    /// An action with default settings.
    pub fn new(name: impl Into<String>, params: Json) -> Self {
        Self { name: name.into(), params, settings: JsonMap::new(), fallback: Vec::new() }
    }

    /// The resource it is bound to.
    pub fn resource(&self) -> Option<&str> {
        self.params.get("$resource").and_then(Json::as_str)
    }

    /// Reads one action object; the error names the key.
    pub fn from_json(json: &Json) -> Result<Self, String> {
        let object =
            json.as_object().ok_or("an action is an object such as {\"name\": \"inspect\", \"params\": {}}")?;
        let mut config = Self::new("", Json::Object(JsonMap::new()));
        for (key, value) in object {
            match key.as_str() {
                "name" => value.as_str().ok_or("name: expected text")?.clone_into(&mut config.name),
                "params" if value.is_object() || value.is_null() => config.params = value.clone(),
                "params" => return Err("params: expected an object".to_owned()),
                "fallback" => {
                    let items = value.as_array().ok_or("fallback: expected a list of actions")?;
                    config.fallback = items.iter().map(Self::from_json).collect::<Result<_, _>>()?;
                }
                // What EMQ X puts beside name and params in its own output is accepted back.
                "id" | "metrics" => {}
                _ => drop(config.settings.insert(key.clone(), value.clone())),
            }
        }
        if config.name.is_empty() { Err("name: is required".to_owned()) } else { Ok(config) }
    }

    /// The action as an object, the opposite of [`ActionConfig::from_json`].
    pub fn to_json(&self) -> Json {
        let mut object = JsonMap::new();
        object.insert("name".to_owned(), Json::String(self.name.clone()));
        object.insert("params".to_owned(), self.params.clone());
        object.extend(self.settings.clone());
        if !self.fallback.is_empty() {
            object.insert("fallback".to_owned(), Json::Array(self.fallback.iter().map(Self::to_json).collect()));
        }
        Json::Object(object)
    }
}

impl Serialize for ActionConfig {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ActionConfig {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Json::deserialize(deserializer)?;
        Self::from_json(&json).map_err(serde::de::Error::custom)
    }
}
