//! The vectorised form of a plan: DataFusion physical expressions over an Arrow batch of the rule's reads.
//!
//! It has no semantics of its own: every operator is [`sql::ops`], applied element by element, with Arrow loops only
//! where the columns are of one plain type and the result is the same by construction. It agrees with
//! [`sql::evaluate`] row by row, errors included; a property test holds that.
//!
//! What only passes through (an output that is just a read) never becomes Arrow: the value leaves as it came in.
//! FOREACH and `SELECT *` take their WHERE from here and their outputs from the row form.

mod cell;
mod compile;
mod kernels;
mod node;
mod program;

pub(crate) use program::Program;

/// Groups of at least this many rows are evaluated in the vectorised form. A first estimate, to be replaced by a measured
/// one: docs/decisions/0003-rule-evaluation.md.
pub(crate) const VECTOR_ROWS_MIN: usize = 16;

#[cfg(test)]
mod agreement_tests;
