//! SIGTERM and SIGINT: the first asks for a graceful stop, the second for an immediate one. SIGHUP asks to read again what can
//! be read again.

use std::io::{self, Write};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that a server listens to.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Starts listening for them; from now on they no longer end the process by themselves.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one that stops the server, calling `reload` for every SIGHUP before it, and returns its name.
    pub(crate) async fn next_stop(&mut self, mut reload: impl AsyncFnMut()) -> &'static str {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.hangup.recv() => reload().await,
            }
        }
    }

    /// Waits for the next one that stops the server and returns its name.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// Ends the process as soon as another signal comes.
    pub(crate) async fn force_on_next(&mut self) {
        let name = self.next().await;
        // The logger may wait for something that will never come.
        drop(writeln!(io::stderr(), "{name} again: stopping at once; rows in memory queues are lost"));
        std::process::exit(1);
    }
}
