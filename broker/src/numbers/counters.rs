//! How the broker counts.
//!
//! What grows with every packet is counted in shards, one for each thread as far as they reach: an addition touches no
//! memory that another core writes. Reading sums the shards; the numbers are for people and graphs, so that nothing is
//! ordered by them.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use model::Str;
use model::ports::{Sample, SampleKind};

use super::{Dropped, Metric};

/// Shards of the counters; more threads than this share some.
const SHARDS: usize = 16;
const METRICS: usize = Metric::ALL.len();
const SLOTS: usize = METRICS + Dropped::ALL.len();

/// A number that tasks add to and take from, where that is rare.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Takes `n` away; for gauges.
    pub fn sub(&self, n: u64) {
        self.0.fetch_sub(n, Ordering::Relaxed);
    }

    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One thread's numbers, on cache lines of their own.
#[derive(Debug)]
#[repr(align(128))]
struct Shard([AtomicU64; SLOTS]);

/// All counters of the broker.
#[derive(Debug)]
pub struct Counters {
    /// Connections now, those before CONNACK included.
    pub connections: Count,
    /// Connections accepted.
    pub connections_accepted: Count,
    /// Connections refused because `connections_max` was reached.
    pub connections_refused: Count,
    /// CONNECTs that were answered with a failure.
    pub connects_refused: Count,
    /// Connections ended for an error of the client.
    pub protocol_errors: Count,
    /// Clients connected now.
    pub clients: Count,
    /// Sessions now that outlive their connection.
    pub persistent_sessions: Count,
    /// Subscriptions now; every member of a shared group counts.
    pub subscriptions: Count,
    /// Those of them that are shared.
    pub shared_subscriptions: Count,
    /// Those of them that are below `$SYS`; while there are none, nothing is made for it.
    pub system_subscriptions: Count,
    shards: Box<[Shard]>,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            connections: Count::default(),
            connections_accepted: Count::default(),
            connections_refused: Count::default(),
            connects_refused: Count::default(),
            protocol_errors: Count::default(),
            clients: Count::default(),
            persistent_sessions: Count::default(),
            subscriptions: Count::default(),
            shared_subscriptions: Count::default(),
            system_subscriptions: Count::default(),
            shards: (0..SHARDS).map(|_| Shard(std::array::from_fn(|_| AtomicU64::new(0)))).collect(),
        }
    }
}

/// All shards at one moment, added up.
#[derive(Clone, Debug)]
pub struct Totals([u64; SLOTS]);

impl Totals {
    /// The value of a metric, counted or derived.
    pub fn get(&self, metric: Metric) -> u64 {
        metric.derived(self).unwrap_or_else(|| self.0.get(metric as usize).copied().unwrap_or(0))
    }

    /// Messages dropped for `reason`.
    pub fn dropped(&self, reason: Dropped) -> u64 {
        self.0.get(METRICS + reason as usize).copied().unwrap_or(0)
    }

    /// Messages dropped on the way to one subscriber.
    pub(super) fn dropped_deliveries(&self) -> u64 {
        Dropped::ALL.iter().filter(|reason| reason.is_delivery()).map(|reason| self.dropped(*reason)).sum()
    }

    /// Messages dropped, whatever the reason.
    pub(super) fn dropped_all(&self) -> u64 {
        Dropped::ALL.iter().filter(|reason| reason.is_loss()).map(|reason| self.dropped(*reason)).sum()
    }

    pub(super) fn sum(&self, metrics: &[Metric]) -> u64 {
        metrics.iter().map(|metric| self.get(*metric)).sum()
    }
}

impl Counters {
    /// Adds `n` to a metric that is counted.
    pub fn add(&self, metric: Metric, n: u64) {
        self.add_at(metric as usize, n);
    }

    /// Counts dropped messages.
    pub fn dropped(&self, reason: Dropped, n: u64) {
        self.add_at(METRICS + reason as usize, n);
    }

    /// Messages dropped for `reason`.
    pub fn dropped_count(&self, reason: Dropped) -> u64 {
        self.totals().dropped(reason)
    }

    /// The value of one metric.
    pub fn get(&self, metric: Metric) -> u64 {
        self.totals().get(metric)
    }

    /// Everything, added up.
    pub fn totals(&self) -> Totals {
        let mut totals = [0_u64; SLOTS];
        for shard in &self.shards {
            for (total, count) in totals.iter_mut().zip(&shard.0) {
                *total = total.wrapping_add(count.load(Ordering::Relaxed));
            }
        }
        Totals(totals)
    }

    fn add_at(&self, slot: usize, n: u64) {
        let count = self.shards.get(shard_of_this_thread()).and_then(|shard| shard.0.get(slot));
        if let Some(count) = count {
            count.fetch_add(n, Ordering::Relaxed);
        }
    }

    /// Appends everything counted here.
    pub(crate) fn collect(&self, out: &mut Vec<Sample>) {
        let mut one = |name, help, kind, value: u64| {
            out.push(Sample { name, help, kind, labels: Vec::new(), value: value as f64 });
        };
        let total = SampleKind::Counter;
        one("broker_connections", "Connections now.", SampleKind::Gauge, self.connections.get());
        one("broker_connections_accepted_total", "Connections accepted.", total, self.connections_accepted.get());
        let help = "Connections refused at connections_max.";
        one("broker_connections_refused_total", help, total, self.connections_refused.get());
        let help = "CONNECTs answered with a failure.";
        one("broker_connects_refused_total", help, total, self.connects_refused.get());
        let help = "Connections ended for an error of the client.";
        one("broker_protocol_errors_total", help, total, self.protocol_errors.get());
        let totals = self.totals();
        // Dropped messages are shown by reason below; their sum is for Prometheus to make.
        for metric in Metric::ALL.iter().filter(|metric| **metric != Metric::MessagesDropped) {
            one(metric.family(), metric.help(), total, totals.get(*metric));
        }
        for reason in Dropped::ALL {
            out.push(Sample {
                name: Metric::MessagesDropped.family(),
                help: "Messages not delivered, or not taken, by reason.",
                kind: total,
                labels: vec![("reason", Str::new(reason.name()))],
                value: totals.dropped(reason) as f64,
            });
        }
    }
}

fn shard_of_this_thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static SHARD: usize = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
    }
    // A thread that is ending has given its local storage back already; it counts in the first shard.
    SHARD.try_with(|shard| *shard).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_count_together_and_derived_metrics_follow() {
        let counters = Counters::default();
        std::thread::scope(|scope| {
            for _ in 0..2 * SHARDS {
                scope.spawn(|| {
                    for _ in 0..100 {
                        counters.add(Metric::MessagesQos1Received, 1);
                        counters.dropped(Dropped::QueueFull, 1);
                    }
                });
            }
        });
        counters.add(Metric::PacketsPingreq, 5);
        counters.dropped(Dropped::NoSubscribers, 7);
        counters.dropped(Dropped::RetainedFull, 1);
        let totals = counters.totals();
        let counted = 2 * SHARDS as u64 * 100;
        for metric in [Metric::MessagesReceived, Metric::PacketsPublishReceived, Metric::DeliveryDropped] {
            assert_eq!(totals.get(metric), counted, "{}", metric.name());
        }
        assert_eq!(totals.get(Metric::PacketsReceived), counted + 5);
        assert_eq!(totals.get(Metric::MessagesDropped), counted + 7, "a message that is only not kept is not lost");
    }
}
