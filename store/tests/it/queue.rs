//! The disk queue when nothing goes wrong, and its limits.

use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use store::{ErrorKind, Fsync, Position, Queue, QueueSettings};
use tempfile::tempdir;

use crate::support::*;

#[tokio::test]
async fn records_come_out_in_order_over_many_segments() {
    let dir = tempdir().expect("a folder");
    let queue = Queue::open(dir.path(), small()).await.expect("open");
    append_each(&queue, 0..50).await;
    assert!(segment_files(dir.path()).len() > 5);
    assert_eq!((queue.len_records(), queue.len_bytes()), (50, 50 * (18 + RECORD_HEADER as u64)));
    let all = read_all(&queue).await.expect("read");
    assert_eq!(positions(&all), (0..50).map(Position).collect::<Vec<_>>());
    assert_eq!(bodies(all), expect(0..50));
    assert_eq!(queue.in_flight_records(), 50);
}

#[tokio::test]
async fn what_is_not_acknowledged_comes_again_after_reopening() {
    let dir = tempdir().expect("a folder");
    let queue = Queue::open(dir.path(), small()).await.expect("open");
    append_each(&queue, 0..30).await;
    let all = read_all(&queue).await.expect("read");
    // All but 10 and 20, out of order.
    let mut done = positions(&all);
    done.retain(|position| position.0 != 10 && position.0 != 20);
    done.reverse();
    queue.ack(&done);
    assert_eq!(queue.len_records(), 2);
    queue.close().await.expect("close");
    let queue = Queue::open(dir.path(), small()).await.expect("open again");
    // The low-water mark is at 10; acknowledgements ahead of it are not persisted.
    assert_eq!(bodies(read_all(&queue).await.expect("read")), expect(10..30));
}

#[tokio::test]
async fn finished_segments_are_deleted_and_numbers_go_on() {
    let dir = tempdir().expect("a folder");
    let queue = Queue::open(dir.path(), small()).await.expect("open");
    append_each(&queue, 0..40).await;
    let before = segment_files(dir.path()).len();
    queue.ack(&positions(&read_all(&queue).await.expect("read")));
    // A file is gone a moment before it is counted.
    let deleted = || queue.metrics().snapshot().segments_deleted;
    eventually(|| async { (deleted() == before as u64 - 1).then_some(()) }).await;
    assert_eq!(segment_files(dir.path()).len(), 1);
    assert_eq!((queue.len_records(), queue.len_bytes()), (0, 0));
    queue.close().await.expect("close");
    let queue = Queue::open(dir.path(), small()).await.expect("open again");
    assert_eq!((queue.len_records(), queue.len_bytes()), (0, 0));
    assert_eq!(queue.append(vec![record(40)]).await.expect("append"), Position(40));
}

#[tokio::test]
async fn records_given_back_come_first_and_in_order() {
    let dir = tempdir().expect("a folder");
    let queue = Queue::open(dir.path(), small()).await.expect("open");
    append_each(&queue, 0..10).await;
    let first = queue.read(6, usize::MAX).await.expect("read");
    assert_eq!(first.len(), 6);
    queue.nack(&[Position(4), Position(1), Position(9)]);
    assert_eq!(bodies(queue.read(10, usize::MAX).await.expect("read")), [record(1), record(4)]);
    assert_eq!(bodies(queue.read(10, usize::MAX).await.expect("read")), expect(6..10));
    queue.nack(&[Position(0), Position(1)]);
    queue.ack(&[Position(0)]);
    assert_eq!(bodies(queue.read(10, usize::MAX).await.expect("read")), [record(1)], "0 was acknowledged meanwhile");
    assert_eq!(queue.len_records(), 9);
}

#[tokio::test]
async fn read_keeps_to_both_bounds_but_always_serves_one() {
    let dir = tempdir().expect("a folder");
    let queue = Queue::open(dir.path(), QueueSettings::default()).await.expect("open");
    queue.append((0..10).map(record).collect()).await.expect("append");
    for (records_max, bytes_max, count) in
        [(3, 1000, 3), (100, 36, 2), (100, 35, 1), (100, 0, 1), (0, 1000, 0), (100, 1000, 3)]
    {
        let got = queue.read(records_max, bytes_max).await.expect("read");
        assert_eq!(got.len(), count, "{records_max} records, {bytes_max} bytes");
    }
}

