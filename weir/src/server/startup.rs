//! The order of start. When a step fails, what was started before it is taken down by dropping it; nothing has been
//! announced yet.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use api::{Applied, ApplyError, ApplyOptions, Cause, Credentials, Health, Parts, Phase};
use broker::{Broker, Handle, Ports};
use cli::{Exit, Failure};
use connector::DeadLetters;
use engine::{Deps, Engine};
use model::ports::{AllowAll, AllowAnonymous, Metrics};
use pipelines::{Absent, Pipeline};
use resources::Resources;
use settings::Settings;
use store::{DataDir, Kv};
use tokio::sync::oneshot;

use super::clients::BrokerClients;
use super::{clock, mapping};
use crate::connectors;

/// The folder in the data folder from which pipelines applied over HTTP may read secret files.
const SECRETS_FOLDER: &str = "secrets";

/// A running server.
pub(crate) struct Server {
    pub(crate) engine: Engine,
    pub(crate) resources: Resources,
    pub(crate) broker: Handle,
    pub(crate) health: Arc<Health>,
    pub(crate) api_address: SocketAddr,
    pub(crate) credentials: PathBuf,
    api_stop: Option<oneshot::Sender<()>>,
    /// Why the API ended; `None` once that was told.
    api_end: Option<oneshot::Receiver<String>>,
    /// Held for its lock.
    _data_dir: DataDir,
}

impl Server {
    /// Waits until the API has ended by itself, which it should not.
    pub(crate) async fn api_ended(&mut self) -> String {
        let Some(end) = self.api_end.as_mut() else { return std::future::pending().await };
        let why = end.await.unwrap_or_else(|_| "its task panicked".to_owned());
        self.api_end = None;
        why
    }

    /// Lets the API finish its answers, for at most `limit`.
    pub(crate) async fn stop_api(mut self, limit: Duration) {
        drop(self.api_stop.take());
        let Some(end) = self.api_end.take() else { return };
        if tokio::time::timeout(limit, end).await.is_err() {
            tracing::warn!("some API requests were cut off by the stop");
        }
    }
}

/// Starts everything.
pub(crate) async fn start(settings: &Settings, files: &[PathBuf]) -> Result<Server, Failure> {
    let folder = std::path::absolute(&settings.node.data_dir)
        .map_err(|error| failed(format!("node.data_dir {}: {error}", settings.node.data_dir.display())))?;
    let registry = connectors::registry(&folder);
    let pipelines = load(files, &registry)?;
    let data_dir = DataDir::open(&folder).map_err(|error| match error.kind {
        store::ErrorKind::Locked => Failure::new(Exit::Conflict, error.to_string()),
        _ => failed(error.to_string()),
    })?;
    let service =
        api::Service::bind(settings.api.clone()).await.map_err(|error| bind_failure(settings.api.bind, &error))?;
    if !settings.api.bind.ip().is_loopback() {
        tracing::warn!(bind = %settings.api.bind, "the API can be reached from the network without TLS: put a TLS proxy in front of it");
    }
    let credentials = Credentials::open(&folder)
        .map_err(|error| failed(format!("{}: {error}", folder.join(api::CREDENTIALS_FILE).display())))?;
    let kv = Kv::open(data_dir.kv_path()).await.map_err(|error| failed(error.to_string()))?;
    let (engine, resources, dead_letters) = open_rules(settings, registry, &data_dir, kv).await?;
    if !pipelines.is_empty() {
        apply(&engine, &resources, &pipelines).await?;
    }
    let broker = start_broker(settings, &engine)?;
    let health = Arc::new(Health::default());
    let metrics: Vec<Arc<dyn Metrics>> = vec![
        Arc::new(broker.clone()),
        Arc::new(engine.clone()),
        Arc::new(resources.clone()),
        Arc::new(dead_letters.clone()),
    ];
    let api_address = service.local_addr();
    let credentials_path = credentials.path().to_path_buf();
    credentials
        .publish_url(&format!("http://{}", reachable(api_address)))
        .map_err(|error| failed(error.to_string()))?;
    let parts = Parts {
        node: settings.node.name.clone(),
        engine: engine.clone(),
        resources: resources.clone(),
        dead_letters,
        clients: Arc::new(BrokerClients { handle: broker.clone(), node: settings.node.name.clone() }),
        secrets_dir: folder.join(SECRETS_FOLDER),
        metrics,
        credentials,
        health: Arc::clone(&health),
        clock: clock(),
    };
    let (api_stop, api_end) = serve_api(service, parts);
    health.set(Phase::Ready);
    Ok(Server {
        engine,
        resources,
        broker,
        health,
        api_address,
        credentials: credentials_path,
        api_stop: Some(api_stop),
        api_end: Some(api_end),
        _data_dir: data_dir,
    })
}

fn serve_api(service: api::Service, parts: Parts) -> (oneshot::Sender<()>, oneshot::Receiver<String>) {
    let (stop, stopped) = oneshot::channel::<()>();
    let (end, ended) = oneshot::channel();
    model::task::spawn("api", async move {
        // A dropped sender means stop, too.
        let shutdown = async move { drop(stopped.await) };
        let why = match service.run(parts, shutdown).await {
            Ok(()) => "stopped".to_owned(),
            Err(error) => error.to_string(),
        };
        // Without a receiver nobody waits for the end.
        drop(end.send(why));
    });
    (stop, ended)
}

