//! What the tests share.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use store::{Error, ErrorKind, Position, Queue, QueueSettings};

/// Settings under which a test needs few bytes to see several files.
pub(crate) fn small() -> QueueSettings {
    QueueSettings { segment_bytes: 256, ..QueueSettings::default() }
}

/// A record that says its own number.
pub(crate) fn record(n: usize) -> Bytes {
    Bytes::from(format!("record number {n:04}"))
}

/// Opens a queue that was dropped, not closed, a moment ago: its last job may still hold the folder.
pub(crate) async fn reopen(dir: &Path, settings: QueueSettings) -> Result<Queue, Error> {
    eventually(|| async {
        match Queue::open(dir, settings.clone()).await {
            Err(error) if error.kind == ErrorKind::Locked => None,
            other => Some(other),
        }
    })
    .await
}

/// Asks until there is an answer; at most 5 s.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(mut ask: impl FnMut() -> F) -> T {
    for _ in 0..5000 {
        if let Some(answer) = ask().await {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("no answer within 5 s");
}

/// Appends the records `range`, one call each.
pub(crate) async fn append_each(queue: &Queue, range: std::ops::Range<usize>) {
    for n in range {
        queue.append(vec![record(n)]).await.expect("append");
    }
}

/// Reads everything there is; the queue keeps it in flight.
pub(crate) async fn read_all(queue: &Queue) -> Result<Vec<(Position, Bytes)>, Error> {
    let mut all = Vec::new();
    loop {
        let some = queue.read(7, 1 << 20).await?;
        if some.is_empty() {
            return Ok(all);
        }
        all.extend(some);
    }
}

/// As `read_all`, and the error it ends with.
pub(crate) async fn read_until_error(queue: &Queue) -> (Vec<Bytes>, Option<Error>) {
    let mut all = Vec::new();
    loop {
        match queue.read(7, 1 << 20).await {
            Ok(some) if some.is_empty() => return (all, None),
            Ok(some) => all.extend(some.into_iter().map(|(_, body)| body)),
            Err(error) => return (all, Some(error)),
        }
    }
}

/// The bodies alone.
pub(crate) fn bodies(records: Vec<(Position, Bytes)>) -> Vec<Bytes> {
    records.into_iter().map(|(_, body)| body).collect()
}

/// The positions alone.
pub(crate) fn positions(records: &[(Position, Bytes)]) -> Vec<Position> {
    records.iter().map(|(position, _)| *position).collect()
}

/// The records of a range.
pub(crate) fn expect(range: std::ops::Range<usize>) -> Vec<Bytes> {
    range.map(record).collect()
}

/// The segment files of a queue, oldest first.
pub(crate) fn segment_files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir)
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "seg"))
        .collect();
    files.sort();
    files
}

/// Copies a queue's folder, as a crash would leave it.
pub(crate) fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("the copy's folder");
    for entry in std::fs::read_dir(from).expect("the folder") {
        let entry = entry.expect("an entry");
        if entry.file_type().expect("a type").is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy");
        }
    }
}

/// Length of a segment's header and of a record's, as format.rs documents them.
pub(crate) const SEGMENT_HEADER: usize = 32;
pub(crate) const RECORD_HEADER: usize = 20;