#[tokio::test]
async fn a_full_queue_gives_the_records_back_and_takes_more_after_acks() {
    let dir = tempdir().expect("a folder");
    let settings = QueueSettings { bytes_max: 5 * 38, ..small() };
    let queue = Queue::open(dir.path(), settings.clone()).await.expect("open");
    append_each(&queue, 0..4).await;
    let rejected = queue.append(vec![record(4), record(5)]).await.expect_err("full");
    assert_eq!((rejected.error.kind, rejected.records), (ErrorKind::Full, vec![record(4), record(5)]));
    assert!(rejected.error.kind.is_temporary());
    append_each(&queue, 4..5).await;
    assert_eq!(queue.metrics().snapshot().full, 1);
    // The bound holds across a restart.
    queue.close().await.expect("close");
    let queue = Queue::open(dir.path(), settings).await.expect("open again");
    assert_eq!(queue.append(vec![record(5)]).await.expect_err("full").error.kind, ErrorKind::Full);
    let first = queue.read(1, usize::MAX).await.expect("read");
    queue.ack(&positions(&first));
    append_each(&queue, 5..6).await;
    assert_eq!(bodies(read_all(&queue).await.expect("read")), expect(1..6));
}

#[tokio::test]
async fn drop_oldest_makes_room_and_leaves_what_is_in_flight() {
    let dir = tempdir().expect("a folder");
    let settings = QueueSettings { bytes_max: 6 * 38, ..small() };
    let queue = Queue::open(dir.path(), settings).await.expect("open");
    append_each(&queue, 0..6).await;
    let in_flight = queue.read(2, usize::MAX).await.expect("read");
    assert_eq!(queue.drop_oldest(3).await.expect("drop"), 3);
    assert_eq!((queue.len_records(), queue.len_bytes()), (3, 3 * 38));
    append_each(&queue, 6..9).await;
    queue.nack(&positions(&in_flight)[..1]);
    assert_eq!(queue.drop_oldest(1).await.expect("drop"), 1, "a record given back is the oldest");
    assert_eq!(bodies(read_all(&queue).await.expect("read")), expect(5..9));
    assert_eq!(queue.drop_oldest(10).await.expect("drop"), 0, "everything is in flight");
}

#[tokio::test]
async fn what_can_never_fit_is_invalid_not_full() {
    let dir = tempdir().expect("a folder");
    let settings = QueueSettings { bytes_max: 100, record_bytes_max: 50, ..small() };
    let queue = Queue::open(dir.path(), settings).await.expect("open");
    let long = || Bytes::from(vec![b'x'; 51]);
    let most = || Bytes::from(vec![b'x'; 50]);
    for (records, says) in
        [(vec![], "no records"), (vec![long()], "record_bytes_max is 50"), (vec![most(), most()], "bytes_max is 100")]
    {
        let rejected = queue.append(records.clone()).await.expect_err(says);
        assert_eq!((rejected.error.kind, &rejected.records), (ErrorKind::Invalid, &records));
        assert!(rejected.error.to_string().contains(says), "{}", rejected.error);
    }
    assert_eq!(queue.metrics().snapshot().appends, 0, "nothing reached the disk");
}

#[tokio::test]
async fn reads_wait_for_acks_when_the_window_is_full() {
    let dir = tempdir().expect("a folder");
    let settings = QueueSettings { in_flight_records_max: 3, ..small() };
    let queue = Queue::open(dir.path(), settings).await.expect("open");
    append_each(&queue, 0..5).await;
    assert_eq!(read_all(&queue).await.expect("read").len(), 3);
    let waiting = tokio::time::timeout(Duration::from_millis(20), queue.wait_nonempty()).await;
    assert!(waiting.is_err(), "there is nothing that may be read");
    queue.ack(&[Position(0)]);
    queue.wait_nonempty().await;
    assert_eq!(bodies(read_all(&queue).await.expect("read")), expect(3..4));
}

