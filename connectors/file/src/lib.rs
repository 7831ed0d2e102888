#![doc = include_str!("../README.md")]

mod append;
mod client;
mod settings;
mod sink;

use std::sync::Arc;

pub use settings::SPEC;

/// The connector of resource type `file`.
pub fn connector() -> Arc<dyn connector::Connector> {
    Arc::new(client::File)
}
