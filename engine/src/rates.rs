//! Rates of a counter: now, the highest, and the mean of the last five minutes (manual §7.4.1).

/// Windows kept for the mean.
const WINDOWS: usize = 60;
/// Seconds in each of them.
const WINDOW_SECS: u32 = 5;

/// Fed once a second with the counter's value.
#[derive(Clone, Debug)]
pub(crate) struct Rates {
    last_count: u64,
    now: f64,
    max: f64,
    /// Counts of full windows, a ring.
    windows: [u32; WINDOWS],
    at: usize,
    filled: usize,
    /// The window that is being filled, and the seconds it has.
    open: u64,
    open_secs: u32,
}

impl Default for Rates {
    fn default() -> Self {
        Self { last_count: 0, now: 0.0, max: 0.0, windows: [0; WINDOWS], at: 0, filled: 0, open: 0, open_secs: 0 }
    }
}

impl Rates {
    /// One second has passed and the counter stands at `count`.
    pub(crate) fn tick(&mut self, count: u64) {
        let new = count.saturating_sub(self.last_count);
        self.last_count = count;
        self.now = new as f64;
        self.max = self.max.max(self.now);
        self.open += new;
        self.open_secs += 1;
        if self.open_secs == WINDOW_SECS {
            if let Some(window) = self.windows.get_mut(self.at) {
                *window = u32::try_from(self.open).unwrap_or(u32::MAX);
            }
            self.at = (self.at + 1) % WINDOWS;
            self.filled = (self.filled + 1).min(WINDOWS);
            (self.open, self.open_secs) = (0, 0);
        }
    }

    /// Now, highest, mean of the last five minutes; events a second.
    pub(crate) fn get(&self) -> (f64, f64, f64) {
        let secs = self.filled as f64 * f64::from(WINDOW_SECS) + f64::from(self.open_secs);
        let events = self.windows.iter().map(|n| f64::from(*n)).sum::<f64>() + self.open as f64;
        (self.now, self.max, if secs > 0.0 { events / secs } else { 0.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_forgets_what_is_older_than_five_minutes() {
        let mut rates = Rates::default();
        rates.tick(100);
        assert_eq!(rates.get(), (100.0, 100.0, 100.0));
        for _ in 0..9 {
            rates.tick(100);
        }
        assert_eq!(rates.get(), (0.0, 100.0, 10.0));
        for _ in 0..295 {
            rates.tick(100);
        }
        assert_eq!(rates.get(), (0.0, 100.0, 0.0));
    }
}
