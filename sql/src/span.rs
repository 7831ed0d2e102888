//! Places in the source text of a rule, in bytes, and how to show them to a person.

use std::fmt;
use std::ops::Range;

/// A half-open range of bytes in the SQL text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The span of `start..end`.
    pub fn new(start: usize, end: usize) -> Self {
        Self { start: clamp(start), end: clamp(end) }
    }

    /// From the start of `self` to the end of `other`.
    pub fn to(self, other: Self) -> Self {
        Self { start: self.start, end: other.end.max(self.start) }
    }

    /// The same as a range of `usize`.
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// SQL texts are bounded by [`crate::SQL_BYTES_MAX`], far below 4 GiB; a wild position points at the end.
fn clamp(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}

/// Which part of a rule something went wrong in; also the `class` of the tester's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each variant is the clause of its name")]
pub enum Class {
    Parse,
    Plan,
    Select,
    Where,
    Foreach,
    Do,
    Incase,
    /// A fault of our own: the evaluation panicked and was stopped there.
    Internal,
}

impl Class {
    /// The word used in answers and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Parse => "parse",
            Self::Plan => "plan",
            Self::Select => "select",
            Self::Where => "where",
            Self::Foreach => "foreach",
            Self::Do => "do",
            Self::Incase => "incase",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One thing that is wrong with a rule's text, found when the rule is created.
///
/// `Display` prints the message, the line it is about and a caret under the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Which part of the work found it.
    pub class: Class,
    /// What is wrong, one sentence.
    pub message: String,
    /// Where, bytes of the SQL text.
    pub span: Range<usize>,
    /// Line of the span's start, from 1.
    pub line: usize,
    /// Column of the span's start, in characters, from 1.
    pub column: usize,
    /// What to do about it.
    pub hint: Option<String>,
    /// The line of source the span starts on, for the excerpt.
    pub excerpt: String,
}

impl Diagnostic {
    /// A diagnostic about `span` of `sql`; the span is cut to the text and to character boundaries.
    pub fn new(class: Class, sql: &str, span: Span, message: impl Into<String>) -> Self {
        let mut start = span.range().start.min(sql.len());
        while !sql.is_char_boundary(start) {
            start -= 1;
        }
        let mut end = span.range().end.clamp(start, sql.len());
        while !sql.is_char_boundary(end) {
            end += 1;
        }
        let before = sql.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.matches('\n').count() + 1;
        let column = sql.get(line_start..start).unwrap_or_default().chars().count() + 1;
        let rest = sql.get(line_start..).unwrap_or_default();
        let excerpt = rest.lines().next().unwrap_or_default().to_owned();
        Self { class, message: message.into(), span: start..end, line, column, hint: None, excerpt }
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} error at line {}, column {}: {}", self.class, self.line, self.column, self.message)?;
        let room = self.excerpt.chars().count().saturating_sub(self.column - 1).max(1);
        let width = self.span.len().clamp(1, room);
        writeln!(f, "  | {}", self.excerpt)?;
        write!(f, "  | {}{}", " ".repeat(self.column - 1), "^".repeat(width))?;
        match &self.hint {
            Some(hint) => write!(f, "\n  = {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Diagnostic {}
