//! The traits a connector implements, and the registry that lists them.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use model::{Row, Str, Value};

use crate::{ActionSpec, Config, Error, ErrorKind, Record, Spec};

/// A kind of outside system: one per connector crate.
#[async_trait]
pub trait Connector: Send + Sync + 'static {
    /// Its description.
    fn spec(&self) -> &'static Spec;

    /// Makes the client of one resource from validated settings. Does not need the service to be up: what must dial
    /// dials in [`Client::check`] and in the roles. Errors are configuration errors.
    async fn open(&self, config: &Config) -> Result<Arc<dyn Client>, Error>;
}

/// The one shared client of a resource. Reconnecting after the service comes back is its job; retrying is not.
#[async_trait]
pub trait Client: Send + Sync + 'static {
    /// Dials and asks the service something harmless. No side effect.
    async fn check(&self) -> Result<(), Error>;

    /// A sink for one rule's action. Templates are parsed here, so a bad template is an error at rule creation.
    fn sink(&self, action: &'static ActionSpec, params: &Config) -> Result<Arc<dyn Sink>, Error> {
        let _ = params;
        Err(Error::permanent(ErrorKind::Unsupported, format!("this resource has no action {}", action.name)))
    }

    /// A source of rows.
    fn source(&self, params: &Config) -> Result<Arc<dyn Source>, Error> {
        let _ = params;
        Err(Error::permanent(ErrorKind::Unsupported, "this resource cannot be a source"))
    }

    /// A lookup.
    fn lookup(&self, params: &Config) -> Result<Arc<dyn Lookup>, Error> {
        let _ = params;
        Err(Error::permanent(ErrorKind::Unsupported, "this resource cannot be a lookup"))
    }

    /// Its tables, for `weir query`.
    fn tables(&self) -> Option<Arc<dyn Tables>> {
        None
    }

    /// Closes connections and ends tasks. The caller bounds the time.
    async fn close(&self);
}

/// How a write failed.
#[derive(Debug)]
pub enum WriteError {
    /// The whole batch failed; nothing of it is known to be written.
    Batch(Error),
    /// The listed rows failed (index into the batch, strictly increasing); the service confirmed all the others.
    Rows(Vec<(usize, Error)>),
}

impl From<Error> for WriteError {
    fn from(error: Error) -> Self {
        Self::Batch(error)
    }
}

/// Takes rows. Called with at most `concurrency_max` batches at once.
#[async_trait]
pub trait Sink: Send + Sync + 'static {
    /// Writes the batch and returns when the service has confirmed it.
    async fn write(&self, batch: &[Record]) -> Result<(), WriteError>;

    /// What [`Sink::write`] would send for this record, for the SQL tester's dry run: a JSON object such as
    /// `{"method":…,"url":…,"body":…}`, `{"sql":…,"params":[…]}`, `{"topic":…,"key":…,"value":…}`. Secrets are masked.
    fn render(&self, record: &Record) -> Result<serde_json::Value, Error>;
}

/// One row from a source, with the token that acknowledges it.
#[derive(Debug)]
pub struct SourceItem {
    /// The row.
    pub row: Row,
    /// Given back to [`Source::ack`] once the row is safely handled.
    pub token: u64,
}

/// Gives rows. After a restart it continues after the last acknowledged row.
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// Waits for the next rows; at least one.
    async fn next(&self) -> Result<Vec<SourceItem>, Error>;
    /// Acknowledges every row up to and including `token`.
    async fn ack(&self, token: u64) -> Result<(), Error>;
}

/// Answers keyed questions.
#[async_trait]
pub trait Lookup: Send + Sync + 'static {
    /// The rows for the bound parameters; empty when there are none.
    async fn lookup(&self, params: &[(Str, Value)]) -> Result<Vec<Row>, Error>;
}

/// One data file of a table snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataFile {
    /// Absolute path of a Parquet file.
    pub path: String,
    /// Size, bytes.
    pub bytes: u64,
    /// Hive partition values, column to text; `None` is null.
    pub partition: Vec<(String, Option<String>)>,
}

/// One column of a table snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableColumn {
    /// Name.
    pub name: String,
    /// Type as Arrow writes it, such as `Int64` or `Timestamp(Microsecond, Some("UTC"))`.
    pub data_type: String,
}

/// A consistent snapshot of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Table name as queries use it.
    pub name: String,
    /// Absolute path of its folder.
    pub location: String,
    /// Snapshot version.
    pub version: u64,
    /// Every column in the table's order, partition columns included. A file may lack the younger ones: they are null.
    pub columns: Vec<TableColumn>,
    /// Partition columns, in order.
    pub partition_columns: Vec<String>,
    /// Its files.
    pub files: Vec<DataFile>,
}

/// Lists tables that `weir query` can read.
#[async_trait]
pub trait Tables: Send + Sync + 'static {
    /// A snapshot of every table.
    async fn snapshot(&self) -> Result<Vec<Table>, Error>;
}

/// Every connector of this binary, by resource type. Built in one place: the binary.
#[derive(Clone, Default)]
pub struct Registry {
    connectors: BTreeMap<&'static str, Arc<dyn Connector>>,
}

impl Registry {
    /// A registry of these connectors; a later one with the same name replaces an earlier one.
    pub fn new(connectors: impl IntoIterator<Item = Arc<dyn Connector>>) -> Self {
        Self { connectors: connectors.into_iter().map(|connector| (connector.spec().name, connector)).collect() }
    }

    /// The connector of a resource type, by name or alias.
    pub fn get(&self, resource_type: &str) -> Option<&Arc<dyn Connector>> {
        self.connectors
            .get(resource_type)
            .or_else(|| self.connectors.values().find(|connector| connector.spec().aliases.contains(&resource_type)))
    }

    /// Every connector, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Connector>> {
        self.connectors.values()
    }

    /// The connector and action of an action name such as `data_to_kafka`.
    pub fn action(&self, name: &str) -> Option<(&Arc<dyn Connector>, &'static ActionSpec)> {
        self.connectors.values().find_map(|connector| {
            connector.spec().actions.iter().find(|action| action.name == name).map(|action| (connector, action))
        })
    }
}
