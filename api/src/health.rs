//! Whether the server is up: `/livez`, `/readyz`, `/healthz` and `/status`, the only paths without credentials.

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};

/// Where the server is in its life. The binary moves it; the API only tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Opening its data, starting rules.
    Starting = 0,
    /// Everything listens.
    Ready = 1,
    /// Listeners are closed, queues drain.
    Stopping = 2,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Stopping => "stopping",
        })
    }
}

/// The phase, shared by the binary (which sets it) and the API (which reads it).
#[derive(Debug)]
pub struct Health {
    phase: AtomicU8,
}

impl Default for Health {
    fn default() -> Self {
        Self { phase: AtomicU8::new(Phase::Starting as u8) }
    }
}

impl Health {
    /// Moves on.
    pub fn set(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
    }

    /// The phase now.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Starting,
            1 => Phase::Ready,
            _ => Phase::Stopping,
        }
    }
}
