//! What a subscription costs, by their number: bytes of memory each, and the time to find the five subscriptions that a
//! topic matches.
//!
//! `cargo run -p broker --release --example subscriptions -- <subscriptions> <topics>`, once for every point of the curve.
//! Every subscription is a filter of its own with a wildcard; four more match everything. Topics are taken at random, so
//! that a match finds little in the processor's caches, as with many publishers; the second time is one topic again and
//! again. Then the choice of one among 1,000 connected members of a shared subscription, by strategy. Sessions (100,000 at most) are made before the memory is looked at.

use std::hint::black_box;
use std::time::Instant;

use broker::SharedStrategy;
use broker::bench_parts::Fleet;

type Failure = Box<dyn std::error::Error>;

fn anonymous_bytes() -> Result<u64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).ok_or("no RssAnon")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024)
}

/// Nanoseconds a match, the least of five rounds: what other processes take is hardly part of it, what they throw out of
/// the caches is.
fn time(fleet: &Fleet, topics: &[String], matches: usize) -> Result<u128, Failure> {
    let mut least = u128::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        for topic in topics {
            if fleet.route(black_box(topic)) != matches {
                return Err(format!("{topic} does not have {matches} matches").into());
            }
        }
        least = least.min(start.elapsed().as_nanos() / topics.len().max(1) as u128);
    }
    Ok(least)
}

#[expect(clippy::print_stdout, reason = "a measuring program: the result is its output")]
fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: u64| arguments.next().map_or(Ok(default), |text| text.parse());
    let (count, topic_count) = (number(100_000)?, number(100_000)?);
    let sessions = count.clamp(1_000, 100_000);
    let fleet = Fleet::new(sessions + 4, SharedStrategy::RoundRobin);
    let before = anonymous_bytes()?;
    let start = Instant::now();
    for n in 0..count {
        fleet.subscribe(n % sessions, &format!("site/{}/device/{n}/+/state", n % 100));
    }
    let took = start.elapsed().as_nanos();
    let bytes = (anonymous_bytes()? - before) / count.max(1);
    for (n, filter) in ["#", "site/#", "site/+/device/#", "+/+/device/+/+/state"].into_iter().enumerate() {
        fleet.subscribe(sessions + n as u64, filter);
    }
    let topics: Vec<String> = (0..topic_count)
        .map(|_| fastrand::u64(..count))
        .map(|n| format!("site/{}/device/{n}/temp/state", n % 100))
        .collect();
    let hot = vec![topics.first().cloned().ok_or("no topics")?; topics.len()];
    let (random_ns, hot_ns) = (time(&fleet, &topics, 5)?, time(&fleet, &hot, 5)?);
    println!(
        "{count} subscriptions: {bytes} bytes each, {} ns to add one; match of 5: {random_ns} ns at random, {hot_ns} ns hot",
        took / u128::from(count.max(1)),
    );
    for strategy in
        [SharedStrategy::Random, SharedStrategy::RoundRobin, SharedStrategy::Sticky, SharedStrategy::HashClientId]
    {
        let fleet = Fleet::new(1_000, strategy);
        (0..1_000).for_each(|n| fleet.subscribe(n, "$share/group/t"));
        let topics = vec!["t".to_owned(); 20_000];
        println!("one of 1000 members, {strategy:?}: {} ns", time(&fleet, &topics, 1)?);
    }
    Ok(())
}
