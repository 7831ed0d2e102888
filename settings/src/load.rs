//! From file, environment and flags to [`Settings`]: defaults first, then the file, then the environment, then flags.

use std::collections::{BTreeMap, BTreeSet};

use crate::kind::Kind;
use crate::problem::{Error, Origin, Problem, nearest};
use crate::schema::{SECTIONS, SectionDoc, Settings};
use crate::{judge, toml_file};

/// Variables that begin with this override keys of the file: `WEIR__MQTT__BIND` is `mqtt.bind`.
const ENV_PREFIX: &str = "WEIR__";
/// Longest name of a repeated section; it shows up in logs and metrics.
const NAME_BYTES_MAX: usize = 64;

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
        match toml_file::read(path, text, section_depth) {
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
    // The short form is there for whoever configures no listener; it must not take a port from somebody who does.
    if reader.sections.iter().any(|section| section.starts_with("listeners.")) {
        let nowhere = Given { text: String::new(), origin: Origin::Default };
        reader.given.entry("mqtt.bind".to_owned()).or_insert(nowhere);
    }
    let settings = Settings::read(&mut reader);
    match settings {
        Some(settings) if reader.problems.is_empty() => {
            let problems = judge::judge(&settings, &reader.shown);
            if problems.is_empty() { Ok(Loaded { settings, shown: reader.shown }) } else { Err(Error { problems }) }
        }
        _ => Err(Error { problems: reader.problems }),
    }
}

/// How many names a section has in its brackets, by the first of them.
fn section_depth(first: &str) -> usize {
    let depth = |known: &SectionDoc| known.name.split('.').count() + usize::from(known.is_repeated);
    SECTIONS.iter().find(|known| known.name.split('.').next() == Some(first)).map_or(1, depth)
}

/// Collects what was given, hands it out key by key, and remembers what was wrong.
#[derive(Default)]
pub(crate) struct Reader {
    given: BTreeMap<String, Given>,
    /// The repeated sections somebody wrote, such as `zones.inside`.
    sections: BTreeSet<String>,
    shown: Vec<Shown>,
    problems: Vec<Problem>,
}

impl Reader {
    /// The value of one key: what the first of `sections` says that says something, or the default.
    pub(crate) fn value<K: Kind>(&mut self, sections: &[&str], name: &str, default: &str) -> Option<K> {
        let mut keys = sections.iter().map(|section| format!("{section}.{name}"));
        let found = keys.find_map(|key| self.given.get(&key).map(|given| (key, given.clone())));
        let own = format!("{}.{name}", sections.first()?);
        let (key, given) =
            found.unwrap_or_else(|| (own.clone(), Given { text: default.to_owned(), origin: Origin::Default }));
        match K::read(&given.text) {
            Ok(value) => {
                self.shown.push(Shown { key: own, value: value.write(), origin: given.origin });
                Some(value)
            }
            Err(message) => {
                // What another section says has been complained about there.
                if key == own {
                    self.problems.push(Problem { origin: given.origin, key, message });
                }
                None
            }
        }
    }

    /// Reads every section `prefix.NAME` that somebody wrote.
    pub(crate) fn each<G>(
        &mut self,
        prefix: &str,
        mut read: impl FnMut(&mut Self, &str) -> Option<G>,
    ) -> Option<BTreeMap<String, G>> {
        let sections = self.sections.clone();
        let named = sections.iter().filter_map(|section| {
            let name = section.strip_prefix(prefix)?.strip_prefix('.')?;
            Some((name, section.as_str()))
        });
        let mut groups = Some(BTreeMap::new());
        for (name, section) in named {
            // A section that cannot be read must not keep the others' problems from being found.
            match (read(self, section), &mut groups) {
                (Some(group), Some(groups)) => drop(groups.insert(name.to_owned(), group)),
                _ => groups = None,
            }
        }
        groups
    }

