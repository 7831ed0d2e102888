//! Durable sessions and retained messages: a fold over the ordered log (docs/decisions/0006-durable-sessions.md).
//!
//! ```text
//! connection ── Record ──▶ Intake ──▶ Writer ── append ──▶ OrderedLog
//!     ▲                                  │ durable
//!     └── answers, wake-ups ── Effect ◀── State::apply ◀── replay at the start
//!                                        │
//!                                        └── Changes ──▶ Tables (snapshots)
//! ```
//!
//! Invariants:
//! - Nothing leaves the broker that a crash could contradict: acknowledgements, and messages with a packet identifier,
//!   wait until what they say is in the log.
//! - Traffic that promises nothing (QoS 0, sessions in memory, nobody to receive it) makes no record.

mod codec;
mod decode;
mod intake;
mod record;
mod recover;
mod serve;
mod snapshot;
mod state;
mod writer;

#[cfg(test)]
mod sim;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use store::{Error, Kv, OrderedLog, WriteBatch};

pub(crate) use intake::{Intake, Stored, Unstored};
pub(crate) use record::{Publish, Receiver, Record};
pub(crate) use recover::recover;
pub(crate) use serve::{has_begun, will_of};
pub(crate) use state::Effect;
pub(crate) use writer::{Writer, run};

use snapshot::{Changes, Table};

/// Where durable sessions and retained messages are kept.
#[derive(Clone)]
pub struct Storage {
    /// The log of what happened.
    pub log: Arc<dyn OrderedLog>,
    /// The snapshots, in tables whose names begin with `mqtt.`.
    pub kv: Kv,
}

/// The broker's side of the log.
pub(crate) struct Durable {
    /// The way in.
    pub intake: Intake,
    /// The log.
    pub log: Arc<dyn OrderedLog>,
    /// The snapshots.
    pub tables: Arc<dyn Tables>,
    /// Whether sessions that outlive their connection are durable.
    pub sessions: bool,
    /// Whether retained messages are.
    pub retained: bool,
}

/// Where snapshots go.
#[async_trait]
pub(crate) trait Tables: Send + Sync + 'static {
    /// Writes the changes as a whole.
    async fn write(&self, changes: Changes) -> Result<(), Error>;
    /// All rows of a table, in the order of their keys.
    async fn read(&self, table: Table) -> Result<Vec<(Bytes, Bytes)>, Error>;
}

#[async_trait]
impl Tables for Kv {
    async fn write(&self, changes: Changes) -> Result<(), Error> {
        let mut batch = WriteBatch::new();
        for (table, key, value) in changes.rows {
            match value {
                Some(value) => batch.put(table.name(), key, value),
                None => batch.delete(table.name(), key),
            };
        }
        Self::write(self, batch).await
    }

    async fn read(&self, table: Table) -> Result<Vec<(Bytes, Bytes)>, Error> {
        self.scan(table.name(), &[]).await
    }
}
