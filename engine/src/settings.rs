//! The engine's bounds, each with its unit and default.

/// Settings of the engine.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Worker tasks; events of one client always go to the same one. 0 = one for each processor.
    pub workers: usize,
    /// Events one worker's queue holds; when it is full, publishers wait or the event is dropped, by the rule's policy.
    pub tap_queue_events_max: usize,
    /// Bytes of message payload one worker's queue holds.
    pub tap_queue_bytes_max: usize,
    /// Most events evaluated together.
    pub batch_events_max: usize,
    /// Failures kept for each rule.
    pub failures_kept: usize,
    /// Rows each `inspect` action keeps.
    pub inspections_kept: usize,
    /// Rules a republished message may pass before it is refused.
    pub republish_hops_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            workers: 0,
            tap_queue_events_max: 16_384,
            tap_queue_bytes_max: 64 << 20,
            batch_events_max: 512,
            failures_kept: 20,
            inspections_kept: 100,
            republish_hops_max: 8,
        }
    }
}
