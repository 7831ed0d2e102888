//! The background step of a lake: looks at its tables from time to time, one bounded step after the other.
//!
//! Invariant: the task ends with its lake, after the step at hand; a step that fails is logged and tried again later.

use std::sync::{Arc, Weak};

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::client::Writers;
use crate::settings::Upkeep;

/// The running task.
pub(crate) struct Keeper {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Keeper {
    /// Begins to look after the tables.
    pub(crate) fn start(writers: &Arc<Writers>, upkeep: Upkeep) -> Self {
        let (stop, stopped) = watch::channel(false);
        let task = model::task::spawn("lake-upkeep", run(Arc::downgrade(writers), upkeep, stopped));
        Self { stop, task }
    }

    /// Ends the task after the step at hand.
    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.task.await {
            tracing::warn!(%error, "the upkeep of a lake broke off");
        }
    }
}

async fn run(writers: Weak<Writers>, upkeep: Upkeep, mut stopped: watch::Receiver<bool>) {
    loop {
        // An error means that the lake is gone, which is the same as a stop.
        if tokio::time::timeout(upkeep.interval, stopped.wait_for(|stop| *stop)).await.is_ok() {
            return;
        }
        let Some(tables) = writers.upgrade().map(|writers| writers.all()) else { return };
        for table in tables {
            while !*stopped.borrow() {
                match table.upkeep(upkeep).await {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        tracing::warn!(table = table.name(), %error, "the upkeep of a table failed; it is tried again later");
                        break;
                    }
                }
            }
        }
    }
}