async fn open_rules(
    settings: &Settings,
    registry: connector::Registry,
    data_dir: &DataDir,
    kv: Kv,
) -> Result<(Engine, Resources, DeadLetters), Failure> {
    let dead_letters = DeadLetters::open(kv.clone(), mapping::dead_letters(settings), clock())
        .await
        .map_err(|error| failed(format!("dead letters: {error}")))?;
    let resources = Resources::open(registry.clone(), kv.clone(), mapping::resources(settings), clock())
        .await
        .map_err(|error| failed(format!("resources: {error}")))?;
    let deps = Deps {
        registry,
        resources: resources.clone(),
        kv,
        dead_letters: Some(dead_letters.clone()),
        data_dir: Some(data_dir.clone()),
        clock: clock(),
        node: settings.node.name.as_str().into(),
        settings: mapping::engine(settings),
    };
    let engine = Engine::open(deps).await.map_err(|error| failed(format!("rules: {error}")))?;
    Ok((engine, resources, dead_letters))
}

fn start_broker(settings: &Settings, engine: &Engine) -> Result<Handle, Failure> {
    let ports = Ports {
        tap: engine.tap(),
        // settings::load has made sure that a listener on the network was asked for.
        authenticate: Arc::new(AllowAnonymous),
        authorize: Arc::new(AllowAll),
        clock: clock(),
    };
    let broker = Broker::start(mapping::broker(settings), ports).map_err(|error| match &error {
        broker::Error::Bind { .. } => Failure::new(Exit::Conflict, error.to_string()),
        broker::Error::Setting { .. } | broker::Error::Item { .. } => {
            Failure::new(Exit::Invalid, format!("mqtt.{error}"))
        }
    })?;
    engine.set_publish(Arc::new(broker.clone()));
    Ok(broker)
}

/// Reads and checks the files before anything is started.
fn load(files: &[PathBuf], registry: &connector::Registry) -> Result<Vec<Pipeline>, Failure> {
    let mut loaded = Vec::new();
    let mut wrong = Vec::new();
    for path in files {
        match load_one(path, registry) {
            Ok(pipeline) => loaded.push(pipeline),
            Err(problems) => wrong.extend(problems),
        }
    }
    if wrong.is_empty() { Ok(loaded) } else { Err(Failure::new(Exit::Invalid, wrong.join("\n"))) }
}

fn load_one(path: &Path, registry: &connector::Registry) -> Result<Pipeline, Vec<String>> {
    let lines = |problems: &[pipelines::Problem]| problems.iter().map(ToString::to_string).collect::<Vec<_>>();
    let pipeline = pipelines::load_file(path, Absent::Fail).map_err(|problems| lines(&problems))?;
    let report = pipelines::check(&pipeline, registry);
    if report.passed() {
        for problem in &report.problems {
            tracing::warn!("{problem}");
        }
        return Ok(pipeline);
    }
    let mut wrong = lines(&report.problems);
    wrong.extend(report.tests.iter().flat_map(|test| api::failed_test(&pipeline.file, test)));
    Err(wrong)
}

async fn apply(engine: &Engine, resources: &Resources, pipelines: &[Pipeline]) -> Result<(), Failure> {
    // What a file no longer says is gone: `weir run` shows the file as it is.
    let options = ApplyOptions { dry_run: false, prune: true };
    let changes = api::apply(engine, resources, pipelines, options).await;
    let changes = changes.map_err(|error| {
        let exit = match &error {
            ApplyError::Invalid(_) | ApplyError::Refused { cause: Cause::Invalid, .. } => Exit::Invalid,
            ApplyError::Refused { cause: Cause::Conflict, .. } => Exit::Conflict,
            ApplyError::Refused { cause: Cause::Failed, .. } => Exit::Failed,
        };
        Failure::new(exit, error.to_string())
    })?;
    for Applied { change, kind, id } in changes {
        tracing::info!(change, kind, id, "from the pipeline files");
    }
    Ok(())
}

/// An address that a command on this machine can dial.
fn reachable(address: SocketAddr) -> SocketAddr {
    if !address.ip().is_unspecified() {
        return address;
    }
    let loopback: std::net::IpAddr =
        if address.is_ipv4() { std::net::Ipv4Addr::LOCALHOST.into() } else { std::net::Ipv6Addr::LOCALHOST.into() };
    SocketAddr::new(loopback, address.port())
}

fn bind_failure(address: SocketAddr, error: &std::io::Error) -> Failure {
    let why = match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            "the port is in use, perhaps by another weir. Stop that, or set api.bind to a free port (0 takes any)"
                .to_owned()
        }
        std::io::ErrorKind::AddrNotAvailable => {
            "this machine has no such address. Set api.bind to one it has".to_owned()
        }
        std::io::ErrorKind::PermissionDenied => {
            "not permitted. Ports below 1024 need privileges; set api.bind to a higher port".to_owned()
        }
        _ => format!("{error}. Check api.bind"),
    };
    Failure::new(Exit::Conflict, format!("the API cannot use {address}: {why}"))
}

fn failed(message: impl Into<String>) -> Failure {
    Failure::new(Exit::Failed, message)
}
