//! What a crash, a bad disk or a bad file may do to a queue: whole records are kept, bad ones never served.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use store::testing::FaultyFiles;
use store::{Error, ErrorKind, Fsync, OnCorrupt, Position, Queue, QueueSettings};
use tempfile::tempdir;

use crate::support::*;

/// One file only, so that offsets are easy to compute.
fn one_file() -> QueueSettings {
    QueueSettings::default()
}

fn quarantine(settings: QueueSettings) -> QueueSettings {
    QueueSettings { on_corrupt: OnCorrupt::Quarantine, ..settings }
}

const FRAME: usize = RECORD_HEADER + 18;

fn frame_start(n: usize) -> usize {
    SEGMENT_HEADER + n * FRAME
}

/// A queue of `count` records as a crash would leave it: never closed, the cursor as it was at the opening.
async fn crashed(dir: &Path, settings: QueueSettings, count: usize) {
    let queue = Queue::open(dir.join("live"), settings).await.expect("open");
    append_each(&queue, 0..count).await;
    copy_dir(&dir.join("live"), &dir.join("crashed"));
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).expect("the file");
    bytes[at] ^= 0x40;
    std::fs::write(path, bytes).expect("the damaged file");
}

#[tokio::test]
async fn a_torn_end_is_cut_at_every_byte_and_the_whole_records_are_kept() {
    let dir = tempdir().expect("a folder");
    crashed(dir.path(), one_file(), 4).await;
    let crashed = dir.path().join("crashed");
    let whole = std::fs::read(&segment_files(&crashed)[0]).expect("the file");
    assert_eq!(whole.len(), frame_start(4));
    for len in SEGMENT_HEADER..whole.len() {
        let round = dir.path().join(format!("round-{len}"));
        copy_dir(&crashed, &round);
        let file = segment_files(&round).remove(0);
        std::fs::write(&file, &whole[..len]).expect("the torn file");
        let kept = (len - SEGMENT_HEADER) / FRAME;
        let torn = (len - SEGMENT_HEADER) % FRAME;
        let queue = Queue::open(&round, QueueSettings { fsync: Fsync::Never, ..one_file() }).await.expect("open");
        let snapshot = queue.metrics().snapshot();
        assert_eq!((snapshot.torn_tails, snapshot.torn_bytes), (u64::from(torn > 0), torn as u64), "{len} bytes");
        // The place is used again, and the new record lies behind whole ones.
        assert_eq!(queue.append(vec![record(kept)]).await.expect("append"), Position(kept as u64));
        assert_eq!(bodies(read_all(&queue).await.expect("read")), expect(0..kept + 1), "{len} bytes");
    }
}

#[tokio::test]
async fn garbage_and_zeros_behind_the_last_record_are_cut() {
    let dir = tempdir().expect("a folder");
    crashed(dir.path(), one_file(), 3).await;
    for (name, tail) in [("zeros", vec![0; 4096]), ("garbage", vec![0xa5; 777]), ("one byte", vec![1])] {
        let round = dir.path().join(name);
        copy_dir(&dir.path().join("crashed"), &round);
        let file = segment_files(&round).remove(0);
        let mut bytes = std::fs::read(&file).expect("the file");
        bytes.extend_from_slice(&tail);
        std::fs::write(&file, bytes).expect("the torn file");
        let queue = Queue::open(&round, one_file()).await.expect("open");
        assert_eq!(queue.metrics().snapshot().torn_bytes, tail.len() as u64, "{name}");
        assert_eq!(bodies(read_all(&queue).await.expect("read")), expect(0..3), "{name}");
    }
}

#[tokio::test]
async fn a_segment_cut_short_at_its_creation_is_none() {
    let dir = tempdir().expect("a folder");
    crashed(dir.path(), one_file(), 3).await;
    for len in [0, 1, 31, 32] {
        let round = dir.path().join(format!("round-{len}"));
        copy_dir(&dir.path().join("crashed"), &round);
        std::fs::write(round.join(format!("{:020}.seg", 3)), vec![0; len]).expect("the unfinished file");
        let queue = Queue::open(&round, one_file()).await.expect("open");
        append_each(&queue, 3..4).await;
        assert_eq!(bodies(read_all(&queue).await.expect("read")), expect(0..4), "{len} bytes");
    }
}

