//! What can be set on a log or queue, with defaults and bounds.

/// When a write counts as durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fsync {
    /// After a flush to the device; appends that wait at the same time share one.
    #[default]
    Always,
    /// After the operating system took it: survives `kill -9`, not loss of power.
    Never,
}

/// What to do about bytes that are not what was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnCorrupt {
    /// Serve what is before them, then answer every read and append with the error until an operator decides.
    #[default]
    Stop,
    /// Copy the damaged bytes into the folder `quarantine`, count and log the lost records, and go on behind them.
    Quarantine,
}

/// Settings of a [`crate::Queue`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueSettings {
    /// Bound on the unacknowledged records with their framing, bytes. The disk holds up to one segment more.
    pub bytes_max: u64,
    /// A new segment file begins when one has reached this size, bytes.
    pub segment_bytes: u64,
    /// The longest record, bytes.
    pub record_bytes_max: u32,
    /// Records between the oldest unacknowledged and the newest read; at the bound `read` waits for acknowledgements.
    pub in_flight_records_max: usize,
    /// Bound on records waiting in memory for their turn to be written, bytes; at the bound `append` waits.
    pub pending_bytes_max: u32,
    /// When an append counts as durable.
    pub fsync: Fsync,
    /// What to do about damage.
    pub on_corrupt: OnCorrupt,
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self {
            bytes_max: 1024 * 1024 * 1024,
            segment_bytes: 16 * 1024 * 1024,
            record_bytes_max: 64 * 1024 * 1024,
            in_flight_records_max: 65_536,
            pending_bytes_max: 8 * 1024 * 1024,
            fsync: Fsync::Always,
            on_corrupt: OnCorrupt::Stop,
        }
    }
}

/// Settings of a [`crate::LocalLog`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// A new segment file begins when one has reached this size, bytes.
    pub segment_bytes: u64,
    /// The longest batch, bytes.
    pub record_bytes_max: u32,
    /// Bound on batches waiting in memory for their turn to be written, bytes; at the bound `append` waits.
    pub pending_bytes_max: u32,
    /// How many recent batches of one writer are remembered to recognise a retry.
    pub retry_window_count: usize,
    /// How many writers are remembered; the one silent for longest is forgotten first.
    pub writers_max: usize,
    /// When an append counts as durable.
    pub fsync: Fsync,
    /// What to do about damage.
    pub on_corrupt: OnCorrupt,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            segment_bytes: 64 * 1024 * 1024,
            record_bytes_max: 64 * 1024 * 1024,
            pending_bytes_max: 8 * 1024 * 1024,
            retry_window_count: 1024,
            writers_max: 1024,
            fsync: Fsync::Always,
            on_corrupt: OnCorrupt::Stop,
        }
    }
}
