//! Running a plan over one event.
//!
//! The order is FROM, WHERE, then the outputs; aliases that WHERE uses are computed when it asks for them, so a row that
//! WHERE rejects cannot fail on a field that WHERE does not need. The vectorised evaluator of the engine must agree with
//! this one row by row.

use std::cell::OnceCell;
use std::sync::Arc;

use model::{Row, Str, Value};

use crate::functions::Context;
use crate::json::JsonError;
use crate::ops;
use crate::plan::{Expr, OnDecodeError, Output, Plan, Shape};
use crate::span::{Class, Span};
use crate::view::EventView;

pub use explain::explain_no_rows;

mod explain;

mod expr;

/// What a rule made of an event.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The rows: one for SELECT, any number for FOREACH.
    Rows(Vec<Row>),
    /// The rule does not select this event.
    NoMatch(Reason),
    /// The row failed.
    Error(RowError),
}

/// Why a rule did not select an event. Cheap to make; [`Reason::explain`] puts it into words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No source of FROM is this event.
    From,
    /// This part of WHERE (a conjunct, counted from 0) is not true.
    Where(usize),
}

/// A row that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowError {
    /// The clause it failed in.
    pub class: Class,
    /// What happened.
    pub message: String,
    /// Where, in the SQL text.
    pub span: Span,
    /// Whether the payload could not be decoded, the case that `on_decode_error = dead_letter` is about.
    pub undecodable: bool,
}

impl std::fmt::Display for RowError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.class, self.message)
    }
}

impl std::error::Error for RowError {}

/// The payload paths of several plans, extracted once: the result of [`EventView::extract`] over the union set.
#[derive(Clone, Debug)]
pub struct Decoded(pub Result<Vec<Value>, JsonError>);

/// Runs `plan` over the event; the payload is decoded for this plan alone, and only if the plan looks inside.
pub fn evaluate(plan: &Plan, view: &EventView<'_>) -> Outcome {
    run(plan, view, None)
}

/// Runs `plan` with payload paths that were extracted for several plans: `slots[i]` is the place of the plan's path `i`
/// in `decoded`, as [`crate::json::PathSet::insert`] gave it for the union.
pub fn evaluate_shared(plan: &Plan, view: &EventView<'_>, decoded: &Decoded, slots: &[usize]) -> Outcome {
    run(plan, view, Some((decoded, slots)))
}

fn run(plan: &Plan, view: &EventView<'_>, shared: Option<(&Decoded, &[usize])>) -> Outcome {
    if !plan.from_matches(view.kind(), view.topic()) {
        return Outcome::NoMatch(Reason::From);
    }
    let mut evaluator = Evaluator::new(plan, view, shared);
    match evaluator.passes_where() {
        Ok(None) => {}
        Ok(Some(conjunct)) => return Outcome::NoMatch(Reason::Where(conjunct)),
        Err(failure) => return Outcome::Error(failure.into_row_error(Class::Where)),
    }
    let rows = match &plan.shape {
        Shape::Select { outputs } => evaluator.row(outputs, Class::Select).map(|row| vec![row]),
        Shape::Foreach { collection, incase, outputs, class, .. } => {
            evaluator.foreach(collection, incase.as_ref(), outputs, *class)
        }
    };
    match rows {
        Ok(rows) => Outcome::Rows(rows),
        Err(failure) => Outcome::Error(failure.into_row_error(Class::Select)),
    }
}

/// A failure on its way out; the innermost clause that is known names the class.
pub(crate) struct Failure {
    class: Option<Class>,
    message: String,
    span: Span,
    undecodable: bool,
}

impl Failure {
    fn new(message: impl Into<String>, span: Span) -> Box<Self> {
        Box::new(Self { class: None, message: message.into(), span, undecodable: false })
    }

    fn within(mut self: Box<Self>, class: Class) -> Box<Self> {
        self.class.get_or_insert(class);
        self
    }

    /// Gives a failure without a place the place of the field it happened in.
    fn inside(mut self: Box<Self>, span: Span) -> Box<Self> {
        if self.span == Span::default() {
            self.span = span;
        }
        self
    }

    fn into_row_error(self, otherwise: Class) -> RowError {
        RowError {
            class: self.class.unwrap_or(otherwise),
            message: self.message,
            span: self.span,
            undecodable: self.undecodable,
        }
    }
}

/// The state of one evaluation.
struct Evaluator<'a> {
    plan: &'a Plan,
    view: &'a EventView<'a>,
    shared: Option<(&'a Decoded, &'a [usize])>,
    own: OnceCell<Decoded>,
    lets: Vec<Option<Value>>,
    item: Value,
    context: Context,
}

