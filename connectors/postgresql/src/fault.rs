//! What an error of PostgreSQL means, decided by its SQLSTATE (PostgreSQL manual, appendix A).

use connector::{Error, ErrorKind};
use tokio_postgres::error::DbError;

/// An error and how far it reaches.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) error: Error,
    pub(crate) reach: Reach,
}

/// What an error says about the other rows of the same attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// One row's data is to blame: the others may go.
    Row,
    /// The statement or the server is to blame, whatever the rows.
    Statement,
    /// The connection cannot be used again.
    Connection,
}

/// Sorts a driver's error; `what` says what was being done.
pub(crate) fn classify(error: tokio_postgres::Error, what: &str) -> Fault {
    let Some(db) = error.as_db_error() else {
        return without_state(error, what);
    };
    let code = db.code().code();
    let context = format!("{what}: {}{} (SQLSTATE {code})", db.message(), detail(db));
    let (kind, temporary, reach) = match (code, code.get(..2).unwrap_or(code)) {
        // The driver lost its prepared statement or its type: preparing again helps.
        ("26000", _) => (ErrorKind::Internal, true, Reach::Connection),
        ("25006", _) => (ErrorKind::Exhausted, true, Reach::Connection),
        ("42P01" | "3D000" | "3F000", _) => (ErrorKind::NotFound, false, Reach::Statement),
        ("42501", _) => (ErrorKind::Unauthorized, false, Reach::Statement),
        ("57014" | "55P03", _) => (ErrorKind::Timeout, true, Reach::Statement),
        (_, "08") => (ErrorKind::Unreachable, true, Reach::Connection),
        (_, "57") => (ErrorKind::Unreachable, true, Reach::Connection),
        (_, "53") => (ErrorKind::Exhausted, true, Reach::Connection),
        (_, "58" | "F0") => (ErrorKind::Exhausted, true, Reach::Connection),
        // Deadlocks and serialization failures are the server asking to try again.
        (_, "40" | "55") => (ErrorKind::Exhausted, true, Reach::Statement),
        (_, "28") => (ErrorKind::Unauthorized, false, Reach::Connection),
        // Data exceptions, broken constraints, and errors raised by functions and triggers for a row.
        (_, "22" | "23" | "P0" | "44") => (ErrorKind::Rejected, false, Reach::Row),
        _ => (ErrorKind::Rejected, false, Reach::Statement),
    };
    let context = match remedy(code) {
        Some(remedy) => format!("{context}; {remedy}"),
        None => context,
    };
    let error = if temporary { Error::temporary(kind, context) } else { Error::permanent(kind, context) };
    Fault { error, reach }
}

/// Errors that the server did not send: the connection broke, or the driver refused.
fn without_state(error: tokio_postgres::Error, what: &str) -> Fault {
    let kind =
        if error.is_closed() || std::error::Error::source(&error).is_some_and(|source| source.is::<std::io::Error>()) {
            ErrorKind::Unreachable
        } else {
            ErrorKind::Protocol
        };
    Fault { error: Error::temporary(kind, what.to_owned()).with_source(error), reach: Reach::Connection }
}

fn detail(db: &DbError) -> String {
    let mut text = String::new();
    for (name, value) in [("table", db.table()), ("column", db.column()), ("constraint", db.constraint())] {
        if let Some(value) = value.filter(|value| !db.message().contains(*value)) {
            text.push_str(&format!(", {name} {value:?}"));
        }
    }
    if let Some(hint) = db.hint() {
        text.push_str(&format!(", hint: {hint}"));
    }
    text
}

fn remedy(code: &str) -> Option<&'static str> {
    match code {
        "42P01" => Some("create the table, or correct its name in the action's sql"),
        "42703" => Some("add the column to the table, or correct its name in the action's sql"),
        "42601" => Some("correct the action's sql"),
        "42804" | "42883" => Some("add a cast such as ${x}::integer to the action's sql"),
        "3D000" => Some("create the database, or correct the resource's database"),
        "28P01" | "28000" => Some("correct the resource's username and password"),
        "42501" => Some("grant the privilege to the resource's user"),
        _ => None,
    }
}
