//! The plan of a rule: what the compiler makes of its text and what evaluators run.
//!
//! Names are gone: every alias is resolved, every read of the event is listed once in [`Plan::reads`], and each output
//! column appears once. An evaluator needs nothing but this, [`crate::ops`] and the functions' own code.
//!
//! Invariants:
//! - `Expr::Read(i)` and `Expr::Let(i)` are within `reads` and `lets`; a let only uses lets before it.
//! - `Expr::Item` occurs only in INCASE, in the outputs of a FOREACH, and in lets marked `per_item`.

use std::sync::Arc;

use model::{EventKind, Str, Value};

use crate::catalogue::PublishField;
use crate::functions::Function;
use crate::json::PathSet;
pub use crate::ops::{ArithmeticOp, CompareOp, PutStep, Step};
use crate::span::{Class, Span};

/// Which vocabulary `SELECT *` speaks, and which defaults hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Generation {
    /// EMQ X 3.4.5: the event's name stands in FROM (`"message.publish"`).
    V3,
    /// The later versions: topic filters and `$events/…`.
    V5,
}

/// What happens to a row when a path looks into a payload that is no JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OnDecodeError {
    /// The row fails.
    Fail,
    /// Everything below the payload is missing.
    Null,
    /// The row fails, and the engine sends the event to the dead letters.
    DeadLetter,
}

/// Where rows come from: one name of the FROM clause.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// Published messages whose topic matches the filter.
    TopicFilter(String),
    /// Events of these kinds, whatever their topic. `pattern` is the name as written. No kinds: a known name that
    /// never fires, such as `$events/message_published`.
    Event {
        /// As written in FROM.
        pattern: String,
        /// The kinds it stands for.
        kinds: Vec<EventKind>,
    },
}

/// One leaf that the rule reads from its event: a field, then a constant path below it.
#[derive(Clone, Debug, PartialEq)]
pub struct Read {
    /// Field name as written (either generation's).
    pub field: Str,
    /// Steps below the field; empty for the field itself.
    pub path: Box<[Step]>,
    /// Where a published message keeps the field.
    pub publish: Option<PublishField>,
    /// For a path below `payload`: its index in [`Plan::paths`].
    pub slot: Option<usize>,
}

/// An alias that more than one place uses; computed at most once a row (or an item).
#[derive(Clone, Debug)]
pub struct Let {
    /// The alias, for messages.
    pub name: Str,
    /// Its definition.
    pub expr: Expr,
    /// The clause it was written in: the class of its failure.
    pub class: Class,
    /// Whether it depends on the FOREACH item and must be computed for each one.
    pub per_item: bool,
}

/// One item of an output list.
#[derive(Clone, Debug)]
pub enum Output {
    /// One column.
    Column {
        /// Its name: the root of the alias.
        name: Str,
        /// Its value; a missing value leaves the column out.
        expr: Expr,
        /// The field in the SQL text.
        span: Span,
    },
    /// `*`: the fields the event has, in the plan's vocabulary, but `except`. Outputs are written in order: a name that
    /// comes again keeps its first place and takes its last value.
    Event {
        /// Names left out.
        except: Vec<Str>,
    },
}

/// What a rule makes of an event that passed WHERE.
#[derive(Clone, Debug)]
pub enum Shape {
    /// One row.
    Select {
        /// Its columns.
        outputs: Vec<Output>,
    },
    /// A row for each item of a list.
    Foreach {
        /// The list; text is decoded as JSON, anything else yields no rows.
        collection: Expr,
        /// The item's name.
        alias: Str,
        /// INCASE: whether an item gives a row.
        incase: Option<Expr>,
        /// Columns of each row (DO, or the event plus the aliases and the item).
        outputs: Vec<Output>,
        /// Class of a failing output: `do`.
        class: Class,
    },
}

impl Shape {
    /// The columns of one row.
    pub fn outputs(&self) -> &[Output] {
        match self {
            Self::Select { outputs } | Self::Foreach { outputs, .. } => outputs,
        }
    }
}

/// A compiled rule.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The text it was made from.
    pub sql: Str,
    /// Vocabulary and defaults.
    pub generation: Generation,
    /// FROM.
    pub sources: Vec<Source>,
    /// Topic filters found in WHERE: unless the event's topic matches one of them, WHERE cannot be true. Empty: WHERE
    /// says nothing about the topic.
    pub topic_hints: Vec<String>,
    /// Everything the rule reads from the event.
    pub reads: Vec<Read>,
    /// The paths below `payload` among the reads, ready to be extracted in one pass.
    pub paths: Arc<PathSet>,
    /// Shared aliases, in dependency order.
    pub lets: Vec<Let>,
    /// WHERE. A conjunction is one [`Expr::And`] with all its parts.
    pub where_: Option<Expr>,
    /// SELECT or FOREACH.
    pub shape: Shape,
    /// Names of the output columns in order, when they do not depend on the event (no `*`).
    pub names: Option<Arc<[Str]>>,
    /// What an undecodable payload does.
    pub on_decode_error: OnDecodeError,
}

