//! What an answer means: done, try again later, or never.

use std::time::{Duration, Instant};

use connector::{Error, ErrorKind};
use model::{Clock, SystemClock};
use parking_lot::Mutex;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// A server that asks for more than this is not obeyed to the letter: asking again every five minutes harms nobody.
const HOLD_MAX: Duration = Duration::from_secs(300);

/// Bytes of an answer's body that are kept for the error message.
pub(crate) const EXCERPT_BYTES_MAX: usize = 512;

/// The time before which the server does not want to hear from us (`Retry-After`). Writes until then fail as
/// temporary without being sent; when to try again stays the decision of the retry layer.
#[derive(Default)]
pub(crate) struct Hold(Mutex<Option<Instant>>);

impl Hold {
    /// An error while the server wants to be left alone.
    pub(crate) fn check(&self, origin: &str) -> Result<(), Error> {
        let mut until = self.0.lock();
        let Some(moment) = *until else { return Ok(()) };
        match moment.checked_duration_since(SystemClock.instant()) {
            Some(left) if !left.is_zero() => Err(Error::temporary(
                ErrorKind::Exhausted,
                format!("{origin} asked to wait {} s more (Retry-After)", left.as_secs() + 1),
            )),
            _ => {
                *until = None;
                Ok(())
            }
        }
    }

    fn set(&self, wait: Duration) {
        *self.0.lock() = SystemClock.instant().checked_add(wait.min(HOLD_MAX));
    }
}

/// Whether this status needs its body read for the error message.
pub(crate) fn is_success(status: StatusCode) -> bool {
    status.is_success()
}

/// The error of a status that is not 2xx.
pub(crate) fn classify(status: StatusCode, headers: &HeaderMap, what: &str, excerpt: &str, hold: &Hold) -> Error {
    let said = if excerpt.is_empty() { String::new() } else { format!(": {excerpt}") };
    let context = format!("{what} was answered {status}{said}");
    match status.as_u16() {
        401 | 403 => Error::permanent(ErrorKind::Unauthorized, context),
        404 | 410 => Error::permanent(ErrorKind::NotFound, context),
        408 => Error::temporary(ErrorKind::Timeout, context),
        429 | 503 => {
            if let Some(wait) = retry_after(headers) {
                hold.set(wait);
            }
            Error::temporary(ErrorKind::Exhausted, context)
        }
        425 | 500..=599 => Error::temporary(ErrorKind::Exhausted, context),
        300..=399 => {
            let target =
                headers.get(reqwest::header::LOCATION).and_then(|value| value.to_str().ok()).unwrap_or("nowhere");
            Error::permanent(
                ErrorKind::Rejected,
                format!("{context}; it redirects to {target}: use that URL, or set follow_redirects"),
            )
        }
        _ => Error::permanent(ErrorKind::Rejected, context),
    }
}

/// Seconds of a `Retry-After`; its date form (RFC 9110 section 10.2.3) is left to the retry layer's own backoff.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// The error of a request that got no answer.
pub(crate) fn transport(error: reqwest::Error, what: &str) -> Error {
    let (kind, context) = if error.is_timeout() {
        (ErrorKind::Timeout, format!("{what} got no answer in time"))
    } else if error.is_redirect() {
        return Error::permanent(ErrorKind::Rejected, format!("{what} was redirected too often"))
            .with_source(error.without_url());
    } else if error.is_builder() {
        return Error::permanent(ErrorKind::Rejected, format!("{what} is no valid request"))
            .with_source(error.without_url());
    } else {
        (ErrorKind::Unreachable, what.to_owned())
    };
    Error::temporary(kind, context).with_source(error.without_url())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: u16, expect: (ErrorKind, bool)) {
        let hold = Hold::default();
        let error = classify(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), "POST http://x/", "", &hold);
        assert_eq!((error.kind, error.is_temporary()), expect, "{status}");
    }

    #[test]
    fn status_classes_decide_retry_or_failure() {
        check(301, (ErrorKind::Rejected, false));
        check(400, (ErrorKind::Rejected, false));
        check(401, (ErrorKind::Unauthorized, false));
        check(403, (ErrorKind::Unauthorized, false));
        check(404, (ErrorKind::NotFound, false));
        check(408, (ErrorKind::Timeout, true));
        check(413, (ErrorKind::Rejected, false));
        check(422, (ErrorKind::Rejected, false));
        check(425, (ErrorKind::Exhausted, true));
        check(429, (ErrorKind::Exhausted, true));
        check(500, (ErrorKind::Exhausted, true));
        check(502, (ErrorKind::Exhausted, true));
        check(503, (ErrorKind::Exhausted, true));
        check(504, (ErrorKind::Exhausted, true));
    }

    #[test]
    fn retry_after_is_kept_for_all_and_has_a_limit() {
        let hold = Hold::default();
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, "99999".parse().unwrap());
        drop(classify(StatusCode::SERVICE_UNAVAILABLE, &headers, "POST", "", &hold));
        let error = hold.check("http://x").unwrap_err();
        assert!(error.is_temporary() && error.context.contains("wait 300 s more"), "{error}");
        hold.set(Duration::ZERO);
        assert!(hold.check("http://x").is_ok());
    }
}
