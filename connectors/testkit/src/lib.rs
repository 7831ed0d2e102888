//! The conformance menu: what every connector shows against its real service.
//!
//! A connector's `tests/it.rs` implements [`Harness`] (settings of a live service, a way to read back what was
//! written) and calls [`run`] with the cases it claims. A claimed case that cannot run fails; cases that are not
//! claimed are printed as such, so nothing is skipped in silence.
//!
//! The rows of the kit have three columns: `id` (integer, unique), `text` (text or null) and `data` (bytes or null).
//! The harness lays them out as its system likes and reads them back as [`Written`].
//!
//! Not here: emulators. The service behind a harness is the real one, or the STATUS table says otherwise.

mod connect;
mod deliver;
mod readme;
mod service;
mod write;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use connector::Connector;
use futures::FutureExt;
use model::{Row, Value};
use serde_json::Value as Json;

pub use readme::check_readme;
pub use service::Service;

/// What one connector's tests tell the kit about its service. One harness serves every case, one case at a time.
#[async_trait]
pub trait Harness: Send + Sync {
    /// The connector.
    fn connector(&self) -> Arc<dyn Connector>;

    /// Settings of a resource at the live service.
    fn settings(&self) -> Json;

    /// The action under test.
    fn action(&self) -> &'static str;

    /// The action's parameters for writing `id`, `text` and `data` to `destination`.
    fn params(&self, destination: &str) -> Json;

    /// Makes an empty destination (table, topic, folder, path) of this name: lower-case letters, digits and `_`.
    async fn prepare(&self, destination: &str) -> Result<(), String>;

    /// Reads back everything at the destination, in any order.
    async fn read(&self, destination: &str) -> Result<Vec<Written>, String>;

    /// Settings the service refuses as unauthorized; needed by `check_bad_credentials`.
    fn bad_credentials(&self) -> Option<Json> {
        None
    }

    /// The live settings with another network address; needed by `respects_deadline`, and by `check_unreachable`
    /// unless [`Harness::unreachable`] is given. The kit puts a closed port or a server that never answers there.
    fn settings_at(&self, address: SocketAddr) -> Option<Json> {
        let _ = address;
        None
    }

    /// Settings of a service that is not there, for systems without an address.
    fn unreachable(&self) -> Option<Json> {
        None
    }

    /// A row the service refuses for its content; needed by `rejects_bad_row_only`. Its `id` is taken from the kit.
    fn bad_row(&self, id: i64) -> Option<Row> {
        let _ = id;
        None
    }

    /// Whether the service can be stopped and started by these tests.
    fn can_restart(&self) -> bool {
        false
    }

    /// Stops the service; returns once it is gone.
    async fn stop_service(&self) -> Result<(), String> {
        Err("this harness cannot stop its service".to_owned())
    }

    /// Starts the service; returns once it answers.
    async fn start_service(&self) -> Result<(), String> {
        Err("this harness cannot start its service".to_owned())
    }

    /// How long the service stays away in `at_least_once_through_reconnect`.
    fn outage(&self) -> Duration {
        Duration::from_secs(10)
    }
}

/// One row as it was read back.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Written {
    /// Column `id`.
    pub id: i64,
    /// Column `text`; `None` is null.
    pub text: Option<String>,
    /// Column `data`; `None` is null.
    pub data: Option<Vec<u8>>,
}

impl Written {
    /// A plain row.
    pub fn plain(id: i64) -> Self {
        Self { id, text: Some(format!("row {id}")), data: None }
    }

    /// The row as a rule would give it.
    pub fn to_row(&self) -> Row {
        Row::from_pairs([
            ("id", Value::Int(self.id)),
            ("text", self.text.as_deref().map_or(Value::Null, Value::text)),
            ("data", self.data.as_deref().map_or(Value::Null, |data| Value::Bytes(data.to_vec().into()))),
        ])
    }
}

/// The menu.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Case {
    /// A client opens without side effect and closes in time, used or not.
    OpenClose,
    /// The check of a live service succeeds, twice.
    CheckOk,
    /// Bad credentials are `unauthorized`, permanent or not, and the secret is not in the message.
    CheckBadCredentials,
    /// A service that is not there is a temporary error within the deadline.
    CheckUnreachable,
    /// One row arrives as it was sent.
    WriteOne,
    /// A batch of 500 rows arrives whole.
    WriteBatch,
    /// Eight writers with 50 rows each, at once, over one client.
    WriteParallel,
    /// Unicode, empty text, quotes, every byte value and null arrive as they were sent.
    PreservesUtf8BinaryNull,
    /// A row the service refuses becomes a dead letter; its neighbours arrive.
    RejectsBadRowOnly,
    /// The same client writes again after the service was stopped and started.
    SurvivesRestartOfService,
    /// Rows taken by a disk queue while the service is away arrive after it is back, every one.
    AtLeastOnceThroughReconnect,
    /// Against a server that never answers, writes time out, and stopping and closing keep their deadlines.
    RespectsDeadline,
    /// After closing, no task of the client is left.
    NoTaskLeak,
    /// The counters of the action add up at every instant while rows go through.
    CountersAddUp,
    /// A source continues after the last acknowledged row. Not built yet: no connector has a source.
    SourceAckThenResume,
    /// A lookup tells hit, miss and error apart. Not built yet: no connector has a lookup.
    LookupHitMissError,
}

