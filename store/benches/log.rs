//! What an append, and a record's way through a queue, costs on this machine's disk.
//!
//! `cargo bench -p store --bench log`; the folder is `WEIR_BENCH_DIR` or the system's temporary one (which should not be
//! a tmpfs: a flush costs nothing there).

#![expect(clippy::expect_used, reason = "a bench that cannot run ends")]

use std::path::PathBuf;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use store::{Batch, Entry, Fsync, LocalLog, LogId, LogSettings, OrderedLog, Queue, QueueSettings, ShardId, WriterId};

/// A row as a rule would make it: about this many bytes of JSON.
const RECORD_BYTES: usize = 200;

fn folder() -> tempfile::TempDir {
    let parent = std::env::var_os("WEIR_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    tempfile::tempdir_in(parent).expect("a folder")
}

fn log_append(c: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut group = c.benchmark_group("log_append");
    for (name, fsync) in [("fsync", Fsync::Always), ("no_fsync", Fsync::Never)] {
        for concurrency in [1u64, 16, 256] {
            let dir = folder();
            let settings = LogSettings { fsync, ..LogSettings::default() };
            let log = runtime.block_on(LocalLog::open(dir.path(), settings)).expect("open");
            let mut wseq = 0;
            group.throughput(Throughput::Elements(concurrency)).sample_size(20);
            group.bench_function(BenchmarkId::new(name, concurrency), |b| {
                b.iter(|| {
                    let appends = (0..concurrency).map(|n| {
                        let body = Bytes::from(vec![b'x'; RECORD_BYTES]);
                        let entries = vec![Entry { shard: ShardId(0), version: 1, body }];
                        log.append(LogId(0), Batch { writer: WriterId(u128::from(n)), wseq, entries })
                    });
                    runtime.block_on(futures::future::try_join_all(appends)).expect("append");
                    wseq += 1;
                });
            });
        }
    }
}

fn queue_through(c: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut group = c.benchmark_group("queue_append_read_ack");
    for (name, fsync) in [("fsync", Fsync::Always), ("no_fsync", Fsync::Never)] {
        for records in [1usize, 64, 512] {
            let dir = folder();
            let settings = QueueSettings { fsync, ..QueueSettings::default() };
            let queue = runtime.block_on(Queue::open(dir.path(), settings)).expect("open");
            let rows: Vec<Bytes> = vec![Bytes::from(vec![b'x'; RECORD_BYTES]); records];
            group.throughput(Throughput::Elements(records as u64)).sample_size(20);
            group.bench_function(BenchmarkId::new(name, records), |b| {
                b.iter(|| {
                    runtime.block_on(async {
                        queue.append(rows.clone()).await.expect("append");
                        let mut left = records;
                        while left > 0 {
                            let got = queue.read(records, usize::MAX).await.expect("read");
                            left -= got.len();
                            queue.ack(&got.iter().map(|(position, _)| *position).collect::<Vec<_>>());
                        }
                    });
                });
            });
        }
    }
}

criterion_group!(benches, log_append, queue_through);
criterion_main!(benches);
