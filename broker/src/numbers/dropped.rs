//! Why messages are dropped: a bounded set of reasons.

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
    /// A retained message's payload was too large to be kept; the message went out.
    RetainedTooLarge,
    /// Too many delayed messages waited.
    DelayedFull,
    /// The topic a client named leads to no valid one: a wrong `$delayed`, or what rewriting made of it.
    TopicInvalid,
    /// The log of durable sessions was at its bound, the disk full, or the outcome of a write unknown.
    LogFull,
}

impl Dropped {
    /// All reasons.
    pub const ALL: [Self; 16] = [
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
        Self::RetainedTooLarge,
        Self::DelayedFull,
        Self::TopicInvalid,
        Self::LogFull,
    ];

    /// Whether the message was on its way to one subscriber.
    pub fn is_delivery(self) -> bool {
        match self {
            Self::QueueFull
            | Self::Expired
            | Self::NotAuthorized
            | Self::TooLarge
            | Self::Qos0Offline
            | Self::RetainedBacklogFull
            | Self::SessionEnded => true,
            Self::RetainedFull
            | Self::RetainedTooLarge
            | Self::PublishDenied
            | Self::NoSubscribers
            | Self::Refused
            | Self::MatchCutShort
            | Self::DelayedFull
            | Self::TopicInvalid
            | Self::LogFull => false,
        }
    }

    /// Whether somebody misses the message; it may also have gone out and only not been kept.
    pub fn is_loss(self) -> bool {
        !matches!(self, Self::RetainedFull | Self::RetainedTooLarge | Self::MatchCutShort)
    }

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
            Self::RetainedTooLarge => "retained_too_large",
            Self::DelayedFull => "delayed_full",
            Self::TopicInvalid => "topic_invalid",
            Self::LogFull => "log_full",
        }
    }
}