#[tokio::test]
async fn wait_nonempty_wakes_for_an_append_a_nack_and_a_close() {
    let dir = tempdir().expect("a folder");
    let queue = Queue::open(dir.path(), small()).await.expect("open");
    let (_, appended) = tokio::join!(queue.wait_nonempty(), queue.append(vec![record(0)]));
    appended.expect("append");
    assert_eq!(read_all(&queue).await.expect("read").len(), 1);
    tokio::join!(queue.wait_nonempty(), async { queue.nack(&[Position(0)]) });
    assert_eq!(read_all(&queue).await.expect("read").len(), 1);
    let (_, closed) = tokio::join!(queue.wait_nonempty(), queue.close());
    closed.expect("close");
    assert_eq!(queue.append(vec![record(1)]).await.expect_err("closed").error.kind, ErrorKind::Closed);
}

#[tokio::test]
async fn appends_that_wait_together_share_a_flush() {
    let dir = tempdir().expect("a folder");
    let queue = Queue::open(dir.path(), QueueSettings::default()).await.expect("open");
    let before = queue.metrics().snapshot().fsyncs;
    let appends = (0..100).map(|n| queue.append(vec![record(n)]));
    let places = futures::future::try_join_all(appends).await.expect("append");
    assert_eq!(places, (0..100).map(Position).collect::<Vec<_>>(), "in the order of the calls");
    let snapshot = queue.metrics().snapshot();
    assert_eq!((snapshot.appends, snapshot.append_records), (100, 100));
    // The first goes alone; how many groups the rest makes depends on the disk, but never a flush each.
    assert!(snapshot.fsyncs - before < 50, "{snapshot:?}");
}

#[tokio::test]
async fn fsync_never_does_not_flush_until_close() {
    let dir = tempdir().expect("a folder");
    let settings = QueueSettings { fsync: Fsync::Never, ..small() };
    let queue = Queue::open(dir.path(), settings.clone()).await.expect("open");
    append_each(&queue, 0..30).await;
    assert_eq!(queue.metrics().snapshot().fsyncs, 0);
    queue.close().await.expect("close");
    let queue = Queue::open(dir.path(), settings).await.expect("open again");
    assert_eq!(bodies(read_all(&queue).await.expect("read")), expect(0..30));
}

#[tokio::test]
async fn more_than_may_wait_in_memory_waits_outside_and_arrives() {
    let dir = tempdir().expect("a folder");
    let settings = QueueSettings { pending_bytes_max: 100, ..small() };
    let queue = Queue::open(dir.path(), settings).await.expect("open");
    let appends = (0..20).map(|n| queue.append(vec![record(n)]));
    futures::future::try_join_all(appends).await.expect("append");
    queue.append(vec![Bytes::from(vec![b'x'; 500])]).await.expect("one larger than the bound");
    assert_eq!(read_all(&queue).await.expect("read").len(), 21);
}

#[tokio::test]
async fn a_folder_is_open_once() {
    let dir = tempdir().expect("a folder");
    let queue = Queue::open(dir.path(), small()).await.expect("open");
    assert_eq!(Queue::open(dir.path(), small()).await.expect_err("twice").kind, ErrorKind::Locked);
    queue.close().await.expect("close");
    Queue::open(dir.path(), small()).await.expect("after close");
}

#[tokio::test]
async fn a_dropped_read_loses_nothing() {
    let dir = tempdir().expect("a folder");
    let queue = Queue::open(dir.path(), small()).await.expect("open");
    append_each(&queue, 0..10).await;
    for _ in 0..5 {
        // Polled once, so that the fetch starts, and dropped. One that finds an earlier fetch done is ready at once: its
        // records are in flight, and only giving them back undoes that.
        if let Some(read) = queue.read(3, usize::MAX).now_or_never() {
            let positions: Vec<_> = read.expect("read").into_iter().map(|(position, _)| position).collect();
            queue.nack(&positions);
        }
    }
    assert_eq!(bodies(read_all(&queue).await.expect("read")), expect(0..10));
}
