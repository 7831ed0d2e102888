//! Disk work off the async workers.

use crate::error::{Error, ErrorKind};

/// Runs `work` on the blocking pool of the current runtime.
pub(crate) async fn blocking<T, F>(work: F) -> Result<T, Error>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, Error> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(e) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
        Err(_) => Err(Error::new(ErrorKind::Closed, "", "the server is shutting down")),
    }
}
