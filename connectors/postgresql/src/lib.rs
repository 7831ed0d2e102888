#![doc = include_str!("../README.md")]
//!
//! Inside: [`settings`] is the connector as data, `pool` owns the connections, `sql` turns a template into statements,
//! `bind` turns values into PostgreSQL's binary forms, `batch` chooses how a batch is written, `fault` decides what an
//! error means, `sink` puts them together.
//!
//! Invariants:
//! - A value from a row is only ever a bound parameter, never SQL text.
//! - Each attempt to write rows is atomic; a connection whose state is not known is closed, never used again.

mod batch;
mod bind;
mod client;
mod fault;
mod numeric;
mod pool;
pub mod settings;
mod sink;
mod sql;
mod tls;

use std::sync::Arc;

use async_trait::async_trait;
use connector::{Client, Config, Connector, Error, Spec};

/// The connector.
pub fn connector() -> Arc<dyn Connector> {
    Arc::new(Postgresql)
}

struct Postgresql;

#[async_trait]
impl Connector for Postgresql {
    fn spec(&self) -> &'static Spec {
        &settings::SPEC
    }

    async fn open(&self, config: &Config) -> Result<Arc<dyn Client>, Error> {
        Ok(Arc::new(client::Database::open(config)?))
    }
}