/// Damage in the middle: which records are served with `Stop` and with `Quarantine`, wherever the flipped byte is.
#[tokio::test]
async fn a_flipped_byte_is_never_served_wherever_it_is() {
    let dir = tempdir().expect("a folder");
    crashed(dir.path(), one_file(), 5).await;
    for at in (frame_start(1)..frame_start(4)).step_by(3) {
        let bad = (at - SEGMENT_HEADER) / FRAME;
        let round = dir.path().join(format!("round-{at}"));
        copy_dir(&dir.path().join("crashed"), &round);
        let file = segment_files(&round).remove(0);
        flip(&file, at);
        let damaged = std::fs::read(&file).expect("the file");

        let queue = Queue::open(&round, one_file()).await.expect("open");
        let (served, error) = read_until_error(&queue).await;
        assert_eq!(served, expect(0..bad), "byte {at}");
        let error = error.expect("the damage");
        assert_eq!(
            (error.kind, &error.path, error.offset),
            (ErrorKind::Corrupt, &file, Some(frame_start(bad) as u64)),
            "byte {at}"
        );
        assert_eq!(queue.metrics().snapshot().corrupt_records, (5 - bad) as u64);
        // Loudly: nothing more is taken, and asking again gives the same answer.
        let rejected = queue.append(vec![record(5)]).await.expect_err("refused");
        assert_eq!((&rejected.error, rejected.records), (&error, vec![record(5)]));
        assert_eq!(queue.read(1, 1).await.expect_err("again"), error);
        queue.wait_nonempty().await;
        queue.close().await.expect("close");
        assert_eq!(std::fs::read(&file).expect("the file"), damaged, "the evidence is untouched");

        let queue = Queue::open(&round, quarantine(one_file())).await.expect("open");
        append_each(&queue, 5..6).await;
        let mut rest = expect(0..6);
        rest.remove(bad);
        assert_eq!(bodies(read_all(&queue).await.expect("read")), rest, "byte {at}");
        assert_eq!(queue.metrics().snapshot().corrupt_records, 1);
        assert_eq!(queue.len_bytes(), 5 * FRAME as u64, "the lost record holds no room");
        let kept = std::fs::read(round.join(format!("quarantine/{:020}-{}.bad", 0, frame_start(bad)))).expect("kept");
        assert_eq!(kept, &damaged[frame_start(bad)..frame_start(bad + 1)]);
    }
}

/// Damage in a file that is not the last is found by its reader.
#[tokio::test]
async fn damage_in_an_older_file_is_found_when_it_is_reached() {
    let per_file = 6;
    for (name, damage) in [("flip", 0), ("header", 1), ("short", 2), ("missing", 3)] {
        let dir = tempdir().expect("a folder");
        crashed(dir.path(), small(), 30).await;
        let crashed = dir.path().join("crashed");
        let file = segment_files(&crashed)[1].clone();
        // What is lost, counted within the file.
        let lost = match damage {
            0 => {
                flip(&file, frame_start(2) + 25);
                2..3
            }
            1 => {
                flip(&file, 20);
                0..per_file
            }
            2 => {
                let bytes = std::fs::read(&file).expect("the file");
                std::fs::write(&file, &bytes[..frame_start(4) + 3]).expect("the short file");
                4..per_file
            }
            _ => {
                std::fs::remove_file(&file).expect("removed");
                0..per_file
            }
        };
        let lost = lost.start + per_file..lost.end + per_file;
        assert_eq!(segment_files(&crashed)[0].metadata().expect("a file").len(), frame_start(per_file) as u64);

        let queue = Queue::open(&crashed, small()).await.expect("open");
        append_each(&queue, 30..31).await;
        let (served, error) = read_until_error(&queue).await;
        assert_eq!(served, expect(0..lost.start), "{name}");
        let error = error.expect("the damage");
        assert_eq!(error.kind, ErrorKind::Corrupt, "{name}");
        assert_eq!(queue.append(vec![record(31)]).await.expect_err("refused").error, error, "{name}");
        assert_eq!(queue.metrics().snapshot().corrupt_records, lost.len() as u64, "{name}");
        drop(queue);

        let queue = reopen(&crashed, quarantine(small())).await.expect("open");
        let rest: Vec<Bytes> = (0..31).filter(|n| !lost.contains(n)).map(record).collect();
        let all = read_all(&queue).await.expect("read");
        queue.ack(&positions(&all));
        assert_eq!(bodies(all), rest, "{name}");
        assert_eq!(queue.metrics().snapshot().corrupt_records, lost.len() as u64, "{name}");
        assert_eq!(queue.len_records(), 0, "{name}");
    }
}