/// One step of a dynamic path.
#[derive(Clone, Debug)]
pub enum GetStep {
    /// A key of a map.
    Key(Str),
    /// A position of a list, from 1, negative from the end; or, when it turns out to be text, a key.
    Index(Box<Expr>),
}

/// An expression. `span`s are places in the SQL text, for the message of a row that fails.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "fields are named after their role")]
pub enum Expr {
    /// `Plan::reads[i]` of the event.
    Read(usize),
    /// `Plan::lets[i]`.
    Let(usize),
    /// The current item of FOREACH.
    Item,
    /// A constant.
    Literal(Value),
    /// One step below a value: [`crate::ops::get`]. Text on the way is decoded as JSON.
    Get { base: Box<Expr>, step: GetStep, span: Span },
    /// `base[from..to]`: [`crate::ops::slice`].
    Slice { base: Box<Expr>, from: Box<Expr>, to: Box<Expr>, span: Span },
    /// `[from..to]`: [`crate::ops::range`].
    Range { from: Box<Expr>, to: Box<Expr>, span: Span },
    /// `base` with `value` written at `path`: [`crate::ops::put`]. `decode`: a text base is JSON to write into.
    Put { base: Box<Expr>, path: Box<[PutStep]>, value: Box<Expr>, decode: bool, span: Span },
    /// The first unless it is missing, else the second.
    OrElse { first: Box<Expr>, second: Box<Expr> },
    /// `+ - * / div mod`: [`crate::ops::arithmetic`].
    Arithmetic { op: ArithmeticOp, left: Box<Expr>, right: Box<Expr>, span: Span },
    /// `||`: [`crate::ops::concat`].
    Concat { left: Box<Expr>, right: Box<Expr>, span: Span },
    /// Unary minus: [`crate::ops::negate`].
    Negate { value: Box<Expr>, span: Span },
    /// `= != < <= > >=`: [`crate::ops::compare`].
    Compare { op: CompareOp, left: Box<Expr>, right: Box<Expr>, span: Span },
    /// `topic =~ filter`: [`crate::ops::topic_matches`].
    TopicMatch { topic: Box<Expr>, filter: Box<Expr>, span: Span },
    /// LIKE: [`crate::ops::like`].
    Like { value: Box<Expr>, pattern: Box<Expr>, negated: bool, span: Span },
    /// BETWEEN, both ends included; false when a side is missing, negated or not.
    Between { value: Box<Expr>, low: Box<Expr>, high: Box<Expr>, negated: bool, span: Span },
    /// IN, by [`crate::ops::strict_eq`]; false for a missing value, negated or not, unless the list has a missing one.
    In { value: Box<Expr>, items: Vec<Expr>, negated: bool, span: Span },
    /// IS NULL: missing or null.
    IsNull { value: Box<Expr>, negated: bool },
    /// All true. Stops at the first that is not true.
    And(Vec<Expr>),
    /// Any true. Stops at the first that is true.
    Or(Vec<Expr>),
    /// True only of `false`; NOT of what is no boolean is false.
    Not(Box<Expr>),
    /// CASE. With an operand, branches are matched by [`crate::ops::strict_eq`]; without, they are conditions.
    Case { operand: Option<Box<Expr>>, branches: Vec<(Expr, Expr)>, otherwise: Option<Box<Expr>> },
    /// A function of the library.
    Call { function: &'static Function, args: Vec<Expr>, span: Span },
    /// A list of the values; a missing one becomes null.
    List(Vec<Expr>),
}

impl Plan {
    /// Whether the rule can select from events of `kind` at all.
    pub fn selects_from(&self, kind: EventKind) -> bool {
        self.sources.iter().any(|source| match source {
            Source::TopicFilter(_) => kind == EventKind::MessagePublish,
            Source::Event { kinds, .. } => kinds.contains(&kind),
        })
    }

    /// Whether an event of `kind` on `topic` is one of the rule's sources.
    pub fn from_matches(&self, kind: EventKind, topic: Option<&str>) -> bool {
        self.sources.iter().any(|source| match source {
            Source::TopicFilter(filter) => {
                kind == EventKind::MessagePublish && topic.is_some_and(|topic| model::filter_matches(filter, topic))
            }
            Source::Event { kinds, .. } => kinds.contains(&kind),
        })
    }
}
