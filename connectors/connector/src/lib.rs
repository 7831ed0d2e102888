//! The connector contract: what an outside system looks like to weir.
//!
//! A connector is a [`Spec`] (data) and a [`Connector`] (code) that opens one shared [`Client`] per resource; the
//! client hands out the roles: [`Sink`], [`Source`], [`Lookup`] and, for table formats, [`Tables`].
//!
//! Invariants:
//! - A connector has no retry, buffering, timeout or rate code of its own: the layers of this crate wrap it and
//!   decide by the error's [`Retry`].
//! - Success is reported only after the outside service confirmed it; outcomes are per row.
//! - This crate knows no DataFusion, no broker, no HTTP API and no concrete system.

pub mod action;
pub mod config;
pub mod contract;
pub mod dead_letter;
pub mod error;
pub mod record;
pub mod spec;
pub mod template;
pub mod tls;

pub use action::{
    ActionHandle, ActionName, ActionParts, ActionSettings, Counters, Delivery, DropReason, Stopped, Submitted, WhenFull,
};
pub use config::{Config, ConfigError, Secret};
pub use contract::{
    Client, Connector, DataFile, Lookup, Registry, Sink, Source, SourceItem, Table, TableColumn, Tables, WriteError,
};
pub use dead_letter::{DeadLetterFilter, DeadLetterLimits, DeadLetterPage, DeadLetterView, DeadLetters, ReplayEvent};
pub use error::{Error, ErrorKind, Retry};
pub use record::Record;
pub use spec::{ActionSpec, BatchDefaults, Field, FieldKind, Role, Spec};
pub use template::{JsonTemplate, ParamStyle, Prepared, SqlEscape, Template, header_value, literal_prefix};
