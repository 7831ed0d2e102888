//! The action `data_to_kafka`.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use connector::template::Part;
use connector::{Config, Error, ErrorKind, JsonTemplate, Record, Sink, Template, WriteError, literal_prefix};
use futures::future::join_all;
use model::{Row, Value};
use parking_lot::Mutex;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::FutureRecord;
use serde_json::{Map, Value as Json, json};

use crate::client::{Handle, Shared};

/// librdkafka keeps state for every topic it has ever written to, so their number is bounded.
const TOPICS_MAX: usize = 1000;
/// Kafka's own bound for topic names.
const TOPIC_BYTES_MAX: usize = 249;

/// Writes rows of one action.
pub(crate) struct KafkaSink {
    shared: Arc<Shared>,
    topic: Template,
    key: Option<Template>,
    value: Option<Body>,
    headers: Vec<(String, Template)>,
    /// Topics written to so far; never more than [`TOPICS_MAX`].
    topics: Mutex<HashSet<String>>,
}

/// How a value is made.
enum Body {
    /// The template is a JSON document: values go in as JSON.
    Json(JsonTemplate),
    /// Anything else: values go in as text, bytes as they are.
    Plain(Template),
}

impl Body {
    fn parse(text: &str) -> Result<Self, Error> {
        let template = Template::parse(text)?;
        // A single placeholder is that value itself, such as a payload that is passed through.
        if matches!(template.parts(), [Part::Slot { .. }]) {
            return Ok(Self::Plain(template));
        }
        Ok(template.json().map_or_else(|| Self::Plain(template.clone()), Self::Json))
    }
}

/// One record, rendered.
struct Rendered {
    topic: String,
    key: Option<Vec<u8>>,
    value: Vec<u8>,
    headers: Vec<(String, String)>,
    timestamp_ms: i64,
}

impl KafkaSink {
    pub(crate) fn new(shared: Arc<Shared>, params: &Config) -> Result<Self, Error> {
        let topic = Template::parse(params.text("topic").unwrap_or_default())?;
        literal_prefix("topic", &topic, params.bool("allow_dynamic"))?;
        let key = params.text("key").filter(|text| !text.is_empty()).map(Template::parse).transpose()?;
        let value = params.text("value").filter(|text| !text.is_empty()).map(Body::parse).transpose()?;
        let headers = params
            .map("headers")
            .iter()
            .map(|(name, value)| Ok((name.clone(), Template::parse(value)?)))
            .collect::<Result<_, Error>>()?;
        Ok(Self { shared, topic, key, value, headers, topics: Mutex::new(HashSet::new()) })
    }

    fn render_record(&self, record: &Record) -> Result<Rendered, Error> {
        let row = &record.row;
        Ok(Rendered {
            topic: self.topic_of(record)?,
            key: self.key.as_ref().and_then(|key| key_of(key, row)),
            value: match &self.value {
                None => row.to_json().to_string().into_bytes(),
                Some(Body::Json(template)) => template.text(row).into_bytes(),
                Some(Body::Plain(template)) => template.bytes(row),
            },
            headers: self.headers.iter().map(|(name, value)| (name.clone(), value.text(row))).collect(),
            timestamp_ms: record.at_ms,
        })
    }

    fn topic_of(&self, record: &Record) -> Result<String, Error> {
        let rejected = |why: String| Error::permanent(ErrorKind::Rejected, why);
        for part in self.topic.parts() {
            if let Part::Slot { path, default: None } = part
                && matches!(Template::value(path, &record.row), Value::Missing | Value::Null)
            {
                return Err(rejected(format!("the row has no value for ${{{}}} in the topic", path.join("."))));
            }
        }
        let topic = self.topic.text(&record.row);
        let legal = topic.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
        if !legal || topic.is_empty() || topic.len() > TOPIC_BYTES_MAX || matches!(topic.as_str(), "." | "..") {
            return Err(rejected(format!(
                "{topic:?} is no Kafka topic: letters, digits, '.', '_' and '-', at most {TOPIC_BYTES_MAX} of them"
            )));
        }
        Ok(topic)
    }

