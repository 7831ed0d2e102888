//! The ordered log of one node, through the trait.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use store::{
    Batch, Durability, Entry, Error, ErrorKind, Fsync, LocalLog, LogId, LogSettings, Offset, OrderedLog, ShardId,
    WriterId,
};
use tempfile::tempdir;

use crate::support::*;

const LOG: LogId = LogId(3);

fn small_log() -> LogSettings {
    LogSettings { segment_bytes: 300, ..LogSettings::default() }
}

fn batch(writer: u128, wseq: u64) -> Batch {
    let entry = |shard, body: String| Entry { shard: ShardId(shard), version: 1, body: Bytes::from(body) };
    let entries = vec![entry(1, format!("{writer}/{wseq}")), entry(2, String::new())];
    Batch { writer: WriterId(writer), wseq, entries }
}

async fn take(log: &LocalLog, from: u64, count: usize) -> Vec<(Offset, Batch)> {
    log.read(LOG, Offset(from)).take(count).map(|item| item.expect("a batch")).collect().await
}

async fn reopened(dir: &std::path::Path) -> LocalLog {
    let log = LocalLog::open(dir, small_log()).await.expect("open");
    eventually(|| async {
        match log.bounds(LOG).await {
            Err(error) if error.kind == ErrorKind::Locked => None,
            other => Some(other.expect("bounds")),
        }
    })
    .await;
    log
}

#[tokio::test]
async fn l1_l3_every_reader_sees_the_same_prefix_also_after_reopening() {
    let dir = tempdir().expect("a folder");
    let log = LocalLog::open(dir.path(), small_log()).await.expect("open");
    for n in 0..20 {
        assert_eq!(log.append(LOG, batch(1, n)).await.expect("append"), Offset(n));
    }
    let expect: Vec<_> = (0..20).map(|n| (Offset(n), batch(1, n))).collect();
    assert_eq!(take(&log, 0, 20).await, expect);
    assert_eq!(take(&log, 13, 7).await, expect[13..]);
    assert!(segment_files(&dir.path().join("log-00003")).len() > 3);
    drop(log);
    let log = reopened(dir.path()).await;
    assert_eq!(take(&log, 0, 20).await, expect);
    assert_eq!(log.bounds(LOG).await.expect("bounds"), (Offset(0), Offset(20)));
}

#[tokio::test]
async fn a_reader_follows_the_log_and_ends_when_it_is_closed() {
    let dir = tempdir().expect("a folder");
    let log = LocalLog::open(dir.path(), small_log()).await.expect("open");
    let mut reader = pin!(log.read(LOG, Offset(0)));
    assert!(reader.next().now_or_never().is_none(), "nothing is there yet");
    for n in 0..5 {
        let (item, appended) = tokio::join!(reader.next(), log.append(LOG, batch(1, n)));
        appended.expect("append");
        assert_eq!(item.expect("an item").expect("a batch").0, Offset(n));
    }
    let (end, closed) = tokio::join!(reader.next(), log.close());
    closed.expect("close");
    assert!(end.is_none());
}

#[tokio::test]
async fn l4_a_retried_batch_is_a_no_op_in_the_same_group_later_and_after_a_restart() {
    let dir = tempdir().expect("a folder");
    let log = LocalLog::open(dir.path(), small_log()).await.expect("open");
    let twice =
        futures::future::join_all([batch(1, 0), batch(1, 1), batch(1, 1), batch(2, 1)].map(|b| log.append(LOG, b)));
    let offsets: Vec<_> = twice.await.into_iter().map(|offset| offset.expect("append").0).collect();
    assert_eq!(offsets, [0, 1, 1, 2]);
    assert_eq!(log.append(LOG, batch(1, 0)).await.expect("retry"), Offset(0));
    let snapshot = log.metrics().snapshot();
    assert_eq!((snapshot.appends, snapshot.append_duplicates), (3, 2));
    drop(log);
    let log = reopened(dir.path()).await;
    assert_eq!(log.append(LOG, batch(2, 1)).await.expect("retry"), Offset(2));
    assert_eq!(log.append(LOG, batch(2, 2)).await.expect("new"), Offset(3));
    assert_eq!(take(&log, 0, 4).await.len(), 4);
}

#[tokio::test]
async fn a_retry_too_old_to_know_is_refused_not_written_twice() {
    let dir = tempdir().expect("a folder");
    let settings = LogSettings { retry_window_count: 2, ..small_log() };
    let log = LocalLog::open(dir.path(), settings).await.expect("open");
    for n in 0..5 {
        log.append(LOG, batch(1, n)).await.expect("append");
    }
    assert_eq!(log.append(LOG, batch(1, 1)).await.expect_err("too old").kind, ErrorKind::Invalid);
    assert_eq!(log.bounds(LOG).await.expect("bounds").1, Offset(5));
}

