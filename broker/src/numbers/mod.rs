//! The numbers of the broker: metrics that only grow, stats that go up and down, and why messages were dropped.
//!
//! Every number is named once, in [`metric`] or [`stats`]. `/metrics`, `$SYS` and the API print from these lists, so that
//! they cannot disagree.

mod counters;
mod dropped;
mod metric;
mod packets;
mod stats;

pub use counters::{Count, Counters, Totals};
pub use dropped::Dropped;
pub use metric::Metric;
pub(crate) use stats::Peaks;
pub use stats::Stat;
