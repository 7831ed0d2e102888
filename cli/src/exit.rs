//! How a command ends.

use std::fmt;

/// Exit codes, the same for every command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0
    Ok = 0,
    /// 1: the command was understood and did not succeed.
    Failed = 1,
    /// 2: wrong arguments.
    Usage = 2,
    /// 3: there is no such object.
    NotFound = 3,
    /// 4: it exists already, or belongs to somebody else.
    Conflict = 4,
    /// 5: the server cannot be reached.
    Unreachable = 5,
    /// 6: what was given is not valid (a rule that does not parse, a configuration with unknown keys).
    Invalid = 6,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Exit code.
    pub exit: Exit,
    /// For people, on stderr.
    pub message: String,
    /// Places in the SQL that was sent, line and column from 1.
    pub places: Vec<(usize, usize)>,
}

impl Failure {
    /// A failure.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), places: Vec::new() }
    }
}

impl Failure {
    /// Shows the lines of `sql` that the failure is about, each with a mark under the column.
    pub(crate) fn with_excerpt(mut self, sql: &str) -> Self {
        for (line, column) in std::mem::take(&mut self.places) {
            let Some(text) = sql.lines().nth(line.saturating_sub(1)) else { continue };
            let text = crate::output::printable(text);
            self.message.push_str(&format!("\n  {text}\n  {:>column$}", "^"));
        }
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(Exit::Failed, format!("cannot write the output: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_excerpt_marks_the_column() {
        let failure = Failure { places: vec![(2, 3)], ..Failure::new(Exit::Invalid, "line 2, column 3: no") };
        assert_eq!(failure.with_excerpt("SELECT\n  x").message, "line 2, column 3: no\n    x\n    ^");
        let far = Failure { places: vec![(9, 9)], ..Failure::new(Exit::Invalid, "no") };
        assert_eq!(far.with_excerpt("x").message, "no");
    }
}
