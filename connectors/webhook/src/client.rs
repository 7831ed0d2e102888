//! The shared HTTP client of one resource.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use connector::{ActionSpec, Client, Config, Error, ErrorKind, Secret, Sink};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use url::Url;

use crate::answer::Hold;
use crate::request::Plan;
use crate::sink::HttpSink;

/// Redirects followed at most when following is on.
const REDIRECTS_MAX: usize = 5;

/// What the sinks of one resource share.
pub(crate) struct Http {
    pub(crate) shared: Arc<Shared>,
    config: Config,
}

pub(crate) struct Shared {
    pub(crate) http: reqwest::Client,
    pub(crate) auth: Option<Auth>,
    /// Set when the server said how long to stay away; the server is one, so all rules share it.
    pub(crate) hold: Hold,
    /// The server, for messages.
    pub(crate) origin: String,
    host: String,
    port: u16,
    tls: Option<Arc<ClientConfig>>,
    connect_timeout: Duration,
}

/// Credentials; their `Debug` hides them.
pub(crate) enum Auth {
    Bearer(Secret),
    Basic(String, Secret),
}

impl Http {
    pub(crate) fn open(config: &Config) -> Result<Self, Error> {
        let text = config.text("url").unwrap_or_default();
        let bad = |why: String| Error::permanent(ErrorKind::Config, format!("url {text:?}: {why}"));
        let origin = literal_origin(text).map_err(bad)?;
        let url = Url::parse(origin).map_err(|error| bad(error.to_string()))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Error::permanent(ErrorKind::Config, "url: put user and password into username and password"));
        }
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err(bad("it has no host".to_owned()));
        };
        let tls = match url.scheme() {
            "http" => None,
            "https" => Some(Arc::new(connector::tls::client_config(config.text("ca_file"))?)),
            other => return Err(bad(format!("the scheme must be http or https, not {other}"))),
        };
        let auth = match (config.secret("bearer_token"), config.text("username")) {
            (Some(_), Some(_)) => {
                return Err(Error::permanent(ErrorKind::Config, "give either bearer_token or username and password"));
            }
            (Some(token), None) => Some(Auth::Bearer(token.clone())),
            (None, Some(user)) => Some(Auth::Basic(
                user.to_owned(),
                config.secret("password").cloned().unwrap_or_else(|| Secret::new("")),
            )),
            (None, None) => None,
        };
        let connect_timeout = config.duration("connect_timeout").unwrap_or(Duration::from_secs(5));
        let http = build(config, tls.as_deref(), connect_timeout)?;
        // A bad template in the URL or the headers of the resource is an error now, not at the first rule.
        Plan::check_resource(config)?;
        let shared = Shared {
            http,
            auth,
            hold: Hold::default(),
            origin: url.origin().ascii_serialization(),
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port,
            tls,
            connect_timeout,
        };
        Ok(Self { shared: Arc::new(shared), config: config.clone() })
    }
}

fn build(config: &Config, tls: Option<&ClientConfig>, connect_timeout: Duration) -> Result<reqwest::Client, Error> {
    let redirects = if config.bool("follow_redirects") {
        reqwest::redirect::Policy::limited(REDIRECTS_MAX)
    } else {
        reqwest::redirect::Policy::none()
    };
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("weir/", env!("CARGO_PKG_VERSION")))
        .redirect(redirects)
        .connect_timeout(connect_timeout)
        .timeout(config.duration("request_timeout").unwrap_or(Duration::from_secs(10)))
        .pool_max_idle_per_host(config.integer("pool_size").and_then(|size| usize::try_from(size).ok()).unwrap_or(8));
    if let Some(tls) = tls {
        builder = builder.tls_backend_preconfigured(tls.clone());
    }
    builder
        .build()
        .map_err(|error| Error::permanent(ErrorKind::Internal, "the HTTP client cannot be set up").with_source(error))
}

/// The part of a URL that names the server; everything a row may fill in comes after it.
pub(crate) fn literal_origin(url: &str) -> Result<&str, String> {
    let (scheme, rest) = url.split_once("://").ok_or("it is not absolute")?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    if scheme.contains("${") || authority.contains("${") {
        return Err("scheme, host and port must be literal; ${…} is allowed below them".to_owned());
    }
    url.get(..scheme.len() + "://".len() + authority.len()).ok_or_else(|| "it is not a URL".to_owned())
}

#[async_trait]
impl Client for Http {
    /// Connects (TCP, and TLS for https) and closes again. No request is sent, because even a GET may have effects on
    /// a server we know nothing about; so this does not tell whether the path or the credentials are right.
    async fn check(&self) -> Result<(), Error> {
        let shared = &self.shared;
        let connect = async {
            let tcp = TcpStream::connect((shared.host.as_str(), shared.port))
                .await
                .map_err(|error| shared.unreachable(error))?;
            let Some(tls) = &shared.tls else { return Ok(()) };
            let name = ServerName::try_from(shared.host.clone()).map_err(|error| {
                Error::permanent(ErrorKind::Config, format!("{}: not a host name", shared.origin)).with_source(error)
            })?;
            tokio_rustls::TlsConnector::from(Arc::clone(tls))
                .connect(name, tcp)
                .await
                .map(drop)
                .map_err(|error| shared.unreachable(error))
        };
        match tokio::time::timeout(shared.connect_timeout, connect).await {
            Ok(done) => done,
            Err(_) => Err(Error::temporary(
                ErrorKind::Timeout,
                format!("no connection to {} within {:?}", shared.origin, shared.connect_timeout),
            )),
        }
    }

    fn sink(&self, action: &'static ActionSpec, params: &Config) -> Result<Arc<dyn Sink>, Error> {
        let _ = action;
        Ok(Arc::new(HttpSink::new(Arc::clone(&self.shared), Plan::new(&self.config, params)?)))
    }

    async fn close(&self) {
        // Idle connections end when the last sink lets go of the pool; there is no task of our own to stop.
    }
}

impl Shared {
    fn unreachable(&self, error: std::io::Error) -> Error {
        Error::temporary(ErrorKind::Unreachable, format!("connecting to {}", self.origin)).with_source(error)
    }
}
