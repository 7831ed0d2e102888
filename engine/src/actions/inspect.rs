//! `inspect`: prints the content of the row and all the arguments, and keeps the last rows for the API.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use connector::{Error, Record, Sink, WriteError};
use model::Clock;
use parking_lot::Mutex;
use serde_json::{Value as Json, json};

use crate::Inspection;

/// The last rows of one rule's `inspect` actions. Owned by the rule, written by the sinks.
pub(crate) struct Inspector {
    kept: Mutex<VecDeque<Inspection>>,
    kept_max: usize,
}

impl Inspector {
    pub(crate) fn new(kept_max: usize) -> Self {
        Self { kept: Mutex::new(VecDeque::new()), kept_max: kept_max.max(1) }
    }

    /// Oldest first.
    pub(crate) fn all(&self) -> Vec<Inspection> {
        self.kept.lock().iter().cloned().collect()
    }

    fn keep(&self, inspection: Inspection) {
        let mut kept = self.kept.lock();
        while kept.len() >= self.kept_max {
            kept.pop_front();
        }
        kept.push_back(inspection);
    }
}

/// The sink.
pub(super) struct Inspect {
    inspector: Arc<Inspector>,
    params: Json,
    clock: Arc<dyn Clock>,
}

impl Inspect {
    pub(super) fn new(inspector: Arc<Inspector>, params: Json, clock: Arc<dyn Clock>) -> Self {
        Self { inspector, params, clock }
    }
}

#[async_trait]
impl Sink for Inspect {
    async fn write(&self, batch: &[Record]) -> Result<(), WriteError> {
        for record in batch {
            let row = record.row.to_json();
            tracing::info!(rule = %record.rule, row = %row, params = %self.params, "inspect");
            self.inspector.keep(Inspection {
                at_ms: self.clock.now_ms(),
                rule: record.rule.clone(),
                row,
                event: record.event.as_ref().map(|event| event.to_json()),
                params: self.params.clone(),
            });
        }
        Ok(())
    }

    fn render(&self, record: &Record) -> Result<Json, Error> {
        Ok(json!({"row": record.row.to_json(), "params": self.params}))
    }
}