#[tokio::test]
async fn confirmed_records_missing_at_the_end_are_damage_not_a_torn_write() {
    let dir = tempdir().expect("a folder");
    let queue = Queue::open(dir.path(), one_file()).await.expect("open");
    append_each(&queue, 0..4).await;
    queue.close().await.expect("close");
    let file = segment_files(dir.path()).remove(0);
    let bytes = std::fs::read(&file).expect("the file");
    std::fs::write(&file, &bytes[..frame_start(2) + 5]).expect("the short file");
    let queue = Queue::open(dir.path(), one_file()).await.expect("open");
    let (served, error) = read_until_error(&queue).await;
    assert_eq!(served, expect(0..2));
    let error = error.expect("the damage");
    assert_eq!((error.kind, error.offset), (ErrorKind::Corrupt, Some(frame_start(2) as u64)));
    queue.ack(&[Position(0)]);
    queue.close().await.expect("close");
    // Acknowledging what was whole does not make the loss forgotten.
    let queue = Queue::open(dir.path(), one_file()).await.expect("open");
    let (served, error) = read_until_error(&queue).await;
    assert_eq!((served, error.expect("the damage").kind), (expect(1..2), ErrorKind::Corrupt));
    queue.close().await.expect("close");
    let queue = Queue::open(dir.path(), quarantine(one_file())).await.expect("open");
    assert_eq!(queue.append(vec![record(4)]).await.expect("append"), Position(4), "no number is used twice");
    assert_eq!(bodies(read_all(&queue).await.expect("read")), [record(1), record(4)]);
}

#[tokio::test]
async fn missing_oldest_files_are_noticed() {
    let dir = tempdir().expect("a folder");
    crashed(dir.path(), small(), 30).await;
    let crashed = dir.path().join("crashed");
    std::fs::remove_file(&segment_files(&crashed)[0]).expect("removed");
    let queue = Queue::open(&crashed, small()).await.expect("open");
    let (served, error) = read_until_error(&queue).await;
    assert!(served.is_empty());
    let error = error.expect("the damage");
    assert!(error.to_string().contains("records 0 to 5 are missing"), "{error}");
    drop(queue);
    let queue = reopen(&crashed, quarantine(small())).await.expect("open");
    assert_eq!(bodies(read_all(&queue).await.expect("read")), expect(6..30));
}

#[tokio::test]
async fn damage_among_acknowledged_records_is_of_no_consequence() {
    let dir = tempdir().expect("a folder");
    let queue = Queue::open(dir.path(), one_file()).await.expect("open");
    append_each(&queue, 0..5).await;
    queue.ack(&positions(&queue.read(3, usize::MAX).await.expect("read")));
    queue.close().await.expect("close");
    flip(&segment_files(dir.path())[0], frame_start(1) + 22);
    let queue = Queue::open(dir.path(), one_file()).await.expect("open");
    append_each(&queue, 5..6).await;
    assert_eq!(bodies(read_all(&queue).await.expect("read")), expect(3..6));
    assert_eq!(queue.metrics().snapshot().corrupt_records, 0);
}

#[tokio::test]
async fn a_bad_cursor_brings_records_back_and_loses_none() {
    let dir = tempdir().expect("a folder");
    let queue = Queue::open(dir.path().join("live"), one_file()).await.expect("open");
    append_each(&queue, 0..6).await;
    queue.ack(&positions(&queue.read(3, usize::MAX).await.expect("read")));
    queue.close().await.expect("close");
    type Harm = fn(&Path);
    let table: [(&str, Harm, bool); 4] = [
        ("missing", |path| std::fs::remove_file(path).expect("removed"), true),
        ("empty", |path| std::fs::write(path, b"").expect("written"), true),
        ("garbage", |path| std::fs::write(path, vec![0x77; 600]).expect("written"), true),
        (
            "newest slot torn",
            |path| {
                let mut bytes = std::fs::read(path).expect("the cursor");
                // The generation tells which slot is newer.
                let generation = |at: usize| u64::from_le_bytes(bytes[at + 12..at + 20].try_into().expect("8 bytes"));
                let newest = if generation(0) > generation(512) { 0 } else { 512 };
                bytes[newest + 30] ^= 1;
                std::fs::write(path, bytes).expect("written");
            },
            false,
        ),
    ];
    for (name, harm, all) in table {
        let round = dir.path().join(name);
        copy_dir(&dir.path().join("live"), &round);
        harm(&round.join("cursor"));
        let queue = Queue::open(&round, one_file()).await.expect("open");
        let served = bodies(read_all(&queue).await.expect("read"));
        assert!(served.ends_with(&expect(3..6)), "{name}: {served:?}");
        assert!(!all || served == expect(0..6), "{name}: {served:?}");
        assert_eq!(queue.metrics().snapshot().bad_cursors, 1 + u64::from(name == "garbage"), "{name}");
    }
}

