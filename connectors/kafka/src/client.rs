//! The shared producer of one cluster.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use connector::{ActionSpec, Client, Config, Error, ErrorKind, Sink};
use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{FutureProducer, Producer};

use crate::fault;
use crate::sink::KafkaSink;

/// Longest time that closing waits for records that are still under way.
const FLUSH_MAX: Duration = Duration::from_secs(5);

/// One resource.
pub(crate) struct Cluster {
    shared: Arc<Shared>,
}

/// What the sinks of one resource share.
pub(crate) struct Shared {
    settings: ClientConfig,
    /// `None` once closed. Replaced when librdkafka declares a fatal error, after which a producer is of no use.
    producer: Mutex<Option<Handle>>,
    sync_timeout: Duration,
    /// The brokers, for messages.
    pub(crate) servers: String,
}

/// A producer and what it reported on the side; cloning it is a reference count.
#[derive(Clone)]
pub(crate) struct Handle {
    pub(crate) producer: Arc<FutureProducer<Watch>>,
    refused: Refusal,
}

/// Why the brokers refused the login, if they did: librdkafka tells it to its context, and the rows only time out.
type Refusal = Arc<Mutex<Option<String>>>;

/// Listens to librdkafka; calls come from its own threads.
pub(crate) struct Watch {
    refused: Refusal,
}

impl ClientContext for Watch {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // librdkafka reports every failed attempt to connect; the errors of the rows say the same once.
        tracing::debug!(?level, facility, message, "librdkafka");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        if matches!(code, Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed)) {
            *self.refused.lock() = Some(reason.to_owned());
        }
    }
}

impl Cluster {
    pub(crate) fn open(config: &Config) -> Result<Self, Error> {
        let servers = config.list("servers").join(",");
        if let Some(bad) =
            config.list("servers").iter().find(|server| server.is_empty() || server.contains(char::is_whitespace))
        {
            return Err(Error::permanent(ErrorKind::Config, format!("servers: {bad:?} is not host:port")));
        }
        let sync_timeout = config.duration("sync_timeout").unwrap_or(Duration::from_secs(3));
        let settings = settings(config, &servers, sync_timeout)?;
        let producer = producer(&settings)?;
        Ok(Self { shared: Arc::new(Shared { settings, producer: Mutex::new(Some(producer)), sync_timeout, servers }) })
    }
}

fn settings(config: &Config, servers: &str, sync_timeout: Duration) -> Result<ClientConfig, Error> {
    let ms = |duration: Duration| duration.as_millis().max(1).to_string();
    let bytes = |name: &str| config.bytes(name).unwrap_or(1 << 20).to_string();
    let compression = match config.text("compression") {
        None | Some("no_compression") => "none",
        Some(other) => other,
    };
    let mut settings = ClientConfig::new();
    settings
        .set("bootstrap.servers", servers)
        .set("client.id", "weir")
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("linger.ms", config.duration("linger").unwrap_or_default().as_millis().to_string())
        .set("compression.type", compression)
        .set("message.timeout.ms", ms(sync_timeout))
        // A topic that does not appear within half the time is not there; otherwise its rows would only time out.
        .set("topic.metadata.propagation.max.ms", ms(sync_timeout / 2))
        .set(
            "topic.metadata.refresh.interval.ms",
            ms(config
                .duration("min_metadata_refresh_interval")
                .unwrap_or(Duration::from_secs(3))
                .max(Duration::from_millis(10))),
        )
        .set("message.max.bytes", bytes("max_batch_bytes"))
        .set("batch.size", bytes("max_batch_bytes"))
        .set("socket.send.buffer.bytes", bytes("send_buffer"))
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "1000")
        .set("partitioner", config.text("partitioner").unwrap_or("murmur2_random"));
    let protocol = config.text("security_protocol").unwrap_or("plaintext");
    settings.set("security.protocol", protocol);
    if protocol.starts_with("sasl") {
        let Some(user) = config.text("username") else {
            return Err(Error::permanent(
                ErrorKind::Config,
                format!("username: is required with security_protocol {protocol}"),
            ));
        };
        settings.set("sasl.mechanism", config.text("sasl_mechanism").unwrap_or("PLAIN")).set("sasl.username", user);
        settings.set("sasl.password", config.secret("password").map_or("", |secret| secret.expose()));
    }
    if let Some(file) = config.text("ca_file") {
        settings.set("ssl.ca.location", file);
    }
    Ok(settings)
}

