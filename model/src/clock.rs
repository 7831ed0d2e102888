//! The only place that asks what time it is.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A source of time. Production uses [`SystemClock`]; tests and the SQL tester use a fixed or stepped one.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    fn now_ms(&self) -> i64 {
        self.now_ns() / 1_000_000
    }
    /// Nanoseconds since 1970-01-01T00:00:00Z.
    fn now_ns(&self) -> i64;
    /// A point on the monotonic clock.
    fn instant(&self) -> Instant;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ns(&self) -> i64 {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX)
    }

    fn instant(&self) -> Instant {
        Instant::now()
    }
}

/// A clock that stands still; for tests and for evaluating a rule at the time of its event.
#[derive(Clone, Copy, Debug)]
pub struct FixedClock(pub i64);

impl Clock for FixedClock {
    fn now_ns(&self) -> i64 {
        self.0.saturating_mul(1_000_000)
    }

    fn instant(&self) -> Instant {
        Instant::now()
    }
}
