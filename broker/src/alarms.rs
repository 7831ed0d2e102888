//! Alarms that last and alarms that are over. In memory: a condition that still holds after a restart is raised again.
//!
//! Invariants: one alarm of a name at a time; the history forgets its oldest beyond `alarm_history_max`. The names come
//! from the server, never from a client, so that those that last are few.

use std::collections::{BTreeMap, VecDeque};

use model::manage::{Alarm, AlarmView};
use model::{EventKind, Str, Value};
use parking_lot::Mutex;

use crate::events::Fields;
use crate::node::Core;
use crate::sys;

/// All alarms of the node.
#[derive(Debug, Default)]
pub(crate) struct AlarmStore(Mutex<Lists>);

#[derive(Debug, Default)]
struct Lists {
    present: BTreeMap<Str, AlarmView>,
    history: VecDeque<AlarmView>,
}

impl AlarmStore {
    /// Those that last, by name.
    pub(crate) fn present(&self) -> Vec<AlarmView> {
        self.0.lock().present.values().cloned().collect()
    }

    /// Those that are over, the latest first.
    pub(crate) fn history(&self) -> Vec<AlarmView> {
        self.0.lock().history.iter().rev().cloned().collect()
    }

    /// Forgets those that are over.
    pub(crate) fn clear_history(&self) {
        self.0.lock().history.clear();
    }

    fn begin(&self, view: &AlarmView) -> bool {
        let mut lists = self.0.lock();
        let is_new = !lists.present.contains_key(&view.name);
        if is_new {
            lists.present.insert(view.name.clone(), view.clone());
        }
        is_new
    }

    fn end(&self, name: &str, now_ms: i64, history_max: usize) -> Option<AlarmView> {
        let mut lists = self.0.lock();
        let mut over = lists.present.remove(name)?;
        over.deactivated_at_ms = Some(now_ms);
        while lists.history.len() >= history_max.max(1) {
            lists.history.pop_front();
        }
        lists.history.push_back(over.clone());
        Some(over)
    }
}

impl Core {
    /// Raises an alarm, unless it lasts already.
    pub(crate) fn activate_alarm(&self, alarm: Alarm) -> bool {
        let details = Value::map(alarm.details);
        let view = AlarmView {
            name: alarm.name,
            message: alarm.message,
            details: details.to_json(),
            activated_at_ms: self.now_ms(),
            deactivated_at_ms: None,
        };
        if !self.alarms.begin(&view) {
            return false;
        }
        tracing::warn!(alarm = %view.name, message = view.message, "alarm");
        self.publish_system(&sys::alarm_topic(&self.node, "alert"), sys::alarm_payload(&view));
        self.emit(EventKind::AlarmActivated, || fields(&view, details));
        true
    }

    /// Ends an alarm, if it lasts.
    pub(crate) fn deactivate_alarm(&self, name: &str) -> bool {
        let Some(view) = self.alarms.end(name, self.now_ms(), self.settings.alarm_history_max) else { return false };
        tracing::info!(alarm = %view.name, "alarm is over");
        self.publish_system(&sys::alarm_topic(&self.node, "clear"), sys::alarm_payload(&view));
        self.emit(EventKind::AlarmDeactivated, || fields(&view, Value::from_json(&view.details)));
        true
    }
}

/// The times of alarms are in microseconds where rules see them, as in later versions of EMQ X.
fn fields(view: &AlarmView, details: Value) -> Fields {
    let micros = |ms: i64| Value::Int(ms.saturating_mul(1000));
    let mut fields = Fields::default();
    fields
        .put("name", Value::Text(view.name.clone()))
        .put("message", Value::text(view.message.as_str()))
        .put("details", details)
        .put("activated_at", micros(view.activated_at_ms));
    if let Some(over_ms) = view.deactivated_at_ms {
        fields.put("deactivated_at", micros(over_ms));
    }
    fields
}