impl Case {
    /// The whole menu.
    pub const ALL: [Self; 16] = [
        Self::OpenClose,
        Self::CheckOk,
        Self::CheckBadCredentials,
        Self::CheckUnreachable,
        Self::WriteOne,
        Self::WriteBatch,
        Self::WriteParallel,
        Self::PreservesUtf8BinaryNull,
        Self::RejectsBadRowOnly,
        Self::SurvivesRestartOfService,
        Self::AtLeastOnceThroughReconnect,
        Self::RespectsDeadline,
        Self::NoTaskLeak,
        Self::CountersAddUp,
        Self::SourceAckThenResume,
        Self::LookupHitMissError,
    ];

    /// Everything a sink behind a network with credentials should claim.
    pub const SINK: [Self; 14] = [
        Self::OpenClose,
        Self::CheckOk,
        Self::CheckBadCredentials,
        Self::CheckUnreachable,
        Self::WriteOne,
        Self::WriteBatch,
        Self::WriteParallel,
        Self::PreservesUtf8BinaryNull,
        Self::RejectsBadRowOnly,
        Self::SurvivesRestartOfService,
        Self::AtLeastOnceThroughReconnect,
        Self::RespectsDeadline,
        Self::NoTaskLeak,
        Self::CountersAddUp,
    ];

    /// The name in the menu, in STATUS.csv and in what a run prints.
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenClose => "open_close",
            Self::CheckOk => "check_ok",
            Self::CheckBadCredentials => "check_bad_credentials",
            Self::CheckUnreachable => "check_unreachable",
            Self::WriteOne => "write_one",
            Self::WriteBatch => "write_batch",
            Self::WriteParallel => "write_parallel",
            Self::PreservesUtf8BinaryNull => "preserves_utf8_binary_null",
            Self::RejectsBadRowOnly => "rejects_bad_row_only",
            Self::SurvivesRestartOfService => "survives_restart_of_service",
            Self::AtLeastOnceThroughReconnect => "at_least_once_through_reconnect",
            Self::RespectsDeadline => "respects_deadline",
            Self::NoTaskLeak => "no_task_leak",
            Self::CountersAddUp => "counters_add_up",
            Self::SourceAckThenResume => "source_ack_then_resume",
            Self::LookupHitMissError => "lookup_hit_miss_error",
        }
    }

    async fn run(self, harness: &dyn Harness) -> Result<(), String> {
        match self {
            Self::OpenClose => connect::open_close(harness).await,
            Self::CheckOk => connect::check_ok(harness).await,
            Self::CheckBadCredentials => connect::check_bad_credentials(harness).await,
            Self::CheckUnreachable => connect::check_unreachable(harness).await,
            Self::NoTaskLeak => connect::no_task_leak(harness).await,
            Self::WriteOne => write::write_one(harness).await,
            Self::WriteBatch => write::write_batch(harness, 500).await,
            Self::WriteParallel => write::write_parallel(harness, 8).await,
            Self::PreservesUtf8BinaryNull => write::preserves_utf8_binary_null(harness).await,
            Self::SurvivesRestartOfService => write::survives_restart_of_service(harness).await,
            Self::RejectsBadRowOnly => deliver::rejects_bad_row_only(harness).await,
            Self::AtLeastOnceThroughReconnect => deliver::at_least_once_through_reconnect(harness).await,
            Self::RespectsDeadline => deliver::respects_deadline(harness).await,
            Self::CountersAddUp => deliver::counters_add_up(harness).await,
            Self::SourceAckThenResume => Err("this case is not built yet: no connector has a source".to_owned()),
            Self::LookupHitMissError => Err("this case is not built yet: no connector has a lookup".to_owned()),
        }
    }
}

/// A case that takes longer has failed.
const CASE_TIMEOUT: Duration = Duration::from_secs(180);

/// Runs the claimed cases one after the other, prints a line for every case of the menu, and panics with every
/// failure at the end.
pub async fn run(harness: &dyn Harness, claimed: &[Case]) {
    let name = harness.connector().spec().name;
    let mut failures = Vec::new();
    for case in Case::ALL {
        if !claimed.contains(&case) {
            print_line(name, case, "not claimed");
            continue;
        }
        let attempt =
            std::panic::AssertUnwindSafe(tokio::time::timeout(CASE_TIMEOUT, case.run(harness))).catch_unwind();
        let result = match attempt.await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(format!("took longer than {} s", CASE_TIMEOUT.as_secs())),
            Err(panic) => Err(format!("panicked: {}", panic_text(panic.as_ref()))),
        };
        match result {
            Ok(()) => print_line(name, case, "ok"),
            Err(why) => {
                print_line(name, case, "FAILED");
                failures.push(format!("{}: {why}", case.name()));
            }
        }
    }
    assert!(failures.is_empty(), "{name} does not do what it claims:\n{}", failures.join("\n"));
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("?")
}

#[expect(clippy::print_stdout, reason = "a conformance run says which cases ran")]
fn print_line(connector: &str, case: Case, outcome: &str) {
    println!("conformance {connector} {} ... {outcome}", case.name());
}
