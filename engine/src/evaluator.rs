//! A statement over a closed batch of events, with no server: what tests of many lines, back-fills and benches use.
//! The same code runs in the workers.

use model::Event;
use sql::{Decoded, EventView, Outcome, Plan, Reason};

use crate::check::compile;
use crate::vector::{Program, VECTOR_ROWS_MIN};
use crate::{Error, OnDecodeError};

/// A compiled statement.
pub struct Evaluator {
    plan: Plan,
    program: Program,
}

/// Which form evaluates a batch. Both give the same outcomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The form that is faster for the size of the batch.
    Best,
    /// Row by row.
    Rows,
    /// Arrow columns.
    Columns,
}

impl Evaluator {
    /// Compiles a statement once.
    pub fn new(sql: &str, on_decode_error: Option<OnDecodeError>) -> Result<Self, Error> {
        let plan = compile(sql, on_decode_error).map_err(|diagnostics| Error::Invalid { diagnostics })?;
        Ok(Self { program: Program::compile(&plan), plan })
    }

    /// What the statement makes of each event, in their order. Each payload is decoded once.
    pub fn evaluate(&self, events: &[Event], form: Form) -> Vec<Outcome> {
        let columns = match form {
            Form::Best => events.len() >= VECTOR_ROWS_MIN && self.program.is_useful(),
            Form::Rows => false,
            Form::Columns => true,
        };
        if !columns {
            return events.iter().map(|event| sql::evaluate(&self.plan, &EventView::new(event))).collect();
        }
        let views: Vec<EventView<'_>> = events.iter().map(EventView::new).collect();
        let from: Vec<bool> = views.iter().map(|view| self.plan.from_matches(view.kind(), view.topic())).collect();
        let chosen: Vec<EventView<'_>> =
            views.into_iter().zip(&from).filter(|(_, matches)| **matches).map(|(view, _)| view).collect();
        let decoded: Vec<Decoded> = if self.plan.paths.is_empty() {
            Vec::new()
        } else {
            chosen.iter().map(|view| Decoded(view.extract(&self.plan.paths))).collect()
        };
        let slots: Vec<usize> = (0..self.plan.paths.len()).collect();
        let mut outcomes = self.program.evaluate(&self.plan, &chosen, &decoded, &slots).into_iter();
        let nothing = || Outcome::NoMatch(Reason::From);
        from.iter().map(|matches| if *matches { outcomes.next().unwrap_or_else(nothing) } else { nothing() }).collect()
    }
}
