#![doc = include_str!("../README.md")]

mod append;
mod cast;
mod client;
mod commit;
mod compact;
mod encode;
mod fault;
mod open;
mod plan;
mod settings;
mod shape;
mod sink;
mod table;
mod upkeep;
mod vacuum;
mod widen;

use std::path::Path;
use std::sync::Arc;

use connector::{Connector, Error, Table};

pub use settings::SPEC;

/// The connector of resource type `lake`.
pub fn connector() -> Arc<dyn Connector> {
    Arc::new(client::Lake)
}

/// A snapshot of every table below `folder`, without a server: what `weir query` reads on a stopped server's data.
/// A folder that is not there has no tables. Tables that use Delta features weir cannot read are left out with a
/// warning in the log.
///
/// # Errors
/// `Unauthorized` or `Internal` when the folder or a table's log cannot be read.
pub async fn tables(folder: &Path) -> Result<Vec<Table>, Error> {
    open::snapshot_all(folder).await
}
