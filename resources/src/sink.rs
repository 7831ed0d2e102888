//! A sink that follows its resource through updates, stops and starts.

use std::sync::Arc;

use async_trait::async_trait;
use connector::{ActionSpec, Config, Error, Record, Sink, WriteError};
use parking_lot::Mutex;

use crate::entry::{Binding, Entry, Use};

pub(crate) struct FollowingSink {
    entry: Arc<Entry>,
    binding: Arc<Binding>,
    /// The sink of the client of that generation.
    current: Mutex<(u64, Arc<dyn Sink>)>,
    _use: Use,
}

impl FollowingSink {
    pub(crate) fn new(
        entry: Arc<Entry>,
        action: &'static ActionSpec,
        params: Config,
        rule: &str,
    ) -> Result<Self, Error> {
        let (generation, client) = entry.client()?;
        let current = Mutex::new((generation, client.sink(action, &params)?));
        let used = Use::new(&entry, rule);
        let binding = entry.bind(Binding { action, params, rule: rule.into() });
        Ok(Self { entry, binding, current, _use: used })
    }

    fn current(&self) -> Result<Arc<dyn Sink>, Error> {
        let (generation, client) = self.entry.client()?;
        let mut current = self.current.lock();
        if current.0 != generation {
            *current = (generation, client.sink(self.binding.action, &self.binding.params)?);
        }
        Ok(Arc::clone(&current.1))
    }
}

#[async_trait]
impl Sink for FollowingSink {
    async fn write(&self, batch: &[Record]) -> Result<(), WriteError> {
        let sink = self.current()?;
        sink.write(batch).await
    }

    fn render(&self, record: &Record) -> Result<serde_json::Value, Error> {
        self.current()?.render(record)
    }
}
