//! What is to be measured, from the command line.

use std::collections::HashMap;
use std::net::SocketAddr;

use model::Qos;

use crate::client::Failure;

const USAGE: &str = "load SCENARIO --address HOST:PORT --pid PID [--qos 0|1|2] [--publishers N] [--subscribers N] [--payload BYTES] \
                     [--window N] [--rate PER_PUBLISHER_PER_S] [--seconds N] [--version 4|5]; SCENARIO is idle, pairs, fan-out or shared";

/// The shape of the traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scenario {
    /// Connections without traffic.
    Idle,
    /// Publisher n to subscriber n.
    Pairs,
    /// Every publisher to every subscriber.
    FanOut,
    /// Every publisher to one shared group.
    Shared,
}

impl Scenario {
    /// As the command line has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Pairs => "pairs",
            Self::FanOut => "fan-out",
            Self::Shared => "shared",
        }
    }
}

/// One run.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) scenario: Scenario,
    pub(crate) address: SocketAddr,
    /// The broker's process.
    pub(crate) pid: u32,
    pub(crate) qos: Qos,
    pub(crate) publishers: usize,
    pub(crate) subscribers: usize,
    pub(crate) payload_bytes: usize,
    /// Messages one publisher may have unacknowledged, and deliveries that may be on their way for each of them.
    pub(crate) window: u64,
    /// Messages a second and publisher; 0 = as fast as the window allows.
    pub(crate) rate: u64,
    pub(crate) seconds: u64,
    /// MQTT protocol level.
    pub(crate) version: u8,
}

impl Options {
    /// Reads the command line.
    pub(crate) fn from_args(mut args: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let scenario = match args.next().as_deref() {
            Some("idle") => Scenario::Idle,
            Some("pairs") => Scenario::Pairs,
            Some("fan-out") => Scenario::FanOut,
            Some("shared") => Scenario::Shared,
            _ => return Err(USAGE.into()),
        };
        let mut given = HashMap::new();
        while let (Some(name), Some(value)) = (args.next(), args.next()) {
            given.insert(name, value);
        }
        let mut number = |name: &str, default: u64| -> Result<u64, Failure> {
            given.remove(name).map_or(Ok(default), |text| text.parse().map_err(|_| format!("{name} {text}").into()))
        };
        let (publishers, subscribers) = match scenario {
            Scenario::Idle => (0, 5_000),
            Scenario::Pairs => (100, 100),
            Scenario::FanOut => (5, 1_000),
            Scenario::Shared => (500, 5),
        };
        let qos = u8::try_from(number("--qos", 1)?)?;
        let options = Self {
            scenario,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            pid: u32::try_from(number("--pid", 0)?)?,
            qos: Qos::from_u8(qos).ok_or("--qos is 0, 1 or 2")?,
            publishers: usize::try_from(number("--publishers", publishers)?)?,
            subscribers: usize::try_from(number("--subscribers", subscribers)?)?,
            payload_bytes: usize::try_from(number("--payload", 16)?)?.max(8),
            window: number("--window", 20)?.max(1),
            rate: number("--rate", 0)?,
            seconds: number("--seconds", 5)?.clamp(1, 60),
            version: u8::try_from(number("--version", 4)?)?,
        };
        let address = given.remove("--address").ok_or(USAGE)?.parse()?;
        match given.into_keys().next() {
            Some(unknown) => Err(format!("{unknown}: {USAGE}").into()),
            None => Ok(Self { address, ..options }),
        }
    }

    /// What subscriber `n` subscribes to.
    pub(crate) fn filter_of(&self, n: usize) -> String {
        match self.scenario {
            Scenario::Shared => "$share/g/load/all".to_owned(),
            Scenario::FanOut => "load/all".to_owned(),
            Scenario::Pairs | Scenario::Idle => format!("load/{n}"),
        }
    }

    /// What publisher `n` publishes to.
    pub(crate) fn topic_of(&self, n: usize) -> String {
        match self.scenario {
            Scenario::Pairs | Scenario::Idle => format!("load/{n}"),
            Scenario::FanOut | Scenario::Shared => "load/all".to_owned(),
        }
    }
}
