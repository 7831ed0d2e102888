//! Timers of sessions and connections: one task, one map of due times, no timer per connection in the runtime.
//!
//! Invariant: timers are never cancelled. Each carries what it needs to see that it has become void (an epoch, a weak
//! pointer, the time of the last packet), and a void timer does nothing. Keep alive costs a packet one atomic store.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use crate::codec::Reason;
use crate::durable::will_of;
use crate::node::{Core, Phase};
use crate::registry::{Entry, Link};
use crate::sys;

/// Grain of the timers, milliseconds.
const TICK_MS: i64 = 200;
/// Expired retained messages are looked for every so many ticks (one minute).
const RETAINED_TICKS: u64 = 300;

/// Something that may be due.
pub(crate) enum Timer {
    /// Ends the connection if it has been silent too long.
    KeepAlive(Weak<Link>),
    /// Ends the session if it is still in this epoch.
    SessionExpiry(Arc<Entry>, u64),
    /// Publishes the will if the session is still in this epoch.
    WillDelay(Arc<Entry>, u64),
}

/// All timers by the tick they are due in.
#[derive(Default)]
pub(crate) struct Timers {
    due: Mutex<BTreeMap<i64, Vec<Timer>>>,
}

impl Timers {
    /// Sets `timer` for `at_ms` of the broker's monotonic clock.
    pub(crate) fn set(&self, at_ms: i64, timer: Timer) {
        self.due.lock().entry(at_ms / TICK_MS + 1).or_default().push(timer);
    }

    fn take_due(&self, now_ms: i64) -> Vec<Timer> {
        let mut due = self.due.lock();
        let mut taken = Vec::new();
        while let Some(first) = due.first_entry() {
            if *first.key() > now_ms / TICK_MS {
                break;
            }
            taken.append(&mut first.remove());
        }
        taken
    }
}

/// Runs the timers until the broker stops.
pub(crate) async fn run(core: Arc<Core>) {
    let mut phase = core.phase.subscribe();
    let mut tick = tokio::time::interval(Duration::from_millis(TICK_MS.unsigned_abs()));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut ticks = 0u64;
    let (mut due, mut watch) = (sys::Due::default(), sys::Watch::default());
    let mut last_ms = core.monotonic_ms();
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            stopping = phase.wait_for(|phase| *phase != Phase::Running) => {
                drop(stopping);
                return;
            }
        }
        ticks += 1;
        let now_ms = core.monotonic_ms();
        tell_if_late(&core, now_ms - last_ms - TICK_MS);
        last_ms = now_ms;
        fire_due(&core);
        if ticks.is_multiple_of(RETAINED_TICKS) {
            core.retained.write().expire(core.now_ms());
        }
        sys::tick(&core, &mut due);
        watch.tick(&core);
        core.traces.end_due(core.now_ms());
    }
}

/// A tick that comes late by much: the server's threads had no time for it.
fn tell_if_late(core: &Core, late_ms: i64) {
    let late_max_ms = core.settings.sysmon_long_schedule_ms;
    if late_max_ms > 0 && late_ms > i64::try_from(late_max_ms).unwrap_or(i64::MAX) {
        core.announce_sysmon("long_schedule", &serde_json::json!({"late_ms": late_ms, "ts": core.now_ms() / 1000}));
    }
}

/// Does what is due.
pub(crate) fn fire_due(core: &Arc<Core>) {
    for timer in core.timers.take_due(core.monotonic_ms()) {
        fire(core, timer);
    }
}

fn fire(core: &Arc<Core>, timer: Timer) {
    match timer {
        Timer::KeepAlive(link) => {
            let Some(link) = link.upgrade() else { return };
            let due_ms = link.last_seen_ms.load(Ordering::Relaxed) + link.silence_max_ms;
            if core.monotonic_ms() >= due_ms {
                link.end(Reason::KEEP_ALIVE_TIMEOUT);
            } else {
                core.timers.set(due_ms, Timer::KeepAlive(Arc::downgrade(&link)));
            }
        }
        Timer::SessionExpiry(entry, epoch) => {
            let current = entry.inner.lock().epoch == epoch;
            if current {
                core.terminate(&entry, "expired");
            }
        }
        Timer::WillDelay(entry, epoch) => {
            let will = {
                let mut inner = entry.inner.lock();
                if inner.epoch == epoch { inner.claim_will() } else { None }
            };
            if let Some(will) = will {
                core.publish_will(*will, will_of(&entry));
            }
        }
    }
}
