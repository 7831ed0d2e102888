//! From a record to a request: URL, headers and body, each with its own way of keeping a value in its place.

use connector::template::Part;
use connector::{Config, Error, ErrorKind, JsonTemplate, Record, Template};
use model::{Row, Value};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use crate::client::literal_origin;

/// Everything but the unreserved characters of RFC 3986 section 2.3: a value stays within its path segment or query value.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Header with the id of the record, which is the same in every attempt.
pub(crate) const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The parsed templates of one action.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) method: Method,
    url: Template,
    headers: Vec<(HeaderName, Template)>,
    body: Option<Body>,
    /// Whether a batch is one request.
    pub(crate) json_array: bool,
}

/// How a body is made.
#[derive(Debug)]
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

/// One request, ready to be sent.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Vec<u8>>,
}

impl Plan {
    /// Parses what the resource alone can get wrong.
    pub(crate) fn check_resource(resource: &Config) -> Result<(), Error> {
        Template::parse(resource.text("url").unwrap_or_default())?;
        headers(resource.map("headers")).map(drop)
    }

    /// The templates of the resource and of the action together.
    pub(crate) fn new(resource: &Config, params: &Config) -> Result<Self, Error> {
        let base = resource.text("url").unwrap_or_default();
        let path = params.text("path").unwrap_or_default();
        // Without a separator a path could go on with the host name.
        let joined = match (path.is_empty(), literal_origin(base).is_ok_and(|origin| origin.len() == base.len())) {
            (true, _) => base.to_owned(),
            (false, true) if !path.starts_with(['/', '?']) => format!("{base}/{path}"),
            (false, _) if base.ends_with('/') => format!("{base}{}", path.strip_prefix('/').unwrap_or(path)),
            (false, _) => format!("{base}{path}"),
        };
        let method = params.text("method").or_else(|| resource.text("method")).unwrap_or("POST");
        let method = method
            .parse()
            .map_err(|error| Error::permanent(ErrorKind::Config, format!("method {method:?}")).with_source(error))?;
        let mut all = headers(resource.map("headers"))?;
        for (name, value) in headers(params.map("headers"))? {
            all.retain(|(known, _)| *known != name);
            all.push((name, value));
        }
        let plan = Self {
            method,
            url: Template::parse(&joined)?,
            headers: all,
            body: params.text("body").map(Body::parse).transpose()?,
            json_array: params.text("batch") == Some("json_array"),
        };
        if plan.json_array {
            let literal = |template: &Template| template.parts().iter().all(|part| matches!(part, Part::Literal(_)));
            if !literal(&plan.url) || !plan.headers.iter().all(|(_, value)| literal(value)) {
                return Err(Error::permanent(
                    ErrorKind::Config,
                    "batch: json_array sends one request for many rows, so url, path and headers must not use ${…}",
                ));
            }
            if !plan.has_body() {
                return Err(Error::permanent(
                    ErrorKind::Config,
                    format!("batch: json_array needs a method with a body, not {}", plan.method),
                ));
            }
        }
        Ok(plan)
    }

    /// The request of one record.
    pub(crate) fn request(&self, record: &Record) -> Result<Request, Error> {
        let mut headers = self.headers(&record.row)?;
        let key = HeaderValue::from_str(&record.id).map_err(|error| {
            Error::permanent(ErrorKind::Internal, "the id of the record is no header value").with_source(error)
        })?;
        headers.entry(IDEMPOTENCY_KEY).or_insert(key);
        Ok(Request { url: self.url(&record.row)?, headers, body: self.has_body().then(|| self.body(record)) })
    }

    /// The one request of a batch, whose elements are bodies that were made by [`Plan::element`].
    pub(crate) fn array_request(&self, elements: &[String]) -> Result<Request, Error> {
        let nothing = Row::from_pairs::<&str>([]);
        Ok(Request {
            url: self.url(&nothing)?,
            headers: self.headers(&nothing)?,
            body: Some(format!("[{}]", elements.join(",")).into_bytes()),
        })
    }

    /// The body of one record as an element of a JSON array.
    pub(crate) fn element(&self, record: &Record) -> Result<String, Error> {
        let body = self.body(record);
        let not_json = |error: &dyn std::fmt::Display| {
            Error::permanent(
                ErrorKind::Rejected,
                format!("the body is not JSON, so it cannot be an element of a JSON array: {error}"),
            )
        };
        serde_json::from_slice::<serde_json::Value>(&body).map_err(|error| not_json(&error))?;
        String::from_utf8(body).map_err(|error| not_json(&error))
    }

    fn has_body(&self) -> bool {
        self.method != Method::GET && self.method != Method::DELETE
    }

    fn body(&self, record: &Record) -> Vec<u8> {
        match &self.body {
            None => record.row.to_json().to_string().into_bytes(),
            Some(Body::Json(template)) => template.text(&record.row).into_bytes(),
            Some(Body::Plain(template)) => template.bytes(&record.row),
        }
    }

    fn headers(&self, row: &Row) -> Result<HeaderMap, Error> {
        let mut map = HeaderMap::with_capacity(self.headers.len() + 2);
        for (name, template) in &self.headers {
            // The type refuses line breaks and other control characters, so a value cannot add a header.
            let value = HeaderValue::from_str(&template.text(row)).map_err(|_| {
                Error::permanent(
                    ErrorKind::Rejected,
                    format!("the value for header {name} has a line break or another control character"),
                )
            })?;
            map.insert(name.clone(), value);
        }
        if self.has_body() {
            map.entry(reqwest::header::CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
        }
        Ok(map)
    }

    fn url(&self, row: &Row) -> Result<Url, Error> {
        let rejected = |why: String| Error::permanent(ErrorKind::Rejected, why);
        let mut text = String::new();
        for part in self.url.parts() {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Slot { path, default } => {
                    let value = plain(&Template::value(path, row)).or_else(|| default.clone());
                    // A hole in a URL would address something else.
                    let value = value.filter(|value| !value.is_empty());
                    let value = value.ok_or_else(|| {
                        rejected(format!("the row has no value for ${{{}}} in the URL", path.join(".")))
                    })?;
                    text.extend(utf8_percent_encode(&value, ENCODED));
                }
            }
        }
        // URL parsers resolve dot segments even when they are percent-encoded, so a value "..", kept as it is, would climb.
        let below = text.split_once("://").map_or("", |(_, rest)| rest);
        let path = below.split(['?', '#']).next().unwrap_or(below);
        if path
            .split('/')
            .any(|segment| matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | ".."))
        {
            return Err(rejected("the path of the URL has a segment \".\" or \"..\"".to_owned()));
        }
        Url::parse(&text).map_err(|error| rejected(format!("the URL {text:?} is not valid: {error}")))
    }
}

fn headers(map: &[(String, String)]) -> Result<Vec<(HeaderName, Template)>, Error> {
    map.iter()
        .map(|(name, value)| {
            let header = HeaderName::from_bytes(name.as_bytes()).map_err(|error| {
                Error::permanent(ErrorKind::Config, format!("headers: {name:?} is no header name")).with_source(error)
            })?;
            if value.contains(['\r', '\n']) {
                return Err(Error::permanent(
                    ErrorKind::Config,
                    format!("headers: the value for {name} has a line break"),
                ));
            }
            Ok((header, Template::parse(value)?))
        })
        .collect()
}

/// A value as the text that goes into a URL; missing and null have none.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::Missing | Value::Null => None,
        Value::Text(text) => Some(text.to_string()),
        other => Some(match other.to_json() {
            serde_json::Value::String(text) => text,
            json => json.to_string(),
        }),
    }
}
