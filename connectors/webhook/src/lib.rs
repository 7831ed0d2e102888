#![doc = include_str!("../README.md")]
//!
//! Inside: [`settings`] is the connector as data, `client` owns the connection pool, `request` turns a record into a
//! request, `answer` decides what a status means, `sink` sends.
//!
//! Invariants:
//! - A value from a row never becomes part of the origin, of another path segment or of another header line.
//! - Nothing here retries: the answer only says whether trying again can help.

mod answer;
mod client;
mod request;
pub mod settings;
mod sink;

use std::sync::Arc;

use async_trait::async_trait;
use connector::{Client, Config, Connector, Error, Spec};

/// The connector.
pub fn connector() -> Arc<dyn Connector> {
    Arc::new(Webhook)
}

struct Webhook;

#[async_trait]
impl Connector for Webhook {
    fn spec(&self) -> &'static Spec {
        &settings::SPEC
    }

    async fn open(&self, config: &Config) -> Result<Arc<dyn Client>, Error> {
        Ok(Arc::new(client::Http::open(config)?))
    }
}
