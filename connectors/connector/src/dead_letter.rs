//! Rows that could not be delivered, kept in the key-value store until somebody looks at them, replays or drops them.
//! (Signatures; the bodies are in the next commit.)

use std::sync::Arc;

use model::{Clock, Str};
use serde::Serialize;
use serde_json::Value as Json;
use store::Kv;

use crate::{Error, ErrorKind};

/// Bounds of the dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeadLetterLimits {
    /// Most dead letters; the oldest makes room.
    pub count_max: usize,
    /// Most bytes of dead letters as stored; the oldest make room.
    pub bytes_max: u64,
}

impl Default for DeadLetterLimits {
    fn default() -> Self {
        Self { count_max: 100_000, bytes_max: 256 << 20 }
    }
}

/// The dead letters of a server. Clones share them.
#[derive(Clone)]
pub struct DeadLetters {
    _kv: Kv,
}

/// One dead letter for showing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeadLetterView {
    /// Sortable by time of arrival.
    pub id: Str,
    /// Error class: [`ErrorKind::name`], `expired` or `queue_full`.
    pub class: Str,
    /// What went wrong, as the connector said it.
    pub error: String,
    /// Attempts made.
    pub attempts: u32,
    /// First attempt, milliseconds since the epoch.
    pub first_at_ms: i64,
    /// Last attempt, milliseconds since the epoch.
    pub time: i64,
    /// Rule id.
    pub rule: Str,
    /// Action id, such as `rule:9a6a725d/0`.
    pub action: Str,
    /// Action name, such as `data_to_pgsql`.
    pub action_name: Str,
    /// Resource id.
    pub resource: Option<Str>,
    /// Record id.
    pub record: Str,
    /// The row.
    pub row: Json,
    /// The original event, where it was kept.
    pub event: Option<Json>,
}

/// Which dead letters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadLetterFilter {
    /// Only of this rule.
    pub rule: Option<Str>,
    /// Only of this action id.
    pub action: Option<Str>,
}

/// Dead letters, oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeadLetterPage {
    /// The letters.
    pub letters: Vec<DeadLetterView>,
    /// Give this to the next call; `None` at the end.
    pub next: Option<Str>,
}

impl DeadLetters {
    /// Opens them.
    pub async fn open(kv: Kv, limits: DeadLetterLimits, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let _ = (kv, limits, clock);
        Err(Error::permanent(ErrorKind::Unsupported, "dead letters are in the next commit"))
    }

    /// At most `limit` letters behind `after`, oldest first.
    pub async fn list(
        &self,
        filter: &DeadLetterFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<DeadLetterPage, Error> {
        let _ = (filter, after, limit);
        Ok(DeadLetterPage::default())
    }

    /// One letter; [`ErrorKind::NotFound`] when it is not there.
    pub async fn show(&self, id: &str) -> Result<DeadLetterView, Error> {
        Err(Error::permanent(ErrorKind::NotFound, format!("there is no dead letter {id}")))
    }

    /// Gives letters to their actions' queues again; each is removed only once it is safely queued. Works on running
    /// actions: a letter of a rule that is gone stays and is an error.
    pub async fn replay(&self, ids: &[Str]) -> Vec<(Str, Result<(), Error>)> {
        let _ = ids;
        Vec::new()
    }

    /// Like [`DeadLetters::replay`] for all that match; stops at the first error. Returns how many were replayed.
    pub async fn replay_all(&self, filter: &DeadLetterFilter) -> Result<u64, Error> {
        let _ = filter;
        Ok(0)
    }

    /// Forgets letters; ids that are not there are not counted. Returns how many there were.
    pub async fn drop_letters(&self, ids: &[Str]) -> Result<u64, Error> {
        let _ = ids;
        Ok(0)
    }

    /// Forgets all that match. Returns how many.
    pub async fn drop_all(&self, filter: &DeadLetterFilter) -> Result<u64, Error> {
        let _ = filter;
        Ok(0)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        0
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