fn producer(settings: &ClientConfig) -> Result<Handle, Error> {
    let refused = Refusal::default();
    match settings.create_with_context(Watch { refused: Arc::clone(&refused) }) {
        Ok(producer) => Ok(Handle { producer: Arc::new(producer), refused }),
        Err(error) => Err(Error::permanent(ErrorKind::Config, "librdkafka refuses the settings").with_source(error)),
    }
}

impl Handle {
    /// Forgets an earlier refusal: a record went through.
    pub(crate) fn login_works(&self) {
        *self.refused.lock() = None;
    }
}

impl Shared {
    /// The producer to use now.
    pub(crate) fn producer(&self) -> Result<Handle, Error> {
        let mut current = self.producer.lock();
        let Some(handle) = &*current else {
            return Err(Error::permanent(ErrorKind::Closed, "the resource has been closed"));
        };
        if let Some((code, reason)) = handle.producer.client().fatal_error() {
            tracing::warn!(?code, reason, servers = self.servers, "replacing the Kafka producer after a fatal error");
            *current = Some(producer(&self.settings)?);
        }
        current.clone().ok_or_else(|| Error::permanent(ErrorKind::Closed, "the resource has been closed"))
    }

    /// The error of one record or request, with a refused login named as such.
    pub(crate) fn fault(&self, handle: &Handle, error: KafkaError, what: &str) -> Error {
        let sorted = fault::classify(error, what);
        if sorted.is_temporary()
            && let Some(reason) = handle.refused.lock().clone()
        {
            let refusal = KafkaError::Global(RDKafkaErrorCode::Authentication);
            return fault::classify(refusal, &format!("{what}: {}", reason.trim()));
        }
        sorted
    }
}

#[async_trait]
impl Client for Cluster {
    /// Fetches the metadata of the cluster.
    async fn check(&self) -> Result<(), Error> {
        // A client of its own: the shared one hides for how long a broker has been away behind what it remembers.
        let (settings, timeout) = (self.shared.settings.clone(), self.shared.sync_timeout);
        let asked = tokio::task::spawn_blocking(move || {
            let handle = producer(&settings)?;
            let answer = handle.producer.client().fetch_metadata(None, timeout).map(drop);
            Ok::<_, Error>((handle, answer))
        });
        let (handle, answer) = asked
            .await
            .map_err(|error| Error::temporary(ErrorKind::Internal, "the check was given up").with_source(error))??;
        let done = answer.map_err(|error| {
            self.shared.fault(&handle, error, &format!("asking Kafka at {} for its metadata", self.shared.servers))
        });
        dispose(handle).await;
        done
    }

    fn sink(&self, action: &'static ActionSpec, params: &Config) -> Result<Arc<dyn Sink>, Error> {
        let _ = action;
        Ok(Arc::new(KafkaSink::new(Arc::clone(&self.shared), params)?))
    }

    async fn close(&self) {
        let handle = self.shared.producer.lock().take();
        if let Some(handle) = handle {
            dispose(handle).await;
        }
    }
}

/// Waits for records under way and drops the producer; both block, so not on a worker thread.
async fn dispose(handle: Handle) {
    let done = tokio::task::spawn_blocking(move || {
        // Records that are not delivered in time were never reported as written.
        drop(handle.producer.flush(FLUSH_MAX));
        drop(handle);
    });
    // Only fails when the runtime is shutting down, and then there is nothing left to wait for.
    drop(done.await);
}
