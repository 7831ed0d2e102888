//! From file, environment and flags to [`Settings`]: defaults first, then the file, then the environment, then flags.

use std::collections::BTreeMap;

use crate::kind::Kind;
use crate::problem::{Error, Origin, Problem, nearest};
use crate::schema::{SECTIONS, SectionDoc, Settings, build};
use crate::toml_file;

/// Variables that begin with this override keys of the file: `WEIR__MQTT__BIND` is `mqtt.bind`.
const ENV_PREFIX: &str = "WEIR__";

/// Fewer rounds make stolen verifiers too cheap to guess from.
const PASSWORD_ITERATIONS_MIN: u32 = 4_096;

/// What a configuration is read from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The configuration file: its name as messages show it, and its text.
    pub file: Option<(String, String)>,
    /// Environment variables; those without the prefix `WEIR__` are passed over.
    pub env: Vec<(String, String)>,
    /// Values given by flags: key such as `node.data_dir`, value, name of the flag.
    pub flags: Vec<(&'static str, String, &'static str)>,
}

/// A value somebody gave, and where.
#[derive(Clone, Debug)]
pub struct Given {
    /// Its text form.
    pub text: String,
    /// Where it was given.
    pub origin: Origin,
}

/// One line of `weir config show`.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Key such as `mqtt.bind`.
    pub key: String,
    /// The value in force, in its text form.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
}

/// The settings with the origin of every value.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// Every key with its value and origin, in the order of the reference.
    pub shown: Vec<Shown>,
}

/// Reads a configuration. Reports every problem, not only the first.
pub fn load(sources: &Sources) -> Result<Loaded, Error> {
    let mut reader = Reader::default();
    if let Some((path, text)) = &sources.file {
        match toml_file::read(path, text) {
            Ok(entries) => entries.into_iter().for_each(|entry| reader.take_entry(entry)),
            Err(problem) => reader.problems.push(problem),
        }
    }
    for (name, value) in &sources.env {
        if let Some(path) = name.strip_prefix(ENV_PREFIX) {
            reader.take_variable(name, path, value);
        }
    }
    for (key, value, flag) in &sources.flags {
        let given = Given { text: value.clone(), origin: Origin::Flag((*flag).to_owned()) };
        reader.given.insert((*key).to_owned(), given);
    }
    let settings = build(&mut reader);
    match settings {
        Some(settings) if reader.problems.is_empty() => {
            let problems = reader.judge(&settings);
            if problems.is_empty() { Ok(Loaded { settings, shown: reader.shown }) } else { Err(Error { problems }) }
        }
        _ => Err(Error { problems: reader.problems }),
    }
}

/// Collects what was given, hands it out key by key, and remembers what was wrong.
#[derive(Default)]
pub(crate) struct Reader {
    given: BTreeMap<String, Given>,
    shown: Vec<Shown>,
    problems: Vec<Problem>,
}

impl Reader {
    /// The value of one key: what was given, or the default.
    pub(crate) fn value<K: Kind>(&mut self, section: &str, name: &str, default: &str) -> Option<K> {
        let key = format!("{section}.{name}");
        let given = self
            .given
            .get(&key)
            .cloned()
            .unwrap_or_else(|| Given { text: default.to_owned(), origin: Origin::Default });
        match K::read(&given.text) {
            Ok(value) => {
                self.shown.push(Shown { key, value: value.write(), origin: given.origin });
                Some(value)
            }
            Err(message) => {
                self.problems.push(Problem { origin: given.origin, key, message });
                None
            }
        }
    }

    fn take_entry(&mut self, entry: toml_file::Entry) {
        let toml_file::Entry { section, key, text, origin } = entry;
        let Some(known) = SECTIONS.iter().find(|known| known.name == section) else {
            return self.unknown_section(&section, key.is_none() && text.is_some(), origin);
        };
        let Some(key) = key else {
            if text.is_some() {
                let message = format!("is a section; write [{section}] and its keys below it");
                self.problems.push(Problem { origin, key: section, message });
            }
            return;
        };
        if !known.keys.iter().any(|field| field.name == key) {
            return self.unknown_key(known, &key, origin);
        }
        let key = format!("{section}.{key}");
        match text {
            Some(text) => {
                self.given.insert(key, Given { text, origin });
            }
            None => self.problems.push(Problem {
                origin,
                key,
                message: "expected one value, found a table or a date".to_owned(),
            }),
        }
    }

