//! What a topic is really about: the one place that knows the prefixes by which clients ask for special treatment.
//!
//! Invariant: access control is only ever asked about what these functions return. A prefix that is not taken off here is
//! an ordinary level of a `$` topic, which clients may not publish to.

/// Name of the group of `$queue/<filter>`, where settings name groups.
pub(crate) const QUEUE_GROUP: &str = "$queue";

/// Splits `$share/<group>/<filter>` and `$queue/<filter>` (manual §4.10) into the group's name and the filter that is
/// subscribed to; `None` for an ordinary filter.
pub(crate) fn split_share(filter: &str) -> Option<(&str, &str)> {
    match filter.strip_prefix("$queue/") {
        Some(inner) => Some((QUEUE_GROUP, inner)),
        None => filter.strip_prefix("$share/")?.split_once('/'),
    }
}

/// The filter that a subscription is really to.
pub(crate) fn effective_filter(filter: &str) -> &str {
    split_share(filter).map_or(filter, |(_, inner)| inner)
}

/// The topic after `$delayed/<seconds>/` is not one, or the seconds are no whole number or too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadDelay;

/// Splits `$delayed/<seconds>/<topic>` (manual §15.8) into seconds and topic; `None` for an ordinary topic.
pub(crate) fn split_delay(topic: &str, secs_max: u32) -> Result<Option<(u32, &str)>, BadDelay> {
    let Some(rest) = topic.strip_prefix("$delayed/") else { return Ok(None) };
    let (digits, inner) = rest.split_once('/').ok_or(BadDelay)?;
    // `parse` would take a sign too.
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) || inner.is_empty() || inner.starts_with("$delayed/") {
        return Err(BadDelay);
    }
    match digits.parse() {
        Ok(secs) if secs <= secs_max => Ok(Some((secs, inner))),
        _ => Err(BadDelay),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manual_4_10_share_prefixes_come_off_and_nothing_else_does() {
        for (filter, expected) in [
            ("$share/g/a/+", Some(("g", "a/+"))),
            ("$share/g//a", Some(("g", "/a"))),
            ("$queue/a/#", Some((QUEUE_GROUP, "a/#"))),
            ("$share", None),
            ("$shared/g/a", None),
            ("a/$share/g/b", None),
            ("$SYS/#", None),
        ] {
            assert_eq!(split_share(filter), expected, "{filter}");
            assert_eq!(effective_filter(filter), expected.map_or(filter, |(_, inner)| inner));
        }
    }

    #[test]
    fn manual_15_8_a_delay_is_whole_seconds_up_to_the_bound() {
        for (topic, expected) in [
            ("$delayed/15/x/y", Ok(Some((15, "x/y")))),
            ("$delayed/0//x", Ok(Some((0, "/x")))),
            ("$delayed/4294967/x", Ok(Some((4_294_967, "x")))),
            ("$delayed/4294968/x", Err(BadDelay)),
            ("$delayed/99999999999/x", Err(BadDelay)),
            ("$delayed/+5/x", Err(BadDelay)),
            ("$delayed/-5/x", Err(BadDelay)),
            ("$delayed//x", Err(BadDelay)),
            ("$delayed/5s/x", Err(BadDelay)),
            ("$delayed/5", Err(BadDelay)),
            ("$delayed/5/", Err(BadDelay)),
            ("$delayed/5/$delayed/5/x", Err(BadDelay)),
            ("delayed/5/x", Ok(None)),
            ("$delayed", Ok(None)),
        ] {
            assert_eq!(split_delay(topic, 4_294_967), expected, "{topic}");
        }
    }
}