#[tokio::test]
async fn another_format_version_is_refused_untouched() {
    let dir = tempdir().expect("a folder");
    crashed(dir.path(), one_file(), 2).await;
    let crashed = dir.path().join("crashed");
    // (file, place of the version, bytes its checksum covers)
    let segment = segment_files(&crashed).remove(0);
    let cursor = crashed.join("cursor");
    let cursor_slot = 512; // The first generation is written there.
    for (file, start, covered) in [(&segment, 0, 28), (&cursor, cursor_slot, 36)] {
        let whole = std::fs::read(file).expect("the file");
        let mut newer = whole.clone();
        newer[start + 8] = 9;
        let crc = crc32fast::hash(&newer[start..start + covered]);
        newer[start + covered..start + covered + 4].copy_from_slice(&crc.to_le_bytes());
        std::fs::write(file, &newer).expect("written");
        let error = Queue::open(&crashed, one_file()).await.expect_err("refused");
        assert_eq!((error.kind, &error.path), (ErrorKind::Version, file));
        assert!(error.context.contains("version 9"), "{error}");
        assert_eq!(std::fs::read(file).expect("the file"), newer);
        std::fs::write(file, whole).expect("written");
    }
    let queue = Queue::open(&crashed, one_file()).await.expect("open");
    assert_eq!(read_all(&queue).await.expect("read").len(), 2);
}

async fn on(files: &FaultyFiles, dir: &Path, settings: QueueSettings) -> Result<Queue, Error> {
    eventually(|| async {
        match Queue::open_on(Arc::new(files.clone()), dir, settings.clone()).await {
            Err(error) if error.kind == ErrorKind::Locked => None,
            other => Some(other),
        }
    })
    .await
}

#[tokio::test]
async fn short_writes_are_completed() {
    let dir = tempdir().expect("a folder");
    let files = FaultyFiles::default();
    files.set_write_max(Some(3));
    let queue = on(&files, dir.path(), small()).await.expect("open");
    append_each(&queue, 0..20).await;
    assert_eq!(bodies(read_all(&queue).await.expect("read")), expect(0..20));
}

/// A disk that fills at any byte: the append answers `DiskFull` with its records, what was confirmed stays, and when
/// there is room again the queue goes on.
#[tokio::test]
async fn a_full_disk_loses_nothing_at_any_byte() {
    for room in 0..120 {
        let dir = tempdir().expect("a folder");
        let files = FaultyFiles::default();
        let queue = on(&files, dir.path(), small()).await.expect("open");
        append_each(&queue, 0..5).await;
        files.set_room(Some(room));
        let mut n = 5;
        let rejected = loop {
            match queue.append(vec![record(n), record(n + 1)]).await {
                Ok(_) => n += 2,
                Err(rejected) => break rejected,
            }
        };
        assert_eq!(rejected.error.kind, ErrorKind::DiskFull, "room {room}: {}", rejected.error);
        assert_eq!(rejected.records, [record(n), record(n + 1)]);
        assert_eq!(queue.len_bytes(), (n * FRAME) as u64, "the failed append holds no room");
        assert_eq!(queue.append(vec![record(n)]).await.expect_err("still full").error.kind, ErrorKind::DiskFull);
        files.set_room(None);
        append_each(&queue, n..n + 10).await;
        assert_eq!(bodies(read_all(&queue).await.expect("read")), expect(0..n + 10), "room {room}");
        drop(queue);
        let queue = on(&files, dir.path(), small()).await.expect("open again");
        assert_eq!(bodies(read_all(&queue).await.expect("read")), expect(0..n + 10), "room {room}");
    }
}

