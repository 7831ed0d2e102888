//! Requests to the API, and its two ways of saying no turned into exit codes.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value as Json;

use crate::args::Global;
use crate::credentials::{Target, is_loopback};
use crate::exit::{Exit, Failure};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);
/// Rows asked for in one page of a long list.
const PAGE_ROWS: usize = 1000;
/// A list longer than this is cut, with a message: nobody reads it, and a server must not be able to fill our memory.
const LIST_ROWS_MAX: usize = 1_000_000;

/// A connection to one server.
pub struct ApiClient {
    http: reqwest::Client,
    target: Target,
}

impl ApiClient {
    /// For the server the options name. Does not dial yet.
    pub fn new(global: &Global) -> Result<Self, Failure> {
        let target = Target::find(global)?;
        let mut builder = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT).timeout(REQUEST_TIMEOUT);
        if is_loopback(&target.url) {
            // A proxy from the environment cannot reach this machine's loopback.
            builder = builder.no_proxy();
        }
        let http = builder
            .build()
            .map_err(|error| Failure::new(Exit::Failed, format!("cannot make an HTTP client: {error}")))?;
        Ok(Self { http, target })
    }

    /// The address of the server.
    pub fn url(&self) -> &str {
        &self.target.url
    }

    /// Whether there is a key to send.
    pub fn has_credentials(&self) -> bool {
        self.target.credentials.is_some()
    }

    /// `GET`; the data of the answer.
    pub async fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Json, Failure> {
        self.call(Method::GET, path, query, None).await
    }

    /// `POST`; the data of the answer.
    pub async fn post(&self, path: &[&str], body: &Json) -> Result<Json, Failure> {
        self.call(Method::POST, path, &[], Some(body)).await
    }

    /// `PUT`; the data of the answer.
    pub async fn put(&self, path: &[&str], body: &Json) -> Result<Json, Failure> {
        self.call(Method::PUT, path, &[], Some(body)).await
    }

    /// `DELETE`; the data of the answer.
    pub async fn delete(&self, path: &[&str]) -> Result<Json, Failure> {
        self.call(Method::DELETE, path, &[], None).await
    }

    /// Every page of a list.
    pub async fn list(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Vec<Json>, Failure> {
        let mut rows = Vec::new();
        for page in 1.. {
            let (page, limit) = (page.to_string(), PAGE_ROWS.to_string());
            let mut query = query.to_vec();
            query.extend([("_page", page.as_str()), ("_limit", limit.as_str())]);
            let Json::Array(found) = self.get(path, &query).await? else {
                return Err(Failure::new(Exit::Failed, "the server answered with something that is no list"));
            };
            let is_last = found.len() < PAGE_ROWS;
            rows.extend(found);
            if is_last || rows.len() >= LIST_ROWS_MAX {
                break;
            }
        }
        Ok(rows)
    }

    /// A list that goes on by cursor, at most `limit` of it.
    pub async fn list_after(&self, path: &[&str], query: &[(&str, &str)], limit: usize) -> Result<Vec<Json>, Failure> {
        let limit = limit.min(LIST_ROWS_MAX);
        let (mut rows, mut after) = (Vec::new(), None::<String>);
        while rows.len() < limit {
            let page = PAGE_ROWS.min(limit - rows.len()).to_string();
            let mut query = query.to_vec();
            query.push(("limit", page.as_str()));
            query.extend(after.iter().map(|after| ("after", after.as_str())));
            let (status, mut answer) = self.exchange(Method::GET, path, &query, None).await?;
            refuse(status, &answer)?;
            let Some(Json::Array(found)) = answer.get_mut("data").map(Json::take) else {
                return Err(Failure::new(Exit::Failed, "the server answered with something that is no list"));
            };
            rows.extend(found);
            match answer.get("next").and_then(Json::as_str) {
                Some(next) => after = Some(next.to_owned()),
                None => break,
            }
        }
        Ok(rows)
    }

    /// An answer that is no JSON, such as a file.
    pub async fn bytes(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Vec<u8>, Failure> {
        let response = self.send(Method::GET, path, query, None).await?;
        let status = response.status().as_u16();
        let bytes = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        if status >= 400 {
            refuse(status, &serde_json::from_slice(&bytes).unwrap_or_default())?;
        }
        Ok(bytes.to_vec())
    }

    /// A plain text answer, such as `/status`. No credentials are sent.
    pub async fn text(&self, path: &[&str]) -> Result<(u16, String), Failure> {
        let request = self.http.get(self.address(path, &[])?);
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status().as_u16();
        let text = response.text().await.map_err(|error| self.unreachable(&error))?;
        Ok((status, text))
    }

    fn address(&self, path: &[&str], query: &[(&str, &str)]) -> Result<reqwest::Url, Failure> {
        let bad = |why: &str| {
            Failure::new(
                Exit::Usage,
                format!("{} is not the address of a server: {why}; expected http://HOST:PORT", self.target.url),
            )
        };
        let mut url = reqwest::Url::parse(&self.target.url).map_err(|error| bad(&error.to_string()))?;
        url.path_segments_mut().map_err(|()| bad("it cannot have a path"))?.pop_if_empty().extend(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }

    async fn call(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Json>,
    ) -> Result<Json, Failure> {
        let (status, answer) = self.exchange(method, path, query, body).await?;
        unwrap_answer(status, answer)
    }

    async fn send(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Json>,
    ) -> Result<reqwest::Response, Failure> {
        let mut request = self.http.request(method, self.address(path, query)?);
        if let Some((id, secret)) = &self.target.credentials {
            request = request.basic_auth(id, Some(secret));
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        if response.status().as_u16() == 401 {
            return Err(self.unauthorized());
        }
        Ok(response)
    }

    /// HTTP status and JSON of the answer.
    async fn exchange(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Json>,
    ) -> Result<(u16, Json), Failure> {
        let response = self.send(method, path, query, body).await?;
        let status = response.status().as_u16();
        let text = response.text().await.map_err(|error| self.unreachable(&error))?;
        let answer: Json = serde_json::from_str(&text).map_err(|_| {
            let start: String = text.chars().take(200).collect();
            Failure::new(
                Exit::Failed,
                format!("{} answered HTTP {status} and no JSON; is it a weir server? {start}", self.target.url),
            )
        })?;
        Ok((status, answer))
    }

    fn unauthorized(&self) -> Failure {
        let message = match &self.target.credentials {
            Some((id, _)) => format!(
                "{} does not accept the key {id:?}; give --app-id and --app-secret, or the server's --data-dir",
                self.target.url
            ),
            None => format!(
                "{} wants credentials and none were found (looked at {}); give the server's --data-dir, or --app-id and --app-secret",
                self.target.url, self.target.searched
            ),
        };
        Failure::new(Exit::Failed, message)
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        // The innermost cause says what happened ("connection refused"); the outer ones repeat the address.
        let mut cause: &dyn std::error::Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        let why = if error.is_timeout() { "no answer in time".to_owned() } else { cause.to_string() };
        let remedy = "start one with `weir run FILE.yaml` or `weir start`, or name another with --url or --data-dir";
        Failure::new(Exit::Unreachable, format!("no server at {}: {why}; {remedy}", self.target.url))
    }
}

/// `{"code":0,"data":…}` and HTTP 200 with another code (version 3), or an HTTP error with a problem (native).
fn unwrap_answer(status: u16, mut answer: Json) -> Result<Json, Failure> {
    refuse(status, &answer)?;
    if answer.get("data").is_none() && answer.get("code").is_none() {
        return Ok(answer);
    }
    Ok(answer.get_mut("data").map_or(Json::Null, Json::take))
}

/// The refusal in an answer, if it is one.
fn refuse(status: u16, answer: &Json) -> Result<(), Failure> {
    let code = answer.get("code").and_then(Json::as_i64);
    let refused = match code {
        Some(0) => None,
        Some(code) => Some(code),
        None if status >= 400 => Some(i64::from(status)),
        None => None,
    };
    if let Some(code) = refused {
        let text = |key: &str| answer.get(key).and_then(Json::as_str).filter(|text| !text.is_empty());
        let message =
            text("message").or_else(|| text("detail")).or_else(|| text("title")).unwrap_or("the server gave no reason");
        let exit = match code {
            404 => Exit::NotFound,
            409 => Exit::Conflict,
            400 | 422 | 107..=109 => Exit::Invalid,
            _ => Exit::Failed,
        };
        let places =
            answer.get("diagnostics").and_then(Json::as_array).into_iter().flatten().filter_map(place).collect();
        return Err(Failure { places, ..Failure::new(exit, message) });
    }
    Ok(())
}

/// Where in the SQL a diagnostic points; `None` for those about something else.
fn place(diagnostic: &Json) -> Option<(usize, usize)> {
    let position = diagnostic.get("position")?.as_array()?;
    let number = |index: usize| usize::try_from(position.get(index)?.as_u64()?).ok();
    (diagnostic.get("field")?.as_str()? == "sql").then_some((number(0)?, number(1)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_refusal_has_its_exit_code() {
        let exit =
            |status, answer: Json| unwrap_answer(status, answer).map_err(|failure| (failure.exit, failure.message));
        assert_eq!(exit(200, json!({"code": 0, "data": [1]})), Ok(json!([1])));
        assert_eq!(exit(200, json!({"code": 0})), Ok(Json::Null));
        assert_eq!(
            exit(200, json!({"code": 404, "message": "Not Found"})),
            Err((Exit::NotFound, "Not Found".to_owned()))
        );
        assert_eq!(exit(200, json!({"code": 400, "message": "bad"})), Err((Exit::Invalid, "bad".to_owned())));
        assert_eq!(
            exit(409, json!({"title": "Conflict", "detail": "owned"})),
            Err((Exit::Conflict, "owned".to_owned()))
        );
        assert_eq!(exit(500, json!({})), Err((Exit::Failed, "the server gave no reason".to_owned())));
        assert_eq!(exit(200, json!({"rows": []})), Ok(json!({"rows": []})));
    }
}
