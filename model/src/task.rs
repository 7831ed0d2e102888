//! Spawning of long-running tasks: named, and a panic in one is logged and stays there.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

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
        let mut future = pin!(future);
        // The future is not polled again after a panic, so a state broken halfway is never seen.
        poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(poll) => poll,
            Err(_) => {
                tracing::error!(task = name, "task panicked; it has been stopped and the server goes on");
                Poll::Ready(())
            }
        })
        .await;
    })
}

#[cfg(test)]
mod tests {
    use super::spawn;

    #[test]
    fn a_panic_ends_its_own_task_only() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let broken = spawn("test-broken", async { panic!("on purpose") });
            assert!(broken.await.is_ok(), "the panic must not reach whoever waits for the task");
            assert!(spawn("test-whole", async {}).await.is_ok());
        });
    }
}
