//! The function library: each function with its signature, purity, example and behaviour on nulls, in one explicit list.
//!
//! A function is pure over its arguments and the [`Context`]; functions that read the event (`clientid()`,
//! `payload('a.b')`) are turned into reads when a rule is compiled, so a plan lists everything it reads.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

use model::Value;

use crate::ops::OpError;

mod args;
mod base64;
mod bits;
mod bitstring;
mod compression;
mod conversion;
mod event;
mod format_date;
mod hash;
mod jq;
mod json;
mod lists;
mod maps;
mod math;
mod regex;
mod split;
mod sprintf;
mod state;
mod subbits;
mod tests_of_type;
mod text;
mod time;
mod unbuilt;
mod unescape;

pub use event::{TOPIC_LEVEL, VALUE_AT};
pub use state::State;
pub use unbuilt::unbuilt;

/// How a function depends on things outside its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purity {
    /// Same arguments, same result.
    Pure,
    /// Depends on the event or its time; a replay of the event gives the same result.
    EventTime,
    /// Depends on the world: state, randomness, environment.
    External,
}

/// What a function may know besides its arguments.
#[derive(Clone, Debug)]
pub struct Context {
    /// The time of the event, nanoseconds since the epoch: what `now` means in a rule.
    pub now_ns: i64,
    /// The memory of `kv_store_…` and `proc_dict_…`; none: the process's own.
    state: Option<Arc<State>>,
}

impl Context {
    /// A context at a time in milliseconds since the epoch.
    pub fn at_ms(now_ms: i64) -> Self {
        Self { now_ns: now_ms.saturating_mul(1_000_000), state: None }
    }

    /// The context with a memory of its own.
    #[must_use]
    pub fn with_state(mut self, state: Arc<State>) -> Self {
        self.state = Some(state);
        self
    }

    /// The memory of the functions that have one.
    pub fn state(&self) -> &State {
        self.state.as_deref().unwrap_or_else(|| State::shared())
    }
}

/// Why a call has no result: the row fails with this message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionError(pub String);

impl FunctionError {
    /// An error with a message.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for FunctionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for FunctionError {}

impl From<OpError> for FunctionError {
    fn from(error: OpError) -> Self {
        Self(error.0)
    }
}

/// The result of a call.
pub type Outcome = Result<Value, FunctionError>;

/// The code of a function.
pub type Call = fn(&Context, &[Value]) -> Outcome;

/// What a function of the event reads.
#[derive(Clone, Copy, Debug)]
pub enum EventFunction {
    /// A field.
    Field(&'static str),
    /// `topic()` or `topic(level)`.
    Topic,
    /// `payload()` or `payload(path)`.
    Payload,
    /// `flag(name)`.
    Flag,
    /// The client, and then the arguments, given to this function.
    Client(&'static Function),
}

/// How a function runs.
#[derive(Clone, Copy, Debug)]
pub enum Body {
    /// On its arguments.
    Call(Call),
    /// As a read of the event; never called.
    Event(EventFunction),
}

/// One function of the library.
#[derive(Debug)]
pub struct Function {
    /// Its name, lower case.
    pub name: &'static str,
    /// Other names for it.
    pub aliases: &'static [&'static str],
    /// As a person writes it: `upper(text) -> text`.
    pub signature: &'static str,
    /// Fewest arguments.
    pub min_args: usize,
    /// Most arguments; `None`: any number.
    pub max_args: Option<usize>,
    /// Its purity.
    pub purity: Purity,
    /// What it does, in a sentence or two.
    pub doc: &'static str,
    /// A call and its result: `upper('a') = 'A'`.
    pub example: &'static str,
    /// What null and missing arguments do.
    pub nulls: &'static str,
    /// Its code.
    pub body: Body,
}

impl Function {
    /// A pure function of `min..=max` arguments that fails on null and missing.
    pub(crate) const fn new(
        signature: &'static str,
        name: &'static str,
        (min, max): (usize, usize),
        call: Call,
        doc: &'static str,
    ) -> Self {
        Self {
            name,
            aliases: &[],
            signature,
            min_args: min,
            max_args: if max == MANY { None } else { Some(max) },
            purity: Purity::Pure,
            doc,
            example: "",
            nulls: "null and missing arguments fail the row",
            body: Body::Call(call),
        }
    }

    pub(crate) const fn example(mut self, example: &'static str) -> Self {
        self.example = example;
        self
    }

    pub(crate) const fn nulls(mut self, nulls: &'static str) -> Self {
        self.nulls = nulls;
        self
    }

    pub(crate) const fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    pub(crate) const fn purity(mut self, purity: Purity) -> Self {
        self.purity = purity;
        self
    }

    pub(crate) const fn event(mut self, event: EventFunction) -> Self {
        self.body = Body::Event(event);
        self.purity = Purity::EventTime;
        self
    }

    /// The number of arguments in words.
    pub fn arity(&self) -> String {
        let plural = |n: usize| if n == 1 { "argument" } else { "arguments" };
        match (self.min_args, self.max_args) {
            (0, Some(0)) => "no arguments".to_owned(),
            (min, Some(max)) if min == max => format!("{min} {}", plural(min)),
            (min, Some(max)) => format!("{min} to {max} arguments"),
            (min, None) => format!("at least {min} {}", plural(min)),
        }
    }
}

/// For `max_args`: no upper bound.
pub(crate) const MANY: usize = usize::MAX;

/// The families of the library, in the order of the reference page.
pub const FAMILIES: &[(&str, &[Function])] = &[
    ("event", event::FUNCTIONS),
    ("conversion", conversion::FUNCTIONS),
    ("type tests", tests_of_type::FUNCTIONS),
    ("math", math::FUNCTIONS),
    ("bits", bits::FUNCTIONS),
    ("bit strings", subbits::FUNCTIONS),
    ("text", text::FUNCTIONS),
    ("formatting", sprintf::FUNCTIONS),
    ("splitting", split::FUNCTIONS),
    ("escapes", unescape::FUNCTIONS),
    ("regex", regex::FUNCTIONS),
    ("lists", lists::FUNCTIONS),
    ("maps", maps::FUNCTIONS),
    ("JSON", json::FUNCTIONS),
    ("jq", jq::FUNCTIONS),
    ("base64", base64::FUNCTIONS),
    ("hash", hash::FUNCTIONS),
    ("compression", compression::FUNCTIONS),
    ("time", time::FUNCTIONS),
    ("date formats", format_date::FUNCTIONS),
    ("state", state::FUNCTIONS),
];

/// All functions.
pub fn all() -> impl Iterator<Item = &'static Function> {
    FAMILIES.iter().flat_map(|(_, functions)| functions.iter())
}

/// The function of a name or alias, in any case.
pub fn find(name: &str) -> Option<&'static Function> {
    static BY_NAME: LazyLock<HashMap<&'static str, &'static Function>> = LazyLock::new(|| {
        all()
            .flat_map(|function| {
                std::iter::once(function.name).chain(function.aliases.iter().copied()).map(move |name| (name, function))
            })
            .collect()
    });
    BY_NAME.get(name).or_else(|| BY_NAME.get(name.to_ascii_lowercase().as_str())).copied()
}

/// Up to three names like an unknown one, the likest first.
pub fn suggestions(name: &str) -> Vec<&'static str> {
    let wanted = name.to_ascii_lowercase();
    let mut near: Vec<(f64, &'static str)> = all()
        .map(|function| (strsim::jaro_winkler(function.name, &wanted), function.name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    near.into_iter().take(3).map(|(_, name)| name).collect()
}
