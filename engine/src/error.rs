//! One error for the room: kind × context. Creation errors carry the diagnostics of the SQL.

use std::fmt;

use serde::Serialize;

/// One thing that is wrong with a rule, with its place in the SQL text where it has one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Where to look: `sql`, or a path such as `actions[0].params.url`.
    pub field: String,
    /// Which step refused it: `parse`, `plan`, `action`.
    pub class: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to write instead, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Byte offsets into the SQL text, `[start, end)`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub span: Option<[usize; 2]>,
    /// Line and column in the SQL text, both from 1; the column counts characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<[usize; 2]>,
}

impl Diagnostic {
    /// A fault of an action or one of its settings.
    pub fn action(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), class: "action", message: message.into(), hint: None, span: None, position: None }
    }

    /// The same with a remedy.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field != "sql" {
            write!(f, "{}: ", self.field)?;
        }
        if let Some([line, column]) = self.position {
            write!(f, "line {line}, column {column}: ")?;
        }
        f.write_str(&self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, " ({hint})")?;
        }
        Ok(())
    }
}

/// Why the engine refused or failed.
#[derive(Debug)]
pub enum Error {
    /// The rule cannot work; every fault that was found.
    Invalid {
        /// At least one.
        diagnostics: Vec<Diagnostic>,
    },
    /// There is no rule or action of this name; the message lists near or known ones.
    NotFound(String),
    /// The object is owned by somebody else, or exists already.
    Conflict(String),
    /// The rules could not be read or written, or the engine is stopping.
    Unavailable(String),
    /// A fault of our own.
    Internal(String),
}

impl Error {
    /// The word of the kind, for machines.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Invalid { .. } => "invalid",
            Self::NotFound(_) => "not_found",
            Self::Conflict(_) => "conflict",
            Self::Unavailable(_) => "unavailable",
            Self::Internal(_) => "internal",
        }
    }

    /// The faults, for [`Error::Invalid`]; empty otherwise.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        match self {
            Self::Invalid { diagnostics } => diagnostics,
            _ => &[],
        }
    }

    /// One fault.
    pub(crate) fn invalid(diagnostic: Diagnostic) -> Self {
        Self::Invalid { diagnostics: vec![diagnostic] }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid { diagnostics } => {
                for (index, diagnostic) in diagnostics.iter().enumerate() {
                    if index > 0 {
                        f.write_str("; ")?;
                    }
                    write!(f, "{diagnostic}")?;
                }
                Ok(())
            }
            Self::NotFound(what) | Self::Conflict(what) | Self::Unavailable(what) | Self::Internal(what) => {
                f.write_str(what)
            }
        }
    }
}

impl std::error::Error for Error {}
