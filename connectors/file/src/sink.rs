//! Rows to lines, grouped by file.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use connector::{Error, ErrorKind, Record, Sink, WriteError};
use serde_json::json;

use crate::client::Folder;
use crate::settings::Params;

pub(crate) struct FileSink {
    folder: Arc<Folder>,
    params: Params,
}

/// The rows of one batch for one file.
#[derive(Default)]
struct Lines {
    rows: Vec<usize>,
    text: Vec<u8>,
}

impl FileSink {
    pub(crate) fn new(folder: Arc<Folder>, params: Params) -> Self {
        Self { folder, params }
    }

    fn path(&self, record: &Record) -> Result<String, Error> {
        let path = self.params.path.text(&record.row);
        checked_path(&path, ErrorKind::Rejected)?;
        Ok(path)
    }

    fn line(&self, record: &Record) -> Vec<u8> {
        let mut line = match &self.params.line {
            Some(template) => template.bytes(&record.row),
            None => record.row.to_json().to_string().into_bytes(),
        };
        line.push(b'\n');
        line
    }
}

#[async_trait]
impl Sink for FileSink {
    async fn write(&self, batch: &[Record]) -> Result<(), WriteError> {
        let mut failed: Vec<(usize, Error)> = Vec::new();
        let mut files: BTreeMap<String, Lines> = BTreeMap::new();
        for (index, record) in batch.iter().enumerate() {
            match self.path(record) {
                Ok(path) => {
                    let lines = files.entry(path).or_default();
                    lines.rows.push(index);
                    lines.text.extend(self.line(record));
                }
                Err(error) => failed.push((index, error)),
            }
        }
        for (path, lines) in files {
            if let Err(error) = self.folder.append(&path, lines.text).await {
                // Nothing of this file's lines is there; every row of it fails for the same reason.
                let again = |index| (index, Error { source: None, context: error.to_string(), ..error });
                failed.extend(lines.rows.into_iter().map(again));
            }
        }
        if failed.is_empty() {
            return Ok(());
        }
        failed.sort_by_key(|(index, _)| *index);
        Err(WriteError::Rows(failed))
    }

    fn render(&self, record: &Record) -> Result<serde_json::Value, Error> {
        Ok(json!({"path": self.path(record)?, "line": String::from_utf8_lossy(&self.line(record))}))
    }
}

/// Checks that a path stays below the folder.
pub(crate) fn checked_path(path: &str, kind: ErrorKind) -> Result<(), Error> {
    let bad = |part: &str| matches!(part, "" | "." | "..") || part.chars().any(|c| c.is_control() || c == '\\');
    if path.split('/').any(bad) {
        let why =
            "is not a path below the folder: it has an empty part, a part . or .., a backslash or a control character";
        return Err(Error::permanent(kind, format!("the file {path:?} {why}")));
    }
    Ok(())
}
