//! What the broker counts. Relaxed atomics: the numbers are for people and graphs.

use std::sync::atomic::{AtomicU64, Ordering};

use model::Str;
use model::ports::{Sample, SampleKind};

/// A number that tasks add to.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Takes `n` away; for gauges.
    pub fn sub(&self, n: u64) {
        self.0.fetch_sub(n, Ordering::Relaxed);
    }

    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Why a message did not reach a subscriber, or a publish did not reach the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// The session's queue was at its bound.
    QueueFull,
    /// The message expired while it waited.
    Expired,
    /// The subscriber may not receive this topic.
    NotAuthorized,
    /// The packet would be larger than the subscriber accepts.
    TooLarge,
    /// QoS 0 for a session without connection.
    Qos0Offline,
    /// The retained store was at its bound; the message went out without being kept.
    RetainedFull,
    /// Too many retained messages waited for one client.
    RetainedBacklogFull,
    /// The publisher may not publish to this topic.
    PublishDenied,
    /// Nobody subscribes to the topic.
    NoSubscribers,
    /// A durable queue of a rule refused the message.
    Refused,
    /// The match visited `match_visits_max` nodes and stopped.
    MatchCutShort,
    /// The session ended with messages waiting.
    SessionEnded,
}

impl Dropped {
    /// All reasons.
    pub const ALL: [Self; 12] = [
        Self::QueueFull,
        Self::Expired,
        Self::NotAuthorized,
        Self::TooLarge,
        Self::Qos0Offline,
        Self::RetainedFull,
        Self::RetainedBacklogFull,
        Self::PublishDenied,
        Self::NoSubscribers,
        Self::Refused,
        Self::MatchCutShort,
        Self::SessionEnded,
    ];

    /// The reason as events and metrics print it.
    pub fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::Expired => "expired",
            Self::NotAuthorized => "not_authorized",
            Self::TooLarge => "too_large",
            Self::Qos0Offline => "qos0_msg",
            Self::RetainedFull => "retained_full",
            Self::RetainedBacklogFull => "retained_backlog_full",
            Self::PublishDenied => "publish_denied",
            Self::NoSubscribers => "no_subscribers",
            Self::Refused => "refused",
            Self::MatchCutShort => "match_cut_short",
            Self::SessionEnded => "session_ended",
        }
    }
}

/// All counters of the broker.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections now, those before CONNACK included.
    pub connections: Count,
    /// Connections accepted.
    pub connections_accepted: Count,
    /// Connections refused because `connections_max` was reached.
    pub connections_refused: Count,
    /// CONNECTs that were answered with a failure.
    pub connects_refused: Count,
    /// Connections ended for an error of the client.
    pub protocol_errors: Count,
    /// PUBLISH packets from clients.
    pub messages_received: Count,
    /// PUBLISH packets to clients.
    pub messages_sent: Count,
    /// Bytes from clients.
    pub bytes_received: Count,
    /// Bytes to clients.
    pub bytes_sent: Count,
    dropped: [Count; Dropped::ALL.len()],
}

impl Counters {
    /// Counts dropped messages.
    pub fn dropped(&self, reason: Dropped, n: u64) {
        if let Some(count) = self.dropped.get(reason as usize) {
            count.add(n);
        }
    }

    /// Messages dropped for `reason`.
    pub fn dropped_count(&self, reason: Dropped) -> u64 {
        self.dropped.get(reason as usize).map_or(0, Count::get)
    }

    /// Appends everything counted here.
    pub fn collect(&self, out: &mut Vec<Sample>) {
        let mut one = |name, help, kind, count: &Count| {
            out.push(Sample { name, help, kind, labels: Vec::new(), value: count.get() as f64 });
        };
        one("broker_connections", "Connections now.", SampleKind::Gauge, &self.connections);
        let total = SampleKind::Counter;
        one("broker_connections_accepted_total", "Connections accepted.", total, &self.connections_accepted);
        one(
            "broker_connections_refused_total",
            "Connections refused at connections_max.",
            total,
            &self.connections_refused,
        );
        one("broker_connects_refused_total", "CONNECTs answered with a failure.", total, &self.connects_refused);
        one(
            "broker_protocol_errors_total",
            "Connections ended for an error of the client.",
            total,
            &self.protocol_errors,
        );
        one("broker_messages_received_total", "PUBLISH packets from clients.", total, &self.messages_received);
        one("broker_messages_sent_total", "PUBLISH packets to clients.", total, &self.messages_sent);
        one("broker_bytes_received_total", "Bytes from clients.", total, &self.bytes_received);
        one("broker_bytes_sent_total", "Bytes to clients.", total, &self.bytes_sent);
        for reason in Dropped::ALL {
            out.push(Sample {
                name: "broker_messages_dropped_total",
                help: "Messages not delivered, or not taken, by reason.",
                kind: total,
                labels: vec![("reason", Str::new(reason.name()))],
                value: self.dropped_count(reason) as f64,
            });
        }
    }
}
