//! Topic names and topic filters (MQTT 5.0 §4.7, MQTT 3.1.1 §4.7).

use std::fmt;

/// The longest topic a UTF-8 string of the protocol can carry, bytes.
pub const TOPIC_BYTES_MAX: usize = 65_535;

/// Why a topic name or filter is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicError {
    /// Zero length [MQTT-4.7.3-1].
    Empty,
    /// Longer than 65,535 bytes [MQTT-4.7.3-3].
    TooLong,
    /// Contains U+0000 [MQTT-4.7.3-2].
    Nul,
    /// A topic name contains `+` or `#` [MQTT-3.3.2-2].
    Wildcard,
    /// `#` is not the last character, or shares its level [MQTT-4.7.1-1].
    MisplacedHash,
    /// `+` shares its level [MQTT-4.7.1-2].
    MisplacedPlus,
    /// `$share` without a valid group name or filter [MQTT-4.8.2-1, MQTT-4.8.2-2], `$queue` without a filter, or one
    /// within the other.
    BadShare,
}

impl fmt::Display for TopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "a topic must have at least one character",
            Self::TooLong => "a topic is at most 65535 bytes long",
            Self::Nul => "a topic must not contain the null character",
            Self::Wildcard => "a topic name to publish to must not contain the wildcards + and #",
            Self::MisplacedHash => "# must be the last level of a filter, alone in its level, as in a/#",
            Self::MisplacedPlus => "+ must be alone in its level, as in a/+/b",
            Self::BadShare => {
                "a shared subscription is $share/<group>/<filter> or $queue/<filter>, the group without / + #"
            }
        })
    }
}

impl std::error::Error for TopicError {}

/// Checks a topic name: what a PUBLISH may carry.
pub fn validate_topic(topic: &str) -> Result<(), TopicError> {
    validate_common(topic)?;
    if topic.bytes().any(|byte| byte == b'+' || byte == b'#') {
        return Err(TopicError::Wildcard);
    }
    Ok(())
}

/// Checks a topic filter: what a SUBSCRIBE may carry, with or without `$share/<group>/` or `$queue/`.
pub fn validate_filter(filter: &str) -> Result<(), TopicError> {
    validate_common(filter)?;
    let mut rest = filter;
    if let Some(shared) = filter.strip_prefix("$share/") {
        let (group, inner) = shared.split_once('/').ok_or(TopicError::BadShare)?;
        if group.is_empty() || inner.is_empty() || group.contains(['+', '#']) {
            return Err(TopicError::BadShare);
        }
        rest = inner;
    } else if let Some(inner) = filter.strip_prefix("$queue/") {
        if inner.is_empty() {
            return Err(TopicError::BadShare);
        }
        rest = inner;
    }
    // A share of a share would have two effective filters.
    if rest.len() < filter.len() && ["$share/", "$queue/"].iter().any(|prefix| rest.starts_with(prefix)) {
        return Err(TopicError::BadShare);
    }
    let mut levels = rest.split('/').peekable();
    while let Some(level) = levels.next() {
        if level.contains('#') && (level != "#" || levels.peek().is_some()) {
            return Err(TopicError::MisplacedHash);
        }
        if level.contains('+') && level != "+" {
            return Err(TopicError::MisplacedPlus);
        }
    }
    Ok(())
}

fn validate_common(topic: &str) -> Result<(), TopicError> {
    if topic.is_empty() {
        return Err(TopicError::Empty);
    }
    if topic.len() > TOPIC_BYTES_MAX {
        return Err(TopicError::TooLong);
    }
    if topic.bytes().any(|byte| byte == 0) {
        return Err(TopicError::Nul);
    }
    Ok(())
}

