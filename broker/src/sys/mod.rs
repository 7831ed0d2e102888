//! `$SYS`: what the broker says about itself (manual §4.17), and the `$SYS/broker/…` tree that dashboards and exporters of
//! other brokers read.
//!
//! Nothing of it is stored. What is published periodically is also made on the spot for a client that subscribes, as if it
//! were retained; while nobody subscribes to `$SYS`, nothing is made at all. Clients cannot publish below `$`, and rules do
//! not see these messages.

mod loads;
mod tree;
mod watch;

use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Local};
use model::manage::{About, AlarmView};
use model::{ClientInfo, Message, MessageId, Origin, ProtocolVersion, Qos, Str, filter_matches};
use parking_lot::Mutex;
use serde_json::json;

use self::loads::Loads;
use crate::node::{Core, Source};

pub(crate) use self::watch::{LastDrop, Watch};

/// What this server calls itself (manual §14.3 `sysdescr`).
const DESCRIPTION: &str = "weir MQTT broker";
/// How often the load averages take a sample, milliseconds.
const LOAD_SAMPLE_MS: i64 = 5_000;

/// When things are due next, and the averages.
#[derive(Default)]
pub(crate) struct Sys {
    loads: Mutex<Loads>,
}

/// When the periodic work is due next, on the broker's monotonic clock. Belongs to the timer task.
#[derive(Default)]
pub(crate) struct Due {
    interval_ms: i64,
    heartbeat_ms: i64,
    loads_ms: i64,
}

/// The topic of alarms: `alert` or `clear` (manual §4.17.5).
pub(crate) fn alarm_topic(node: &str, what: &str) -> String {
    format!("$SYS/brokers/{node}/alarms/{what}")
}

/// What is published there.
pub(crate) fn alarm_payload(alarm: &AlarmView) -> String {
    json!({
        "name": alarm.name,
        "message": alarm.message,
        "details": alarm.details,
        "activated_at": alarm.activated_at_ms,
        "deactivated_at": alarm.deactivated_at_ms,
    })
    .to_string()
}

/// Whether a filter of a client asks for something below `$SYS`.
pub(crate) fn is_system(filter: &str) -> bool {
    filter == "$SYS" || filter.starts_with("$SYS/")
}

impl Core {
    /// What this broker is and since when.
    pub(crate) fn about(&self) -> About {
        let uptime_ms = self.monotonic_ms();
        About {
            node: self.node.clone(),
            description: DESCRIPTION,
            version: env!("CARGO_PKG_VERSION"),
            started_at_ms: self.started_at_ms,
            uptime_ms,
            datetime: datetime(self.now_ms()),
        }
    }

    /// Whether anybody subscribes to something below `$SYS`.
    pub(crate) fn has_system_subscribers(&self) -> bool {
        self.counters.system_subscriptions.get() > 0
    }

    /// Publishes a message of the server's own, if anybody listens.
    pub(crate) fn publish_system(&self, topic: &str, payload: impl Into<Bytes>) {
        if self.has_system_subscribers() {
            self.route(&Arc::new(self.system_message(topic, payload.into(), false)), Source::default());
        }
    }

    fn system_message(&self, topic: &str, payload: Bytes, retain: bool) -> Message {
        let now_ms = self.now_ms();
        Message {
            id: MessageId::next(now_ms),
            topic: Str::new(topic),
            payload,
            qos: Qos::AtMostOnce,
            retain,
            dup: false,
            publisher: None,
            properties: None,
            received_at_ms: now_ms,
            origin: Origin::System,
        }
    }

    /// The messages a new subscription gets at once: at most `limit` retained ones, and for `$SYS` what it says now.
    pub(crate) fn retained_matching(&self, filter: &str, limit: usize) -> Vec<Arc<Message>> {
        let mut found = self.retained.read().matching(filter, limit, self.now_ms());
        if is_system(filter) {
            let wanted = tree::everything(self).into_iter().filter(|(topic, _)| filter_matches(filter, topic));
            let room = limit.saturating_sub(found.len());
            found.extend(
                wanted.take(room).map(|(topic, payload)| Arc::new(self.system_message(&topic, payload.into(), true))),
            );
        }
        found
    }