    fn take_variable(&mut self, name: &str, path: &str, value: &str) {
        let origin = Origin::Env(name.to_owned());
        let path = path.to_ascii_lowercase();
        let Some((section, key)) = path.split_once("__") else {
            let message = format!("expected {ENV_PREFIX}SECTION__KEY, such as WEIR__MQTT__BIND");
            self.problems.push(Problem { origin, key: String::new(), message });
            return;
        };
        let Some(known) = SECTIONS.iter().find(|known| known.name == section) else {
            return self.unknown_section(section, false, origin);
        };
        if !known.keys.iter().any(|field| field.name == key) {
            return self.unknown_key(known, key, origin);
        }
        self.given.insert(path.replacen("__", ".", 1), Given { text: value.to_owned(), origin });
    }

    fn unknown_section(&mut self, section: &str, is_bare_key: bool, origin: Origin) {
        // A key at the top of the file usually belongs into a section.
        let home = SECTIONS.iter().find(|known| is_bare_key && known.keys.iter().any(|field| field.name == section));
        let message = match (home, nearest(section, SECTIONS.iter().map(|known| known.name))) {
            (Some(home), _) => format!("belongs into the section [{}]", home.name),
            (None, Some(name)) => format!("unknown section; did you mean {name}?"),
            (None, None) => {
                let names: Vec<&str> = SECTIONS.iter().map(|known| known.name).collect();
                format!("unknown section; the sections are {}", names.join(", "))
            }
        };
        self.problems.push(Problem { origin, key: section.to_owned(), message });
    }

    fn unknown_key(&mut self, section: &SectionDoc, key: &str, origin: Origin) {
        let elsewhere = SECTIONS.iter().find(|known| known.keys.iter().any(|field| field.name == key));
        let message = match (nearest(key, section.keys.iter().map(|field| field.name)), elsewhere) {
            (Some(name), _) => format!("unknown key; did you mean {name}?"),
            (None, Some(home)) => format!("unknown key here; it belongs into the section [{}]", home.name),
            (None, None) => {
                let names: Vec<&str> = section.keys.iter().map(|field| field.name).collect();
                format!("unknown key; the keys of [{}] are {}", section.name, names.join(", "))
            }
        };
        self.problems.push(Problem { origin, key: format!("{}.{key}", section.name), message });
    }

    /// What no single key can know to be wrong.
    fn judge(&self, settings: &Settings) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut complain = |key: &str, message: String| {
            let origin =
                self.shown.iter().find(|shown| shown.key == key).map_or(Origin::Default, |shown| shown.origin.clone());
            problems.push(Problem { origin, key: key.to_owned(), message });
        };
        if settings.auth.password_iterations < PASSWORD_ITERATIONS_MIN {
            complain("auth.password_iterations", format!("must be at least {PASSWORD_ITERATIONS_MIN} (RFC 7677)"));
        }
        for (filter, qos) in &settings.mqtt.proxy_subscriptions.0 {
            let key = "mqtt.proxy_subscriptions";
            if *qos > 2 {
                complain(key, format!("the QoS of {filter:?} is 0, 1 or 2, not {qos}"));
            }
            if let Err(error) = model::validate_filter(filter) {
                complain(key, format!("{filter:?}: {error}"));
            }
        }
        if settings.mqtt.bind.is_empty() {
            complain("mqtt.bind", "needs at least one address and port".to_owned());
        }
        if settings.node.name.is_empty()
            || settings.node.name.contains(['/', '+', '#', '"'])
            || settings.node.name.chars().any(char::is_control)
        {
            complain(
                "node.name",
                "must not be empty and must not contain / + # \" or control characters: it is part of topics"
                    .to_owned(),
            );
        }
        problems
    }
}
