//! The error of the room.

use std::fmt;

use crate::acl::Problem;

/// Why access control could not do what it was asked.
#[derive(Debug)]
pub enum Error {
    /// The rules cannot be used.
    Acl(Problem),
    /// What was given is not valid; the text says why and what helps.
    Invalid(String),
    /// There is no such entry.
    NotFound(String),
    /// It exists already.
    Exists(String),
    /// A bound is reached; the text names the setting.
    Full(String),
    /// The store failed.
    Store(store::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Acl(problem) => problem.fmt(f),
            Self::Invalid(why) | Self::NotFound(why) | Self::Exists(why) | Self::Full(why) => f.write_str(why),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self::Acl(problem)
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}
