//! What a process has used so far, from `/proc`.

use crate::client::Failure;

/// CPU time and memory of one process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// User and system time, seconds.
    pub(crate) cpu_seconds: f64,
    /// Memory that is the process's own.
    pub(crate) rss_anon_bytes: u64,
}

impl Usage {
    /// Reads it; the kernel counts CPU time in ticks of 10 ms.
    pub(crate) fn of(pid: u32) -> Result<Self, Failure> {
        let stat =
            std::fs::read_to_string(format!("/proc/{pid}/stat")).map_err(|error| format!("--pid {pid}: {error}"))?;
        // The name in parentheses may contain blanks; the fields are counted behind it.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let kilobytes = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"))
            .and_then(|rest| rest.split_whitespace().next())
            .and_then(|text| text.parse::<u64>().ok())
            .unwrap_or(0);
        Ok(Self { cpu_seconds: (ticks(11) + ticks(12)) / 100.0, rss_anon_bytes: kilobytes * 1024 })
    }
}
