//! Rules in the key-value store: table `rules`, one JSON document a rule.

use model::Str;
use serde::{Deserialize, Serialize};
use store::Kv;

use crate::{Error, RuleSpec};

const TABLE: &str = "rules";
/// Version of the document; a later one is refused instead of misread.
const VERSION: u32 = 1;

/// A rule as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Stored {
    version: u32,
    pub(crate) spec: RuleSpec,
    /// Milliseconds since the epoch.
    pub(crate) created_at_ms: i64,
}

impl Stored {
    pub(crate) fn new(spec: RuleSpec, created_at_ms: i64) -> Self {
        Self { version: VERSION, spec, created_at_ms }
    }
}

/// Every stored rule, by id.
pub(crate) async fn load(kv: &Kv) -> Result<Vec<(Str, Stored)>, Error> {
    let found =
        kv.scan(TABLE, b"").await.map_err(|error| Error::Unavailable(format!("the rules cannot be read: {error}")))?;
    found
        .into_iter()
        .map(|(key, value)| {
            let id = Str::from(String::from_utf8_lossy(&key).into_owned());
            let stored: Stored = serde_json::from_slice(&value)
                .map_err(|error| Error::Unavailable(format!("the stored rule {id} cannot be read: {error}")))?;
            if stored.version == VERSION {
                Ok((id, stored))
            } else {
                Err(Error::Unavailable(format!(
                    "the stored rule {id} has version {}, this server reads {VERSION}",
                    stored.version
                )))
            }
        })
        .collect()
}

/// Keeps a rule; durable when it returns.
pub(crate) async fn save(kv: &Kv, id: &str, stored: &Stored) -> Result<(), Error> {
    let json =
        serde_json::to_vec(stored).map_err(|error| Error::Internal(format!("the rule cannot be written: {error}")))?;
    kv.put(TABLE, id.as_bytes().to_vec(), json)
        .await
        .map_err(|error| Error::Unavailable(format!("the rule cannot be stored: {error}")))
}

/// Forgets a rule; durable when it returns.
pub(crate) async fn delete(kv: &Kv, id: &str) -> Result<(), Error> {
    kv.delete(TABLE, id.as_bytes().to_vec())
        .await
        .map_err(|error| Error::Unavailable(format!("the rule cannot be removed from the store: {error}")))
}
