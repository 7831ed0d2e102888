//! Durable sessions under every fault a seed can think of, against an oracle.
//!
//! The broker is the real one from `Core` inwards: routing, exchanges, the fold, the writer, snapshots and recovery. What
//! is simulated is the rest of the world ([`log`]: the log and the snapshot tables, [`client`]: clients and their
//! connections, [`world`]: time, faults and the order of everything). One seed is one history, the same each time.
//!
//! A failing seed prints how to run it again: `WEIR_SIM_SEED=<seed> cargo test -p broker durable::sim`.

mod client;
mod log;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use world::World;

/// Histories of one run.
const SEEDS: u64 = 3_000;

/// What the seeds must have met at least once, or the simulation tests nothing.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) crashes: u64,
    pub(crate) crashes_in_an_append: u64,
    pub(crate) indeterminate_appends: u64,
    pub(crate) full_disks: u64,
    pub(crate) snapshots: u64,
    pub(crate) takeovers: u64,
    pub(crate) repeated: u64,
    pub(crate) delivered: u64,
    pub(crate) acknowledged: u64,
    pub(crate) discarded: u64,
    pub(crate) expired: u64,
}

/// How much of the history of a failing seed is shown.
const SHOWN: usize = 60;

/// Runs one history; why it failed, if it did.
fn run(seed: u64, shown: usize, seen: &mut Seen) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _inside = runtime.enter();
    let mut world = World::new(seed);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        world.run();
        world.settle_and_check();
    }));
    world.report(seen);
    outcome.map_err(|panic| {
        let history = world.history();
        let tail = history.iter().skip(history.len().saturating_sub(shown)).cloned().collect::<Vec<_>>().join("\n  ");
        let why = panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "a panic without words".to_owned());
        format!("  {tail}\n{why}\nagain with: WEIR_SIM_SEED={seed} cargo test -p broker durable::sim")
    })
}

#[test]
fn no_seed_loses_repeats_or_reorders_what_was_promised() {
    let mut seen = Seen::default();
    if let Some(seed) = std::env::var("WEIR_SIM_SEED").ok().and_then(|seed| seed.parse().ok()) {
        run(seed, usize::MAX, &mut seen).unwrap_or_else(|why| panic!("{why}"));
        return;
    }
    let seeds = std::env::var("WEIR_SIM_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(SEEDS);
    let failed: Vec<(u64, String)> =
        (0..seeds).filter_map(|seed| run(seed, SHOWN, &mut seen).err().map(|why| (seed, why))).take(8).collect();
    println!("{seeds} seeds: {seen:?}");
    if let Some((_, why)) = failed.first() {
        let names: Vec<u64> = failed.iter().map(|(seed, _)| *seed).collect();
        panic!("seeds {names:?} failed (8 at most are looked for); the first one:\n{why}");
    }
    let met = [
        seen.crashes,
        seen.crashes_in_an_append,
        seen.indeterminate_appends,
        seen.full_disks,
        seen.snapshots,
        seen.takeovers,
        seen.repeated,
        seen.delivered,
        seen.acknowledged,
        seen.discarded,
        seen.expired,
    ];
    assert!(met.iter().all(|count| *count > 0), "the histories were too tame: {seen:?}");
}

#[test]
fn a_seed_is_one_history() {
    for seed in [1, 7, 99] {
        let history = |seed| {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let _inside = runtime.enter();
            let mut world = World::new(seed);
            world.run();
            world.settle_and_check();
            world.history()
        };
        assert_eq!(history(seed), history(seed));
    }
}