    /// `…/clients/<id>/connected` (manual §4.17.2).
    pub(crate) fn announce_connected(&self, info: &ClientInfo) {
        if !self.has_system_subscribers() {
            return;
        }
        let payload = json!({
            "clientid": info.client_id,
            "username": info.username,
            "ipaddress": info.peer.map(|peer| peer.ip().to_string()),
            "connack": 0,
            "ts": self.now_ms() / 1000,
            "proto_ver": info.version as u8,
            "proto_name": if info.version == ProtocolVersion::V3_1 { "MQIsdp" } else { "MQTT" },
            "clean_start": info.clean_start,
            "keepalive": info.keepalive_secs,
        });
        self.publish_system(&self.presence_topic(&info.client_id, "connected"), payload.to_string());
    }

    /// `…/clients/<id>/disconnected` (manual §4.17.2).
    pub(crate) fn announce_disconnected(&self, info: &ClientInfo, reason: &str) {
        if !self.has_system_subscribers() {
            return;
        }
        let payload = json!({
            "clientid": info.client_id,
            "username": info.username,
            "reason": reason,
            "ts": self.now_ms() / 1000,
        });
        self.publish_system(&self.presence_topic(&info.client_id, "disconnected"), payload.to_string());
    }

    /// A client identifier may have what a topic name must not.
    fn presence_topic(&self, client_id: &str, what: &str) -> String {
        let client_id = client_id.replace('+', "%2B").replace('#', "%23");
        format!("$SYS/brokers/{}/clients/{client_id}/{what}", self.node)
    }

    /// `…/sysmon/<what>`: something in the server took longer than it should (manual §4.17.6).
    pub(crate) fn announce_sysmon(&self, what: &str, facts: &serde_json::Value) {
        self.publish_system(&format!("$SYS/brokers/{}/sysmon/{what}", self.node), facts.to_string());
    }
}

/// Does what is due. Called by the timer task with every tick.
pub(crate) fn tick(core: &Core, due: &mut Due) {
    let now_ms = core.monotonic_ms();
    let is_due = |at_ms: &mut i64, every_ms: u64| {
        let every_ms = i64::try_from(every_ms).unwrap_or(i64::MAX);
        // The first round is one interval after the start; 0 turns it off.
        let first = *at_ms == 0;
        let is_due = every_ms > 0 && !first && now_ms >= *at_ms;
        if first || is_due {
            *at_ms = now_ms.saturating_add(every_ms);
        }
        is_due
    };
    if is_due(&mut due.loads_ms, LOAD_SAMPLE_MS.unsigned_abs()) {
        let (totals, accepted) = (core.counters.totals(), core.counters.connections_accepted.get());
        core.sys.loads.lock().sample(&totals, accepted, LOAD_SAMPLE_MS);
    }
    let (full, heartbeat) = (
        is_due(&mut due.interval_ms, core.settings.sys_interval_ms),
        is_due(&mut due.heartbeat_ms, core.settings.sys_heartbeat_ms),
    );
    if !core.has_system_subscribers() {
        return;
    }
    let messages = match (full, heartbeat) {
        (true, _) => tree::everything(core),
        (false, true) => tree::heartbeat(core),
        (false, false) => return,
    };
    for (topic, payload) in messages {
        core.publish_system(&topic, payload);
    }
}

/// A time as the manual prints it: `2019-04-29 10:42:10`, in the server's time zone.
fn datetime(ms: i64) -> String {
    let utc = DateTime::from_timestamp_millis(ms).unwrap_or_default();
    utc.with_timezone(&Local).format("%Y-%m-%d %H:%M:%S").to_string()
}
