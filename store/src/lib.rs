//! What survives a restart: the durable ordered log, the disk queue, the embedded key-value store, and the lock of
//! the data folder they live in.
//!
//! Not here: what the records mean. A record is bytes; rules, sessions and rows are encoded by the rooms that own them.
//!
//! Invariants:
//! - What was confirmed is on disk as the settings promise, and is served again after a crash at any instant.
//! - What is served is what was written: every record carries a CRC, and a damaged one is an error, never data.
//! - A failed flush is never tried again and called a success: the log is poisoned until it is reopened.
//! - Nothing here blocks an async worker thread: disk work runs on the runtime's blocking pool.

mod batch;
mod blocking;
mod cursor;
mod data_dir;
mod error;
pub mod files;
mod format;
mod kv;
mod lane;
mod local;
mod log;
mod metrics;
mod queue;
mod scan;
mod segments;
mod settings;
pub mod testing;

pub use data_dir::DataDir;
pub use error::{Error, ErrorKind};
pub use kv::{KEY_BYTES_MAX, Kv, VALUE_BYTES_MAX, WriteBatch};
pub use local::LocalLog;
pub use log::{Batch, Durability, Entry, LogId, Offset, OrderedLog, ShardId, WriterId};
pub use metrics::{Metrics, MetricsSnapshot};
pub use queue::{Position, Queue, Rejected};
pub use settings::{Fsync, LogSettings, OnCorrupt, QueueSettings};
