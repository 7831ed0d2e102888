//! The two vocabularies of answers: version 3 (`{"code":…}` with HTTP 200) and native (HTTP status and RFC 9457 problem).

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value as Json, json};

/// Why a request was refused, in terms both vocabularies can say.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
    /// Errors with places, where there are any.
    pub(crate) diagnostics: Vec<Json>,
    /// What there is to say beyond the message (the SQL tester's answer).
    pub(crate) data: Option<Box<Json>>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), diagnostics: Vec::new(), data: None }
    }

    /// What was given is wrong.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// There is no such object; version 3 says only `Not Found`, we say of what.
    pub(crate) fn not_found(what: &str, id: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("Not Found: there is no {what} {id}"))
    }

    /// Nothing was found, for this reason.
    pub(crate) fn not_found_because(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// With more than a message.
    pub(crate) fn with_data(mut self, data: Json) -> Self {
        self.data = Some(Box::new(data));
        self
    }

    /// Ours.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }
}

/// An answer of the version 3 API.
pub(crate) type V3 = Result<Data, Refused3>;
/// An answer of the native API.
pub(crate) type V1 = Result<Json, Refused1>;

/// A part of a list of the native API, and the cursor of what follows.
pub(crate) type Listed1 = Result<(Json, Option<String>), Refused1>;

/// The data of a version 3 answer.
#[derive(Debug)]
pub(crate) enum Data {
    /// `{"code":0}`
    Nothing,
    /// `{"code":0,"data":…}`
    Is(Json),
    /// A list, with `meta` when a page was asked for.
    List { items: Vec<Json>, meta: Option<Json> },
}

impl IntoResponse for Data {
    fn into_response(self) -> Response {
        let body = match self {
            Self::Nothing => json!({"code": 0}),
            Self::Is(data) => json!({"code": 0, "data": data}),
            Self::List { items, meta: None } => json!({"code": 0, "data": items}),
            Self::List { items, meta: Some(meta) } => json!({"code": 0, "data": items, "meta": meta}),
        };
        respond(StatusCode::OK, "application/json", &body)
    }
}

/// A refusal as version 3 says it.
#[derive(Debug)]
pub(crate) struct Refused3(Refusal);

impl From<Refusal> for Refused3 {
    fn from(refusal: Refusal) -> Self {
        Self(refusal)
    }
}

impl IntoResponse for Refused3 {
    fn into_response(self) -> Response {
        let mut body = json!({"code": self.0.status.as_u16(), "message": self.0.message});
        if let Some(body) = body.as_object_mut() {
            if !self.0.diagnostics.is_empty() {
                body.insert("diagnostics".to_owned(), Json::Array(self.0.diagnostics));
            }
            if let Some(data) = self.0.data {
                body.insert("data".to_owned(), *data);
            }
        }
        respond(StatusCode::OK, "application/json", &body)
    }
}

/// A refusal as the native API says it.
#[derive(Debug)]
pub(crate) struct Refused1(Refusal);

impl From<Refusal> for Refused1 {
    fn from(refusal: Refusal) -> Self {
        Self(refusal)
    }
}

impl IntoResponse for Refused1 {
    fn into_response(self) -> Response {
        problem(&self.0)
    }
}

/// `{"data":…}` of the native API.
pub(crate) fn data(result: V1) -> Response {
    match result {
        Ok(data) => respond(StatusCode::OK, "application/json", &json!({"data": data})),
        Err(refused) => refused.into_response(),
    }
}

/// `{"data":[…],"next":…}` of the native API; `next` is null at the end.
pub(crate) fn page(result: Listed1) -> Response {
    match result {
        Ok((data, next)) => respond(StatusCode::OK, "application/json", &json!({"data": data, "next": next})),
        Err(refused) => refused.into_response(),
    }
}

/// An RFC 9457 problem.
pub(crate) fn problem(refusal: &Refusal) -> Response {
    let body = json!({
        "type": "about:blank",
        "title": refusal.status.canonical_reason().unwrap_or("Error"),
        "status": refusal.status.as_u16(),
        "detail": refusal.message,
        "diagnostics": refusal.diagnostics,
    });
    respond(refusal.status, "application/problem+json", &body)
}

fn respond(status: StatusCode, content_type: &'static str, body: &Json) -> Response {
    (status, [(header::CONTENT_TYPE, content_type)], body.to_string()).into_response()
}
