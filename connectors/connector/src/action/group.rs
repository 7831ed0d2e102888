//! Rows in flight. However a group ends, its rows are accounted for: what is not finished when it is dropped goes back
//! to the disk queue, or is counted as dropped.

use std::sync::Arc;

use store::Position;

use super::DropReason;
use super::shared::Shared;
use crate::Record;

/// What a row in flight carries besides its record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flight {
    /// Its place in the disk queue.
    pub(crate) position: Option<Position>,
    /// Attempts made.
    pub(crate) attempts: u32,
    /// First attempt, milliseconds since the epoch.
    pub(crate) first_at_ms: i64,
    /// When it is too old, milliseconds since the epoch.
    pub(crate) expires_at_ms: i64,
}

/// Rows in flight together, in order. `records` and `flights` are parallel; sinks take a slice of records.
pub(crate) struct Group {
    shared: Arc<Shared>,
    records: Vec<Record>,
    flights: Vec<Flight>,
}

/// How rows end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finish {
    Success,
    Failed,
    Dropped(DropReason),
}

impl Group {
    /// A group of rows that the caller has counted as in flight.
    pub(crate) fn new(shared: Arc<Shared>, rows: impl IntoIterator<Item = (Record, Option<Position>)>) -> Self {
        let ttl_ms = shared.settings.queue.ttl.map(|ttl| i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX));
        let (records, flights) = rows
            .into_iter()
            .map(|(record, position)| {
                let expires_at_ms = ttl_ms.map_or(i64::MAX, |ttl_ms| record.at_ms.saturating_add(ttl_ms));
                (record, Flight { position, attempts: 0, first_at_ms: 0, expires_at_ms })
            })
            .unzip();
        Self { shared, records, flights }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub(crate) fn records(&self) -> &[Record] {
        &self.records
    }

    pub(crate) fn flights(&self) -> &[Flight] {
        &self.flights
    }

    /// Counts an attempt for every row; gives the number of attempts of the row that has most.
    pub(crate) fn begin_attempt(&mut self) -> u32 {
        let now_ms = self.shared.clock.now_ms();
        let again = self.flights.iter().filter(|flight| flight.attempts > 0).count();
        for flight in &mut self.flights {
            if flight.attempts == 0 {
                flight.first_at_ms = now_ms;
            }
            flight.attempts = flight.attempts.saturating_add(1);
        }
        if again > 0 {
            self.shared.state.lock().counters.retried += again as u64;
        }
        self.attempts()
    }

    /// The number of attempts of the row that has most.
    pub(crate) fn attempts(&self) -> u32 {
        self.flights.iter().map(|flight| flight.attempts).max().unwrap_or_default()
    }

    /// Takes out the rows for which `wanted` holds, in order.
    pub(crate) fn extract(&mut self, mut wanted: impl FnMut(usize, &Flight) -> bool) -> Self {
        let mut out = Self { shared: Arc::clone(&self.shared), records: Vec::new(), flights: Vec::new() };
        let (mut records, mut flights) = (Vec::new(), Vec::new());
        let rows = std::mem::take(&mut self.records).into_iter().zip(std::mem::take(&mut self.flights));
        for (index, (record, flight)) in rows.enumerate() {
            let (to_records, to_flights) = if wanted(index, &flight) {
                (&mut out.records, &mut out.flights)
            } else {
                (&mut records, &mut flights)
            };
            to_records.push(record);
            to_flights.push(flight);
        }
        self.records = records;
        self.flights = flights;
        out
    }

    /// The second half, taken out.
    pub(crate) fn split_half(&mut self) -> Self {
        let middle = self.records.len().div_ceil(2);
        Self {
            shared: Arc::clone(&self.shared),
            records: self.records.split_off(middle),
            flights: self.flights.split_off(middle),
        }
    }

    /// Ends every row of the group.
    pub(crate) fn finish(mut self, finish: Finish) {
        let rows = self.len() as u64;
        if rows == 0 {
            return;
        }
        {
            let mut state = self.shared.state.lock();
            let counters = &mut state.counters;
            match finish {
                Finish::Success => {
                    counters.inflight = counters.inflight.saturating_sub(rows);
                    counters.success += rows;
                    state.trouble = None;
                }
                Finish::Failed => {
                    counters.inflight = counters.inflight.saturating_sub(rows);
                    counters.failed += rows;
                }
                Finish::Dropped(reason) => counters.drop_inflight(rows, reason),
            }
        }
        if let Some(queue) = &self.shared.queue {
            queue.ack(&positions(&self.flights));
            self.shared.room.notify_one();
        }
        self.records.clear();
        self.flights.clear();
    }
}

fn positions(flights: &[Flight]) -> Vec<Position> {
    flights.iter().filter_map(|flight| flight.position).collect()
}

impl Drop for Group {
    fn drop(&mut self) {
        let rows = self.len() as u64;
        if rows == 0 {
            return;
        }
        match &self.shared.queue {
            Some(queue) => {
                {
                    let mut state = self.shared.state.lock();
                    state.counters.inflight = state.counters.inflight.saturating_sub(rows);
                    state.counters.queued += rows;
                }
                queue.nack(&positions(&self.flights));
            }
            None => self.shared.state.lock().counters.drop_inflight(rows, DropReason::Stopped),
        }
    }
}
