//! The rule language: one dialect over two generations of MQTT rule SQL and standard SQL conditions.
//!
//! The road: [`parse`] (text → [`ast`]) → [`compile`](compile()) (checks, names resolved → [`plan::Plan`]) →
//! [`evaluate`] (plan × [`EventView`] → [`Outcome`]). The meaning of every operator is in [`ops`], of every function in
//! [`functions`]; the engine compiles the same plan to vectorised expressions over the same definitions.
//!
//! What this is not: it does no I/O, knows no connector, no thread and no column format, and keeps no state between rows.
//!
//! Invariants:
//! - A text never panics the parser or exhausts the stack; every diagnostic's span lies within the text.
//! - A compiled plan names only functions and reads that exist; a row can fail, a plan cannot.
//! - A value that is only passed through leaves as it came in.

pub mod ast;
pub mod catalogue;
mod compile;
mod eval;
pub mod functions;
pub mod json;
mod lexer;
pub mod ops;
mod parser;
pub mod plan;
mod span;
#[cfg(test)]
mod tests;
mod view;

pub use compile::{Options, compile};
pub use eval::{Decoded, Outcome, Reason, RowError, evaluate, evaluate_shared, explain_no_rows};
pub use functions::{Context, Function};
pub use json::{JsonError, PathSet};
pub use parser::{SQL_BYTES_MAX, parse};
pub use plan::{Generation, OnDecodeError, Plan};
pub use span::{Class, Diagnostic, Span};
pub use view::EventView;
