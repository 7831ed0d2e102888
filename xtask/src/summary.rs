//! The sum over the result lines of all test binaries.

use std::fmt;

/// Counts of tests, and whether the run itself went wrong.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    /// Ignored tests.
    pub(crate) skipped: u64,
    /// How many of the skipped are counted as passed by libtest.
    passed_in_name_only: u64,
    /// Something failed that is no test: the build, a crash, a service that CI has to have.
    pub(crate) broken: bool,
}

impl Summary {
    /// Reads one line of output; only result lines and missing services count.
    pub(crate) fn take(&mut self, line: &str) {
        if let Some(counts) = line.strip_prefix("test result: ") {
            // `ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s`
            let counts = counts.split_once(". ").map_or(counts, |(_, counts)| counts);
            for part in counts.split("; ") {
                let Some((number, what)) = part.split_once(' ') else { continue };
                let number: u64 = number.parse().unwrap_or(0);
                match what {
                    "passed" => self.passed += number,
                    "failed" => self.failed += number,
                    "ignored" => self.skipped += number,
                    _ => {}
                }
            }
        } else if line.contains("missing service: ") {
            // Such a test ends without a failure, and libtest counts it as passed.
            self.passed_in_name_only += 1;
        }
    }

    /// Whether everything that ran was good.
    pub(crate) fn good(&self) -> bool {
        self.failed == 0 && !self.broken
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A broken run must not read like a good one.
        let failed = self.failed.max(u64::from(self.broken));
        let skipped = self.skipped + self.passed_in_name_only;
        write!(f, "{} passed, {failed} failed", self.passed.saturating_sub(self.passed_in_name_only))?;
        if skipped > 0 {
            write!(f, ", {skipped} skipped")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lines: &[&str], broken: bool, expect: &str) {
        let mut summary = Summary { broken, ..Summary::default() };
        for line in lines {
            summary.take(line);
        }
        assert_eq!(summary.to_string(), expect);
    }

    #[test]
    fn result_lines_of_all_binaries_are_summed() {
        let good = "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        let bad = "test result: FAILED. 3 passed; 2 failed; 1 ignored; 0 measured; 7 filtered out; finished in 1.50s";
        check(&[], false, "0 passed, 0 failed");
        check(&["running 12 tests", good, good], false, "24 passed, 0 failed");
        check(&[good, bad], false, "15 passed, 2 failed, 1 skipped");
        check(&["missing service: kafka", good], false, "11 passed, 0 failed, 1 skipped");
        check(&[good, "missing service: kafka"], false, "11 passed, 0 failed, 1 skipped");
        check(&[good], true, "12 passed, 1 failed");
    }
}
