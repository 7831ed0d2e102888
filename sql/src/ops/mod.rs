//! The operators of the language as pure functions on values: the one definition of its semantics
//! (`rule-language` §3). Row evaluation and vectorised evaluation both call these.
//!
//! Nothing here knows names, rows, events or the clock.

use std::fmt;

mod arithmetic;
mod compare;
mod like;
mod number;
mod path;
mod text;

pub use arithmetic::{ArithmeticOp, arithmetic, concat, negate};
pub use compare::{CompareOp, compare, is_true, order, strict_eq};
pub use like::{LikePattern, like, topic_matches};
pub use number::{Number, float_text, number_of, parse_number};
pub use path::{PutStep, Step, decode_text, get, get_path, parse_path, put, range, slice};
pub use text::{binary_of, text_of, to_text};

/// Why an operator has no value for these operands: the row fails with this message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpError(pub String);

impl OpError {
    /// An error with a message.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for OpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for OpError {}

/// A value as a message shows it: JSON, cut to a readable length.
pub fn show(value: &model::Value) -> String {
    const SHOWN_CHARS_MAX: usize = 80;
    if value.is_missing() {
        return "missing".to_owned();
    }
    let full = value.to_json().to_string();
    if full.chars().count() <= SHOWN_CHARS_MAX {
        return full;
    }
    let cut: String = full.chars().take(SHOWN_CHARS_MAX).collect();
    format!("{cut}…")
}