#[tokio::test]
async fn l5_trim_deletes_whole_segments_and_trimmed_offsets_are_an_error() {
    let dir = tempdir().expect("a folder");
    let log = LocalLog::open(dir.path(), small_log()).await.expect("open");
    for n in 0..30 {
        log.append(LOG, batch(1, n)).await.expect("append");
    }
    let folder = dir.path().join("log-00003");
    let before = segment_files(&folder).len();
    log.trim(LOG, Offset(20)).await.expect("trim");
    assert!(segment_files(&folder).len() < before);
    assert_trimmed(&log).await;
    log.close().await.expect("close");
    assert_trimmed(&reopened(dir.path()).await).await;
}

async fn assert_trimmed(log: &LocalLog) {
    assert_eq!(log.bounds(LOG).await.expect("bounds"), (Offset(20), Offset(30)));
    let mut items = log.read(LOG, Offset(19)).collect::<Vec<Result<_, Error>>>().await;
    assert_eq!(items.len(), 1, "the stream ends after its error");
    assert_eq!(items.remove(0).expect_err("trimmed").kind, ErrorKind::Invalid);
    assert_eq!(take(log, 20, 10).await.len(), 10);
}

#[tokio::test]
async fn several_logs_in_one_folder_are_independent() {
    let dir = tempdir().expect("a folder");
    let log = LocalLog::open(dir.path(), small_log()).await.expect("open");
    for (id, n, offset) in [(0, 0, 0), (1, 1, 0), (0, 2, 1), (1, 3, 1), (0, 4, 2)] {
        assert_eq!(log.append(LogId(id), batch(1, n)).await.expect("append"), Offset(offset));
    }
    log.trim(LogId(0), Offset(2)).await.expect("trim");
    assert_eq!(log.bounds(LogId(1)).await.expect("bounds"), (Offset(0), Offset(2)));
}

#[tokio::test]
async fn a_damaged_log_serves_what_is_before_and_takes_nothing_more() {
    let dir = tempdir().expect("a folder");
    let log = LocalLog::open(dir.path(), LogSettings::default()).await.expect("open");
    for n in 0..6 {
        log.append(LOG, batch(1, n)).await.expect("append");
    }
    log.close().await.expect("close");
    let file = segment_files(&dir.path().join("log-00003")).remove(0);
    let mut bytes = std::fs::read(&file).expect("the file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).expect("written");
    let log = LocalLog::open(dir.path(), LogSettings::default()).await.expect("open");
    let items = log.read(LOG, Offset(0)).collect::<Vec<Result<_, Error>>>().await;
    let (last, whole) = items.split_last().expect("items");
    let error = last.as_ref().expect_err("damage");
    assert_eq!((error.kind, &error.path), (ErrorKind::Corrupt, &file));
    assert_eq!(
        whole.iter().map(|item| item.as_ref().expect("whole").clone()).collect::<Vec<_>>(),
        [(Offset(0), batch(1, 0)), (Offset(1), batch(1, 1)),]
    );
    assert_eq!(log.append(LOG, batch(1, 6)).await.expect_err("refused").kind, ErrorKind::Corrupt);
}

#[tokio::test]
async fn durability_is_what_the_settings_give() {
    let dir = tempdir().expect("a folder");
    for (name, fsync, durability) in [("a", Fsync::Always, Durability::Power), ("n", Fsync::Never, Durability::Process)]
    {
        let settings = LogSettings { fsync, ..small_log() };
        let log = LocalLog::open(dir.path().join(name), settings).await.expect("open");
        log.append(LOG, batch(1, 0)).await.expect("append");
        assert_eq!(log.durability(), durability);
        assert_eq!(log.metrics().snapshot().fsyncs > 0, fsync == Fsync::Always);
    }
}

#[tokio::test]
async fn concurrent_writers_share_flushes_and_every_batch_is_there_once() {
    let dir = tempdir().expect("a folder");
    let log = LocalLog::open(dir.path(), LogSettings::default()).await.expect("open");
    let appends = (0..256).map(|n| log.append(LOG, batch(u128::from(n % 8), n / 8)));
    let offsets = futures::future::try_join_all(appends).await.expect("append");
    let mut unique = offsets.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), 256);
    assert!(log.metrics().snapshot().fsyncs < 64, "{:?}", log.metrics().snapshot());
    let read = tokio::time::timeout(Duration::from_secs(5), take(&log, 0, 256)).await.expect("in time");
    assert_eq!(read.len(), 256);
}
