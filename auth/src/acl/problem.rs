//! What is wrong with a file of rules, and where.

use std::fmt;

/// A place in a file; both count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

impl Place {
    /// The place of a byte offset in `text`.
    pub(crate) fn of(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
        }
    }
}

/// Why a file of rules cannot be used. The message says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file as it was named.
    pub file: String,
    /// Where, unless it is about the file as a whole.
    pub place: Option<Place>,
    /// What is wrong and what helps.
    pub message: String,
}

impl Problem {
    /// A problem at a place; the file is filled in by [`Problem::in_file`].
    pub(super) fn at(place: Place, message: impl Into<String>) -> Self {
        Self { file: String::new(), place: Some(place), message: message.into() }
    }

    /// A problem of the file as a whole.
    pub(super) fn whole(message: impl Into<String>) -> Self {
        Self { file: String::new(), place: None, message: message.into() }
    }

    /// The same with the file's name.
    pub(super) fn in_file(mut self, file: &str) -> Self {
        file.clone_into(&mut self.file);
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some(Place { line, column }) => write!(f, "{}:{line}:{column}: {}", self.file, self.message),
            None => write!(f, "{}: {}", self.file, self.message),
        }
    }
}

impl std::error::Error for Problem {}
