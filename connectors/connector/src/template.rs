//! `${…}` templates, bound from a row and never pasted (being built by its own commit).

use model::{Row, Value};

use crate::{Error, ErrorKind};

/// A parsed template. `${a.b}` reads a path below a column, `${.a}` is the same, `${}` and `${.}` are the whole row as
/// JSON, `${$}` is a literal dollar, `${a:-text}` gives a default for a missing value. Anything else is literal.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    parts: Vec<Part>,
}

/// One piece of a template.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// Text as it stands.
    Literal(String),
    /// A value of the row: path (empty = the whole row) and default text.
    Slot {
        /// Keys from the column downwards.
        path: Vec<String>,
        /// Text for a missing value.
        default: Option<String>,
    },
}

impl Template {
    /// Parses a template; what is not a complete placeholder stays literal.
    pub fn parse(_text: &str) -> Result<Self, Error> {
        Err(Error::permanent(ErrorKind::Unsupported, "templates are not built yet"))
    }

    /// The pieces.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The value of one slot: [`Value::Missing`] when the row has no such path.
    pub fn value(_path: &[String], _row: &Row) -> Value {
        Value::Missing
    }

    /// The template with its slots filled in as text.
    pub fn text(&self, _row: &Row) -> String {
        String::new()
    }
}
