//! A connector whose service is a list in memory.

use std::sync::Arc;

use async_trait::async_trait;
use connector::{
    ActionSpec, BatchDefaults, Client, Config, Connector, Error, Field, Record, Registry, Role, Sink, Spec, WriteError,
};
use parking_lot::Mutex;
use serde_json::Value as Json;

static SPEC: Spec = Spec {
    name: "list",
    aliases: &[],
    title: "List",
    description: "",
    provider: "weir_list",
    roles: &[Role::Sink],
    fields: &[Field { name: "password", secret: true, ..Field::OPTIONAL }],
    actions: &[ActionSpec {
        name: "data_to_list",
        title: "",
        description: "",
        params: &[],
        batch: BatchDefaults::NATURAL,
    }],
};

/// What was written, as JSON.
pub(crate) type Written = Arc<Mutex<Vec<Json>>>;

struct List(Written);

/// The registry of this connector.
pub(crate) fn registry(written: &Written) -> Registry {
    Registry::new([Arc::new(List(Arc::clone(written))) as Arc<dyn Connector>])
}

#[async_trait]
impl Connector for List {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    async fn open(&self, _: &Config) -> Result<Arc<dyn Client>, Error> {
        Ok(Arc::new(List(Arc::clone(&self.0))))
    }
}

#[async_trait]
impl Client for List {
    async fn check(&self) -> Result<(), Error> {
        Ok(())
    }

    fn sink(&self, _: &'static ActionSpec, _: &Config) -> Result<Arc<dyn Sink>, Error> {
        Ok(Arc::new(List(Arc::clone(&self.0))))
    }

    async fn close(&self) {}
}

#[async_trait]
impl Sink for List {
    async fn write(&self, batch: &[Record]) -> Result<(), WriteError> {
        self.0.lock().extend(batch.iter().map(|record| record.row.to_json()));
        Ok(())
    }

    fn render(&self, record: &Record) -> Result<Json, Error> {
        Ok(record.row.to_json())
    }
}
