//! Who connects and disconnects too often (manual §5.11).
//!
//! Invariant: the number of clients watched is bounded; those whose time is over make room, and when all are current a
//! further one is not watched, and counted.

use std::collections::HashMap;

use model::ports::Flapping;
use parking_lot::Mutex;

/// Recent changes by client identifier.
pub(crate) struct Watch {
    clients_max: usize,
    recent: Mutex<HashMap<String, Recent>>,
}

struct Recent {
    changes: u32,
    /// The end of the time in which they count, milliseconds since the epoch.
    until_ms: i64,
}

/// What a change means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Nothing.
    Fine,
    /// The client changes too often.
    Flapping,
    /// There was no room to watch the client.
    Unwatched,
}

impl Watch {
    pub(crate) fn new(clients_max: usize) -> Self {
        Self { clients_max, recent: Mutex::default() }
    }

    /// One connect or disconnect.
    pub(crate) fn change(&self, client_id: &str, measure: Flapping, now_ms: i64) -> Seen {
        let until_ms = now_ms.saturating_add(i64::from(measure.window_secs) * 1_000);
        let mut recent = self.recent.lock();
        if let Some(known) = recent.get_mut(client_id) {
            if now_ms >= known.until_ms {
                *known = Recent { changes: 0, until_ms };
            }
            known.changes += 1;
            if known.changes <= measure.changes_max {
                return Seen::Fine;
            }
            recent.remove(client_id);
            return Seen::Flapping;
        }
        if recent.len() >= self.clients_max {
            recent.retain(|_, known| now_ms < known.until_ms);
        }
        if recent.len() >= self.clients_max {
            return Seen::Unwatched;
        }
        recent.insert(client_id.to_owned(), Recent { changes: 1, until_ms });
        Seen::Fine
    }

    /// Clients watched now.
    pub(crate) fn len(&self) -> usize {
        self.recent.lock().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manual_5_11_more_changes_than_allowed_within_the_window_are_flapping() {
        let measure = Flapping { changes_max: 3, window_secs: 60, ban_secs: 1 };
        let watch = Watch::new(2);
        for (client, at_ms, expected) in [
            ("a", 0, Seen::Fine),
            ("a", 1, Seen::Fine),
            ("b", 2, Seen::Fine),
            ("a", 3, Seen::Fine),
            ("a", 59_999, Seen::Flapping),
            ("a", 60_000, Seen::Fine),
            ("b", 60_001, Seen::Fine),
            ("c", 60_001, Seen::Unwatched),
            ("c", 60_001, Seen::Unwatched),
            ("c", 130_000, Seen::Fine),
            ("c", 130_001, Seen::Fine),
        ] {
            assert_eq!(watch.change(client, measure, at_ms), expected, "{client} at {at_ms}");
        }
        assert_eq!(watch.len(), 1);
    }
}
