//! Load averages: how much happened a minute, over the last one, five and fifteen minutes, as systems average their load.

use crate::numbers::{Metric, Totals};

/// The windows, minutes.
pub(super) const WINDOWS: [u32; 3] = [1, 5, 15];

/// What is averaged: the name below `load/`, and the metric; `None` are accepted connections.
const MEASURED: [(&str, Option<Metric>); 8] = [
    ("messages/received", Some(Metric::PacketsReceived)),
    ("messages/sent", Some(Metric::PacketsSent)),
    ("publish/received", Some(Metric::MessagesReceived)),
    ("publish/sent", Some(Metric::MessagesSent)),
    ("publish/dropped", Some(Metric::DeliveryDropped)),
    ("bytes/received", Some(Metric::BytesReceived)),
    ("bytes/sent", Some(Metric::BytesSent)),
    ("connections", None),
];

/// The averages and the counts they were last made from.
#[derive(Debug, Default)]
pub(super) struct Loads {
    last: [u64; MEASURED.len()],
    averages: [[f64; WINDOWS.len()]; MEASURED.len()],
}

impl Loads {
    /// Takes what has been counted until now into account, `elapsed_ms` after the last time.
    pub(super) fn sample(&mut self, totals: &Totals, connections_accepted: u64, elapsed_ms: i64) {
        let minutes = elapsed_ms as f64 / 60_000.0;
        for (((_, metric), last), averages) in MEASURED.iter().zip(&mut self.last).zip(&mut self.averages) {
            let now = metric.map_or(connections_accepted, |metric| totals.get(metric));
            let rate = now.saturating_sub(*last) as f64 / minutes;
            *last = now;
            for (average, window) in averages.iter_mut().zip(WINDOWS) {
                let keep = (-minutes / f64::from(window)).exp();
                *average = *average * keep + rate * (1.0 - keep);
            }
        }
    }

    /// The averages by name.
    pub(super) fn averages(&self) -> impl Iterator<Item = (&'static str, [f64; WINDOWS.len()])> {
        MEASURED.iter().zip(self.averages).map(|((name, _), averages)| (*name, averages))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numbers::Counters;

    #[test]
    fn a_steady_rate_is_its_own_average_and_the_short_window_follows_first() {
        let (counters, mut loads) = (Counters::default(), Loads::default());
        let rates = |loads: &Loads| loads.averages().find(|(name, _)| *name == "publish/received").unwrap().1;
        // 10 messages every 5 seconds are 120 a minute.
        for n in 0..12 * 60 {
            counters.add(Metric::MessagesQos0Received, 10);
            loads.sample(&counters.totals(), 0, 5_000);
            if n == 11 {
                let [one, five, fifteen] = rates(&loads);
                assert!((one - 75.9).abs() < 0.1 && one > five && five > fifteen, "{one} {five} {fifteen}");
            }
        }
        let [one, five, fifteen] = rates(&loads);
        assert!((one - 120.0).abs() < 0.1 && (five - 120.0).abs() < 0.1 && (fifteen - 120.0).abs() < 3.0);
    }
}
