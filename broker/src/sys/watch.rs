//! Looks once a second whether something in the broker is near its bound, and raises or ends the alarm about it.
//!
//! Between the high and the low mark an alarm stays as it is, so that one at the mark does not flap.

use model::manage::Alarm;
use model::{Str, Value};
use parking_lot::Mutex;

use crate::node::Core;
use crate::numbers::{Dropped, Stat};

/// How often is looked, milliseconds.
const LOOK_MS: i64 = 1_000;
/// A queue alarm ends when no queue has dropped anything for this long, milliseconds.
const QUEUE_CALM_MS: i64 = 60_000;

/// What the last look saw. Belongs to the timer task.
#[derive(Default)]
pub(crate) struct Watch {
    next_ms: i64,
    dropped: u64,
    dropped_at_ms: i64,
}

/// The session whose queue dropped something last; the full queues' alarm names it.
#[derive(Default)]
pub(crate) struct LastDrop(Mutex<Option<Str>>);

impl LastDrop {
    /// Takes note of the client whose queue was full, unless another note waits: many drops cost one look at the lock.
    pub(crate) fn note(&self, client_id: &Str) {
        if let Some(mut last) = self.0.try_lock()
            && last.is_none()
        {
            *last = Some(client_id.clone());
        }
    }
}

impl Watch {
    /// Looks, when it is time.
    pub(crate) fn tick(&mut self, core: &Core) {
        let now_ms = core.monotonic_ms();
        if now_ms < self.next_ms {
            return;
        }
        self.next_ms = now_ms + LOOK_MS;
        let settings = &core.settings;
        near(
            core,
            "connections_near_max",
            "connections",
            core.counters.connections.get(),
            settings.connections_max as u64,
        );
        near(core, "sessions_near_max", "sessions", core.stat(Stat::Sessions).0, settings.sessions_max as u64);
        near(
            core,
            "retained_near_max",
            "retained messages",
            core.stat(Stat::Retained).0,
            settings.retained_messages_max as u64,
        );
        let bytes = core.retained.read().bytes() as u64;
        near(core, "retained_bytes_near_max", "bytes of retained messages", bytes, settings.retained_bytes_max as u64);
        self.look_at_queues(core, now_ms);
    }

    fn look_at_queues(&mut self, core: &Core, now_ms: i64) {
        let dropped = core.counters.dropped_count(Dropped::QueueFull);
        if dropped == self.dropped {
            if now_ms - self.dropped_at_ms >= QUEUE_CALM_MS {
                core.deactivate_alarm("session_queue_full");
            }
            return;
        }
        let fresh = dropped - self.dropped;
        (self.dropped, self.dropped_at_ms) = (dropped, now_ms);
        let client_id = core.last_drop.0.lock().take();
        core.activate_alarm(Alarm {
            name: Str::new("session_queue_full"),
            message: "sessions get messages faster than their clients take them: full queues drop messages".to_owned(),
            details: vec![
                ("client_id", client_id.map_or(Value::Null, Value::Text)),
                ("dropped", Value::Int(i64::try_from(fresh).unwrap_or(i64::MAX))),
                ("queue_messages_max", Value::Int(core.settings.queue_messages_max as i64)),
            ],
        });
    }
}

fn near(core: &Core, name: &str, what: &str, count: u64, max: u64) {
    if max == 0 {
        return;
    }
    let percent = count.saturating_mul(100) / max;
    if percent >= u64::from(core.settings.alarm_high_percent) {
        core.activate_alarm(Alarm {
            name: Str::new(name),
            message: format!("{count} {what} of at most {max}"),
            details: vec![("count", Value::Int(count as i64)), ("max", Value::Int(max as i64))],
        });
    } else if percent < u64::from(core.settings.alarm_low_percent) {
        core.deactivate_alarm(name);
    }
}
