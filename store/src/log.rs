//! The contract of a durable, totally ordered log, whatever is underneath: local segment files today, a replicated
//! log later. Nothing above this trait may know which.
//!
//! What a log promises: every reader sees the same batch at the same offset; `append` answers `Ok` only for a batch
//! that is durable as [`OrderedLog::durability`] says; readers see a prefix; an append with an error may still turn up
//! (its outcome is unknown), and appending the same `(writer, wseq)` again is then harmless.

use std::fmt;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;

use crate::error::Error;

/// Names one log of a server: 0 is the log of metadata, the others are shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId(pub u16);

/// The shard an entry belongs to. Several shards may share one log, so every entry says its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u16);

/// Who appends: one life of one node. A restarted node is a new writer and may start its `wseq` again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WriterId(pub u128);

/// The place of a batch in its log. The first batch ever appended is at 0 and offsets have no gaps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(pub u64);

impl Offset {
    /// The place behind this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One change of one shard's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whose state it changes.
    pub shard: ShardId,
    /// The version of the body's format, so that an older entry stays readable.
    pub version: u16,
    /// What changed, in the writer's own encoding.
    pub body: Bytes,
}

/// What is appended at once: it becomes durable as a whole or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Who appends.
    pub writer: WriterId,
    /// The writer's own number of this batch. The same number means the same batch.
    pub wseq: u64,
    /// The changes, in order.
    pub entries: Vec<Entry>,
}

/// What a successful append survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Durability {
    /// The end of the process (`kill -9`), not of the machine: written, not flushed to the device.
    Process,
    /// Loss of power: flushed to the device before the append answers.
    Power,
}

/// A durable, totally ordered, multi-writer log (see the head of this file for the promises).
pub trait OrderedLog: Send + Sync + 'static {
    /// Appends `batch` and resolves with its offset once it is durable. A batch whose `(writer, wseq)` is already in
    /// the log is not written again and resolves with the offset it has.
    ///
    /// Dropping the future does not take the batch back.
    fn append(&self, log: LogId, batch: Batch) -> BoxFuture<'_, Result<Offset, Error>>;

    /// The batches from `from` on, then those still to come, for ever. The stream ends after its first error, and
    /// without one when the log is closed.
    ///
    /// An offset that has been trimmed away is [`crate::ErrorKind::Invalid`].
    fn read(&self, log: LogId, from: Offset) -> BoxStream<'static, Result<(Offset, Batch), Error>>;

    /// Allows everything before `up_to` to be forgotten. Storage may keep more than that.
    fn trim(&self, log: LogId, up_to: Offset) -> BoxFuture<'_, Result<(), Error>>;

    /// The first offset that can still be read, and the one the next append will get.
    fn bounds(&self, log: LogId) -> BoxFuture<'_, Result<(Offset, Offset), Error>>;

    /// What a successful append survives here.
    fn durability(&self) -> Durability;
}
