//! Load for any MQTT broker: the same traffic against weir and against its peers, so that figures can be compared.
//!
//! ```text
//! cargo run --release -p broker --example load -- pairs --address 127.0.0.1:1883 --pid $(pidof mosquitto) --qos 1
//! ```
//!
//! Everything is a closed loop (a publisher never has more than its window outstanding), so nothing is dropped by a broker
//! that keeps up, and the figure that counts is **deliveries per second of the broker's own CPU time**, read from `/proc`:
//! it does not depend on whether the generator or the broker is the slower of the two. One thread; give it a core of its own.

mod client;
mod options;
mod process;

use std::cell::{Cell, RefCell};
use std::io::Write;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::sync::Notify;
use tokio::task::LocalSet;

use self::client::{Failure, Link};
use self::options::{Options, Scenario};
use self::process::Usage;

/// Longer waits count as this, microseconds.
const LATENCY_US_MAX: u64 = 60_000_000;

/// What all tasks of the generator share; they run on one thread.
pub(crate) struct Shared {
    /// Zero of the clock that payloads carry.
    epoch: Instant,
    /// Publishers stop here.
    stop: Cell<bool>,
    /// Messages published.
    published: Cell<u64>,
    /// Messages that subscribers got.
    received: Cell<u64>,
    /// Deliveries that each publish causes.
    fan_out: u64,
    /// Microseconds from publish to delivery.
    latency: RefCell<Histogram<u64>>,
    /// Rings when deliveries or acknowledgements came.
    progress: Notify,
}

impl Shared {
    /// Deliveries that are still on their way.
    pub(crate) fn outstanding(&self) -> u64 {
        (self.published.get() * self.fan_out).saturating_sub(self.received.get())
    }
}

fn main() -> Result<(), Failure> {
    let options = Options::from_args(std::env::args().skip(1))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, run(&options))
}

async fn run(options: &Options) -> Result<(), Failure> {
    match options.scenario {
        Scenario::Idle => idle(options).await,
        _ => traffic(options).await,
    }
}

/// Connections with one subscription each that do nothing: memory and the rate of CONNECTs.
async fn idle(options: &Options) -> Result<(), Failure> {
    let before = Usage::of(options.pid)?;
    let began = Instant::now();
    let mut links = Vec::new();
    for n in 0..options.subscribers {
        let mut link = Link::open(options, &format!("idle-{n}")).await?;
        link.subscribe(&format!("site/{n}/#"), options.qos).await?;
        links.push(link);
    }
    let seconds = began.elapsed().as_secs_f64();
    // Allocators give memory back, and brokers tidy up, a little later.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let after = Usage::of(options.pid)?;
    let count = links.len() as f64;
    say(format!(
        "{{\"scenario\":\"idle\",\"connections\":{count},\"connect_subscribe_per_s\":{:.0},\"per_broker_cpu_s\":{:.0},\
         \"rss_anon_bytes_per_connection\":{:.0}}}",
        count / seconds,
        count / (after.cpu_seconds - before.cpu_seconds).max(0.001),
        (after.rss_anon_bytes as f64 - before.rss_anon_bytes as f64) / count,
    ))
}

async fn traffic(options: &Options) -> Result<(), Failure> {
    let shared = Rc::new(Shared {
        epoch: Instant::now(),
        stop: Cell::new(false),
        published: Cell::new(0),
        received: Cell::new(0),
        fan_out: if options.scenario == Scenario::FanOut { options.subscribers as u64 } else { 1 },
        latency: RefCell::new(Histogram::new_with_max(LATENCY_US_MAX, 3)?),
        progress: Notify::new(),
    });
    let mut receivers = Vec::new();
    for n in 0..options.subscribers {
        let mut link = Link::open(options, &format!("sub-{n}")).await?;
        link.subscribe(&options.filter_of(n), options.qos).await?;
        receivers.push(tokio::task::spawn_local(client::receive(link, shared.clone())));
    }
    let mut senders = Vec::new();
    for n in 0..options.publishers {
        let link = Link::open(options, &format!("pub-{n}")).await?;
        senders.push(tokio::task::spawn_local(client::publish(
            link,
            options.clone(),
            options.topic_of(n),
            shared.clone(),
        )));
    }
    // Warm up: queues fill, branches settle, then the measurement begins.
    tokio::time::sleep(Duration::from_millis(500)).await;
    shared.latency.borrow_mut().reset();
    let (cpu, received, began) = (Usage::of(options.pid)?, shared.received.get(), Instant::now());
    tokio::time::sleep(Duration::from_secs(options.seconds)).await;
    let (seconds, deliveries) = (began.elapsed().as_secs_f64(), shared.received.get() - received);
    let usage = Usage::of(options.pid)?;
    shared.stop.set(true);
    shared.progress.notify_waiters();
    settle(&shared).await;
    let broker_cpu = usage.cpu_seconds - cpu.cpu_seconds;
    let latency = shared.latency.borrow();
    say(format!(
        "{{\"scenario\":\"{}\",\"qos\":{},\"publishers\":{},\"subscribers\":{},\"payload_bytes\":{},\"deliveries_per_s\":{:.0},\
         \"broker_cores\":{:.2},\"deliveries_per_broker_cpu_s\":{:.0},\"p50_us\":{},\"p99_us\":{},\"lost\":{},\"rss_anon_mb\":{:.1}}}",
        options.scenario.name(),
        options.qos as u8,
        options.publishers,
        options.subscribers,
        options.payload_bytes,
        deliveries as f64 / seconds,
        broker_cpu / seconds,
        deliveries as f64 / broker_cpu.max(0.001),
        latency.value_at_quantile(0.5),
        latency.value_at_quantile(0.99),
        shared.outstanding(),
        usage.rss_anon_bytes as f64 / 1e6,
    ))
}

/// Waits until everything that was published has arrived, or nothing more comes for a second.
async fn settle(shared: &Shared) {
    let mut last = shared.received.get();
    while shared.outstanding() > 0 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if shared.received.get() == last {
            return;
        }
        last = shared.received.get();
    }
}

fn say(line: String) -> Result<(), Failure> {
    writeln!(std::io::stdout(), "{line}")?;
    Ok(())
}
