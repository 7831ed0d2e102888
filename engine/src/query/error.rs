//! Why a query did not run, in words for the person who wrote it.

use std::fmt;

use datafusion::error::DataFusionError;

/// The class of a query error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// Not SQL.
    Parse,
    /// SQL that does not fit the tables: an unknown column or function, types that do not go together.
    Plan,
    /// No table of that name.
    UnknownTable,
    /// A statement that would change something.
    Refused,
    /// More memory than allowed.
    Memory,
    /// A failure while running: an unreadable file, a division by zero.
    Execution,
}

impl ErrorKind {
    /// The word for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Parse => "parse",
            Self::Plan => "plan",
            Self::UnknownTable => "unknown_table",
            Self::Refused => "refused",
            Self::Memory => "memory",
            Self::Execution => "execution",
        }
    }
}

/// A query error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Its class.
    pub kind: ErrorKind,
    /// What is wrong and, where known, what to write instead.
    pub message: String,
    /// Line and column in the query, from 1.
    pub at: Option<(u64, u64)>,
}

impl Error {
    pub(super) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), at: None }
    }

    pub(super) fn parse(error: &DataFusionError) -> Self {
        let root = error.find_root();
        let text = match root {
            DataFusionError::SQL(error, _) => error.to_string(),
            DataFusionError::NotImplemented(_) => "one query at a time".to_owned(),
            other => other.strip_backtrace(),
        };
        let text =
            text.trim_start_matches("sql parser error: ").trim_start_matches("ParserError(\"").trim_end_matches("\")");
        let (message, at) = split_position(text);
        Self { kind: ErrorKind::Parse, message, at }
    }

    pub(super) fn plan(error: &DataFusionError) -> Self {
        let at =
            error.diagnostic().and_then(|diagnostic| diagnostic.span).map(|span| (span.start.line, span.start.column));
        Self { kind: ErrorKind::Plan, message: message(error), at }
    }

    pub(super) fn refused(error: &DataFusionError) -> Self {
        let what = message(error);
        let what = what.rsplit_once(": ").map_or(what.as_str(), |(_, what)| what);
        Self::new(
            ErrorKind::Refused,
            format!("weir query only reads: {what} is refused; write SELECT, WITH, SHOW TABLES, DESCRIBE or EXPLAIN"),
        )
    }

    pub(super) fn execution(error: &DataFusionError) -> Self {
        match error.find_root() {
            DataFusionError::ResourcesExhausted(_) => Self::new(
                ErrorKind::Memory,
                format!(
                    "the query needs more memory than allowed; filter more, or group by fewer values ({})",
                    message(error)
                ),
            ),
            _ => Self::new(ErrorKind::Execution, message(error)),
        }
    }

    pub(super) fn unknown_table(name: &str, known: &[String]) -> Self {
        let mut known: Vec<&str> = known.iter().map(String::as_str).collect();
        known.sort_unstable();
        let rest = match known.iter().find(|table| table.eq_ignore_ascii_case(name)) {
            Some(table) => format!("names are case-sensitive, did you mean {table}?"),
            None if known.is_empty() => "there are no tables yet".to_owned(),
            None => format!("the tables are {}", known.join(", ")),
        };
        Self::new(ErrorKind::UnknownTable, format!("there is no table {name}; {rest}"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((line, column)) = self.at {
            write!(f, "line {line}, column {column}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// The text without the library's classes in front of it.
fn message(error: &DataFusionError) -> String {
    let text = error.find_root().strip_backtrace();
    let mut rest = text.as_str();
    for class in [
        "Schema error: ",
        "Error during planning: ",
        "This feature is not implemented: ",
        "Execution error: ",
        "Arrow error: ",
    ] {
        rest = rest.strip_prefix(class).unwrap_or(rest);
    }
    rest.to_owned()
}

/// Takes ` at Line: 1, Column: 8` off the end.
fn split_position(text: &str) -> (String, Option<(u64, u64)>) {
    let whole = (text.to_owned(), None);
    let Some((message, rest)) = text.rsplit_once(" at Line: ") else { return whole };
    let Some((line, column)) = rest.split_once(", Column: ") else { return whole };
    let digits: String = column.chars().take_while(char::is_ascii_digit).collect();
    match (line.parse(), digits.parse()) {
        (Ok(line), Ok(column)) => (message.to_owned(), Some((line, column))),
        _ => whole,
    }
}
