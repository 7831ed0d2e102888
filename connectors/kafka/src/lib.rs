#![doc = include_str!("../README.md")]
//!
//! Inside: [`settings`] is the connector as data, `client` owns the producer, `sink` writes, `fault` decides what an
//! error code means.
//!
//! Invariants:
//! - A row counts as written only after its own delivery report.
//! - Nothing blocks a worker thread: what librdkafka does synchronously runs on the blocking pool.

mod client;
mod fault;
pub mod settings;
mod sink;

use std::sync::Arc;

use async_trait::async_trait;
use connector::{Client, Config, Connector, Error, Spec};

/// The connector.
pub fn connector() -> Arc<dyn Connector> {
    Arc::new(Kafka)
}

struct Kafka;

#[async_trait]
impl Connector for Kafka {
    fn spec(&self) -> &'static Spec {
        &settings::SPEC
    }

    async fn open(&self, config: &Config) -> Result<Arc<dyn Client>, Error> {
        Ok(Arc::new(client::Cluster::open(config)?))
    }
}
