//! Spawning of long-running tasks: named, and a panic in one is logged and stays there.

use std::future::Future;

use tokio::task::JoinHandle;

/// Runs `future` as a task called `name`. A panic inside is logged with that name and ends only this task.
///
/// This is the one place that may call `tokio::spawn` (clippy.toml bans it elsewhere).
#[expect(clippy::disallowed_methods, reason = "the one allowed use: the supervised spawn itself")]
pub fn spawn<F>(name: &'static str, future: F) -> JoinHandle<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    tokio::spawn(async move {
        let inner = tokio::spawn(future);
        let abort = AbortOnDrop(inner.abort_handle());
        if let Err(error) = inner.await
            && error.is_panic()
        {
            tracing::error!(task = name, "task panicked; it has been stopped and the server goes on");
        }
        drop(abort);
    })
}

/// Aborting the outer handle must stop the work itself too.
struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
