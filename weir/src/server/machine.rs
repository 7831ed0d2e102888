//! What the machine says about itself, and a watch over it that raises alarms (manual §5.21, `os_mon`).
//!
//! Reads `/proc`. What is not there is unknown, never guessed; on systems without it nothing is watched.

use std::fs;
use std::sync::Arc;

use api::Machine;
use model::Value;
use model::manage::{Alarm, Alarms};
use settings::OsMon;

/// Bytes of a page of memory where the system does not say otherwise.
const PAGE_BYTES: u64 = 4096;

/// What the machine says now.
pub(crate) fn facts() -> Machine {
    Machine {
        memory_total_bytes: memory("MemTotal"),
        process_bytes: process_bytes(),
        load: load(),
        open_files_max: open_files_max(),
    }
}

/// Watches until `stop` is done.
pub(crate) async fn watch(settings: OsMon, alarms: Arc<dyn Alarms>, stop: impl Future<Output = ()> + Send) {
    let mut every = tokio::time::interval(settings.check_interval.max(std::time::Duration::from_secs(1)));
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut stop = std::pin::pin!(stop);
    // The first tick is at once: only what passes from here on is looked at.
    every.tick().await;
    let mut before = cpu_ticks();
    loop {
        tokio::select! {
            _ = every.tick() => {}
            () = &mut stop => return,
        }
        let now = cpu_ticks();
        if let Some(percent) = busy_percent(before, now) {
            let marks = (settings.cpu_high_percent, settings.cpu_low_percent);
            judge(&*alarms, "cpu_high_watermark", "of the processors' time is used", percent, marks);
        }
        before = now.or(before);
        if let Some(percent) = memory_percent() {
            let marks = (settings.memory_high_percent, settings.memory_low_percent);
            judge(&*alarms, "system_memory_high_watermark", "of the machine's memory is used", percent, marks);
        }
    }
}

/// Between the marks an alarm stays as it is.
fn judge(alarms: &dyn Alarms, name: &str, what: &str, percent: u64, (high, low): (u8, u8)) {
    if percent >= u64::from(high) {
        alarms.activate(Alarm {
            name: name.into(),
            message: format!("{percent} % {what}"),
            details: vec![
                ("percent", Value::Int(i64::try_from(percent).unwrap_or(i64::MAX))),
                ("high_percent", Value::Int(i64::from(high))),
            ],
        });
    } else if percent < u64::from(low) {
        alarms.deactivate(name);
    }
}

/// Ticks of all processors since the start of the machine: busy and all.
type Ticks = Option<(u64, u64)>;

fn cpu_ticks() -> Ticks {
    ticks_in(&fs::read_to_string("/proc/stat").ok()?)
}

/// The first line: `cpu user nice system idle iowait irq softirq steal guest guest_nice`; the guests are in user already.
fn ticks_in(stat: &str) -> Ticks {
    let fields: Vec<u64> =
        stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace().filter_map(|n| n.parse().ok()).collect();
    let all: u64 = fields.iter().take(8).sum();
    let idle = fields.get(3)? + fields.get(4)?;
    Some((all.checked_sub(idle)?, all))
}

fn busy_percent(before: Ticks, now: Ticks) -> Option<u64> {
    let ((busy_before, all_before), (busy, all)) = (before?, now?);
    let passed = all.checked_sub(all_before).filter(|passed| *passed > 0)?;
    Some(busy.saturating_sub(busy_before).saturating_mul(100) / passed)
}

fn memory_percent() -> Option<u64> {
    let total = memory("MemTotal").filter(|total| *total > 0)?;
    Some(total.saturating_sub(memory("MemAvailable")?).saturating_mul(100) / total)
}

fn memory(name: &str) -> Option<u64> {
    kilobytes_of(&fs::read_to_string("/proc/meminfo").ok()?, name).map(|kilobytes| kilobytes * 1024)
}

fn kilobytes_of(meminfo: &str, name: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

fn process_bytes() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    Some(statm.split_whitespace().nth(1)?.parse::<u64>().ok()? * PAGE_BYTES)
}

fn load() -> Option<[f64; 3]> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    let mut numbers = text.split_whitespace().map_while(|number| number.parse().ok());
    Some([numbers.next()?, numbers.next()?, numbers.next()?])
}

fn open_files_max() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    limits.lines().find_map(|line| line.strip_prefix("Max open files"))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manual_5_21_processor_time_is_what_passed_between_two_looks() {
        let before = ticks_in("cpu  100 0 50 800 50 0 0 0 10 0\ncpu0 1 2 3");
        let now = ticks_in("cpu  160 0 70 810 60 0 0 0 10 0\n");
        assert_eq!((before, now), (Some((150, 1000)), Some((230, 1100))));
        assert_eq!(busy_percent(before, now), Some(80));
        assert_eq!(busy_percent(now, now), None, "no time has passed");
        assert_eq!(ticks_in("intr 1"), None);
    }

    #[test]
    fn memory_is_read_by_its_name() {
        let meminfo = "MemTotal:       16000 kB\nMemFree: 1 kB\nMemAvailable:    4000 kB\n";
        assert_eq!((kilobytes_of(meminfo, "MemAvailable"), kilobytes_of(meminfo, "Mem")), (Some(4000), None));
    }
}
