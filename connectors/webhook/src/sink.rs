//! The action `data_to_webserver`.

use std::sync::Arc;

use async_trait::async_trait;
use connector::{Error, Record, Sink, WriteError};
use serde_json::{Map, Value as Json, json};

use crate::answer::{self, EXCERPT_BYTES_MAX};
use crate::client::{Auth, Shared};
use crate::request::{Plan, Request};

/// Sends rows with the shared client.
pub(crate) struct HttpSink {
    shared: Arc<Shared>,
    plan: Plan,
}

impl HttpSink {
    pub(crate) fn new(shared: Arc<Shared>, plan: Plan) -> Self {
        Self { shared, plan }
    }

    /// Sends one request and reads its answer; `Ok` only for a status 2xx.
    async fn send(&self, request: Request) -> Result<(), Error> {
        self.shared.hold.check(&self.shared.origin)?;
        // The query may carry values that are nobody's business in a log.
        let what = format!("{} {}{}", self.plan.method, self.shared.origin, request.url.path());
        let mut builder = self.shared.http.request(self.plan.method.clone(), request.url).headers(request.headers);
        builder = match &self.shared.auth {
            Some(Auth::Bearer(token)) => builder.bearer_auth(token.expose()),
            Some(Auth::Basic(user, password)) => builder.basic_auth(user, Some(password.expose())),
            None => builder,
        };
        if let Some(body) = request.body {
            builder = builder.body(body);
        }
        let mut response = builder.send().await.map_err(|error| answer::transport(error, &what))?;
        let (status, headers) = (response.status(), response.headers().clone());
        // The body is read to its end (within a bound), so that the connection can be used again.
        let mut excerpt = Vec::new();
        let mut read = 0;
        while let Some(chunk) = response.chunk().await.map_err(|error| answer::transport(error, &what))? {
            read += chunk.len();
            let room = EXCERPT_BYTES_MAX.saturating_sub(excerpt.len());
            excerpt.extend(chunk.iter().take(room));
            if read > ANSWER_BYTES_MAX {
                break;
            }
        }
        if answer::is_success(status) {
            return Ok(());
        }
        Err(answer::classify(status, &headers, &what, String::from_utf8_lossy(&excerpt).trim(), &self.shared.hold))
    }

    /// One request a row, in order. After a row that the outside could not take, the rest is not sent: it would
    /// overtake that row.
    async fn write_each(&self, batch: &[Record]) -> Result<(), WriteError> {
        let mut failed = Vec::new();
        for (index, record) in batch.iter().enumerate() {
            let outcome = match self.plan.request(record) {
                Ok(request) => self.send(request).await,
                Err(error) => Err(error),
            };
            let Err(error) = outcome else { continue };
            let stop = error.is_temporary();
            let kind = error.kind;
            failed.push((index, error));
            if stop {
                failed.extend(
                    (index + 1..batch.len()).map(|later| {
                        (later, Error::temporary(kind, "not sent: an earlier row of the batch has to wait"))
                    }),
                );
                break;
            }
        }
        if failed.is_empty() { Ok(()) } else { Err(WriteError::Rows(failed)) }
    }

    /// One request for the batch. A row that cannot be an element is left out and reported.
    async fn write_array(&self, batch: &[Record]) -> Result<(), WriteError> {
        let mut failed = Vec::new();
        let mut elements = Vec::with_capacity(batch.len());
        for (index, record) in batch.iter().enumerate() {
            match self.plan.element(record) {
                Ok(element) => elements.push(element),
                Err(error) => failed.push((index, error)),
            }
        }
        if !elements.is_empty() {
            self.send(self.plan.array_request(&elements)?).await?;
        }
        if failed.is_empty() { Ok(()) } else { Err(WriteError::Rows(failed)) }
    }
}

/// An answer longer than this is not read further; its connection is given up.
const ANSWER_BYTES_MAX: usize = 1 << 20;

#[async_trait]
impl Sink for HttpSink {
    async fn write(&self, batch: &[Record]) -> Result<(), WriteError> {
        if self.plan.json_array { self.write_array(batch).await } else { self.write_each(batch).await }
    }

    fn render(&self, record: &Record) -> Result<Json, Error> {
        let request = if self.plan.json_array {
            self.plan.array_request(&[self.plan.element(record)?])?
        } else {
            self.plan.request(record)?
        };
        let mut headers = Map::new();
        for (name, value) in &request.headers {
            let shown = if is_sensitive(name.as_str()) { "******" } else { value.to_str().unwrap_or("(not text)") };
            headers.insert(name.to_string(), Json::from(shown));
        }
        if self.shared.auth.is_some() {
            headers.insert("authorization".to_owned(), Json::from("******"));
        }
        Ok(json!({
            "method": self.plan.method.as_str(),
            "url": request.url.as_str(),
            "headers": headers,
            "body": request.body.as_deref().map(String::from_utf8_lossy),
        }))
    }
}

/// Headers that usually carry credentials. The manual itself puts one into `token` (section 8.16.2).
fn is_sensitive(name: &str) -> bool {
    ["authorization", "cookie", "token", "secret", "password", "api-key", "apikey"]
        .iter()
        .any(|word| name.contains(word))
}