#[tokio::test]
async fn a_failed_flush_poisons_the_queue_until_it_is_opened_again() {
    let dir = tempdir().expect("a folder");
    let files = FaultyFiles::default();
    let queue = on(&files, dir.path(), one_file()).await.expect("open");
    append_each(&queue, 0..3).await;
    files.set_sync_error(Some(io::ErrorKind::Other));
    let rejected = queue.append(vec![record(3)]).await.expect_err("not confirmed");
    assert_eq!((rejected.error.kind, rejected.records), (ErrorKind::Poisoned, vec![record(3)]));
    let syncs = files.syncs();
    files.set_sync_error(None);
    for _ in 0..3 {
        let rejected = queue.append(vec![record(3)]).await.expect_err("poisoned");
        assert_eq!(rejected.error.kind, ErrorKind::Poisoned);
    }
    assert_eq!(files.syncs(), syncs, "the flush is not tried again");
    assert_eq!(bodies(read_all(&queue).await.expect("read")), expect(0..3), "what was confirmed is still served");
    drop(queue);
    files.cut_power().expect("power cut");
    let queue = on(&files, dir.path(), one_file()).await.expect("open again");
    append_each(&queue, 3..4).await;
    assert_eq!(bodies(read_all(&queue).await.expect("read")), expect(0..4));
}

#[tokio::test]
async fn a_failed_flush_of_a_new_segment_poisons_too() {
    let dir = tempdir().expect("a folder");
    let files = FaultyFiles::default();
    let queue = on(&files, dir.path(), small()).await.expect("open");
    append_each(&queue, 0..6).await;
    assert_eq!(segment_files(dir.path()).len(), 1);
    files.set_sync_error(Some(io::ErrorKind::Other));
    // The file is full, so this needs a new one, whose header cannot be flushed.
    assert_eq!(queue.append(vec![record(6)]).await.expect_err("poisoned").error.kind, ErrorKind::Poisoned);
    files.set_sync_error(None);
    assert_eq!(queue.append(vec![record(6)]).await.expect_err("poisoned").error.kind, ErrorKind::Poisoned);
}

#[tokio::test]
async fn a_write_error_that_is_not_a_full_disk_poisons() {
    let dir = tempdir().expect("a folder");
    for cut_fails in [false, true] {
        let files = FaultyFiles::default();
        let queue = on(&files, &dir.path().join(cut_fails.to_string()), one_file()).await.expect("open");
        append_each(&queue, 0..2).await;
        if cut_fails {
            // Even a full disk poisons when the half-written group cannot be taken off again.
            files.set_room(Some(10));
            files.set_set_len_error(Some(io::ErrorKind::Other));
        } else {
            files.set_write_error(Some(io::ErrorKind::Other));
        }
        assert_eq!(queue.append(vec![record(2)]).await.expect_err("failed").error.kind, ErrorKind::Poisoned);
        files.set_room(None);
        files.set_write_error(None);
        files.set_set_len_error(None);
        assert_eq!(queue.append(vec![record(2)]).await.expect_err("poisoned").error.kind, ErrorKind::Poisoned);
        assert_eq!(bodies(read_all(&queue).await.expect("read")), expect(0..2));
    }
}

/// Power is cut after every possible number of confirmed appends, acknowledged up to half.
#[tokio::test]
async fn confirmed_records_survive_loss_of_power() {
    for count in 0..25 {
        let dir = tempdir().expect("a folder");
        let files = FaultyFiles::default();
        let queue = on(&files, dir.path(), small()).await.expect("open");
        append_each(&queue, 0..count).await;
        queue.ack(&positions(&queue.read(count / 2, usize::MAX).await.expect("read")));
        drop(queue);
        // The last job may still be writing the cursor; opening waits for it.
        let queue = on(&files, dir.path(), small()).await.expect("open");
        drop(queue);
        files.cut_power().expect("power cut");
        let queue = on(&files, dir.path(), small()).await.expect("open again");
        let served = bodies(read_all(&queue).await.expect("read"));
        assert!(served.ends_with(&expect(count / 2..count)), "{count}: {served:?}");
        assert!(expect(0..count).ends_with(&served), "{count}: nothing invented, in order: {served:?}");
    }
}
