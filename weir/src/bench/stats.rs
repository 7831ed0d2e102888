//! Percentiles, medians and ranges.

use serde_json::{Value as Json, json};

/// The nearest-rank percentile of sorted values: the smallest value that at least `percent` of them do not exceed.
pub(super) fn percentile(sorted: &[f64], percent: f64) -> Option<f64> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to the number of values")]
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

/// What several rounds measured of one thing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

impl Spread {
    /// `None` when no round measured it. The median of an even number of rounds is the mean of the middle two.
    pub(super) fn of(values: impl IntoIterator<Item = Option<f64>>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().flatten().collect();
        values.sort_unstable_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let upper = values.get(values.len() / 2)?;
        let lower = values.get((values.len() - 1) / 2)?;
        Some(Self { median: f64::midpoint(*lower, *upper), min, max })
    }

    pub(super) fn json(self) -> Json {
        json!({"median": self.median, "min": self.min, "max": self.max})
    }

    /// `median (min–max)`, or only the value when the rounds agree.
    pub(super) fn text(self, number: impl Fn(f64) -> String) -> String {
        let (median, min, max) = (number(self.median), number(self.min), number(self.max));
        if min == max { median } else { format!("{median} ({min}–{max})") }
    }
}

/// A whole number with a comma every three digits.
pub(super) fn whole(number: f64) -> String {
    let digits = format!("{:.0}", number.max(0.0));
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Microseconds as milliseconds, with three digits that say something.
pub(super) fn millis(us: f64) -> String {
    let ms = us / 1000.0;
    let decimals = if ms < 10.0 {
        2
    } else if ms < 100.0 {
        1
    } else {
        0
    };
    format!("{ms:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_value_that_was_measured() {
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        let check = |values: &[f64], percent: f64, expected: Option<f64>| {
            assert_eq!(percentile(values, percent), expected, "{percent}")
        };
        check(&[], 50.0, None);
        check(&[7.0], 50.0, Some(7.0));
        check(&[7.0], 99.0, Some(7.0));
        check(&[1.0, 2.0], 50.0, Some(1.0));
        check(&hundred, 50.0, Some(50.0));
        check(&hundred, 99.0, Some(99.0));
        check(&hundred, 100.0, Some(100.0));
        check(&hundred, 0.0, Some(1.0));
    }

    #[test]
    fn a_spread_leaves_out_rounds_that_measured_nothing() {
        let check = |values: &[Option<f64>], expected: Option<(f64, f64, f64)>| {
            let found = Spread::of(values.iter().copied()).map(|spread| (spread.median, spread.min, spread.max));
            assert_eq!(found, expected, "{values:?}");
        };
        check(&[], None);
        check(&[None, None], None);
        check(&[Some(3.0), None], Some((3.0, 3.0, 3.0)));
        check(&[Some(3.0), Some(1.0), Some(2.0)], Some((2.0, 1.0, 3.0)));
        check(&[Some(4.0), Some(1.0)], Some((2.5, 1.0, 4.0)));
    }

    #[test]
    fn numbers_read_well() {
        let wholes: Vec<String> = [0.0, 999.4, 1000.0, 1_234_567.0].into_iter().map(whole).collect();
        assert_eq!(wholes, ["0", "999", "1,000", "1,234,567"]);
        let times: Vec<String> = [12.0, 1_234.0, 12_340.0, 1_234_000.0].into_iter().map(millis).collect();
        assert_eq!(times, ["0.01", "1.23", "12.3", "1234"]);
        let spread = Spread { median: 2.0, min: 1.0, max: 3.0 };
        assert_eq!(spread.text(whole), "2 (1–3)");
        assert_eq!(Spread { median: 2.0, min: 2.0, max: 2.0 }.text(whole), "2");
    }
}
