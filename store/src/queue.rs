//! The disk queue of one action (being filled in: every call answers that it is not there yet).

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::{Error, ErrorKind};
use crate::metrics::Metrics;
use crate::settings::QueueSettings;

/// A record's number in its queue. Numbers grow by one and are never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

/// An append that did not happen, with the records given back so that the caller's policy can use them.
#[derive(Debug)]
pub struct Rejected {
    /// Why: [`ErrorKind::Full`] for the queue's own bound, [`ErrorKind::DiskFull`], [`ErrorKind::Poisoned`], …
    pub error: Error,
    /// What was to be appended, complete and in order.
    pub records: Vec<Bytes>,
}

impl From<Rejected> for Error {
    fn from(rejected: Rejected) -> Self {
        rejected.error
    }
}

/// A durable first-in-first-out queue on disk. Clones share it.
#[derive(Clone)]
pub struct Queue {
    inner: Arc<QueueSettings>,
}

impl Queue {
    /// Opens the queue in the folder `dir`, creating it if needed. Everything confirmed and not acknowledged before is
    /// unread again.
    pub async fn open(dir: impl Into<PathBuf>, settings: QueueSettings) -> Result<Self, Error> {
        let _ = (settings, Self { inner: Arc::default() }.inner);
        Err(not_built(dir.into()))
    }

    /// Appends `records` together, in order; resolves with the position of the first once they are durable as
    /// `settings.fsync` says. Either all are appended or none. An empty vector is an error of kind `Invalid`.
    /// Dropping the future does not take the records back.
    pub async fn append(&self, records: Vec<Bytes>) -> Result<Position, Rejected> {
        Err(Rejected { error: not_built(PathBuf::new()), records })
    }

    /// The next unread records, oldest first: at most `records_max`, and no more than `bytes_max` of them unless the
    /// first alone is longer. They are in flight until acknowledged. Empty when there is nothing unread, or when
    /// `in_flight_records_max` is reached.
    pub async fn read(&self, _records_max: usize, _bytes_max: usize) -> Result<Vec<(Position, Bytes)>, Error> {
        Err(not_built(PathBuf::new()))
    }

    /// Says that these records are done with, in any order. Takes effect in memory at once; reaches the disk soon
    /// after, and a crash before that only causes redelivery.
    pub fn ack(&self, _positions: &[Position]) {}

    /// Gives records in flight back: they are unread again and served before newer ones.
    pub fn nack(&self, _positions: &[Position]) {}

    /// Acknowledges up to `count` of the oldest records that are not in flight, for a policy of dropping the oldest;
    /// returns how many. To keep them elsewhere use [`Queue::read`] and [`Queue::ack`].
    pub async fn drop_oldest(&self, _count: u64) -> Result<u64, Error> {
        Err(not_built(PathBuf::new()))
    }

    /// Resolves when there is an unread record, or when the queue is closed.
    pub async fn wait_nonempty(&self) {}

    /// Unacknowledged records: unread and in flight.
    pub fn len_records(&self) -> u64 {
        0
    }

    /// Records read and neither acknowledged nor given back.
    pub fn in_flight_records(&self) -> u64 {
        0
    }

    /// What counts against `bytes_max`: the records from the oldest unacknowledged on, with framing.
    pub fn len_bytes(&self) -> u64 {
        0
    }

    /// The counters.
    pub fn metrics(&self) -> Metrics {
        Metrics::default()
    }

    /// Takes no more appends, writes what waits, persists the acknowledgements.
    pub async fn close(&self) -> Result<(), Error> {
        Err(not_built(PathBuf::new()))
    }
}

fn not_built(path: PathBuf) -> Error {
    Error::new(ErrorKind::Closed, path, "the disk queue is not built yet")
}
