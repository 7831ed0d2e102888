//! One client per resource: the folder, and one writer at a time in it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use connector::{ActionSpec, Client, Config, Connector, Error, ErrorKind, Sink, Spec};
use tokio::sync::Mutex;

use crate::append::{append, check_folder};
use crate::settings::{Params, SPEC};
use crate::sink::FileSink;

pub(crate) struct File;

#[async_trait]
impl Connector for File {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    async fn open(&self, config: &Config) -> Result<Arc<dyn Client>, Error> {
        let folder = PathBuf::from(config.text("folder").unwrap_or_default());
        Ok(Arc::new(FileClient(Arc::new(Folder {
            path: folder,
            writer: Arc::default(),
            closed: AtomicBool::new(false),
        }))))
    }
}

struct FileClient(Arc<Folder>);

/// What the client shares with its sinks.
pub(crate) struct Folder {
    path: PathBuf,
    /// Held by the one write that is going on, until the disk is done with it, even if nobody waits for it any more.
    writer: Arc<Mutex<()>>,
    closed: AtomicBool,
}

impl Folder {
    /// Appends the text to the file; when this is `Ok` it is on the device.
    pub(crate) async fn append(&self, file: &str, text: Vec<u8>) -> Result<(), Error> {
        let writer = Arc::clone(&self.writer).lock_owned().await;
        self.refuse_if_closed()?;
        let (folder, file) = (self.path.clone(), file.to_owned());
        self.blocking(move || {
            let result = append(&folder, &file, &text);
            drop(writer);
            result
        })
        .await
    }

    fn refuse_if_closed(&self) -> Result<(), Error> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::temporary(ErrorKind::Closed, "the file client is closed"));
        }
        Ok(())
    }

    async fn blocking<F>(&self, work: F) -> Result<(), Error>
    where
        F: FnOnce() -> Result<(), Error> + Send + 'static,
    {
        tokio::task::spawn_blocking(work)
            .await
            .unwrap_or_else(|_| Err(Error::temporary(ErrorKind::Closed, "the server is stopping")))
    }
}

#[async_trait]
impl Client for FileClient {
    async fn check(&self) -> Result<(), Error> {
        self.0.refuse_if_closed()?;
        let folder = self.0.path.clone();
        self.0.blocking(move || check_folder(&folder)).await
    }

    fn sink(&self, _: &'static ActionSpec, params: &Config) -> Result<Arc<dyn Sink>, Error> {
        Ok(Arc::new(FileSink::new(Arc::clone(&self.0), Params::new(params)?)))
    }

    async fn close(&self) {
        self.0.closed.store(true, Ordering::Release);
        // Whoever writes now is let finish.
        drop(self.0.writer.lock().await);
    }
}
