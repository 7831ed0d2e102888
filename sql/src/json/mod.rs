//! Reading JSON: whole documents into values, and a set of paths out of a document in one pass.
//!
//! Both check the whole document, keep integers exact, let the last of two equal keys win, and refuse documents nested
//! deeper than [`DEPTH_MAX`]. Nothing is decoded that was not asked for.

use std::fmt;

mod cursor;
mod paths;
mod shape;

pub use cursor::DEPTH_MAX;
pub use paths::PathSet;

use cursor::Cursor;
use model::Value;

/// Why bytes are not one JSON document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonError {
    /// What was wrong.
    pub reason: &'static str,
    /// Offset of the byte it was seen at.
    pub at: usize,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.reason, self.at)
    }
}

impl std::error::Error for JsonError {}

/// The value of a whole JSON document.
pub fn parse(bytes: &[u8]) -> Result<Value, JsonError> {
    let mut cursor = Cursor::new(bytes)?;
    let value = cursor.value(0)?;
    cursor.finish()?;
    Ok(value)
}