    /// A new topic is remembered, up to a bound.
    fn admit(&self, topic: &str) -> Result<(), Error> {
        let mut topics = self.topics.lock();
        if topics.contains(topic) {
            return Ok(());
        }
        if topics.len() >= TOPICS_MAX {
            return Err(Error::permanent(
                ErrorKind::Rejected,
                format!("the action has written to {TOPICS_MAX} different topics already; {topic:?} is refused"),
            ));
        }
        topics.insert(topic.to_owned());
        Ok(())
    }

    /// Hands a record over and gives the future of its delivery report.
    fn send(
        &self,
        handle: &Handle,
        rendered: &Rendered,
    ) -> Result<impl Future<Output = Result<(), KafkaError>> + use<>, KafkaError> {
        let headers = rendered
            .headers
            .iter()
            .fold(OwnedHeaders::new_with_capacity(rendered.headers.len()), |headers, (key, value)| {
                headers.insert(Header { key, value: Some(value) })
            });
        let mut record: FutureRecord<'_, [u8], [u8]> = FutureRecord::to(&rendered.topic)
            .payload(rendered.value.as_slice())
            .timestamp(rendered.timestamp_ms)
            .headers(headers);
        if let Some(key) = &rendered.key {
            record = record.key(key.as_slice());
        }
        let report = handle.producer.send_result(record).map_err(|(error, _)| error)?;
        Ok(async move {
            match report.await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err((error, _))) => Err(error),
                // The producer went away with the record still under way.
                Err(_) => Err(KafkaError::MessageProduction(RDKafkaErrorCode::PurgeInflight)),
            }
        })
    }

    /// A broker refuses a whole batch of records for the size of one; alone, each gets its own answer.
    async fn send_alone(&self, handle: &Handle, rendered: &Rendered) -> Result<(), KafkaError> {
        self.send(handle, rendered)?.await
    }
}

#[async_trait]
impl Sink for KafkaSink {
    async fn write(&self, batch: &[Record]) -> Result<(), WriteError> {
        let handle = self.shared.producer()?;
        let what =
            |rendered: &Rendered| format!("writing to topic {} of Kafka at {}", rendered.topic, self.shared.servers);
        let mut failed: Vec<(usize, Error)> = Vec::new();
        let mut sent = Vec::with_capacity(batch.len());
        for (index, record) in batch.iter().enumerate() {
            let rendered =
                match self.render_record(record).and_then(|rendered| self.admit(&rendered.topic).map(|()| rendered)) {
                    Ok(rendered) => rendered,
                    Err(error) => {
                        failed.push((index, error));
                        continue;
                    }
                };
            match self.send(&handle, &rendered) {
                Ok(report) => sent.push((index, rendered, report)),
                Err(error) => failed.push((index, self.shared.fault(&handle, error, &what(&rendered)))),
            }
        }
        let (places, reports): (Vec<_>, Vec<_>) =
            sent.into_iter().map(|(index, rendered, report)| ((index, rendered), report)).unzip();
        let company = places.len() > 1;
        for ((index, rendered), outcome) in places.into_iter().zip(join_all(reports).await) {
            let outcome = match outcome {
                Err(error) if company && error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge) => {
                    self.send_alone(&handle, &rendered).await
                }
                other => other,
            };
            match outcome {
                Ok(()) => handle.login_works(),
                Err(error) => failed.push((index, self.shared.fault(&handle, error, &what(&rendered)))),
            }
        }
        failed.sort_by_key(|(index, _)| *index);
        if failed.is_empty() { Ok(()) } else { Err(WriteError::Rows(failed)) }
    }

    fn render(&self, record: &Record) -> Result<Json, Error> {
        let rendered = self.render_record(record)?;
        let headers: Map<String, Json> =
            rendered.headers.into_iter().map(|(name, value)| (name, Json::from(value))).collect();
        Ok(json!({
            "topic": rendered.topic,
            "key": rendered.key.as_deref().map(String::from_utf8_lossy),
            "value": String::from_utf8_lossy(&rendered.value),
            "headers": headers,
            "timestamp": rendered.timestamp_ms,
        }))
    }
}

/// The key of one row; a row without the value has no key, rather than the same one as all such rows.
fn key_of(key: &Template, row: &Row) -> Option<Vec<u8>> {
    if matches!(key.bind(row), Value::Missing | Value::Null) {
        return None;
    }
    Some(key.bytes(row)).filter(|key| !key.is_empty())
}