/// Whether `topic` matches `filter`, both taken as valid. A leading wildcard does not match a topic that starts
/// with `$` [MQTT-4.7.2-1]; `a/#` matches `a` itself.
pub fn filter_matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    // Byte by byte: a wildcard only stands where a level begins, because both are valid.
    let (mut filter, mut topic) = (filter.as_bytes(), topic.as_bytes());
    loop {
        match (filter, topic) {
            ([b'#', ..], _) | ([], []) => return true,
            ([b'+', filter_rest @ ..], _) => {
                let level_len = topic.iter().position(|byte| *byte == b'/').unwrap_or(topic.len());
                (filter, topic) = (filter_rest, topic.get(level_len..).unwrap_or_default());
            }
            ([wanted, filter_rest @ ..], [byte, topic_rest @ ..]) if wanted == byte => {
                (filter, topic) = (filter_rest, topic_rest);
            }
            // `a/#` and `a`.
            (rest, []) => return rest == b"/#",
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Level by level, as the standard tells it.
    fn naive(filter: &str, topic: &str) -> bool {
        let (mut topic_levels, mut filter_levels) = (topic.split('/'), filter.split('/'));
        loop {
            match (filter_levels.next(), topic_levels.next()) {
                (Some("#"), _) | (None, None) => return true,
                (Some("+"), Some(_)) => {}
                (Some(wanted), Some(level)) if wanted == level => {}
                _ => return false,
            }
        }
    }

    #[test]
    fn filters_match_as_the_naive_matcher_has_it() {
        let words = ["", "a", "b", "ab", "+"];
        let levels = |mut n: usize, count: usize| {
            let mut chosen = Vec::new();
            for _ in 0..count {
                chosen.push(words[n % words.len()]);
                n /= words.len();
            }
            chosen.join("/")
        };
        for (f, t) in (0..125).flat_map(|f| (0..125).map(move |t| (f, t))) {
            for (filter_len, topic_len) in [(1, 1), (1, 2), (2, 2), (3, 2), (2, 3), (3, 3)] {
                let (filter, topic) = (levels(f, filter_len), levels(t, topic_len));
                if topic.contains('+') || filter.is_empty() || topic.is_empty() {
                    continue;
                }
                for filter in [filter.clone(), format!("{filter}/#")] {
                    assert_eq!(filter_matches(&filter, &topic), naive(&filter, &topic), "{filter} against {topic}");
                }
            }
        }
    }

    #[test]
    fn filters_match_by_the_examples_of_the_standard() {
        for (filter, topic, expected) in [
            ("sport/tennis/player1/#", "sport/tennis/player1", true),
            ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
            ("sport/#", "sport", true),
            ("#", "a/b", true),
            ("sport/tennis/+", "sport/tennis/player1", true),
            ("sport/tennis/+", "sport/tennis/player1/ranking", false),
            ("sport/+", "sport", false),
            ("sport/+", "sport/", true),
            ("+/+", "/finance", true),
            ("/+", "/finance", true),
            ("+", "/finance", false),
            ("#", "$SYS/x", false),
            ("+/monitor/Clients", "$SYS/monitor/Clients", false),
            ("$SYS/#", "$SYS/x", true),
            ("a/b", "a/b/c", false),
            ("a/b/c", "a/b", false),
        ] {
            assert_eq!(filter_matches(filter, topic), expected, "{filter} against {topic}");
        }
    }

    #[test]
    fn bad_names_and_filters_say_what_is_wrong() {
        assert_eq!(validate_topic("a/+"), Err(TopicError::Wildcard));
        assert_eq!(validate_topic(""), Err(TopicError::Empty));
        assert_eq!(validate_filter("a#"), Err(TopicError::MisplacedHash));
        assert_eq!(validate_filter("a/#/b"), Err(TopicError::MisplacedHash));
        assert_eq!(validate_filter("a+/b"), Err(TopicError::MisplacedPlus));
        assert_eq!(validate_filter("$share/g"), Err(TopicError::BadShare));
        assert_eq!(validate_filter("$share/g/a/#"), Ok(()));
        assert_eq!(validate_filter("$queue/a/#"), Ok(()));
        assert_eq!(validate_filter("$queue"), Ok(()), "an ordinary filter of one level");
        for filter in ["$queue/", "$share/g/", "$share//a", "$share/g/$queue/a", "$queue/$share/g/a"] {
            assert_eq!(validate_filter(filter), Err(TopicError::BadShare), "{filter}");
        }
        assert_eq!(validate_filter("+/+/#"), Ok(()));
    }
}
