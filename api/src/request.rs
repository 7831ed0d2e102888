//! What requests carry: a JSON body, read with its bound, and a page.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::reply::{Data, Refusal};

/// Most rows one page may have, as version 3 bounds it (`management.max_row_limit`).
const PAGE_ROWS_MAX: usize = 10_000;

/// The body as JSON; `Err` has the line and column of the fault. Whatever the content type says, as version 3 did.
pub(crate) struct Body(pub(crate) Result<Json, Refusal>);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = std::convert::Infallible;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(read(Bytes::from_request(request, state).await)))
    }
}

fn read(body: Result<Bytes, BytesRejection>) -> Result<Json, Refusal> {
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Refusal::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the body is larger than the server takes; the bound is api.body_bytes_max",
        ),
        status => Refusal::new(status, format!("the body cannot be read: {rejection}")),
    })?;
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(json!({}));
    }
    serde_json::from_slice(&body).map_err(|error| {
        // serde_json repeats the place at the end of its message.
        let why = error.to_string();
        let why = why.split(" at line ").next().unwrap_or_default();
        Refusal::invalid(format!("the body is not JSON: line {} column {}: {why}", error.line(), error.column()))
    })
}

/// A text member of the body.
pub(crate) fn text<'a>(body: &'a Json, key: &str) -> Result<Option<&'a str>, Refusal> {
    match body.get(key) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(text)) => Ok(Some(text)),
        Some(_) => Err(Refusal::invalid(format!("{key} must be text"))),
    }
}

/// A text member that has to be there.
pub(crate) fn required<'a>(body: &'a Json, key: &str) -> Result<&'a str, Refusal> {
    text(body, key)?.ok_or_else(|| Refusal::invalid(format!("{key} is required")))
}

/// A yes-or-no member; false when it is not there.
pub(crate) fn flag(body: &Json, key: &str) -> Result<bool, Refusal> {
    match body.get(key) {
        None | Some(Json::Null) => Ok(false),
        Some(Json::Bool(flag)) => Ok(*flag),
        // Version 3 clients send both.
        Some(Json::String(text)) if text == "true" => Ok(true),
        Some(Json::String(text)) if text == "false" => Ok(false),
        Some(_) => Err(Refusal::invalid(format!("{key} must be true or false"))),
    }
}

/// `_page` and `_limit` of version 3.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Page {
    #[serde(rename = "_page")]
    page: Option<String>,
    #[serde(rename = "_limit")]
    limit: Option<String>,
}

impl Page {
    /// The asked-for part of `items`; everything, without `meta`, when no page was asked for.
    pub(crate) fn cut(&self, items: Vec<Json>) -> Result<Data, Refusal> {
        if self.page.is_none() && self.limit.is_none() {
            return Ok(Data::List { items, meta: None });
        }
        let (page, limit) = self.numbers(PAGE_ROWS_MAX)?;
        let count = items.len();
        let skip = (page - 1).saturating_mul(limit);
        let items = items.into_iter().skip(skip).take(limit).collect();
        Ok(Data::List { items, meta: Some(json!({"page": page, "limit": limit, "count": count})) })
    }

    /// Page, from 1, and rows a page.
    pub(crate) fn numbers(&self, limit_default: usize) -> Result<(usize, usize), Refusal> {
        let number = |name: &str, text: &Option<String>, default: usize, max: usize| match text {
            None => Ok(default),
            Some(text) => text
                .parse::<usize>()
                .ok()
                .filter(|n| (1..=max).contains(n))
                .ok_or_else(|| Refusal::invalid(format!("{name} must be a whole number from 1 to {max}"))),
        };
        Ok((number("_page", &self.page, 1, usize::MAX)?, number("_limit", &self.limit, limit_default, PAGE_ROWS_MAX)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_malformed_body_is_told_with_line_and_column() {
        let error = read(Ok(Bytes::from_static(b"{\n  \"a\": 1,\n}"))).unwrap_err();
        assert_eq!(error.message, "the body is not JSON: line 3 column 1: trailing comma");
        assert_eq!(read(Ok(Bytes::from_static(b" \n"))).unwrap(), json!({}));
    }

    #[test]
    fn pages_count_from_one_and_say_how_many_there_are() {
        let page = |page: &str, limit: &str| Page { page: Some(page.to_owned()), limit: Some(limit.to_owned()) };
        let items: Vec<Json> = (1..=5).map(Json::from).collect();
        let Data::List { items: found, meta } = page("2", "2").cut(items.clone()).unwrap() else { panic!("no list") };
        assert_eq!((found, meta), (vec![json!(3), json!(4)], Some(json!({"page": 2, "limit": 2, "count": 5}))));
        let Data::List { items: found, meta } = Page::default().cut(items.clone()).unwrap() else { panic!("no list") };
        assert_eq!((found.len(), meta), (5, None));
        assert!(page("0", "2").cut(items.clone()).unwrap_err().message.contains("_page"));
        assert!(page("18446744073709551615", "10000").cut(items).is_ok());
    }
}