impl<'a> Evaluator<'a> {
    fn new(plan: &'a Plan, view: &'a EventView<'a>, shared: Option<(&'a Decoded, &'a [usize])>) -> Self {
        let lets = if plan.lets.is_empty() { Vec::new() } else { vec![None; plan.lets.len()] };
        let context = Context::at_ms(view.event().at_ms);
        Self { plan, view, shared, own: OnceCell::new(), lets, item: Value::Missing, context }
    }

    /// `None` when WHERE holds, else the conjunct that does not.
    fn passes_where(&mut self) -> Result<Option<usize>, Box<Failure>> {
        let conjuncts = match &self.plan.where_ {
            None => return Ok(None),
            Some(Expr::And(items)) => items.as_slice(),
            Some(single) => std::slice::from_ref(single),
        };
        for (index, conjunct) in conjuncts.iter().enumerate() {
            if !ops::is_true(&self.eval(conjunct)?) {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    fn row(&mut self, outputs: &[Output], class: Class) -> Result<Row, Box<Failure>> {
        if let Some(names) = &self.plan.names {
            let mut values = Vec::with_capacity(names.len());
            for output in outputs {
                if let Output::Column { expr, span, .. } = output {
                    values.push(self.eval(expr).map_err(|failure| failure.within(class).inside(*span))?);
                }
            }
            return Ok(Row { names: Arc::clone(names), values });
        }
        let (mut names, mut values): (Vec<Str>, Vec<Value>) = (Vec::new(), Vec::new());
        let mut write = |name: Str, value: Value| match names.iter().position(|known| *known == name) {
            Some(at) => {
                if let Some(place) = values.get_mut(at) {
                    *place = value;
                }
            }
            None => {
                names.push(name);
                values.push(value);
            }
        };
        for output in outputs {
            match output {
                Output::Column { name, expr, span } => {
                    write(name.clone(), self.eval(expr).map_err(|failure| failure.within(class).inside(*span))?);
                }
                Output::Event { except } => self.view.each_field(self.plan.generation, |name, value| {
                    if !except.contains(&name) && !value.is_missing() {
                        write(name, value);
                    }
                }),
            }
        }
        Ok(Row { names: names.into(), values })
    }

    fn foreach(
        &mut self,
        collection: &Expr,
        incase: Option<&Expr>,
        outputs: &[Output],
        class: Class,
    ) -> Result<Vec<Row>, Box<Failure>> {
        let items = match self.eval(collection).map_err(|failure| failure.within(Class::Foreach))? {
            Value::List(items) => items,
            // The text of a JSON list, such as a payload, is the list; other text is no collection.
            Value::Text(text) => match ops::decode_text(&text) {
                Some(Value::List(items)) => items,
                _ => return Ok(Vec::new()),
            },
            Value::Bytes(_) | Value::Map(_) | Value::Missing | Value::Null => return Ok(Vec::new()),
            Value::Bool(_) | Value::Int(_) | Value::Big(_) | Value::Float(_) => return Ok(Vec::new()),
        };
        let mut rows = Vec::new();
        for item in items.iter() {
            self.item = item.clone();
            for (value, shared) in self.lets.iter_mut().zip(&self.plan.lets) {
                if shared.per_item {
                    *value = None;
                }
            }
            if let Some(incase) = incase {
                let kept = self.eval(incase).map_err(|failure| failure.within(Class::Incase))?;
                if !ops::is_true(&kept) {
                    continue;
                }
            }
            rows.push(self.row(outputs, class)?);
        }
        Ok(rows)
    }

    fn read(&self, index: usize) -> Result<Value, Box<Failure>> {
        let Some(read) = self.plan.reads.get(index) else { return Ok(Value::Missing) };
        let Some(slot) = read.slot else { return Ok(self.view.read(read, self.plan.generation)) };
        let (decoded, slot) = match self.shared {
            Some((decoded, slots)) => (decoded, slots.get(slot).copied().unwrap_or(usize::MAX)),
            None => (self.own.get_or_init(|| Decoded(self.view.extract(&self.plan.paths))), slot),
        };
        match &decoded.0 {
            Ok(values) => Ok(values.get(slot).cloned().unwrap_or(Value::Missing)),
            Err(_) if self.plan.on_decode_error == OnDecodeError::Null => Ok(Value::Missing),
            Err(error) => {
                let mut failure =
                    Failure::new(format!("decode_json_failed: the payload is no JSON: {error}"), Span::default());
                failure.undecodable = true;
                Err(failure)
            }
        }
    }
}