    fn take_entry(&mut self, entry: toml_file::Entry) {
        let toml_file::Entry { section, key, text, origin } = entry;
        let written = section.join(".");
        let Some((known, rest)) = find(&section) else {
            return self.unknown_section(&written, key.is_none() && text.is_some(), origin);
        };
        let is_complete = known.is_repeated != rest.is_empty();
        let Some(key) = key else {
            if text.is_some() {
                let message = format!("is a section; write [{}] and its keys below it", known.title());
                self.problems.push(Problem { origin, key: written, message });
            } else if is_complete {
                self.declare(known, &written, rest, &origin);
            }
            return;
        };
        if !self.declare(known, &written, rest, &origin) {
            return;
        }
        if !known.keys().any(|field| field.name == key) {
            return self.unknown_key(known, &written, &key, origin);
        }
        let key = format!("{written}.{key}");
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
        let mut section: Vec<String> = path.split("__").map(str::to_owned).collect();
        let key = section.pop().filter(|_| !section.is_empty());
        let first = section.first().map_or("", String::as_str);
        let (Some(key), true) = (key, section.len() == section_depth(first)) else {
            let form = match SECTIONS.iter().find(|known| known.name.split('.').next() == Some(first)) {
                Some(known) if known.is_repeated => known.title().replace('.', "__").to_uppercase(),
                _ => "SECTION".to_owned(),
            };
            let message = format!("expected {ENV_PREFIX}{form}__KEY, such as WEIR__MQTT__BIND");
            self.problems.push(Problem { origin, key: String::new(), message });
            return;
        };
        let written = section.join(".");
        let Some((known, rest)) = find(&section) else { return self.unknown_section(&written, false, origin) };
        if !self.declare(known, &written, rest, &origin) {
            return;
        }
        if !known.keys().any(|field| field.name == key) {
            return self.unknown_key(known, &written, &key, origin);
        }
        self.given.insert(format!("{written}.{key}"), Given { text: value.to_owned(), origin });
    }

    /// Takes note of a repeated section. `false`: its name is none.
    fn declare(&mut self, known: &SectionDoc, written: &str, rest: &[String], origin: &Origin) -> bool {
        if !known.is_repeated {
            return true;
        }
        let name = rest.first().map_or("", String::as_str);
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
        if !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.chars().all(is_name) && !name.contains("__") {
            self.sections.insert(written.to_owned());
            return true;
        }
        let message = format!("a name has 1 to {NAME_BYTES_MAX} small letters, digits, - and single _");
        let problem = Problem { origin: origin.clone(), key: written.to_owned(), message };
        // Once for the section, not once for each of its keys.
        if !self.problems.iter().any(|known| known.key == problem.key && known.message == problem.message) {
            self.problems.push(problem);
        }
        false
    }

    fn unknown_section(&mut self, section: &str, is_bare_key: bool, origin: Origin) {
        // A key at the top of the file usually belongs into a section.
        let home = SECTIONS.iter().find(|known| is_bare_key && known.keys().any(|field| field.name == section));
        let message = match (home, nearest(section, SECTIONS.iter().map(|known| known.name))) {
            (Some(home), _) => format!("belongs into the section [{}]", home.title()),
            (None, Some(name)) => format!("unknown section; did you mean {name}?"),
            (None, None) => {
                let names: Vec<String> = SECTIONS.iter().map(SectionDoc::title).collect();
                format!("unknown section; the sections are {}", names.join(", "))
            }
        };
        self.problems.push(Problem { origin, key: section.to_owned(), message });
    }

    fn unknown_key(&mut self, section: &SectionDoc, written: &str, key: &str, origin: Origin) {
        let elsewhere = SECTIONS.iter().find(|known| known.keys().any(|field| field.name == key));
        let message = match (nearest(key, section.keys().map(|field| field.name)), elsewhere) {
            (Some(name), _) => format!("unknown key; did you mean {name}?"),
            (None, Some(home)) => format!("unknown key here; it belongs into the section [{}]", home.title()),
            (None, None) => {
                let names: Vec<&str> = section.keys().map(|field| field.name).collect();
                format!("unknown key; the keys of [{written}] are {}", names.join(", "))
            }
        };
        self.problems.push(Problem { origin, key: format!("{written}.{key}"), message });
    }
}

/// The section that these names begin with, and the names that are left; `None` when there is none.
fn find(names: &[String]) -> Option<(&'static SectionDoc, &[String])> {
    SECTIONS.iter().find_map(|known| {
        let mut rest = names;
        for part in known.name.split('.') {
            match rest.split_first() {
                Some((first, others)) if first == part => rest = others,
                // `[listeners]` alone is the beginning of a section.
                None => return Some((known, rest)),
                Some(_) => return None,
            }
        }
        Some((known, rest))
    })
}
