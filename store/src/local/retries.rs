//! Which batches of which writer are in a log, to recognise a retry. Pure bookkeeping.

use std::collections::{BTreeMap, HashMap};

use crate::log::WriterId;

/// The recent batches of every writer. Bounded twice: batches of a writer, and writers.
#[derive(Debug)]
pub(super) struct Retries {
    window_count: usize,
    writers_max: usize,
    writers: HashMap<WriterId, Writer>,
}

#[derive(Debug, Default)]
struct Writer {
    /// Offset by wseq.
    recent: BTreeMap<u64, u64>,
    /// Numbers below this one have been forgotten: they cannot be told from new ones.
    floor: u64,
    last_offset: u64,
}

/// What a number means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    New,
    /// In the log already, at this offset.
    At(u64),
    /// Too old to know.
    Forgotten,
}

impl Retries {
    pub(super) fn new(window_count: usize, writers_max: usize) -> Self {
        Self { window_count: window_count.max(1), writers_max: writers_max.max(1), writers: HashMap::new() }
    }

    pub(super) fn look(&self, writer: WriterId, wseq: u64) -> Seen {
        let Some(known) = self.writers.get(&writer) else { return Seen::New };
        match known.recent.get(&wseq) {
            Some(offset) => Seen::At(*offset),
            None if wseq < known.floor => Seen::Forgotten,
            None => Seen::New,
        }
    }

    pub(super) fn record(&mut self, writer: WriterId, wseq: u64, offset: u64) {
        if !self.writers.contains_key(&writer) && self.writers.len() >= self.writers_max {
            let silent = self.writers.iter().min_by_key(|(_, known)| known.last_offset).map(|(writer, _)| *writer);
            if let Some(silent) = silent {
                self.writers.remove(&silent);
            }
        }
        let known = self.writers.entry(writer).or_default();
        known.last_offset = offset;
        known.recent.insert(wseq, offset);
        while known.recent.len() > self.window_count
            && let Some((oldest, _)) = known.recent.pop_first()
        {
            known.floor = oldest + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retry_is_known_within_the_window_and_refused_behind_it() {
        let mut retries = Retries::new(2, 2);
        let (a, b, c) = (WriterId(1), WriterId(2), WriterId(3));
        for (offset, wseq) in [(0, 5), (1, 4), (2, 6)] {
            retries.record(a, wseq, offset);
        }
        let table =
            [(a, 6, Seen::At(2)), (a, 5, Seen::At(0)), (a, 4, Seen::Forgotten), (a, 7, Seen::New), (b, 4, Seen::New)];
        for (writer, wseq, expect) in table {
            assert_eq!(retries.look(writer, wseq), expect, "{writer:?} {wseq}");
        }
        retries.record(b, 0, 3);
        retries.record(c, 0, 4);
        assert_eq!(retries.look(a, 6), Seen::New, "the writer silent for longest is forgotten");
        assert_eq!(retries.look(b, 0), Seen::At(3));
    }
}
