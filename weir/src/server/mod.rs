//! `weir run` and `weir start`: wires the rooms, in an order in which each finds what it needs, and takes them down in the
//! opposite one.
//!
//! Start: folder lock → API's port → store → access control → resources → engine → pipeline files → broker → API → ready.
//! Stop: not ready → broker (listeners, pending acknowledgements) → engine (queues drain) → resources → API.

mod machine;
mod mapping;
mod startup;

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::Phase;
use cli::args::{Global, RunArgs};
use cli::{Exit, Failure};
use model::{Clock, SystemClock};
use settings::{LogFormat, Settings};

use crate::signals::Signals;
use crate::{configuration, install_crypto, limits, logging};
pub(crate) use startup::{Server, start};

/// What is left of the deadline for the last steps, however long the first ones took.
const LAST_STEP_MIN: Duration = Duration::from_millis(500);
/// How long the API may take to finish the answers it is giving.
const API_STOP_MAX: Duration = Duration::from_secs(2);

/// Runs a server until it is told to stop. With `run`, it has the resources and rules of pipeline files.
pub(crate) fn run(global: &Global, run: Option<&RunArgs>) -> Result<(), Failure> {
    let loaded = match run {
        Some(_) => configuration::load_without_search(global)?,
        None => configuration::load(global)?,
    };
    let settings = loaded.settings;
    logging::start(&settings.log)?;
    install_crypto();
    limits::raise_open_files(settings.node.open_files);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("weir")
        .build()
        .map_err(|error| Failure::new(Exit::Failed, format!("cannot start the async runtime: {error}")))?;
    let files = run.map_or(&[][..], |run| run.files.as_slice());
    let result = runtime.block_on(serve(settings, files));
    // Whatever still runs on the blocking pool has had its deadline.
    runtime.shutdown_timeout(LAST_STEP_MIN);
    result
}

async fn serve(settings: Settings, files: &[std::path::PathBuf]) -> Result<(), Failure> {
    let mut signals =
        Signals::listen().map_err(|error| Failure::new(Exit::Failed, format!("cannot listen for signals: {error}")))?;
    let mut server = tokio::select! {
        started = start(&settings, files) => started?,
        name = signals.next() => {
            tracing::info!(signal = name, "stopped while starting");
            return Ok(());
        }
    };
    announce(&server, &settings);
    let auth = server.auth.clone();
    // What went wrong is in the log; the server goes on with what it had.
    let reload = async || drop(auth.reload_acl().await);
    let result = tokio::select! {
        name = signals.next_stop(reload) => {
            tracing::info!(signal = name, deadline_s = settings.node.stop_deadline.as_secs_f64(), "stopping; a second signal stops at once");
            Ok(())
        }
        why = server.api_ended() => Err(Failure::new(Exit::Failed, format!("the API stopped by itself: {why}"))),
    };
    tokio::select! {
        () = stop(server, settings.node.stop_deadline) => {}
        () = signals.force_on_next() => {}
    }
    result
}

/// Where everything listens: for people on stderr, for programs in the log.
fn announce(server: &Server, settings: &Settings) {
    let mqtt: Vec<String> = server.broker.local_addrs().iter().map(|(_, address)| address.to_string()).collect();
    let mqtt = mqtt.join(", ");
    let api = format!("http://{}", server.api_address);
    if settings.log.format == LogFormat::Json {
        tracing::info!(mqtt, api, data_dir = %settings.node.data_dir.display(), credentials = %server.credentials.display(), "ready");
        return;
    }
    let text = format!(
        "weir is ready\n  listening for MQTT on {mqtt}\n  listening for HTTP on {api} (API)\n  data in {}\n  API key in {}\n",
        settings.node.data_dir.display(),
        server.credentials.display()
    );
    // Without a stderr there is nobody to tell.
    drop(std::io::stderr().write_all(text.as_bytes()));
}

/// Takes the rooms down. Never longer than `deadline` and the last steps' minimum.
pub(crate) async fn stop(mut server: Server, deadline: Duration) {
    let clock = SystemClock;
    let started = clock.instant();
    let left = |end: Instant| end.saturating_duration_since(clock.instant()).max(LAST_STEP_MIN);
    let end = started + deadline;
    server.health.set(Phase::Stopping);
    server.stop_watch();
    // Clients get at most half of the time, so that the queues have the rest.
    server.broker.stop(deadline / 2).await;
    server.close_sessions().await;
    server.engine.stop(left(end)).await;
    if tokio::time::timeout(left(end), server.resources.close()).await.is_err() {
        tracing::warn!("some resources did not close in time");
    }
    server.stop_api(API_STOP_MAX).await;
    tracing::info!(took_s = clock.instant().duration_since(started).as_secs_f64(), "stopped");
}

/// The clock of everything.
fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}
