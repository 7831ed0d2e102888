//! A disk that is really full: a small tmpfs, where this process may mount one.

use std::process::Command;

use store::{ErrorKind, Queue, QueueSettings};
use tempfile::tempdir;

use crate::support::*;

/// Unmounts on the way out, also of a failed assertion. Lazily: the last job of a queue may still have a file open.
struct Mounted(std::path::PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        Command::new("umount").arg("--lazy").arg(&self.0).status().ok();
    }
}

#[tokio::test]
async fn a_full_tmpfs_refuses_and_goes_on_when_there_is_room() {
    let dir = tempdir().expect("a folder");
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"]).arg(dir.path()).output();
    if !mount.is_ok_and(|output| output.status.success()) {
        println!("not run: this process may not mount a tmpfs (the injected full disk of faults.rs is tested anyway)");
        return;
    }
    let mounted = Mounted(dir.path().to_owned());
    let path = dir.path().join("queue");
    let settings = QueueSettings { segment_bytes: 64 * 1024, ..QueueSettings::default() };
    let queue = Queue::open(&path, settings.clone()).await.expect("open");
    let ballast = dir.path().join("ballast");
    std::fs::write(&ballast, vec![0; 100 * 1024]).expect("a file that takes room");
    let body = |n: usize| bytes::Bytes::from(format!("{n:05}").repeat(200));
    let mut count = 0;
    let rejected = loop {
        match queue.append(vec![body(count)]).await {
            Ok(_) => count += 1,
            Err(rejected) => break rejected,
        }
    };
    assert_eq!((rejected.error.kind, rejected.records), (ErrorKind::DiskFull, vec![body(count)]));
    assert!(count > 50, "{count}");
    assert_eq!(queue.append(vec![body(count)]).await.expect_err("still full").error.kind, ErrorKind::DiskFull);
    std::fs::remove_file(&ballast).expect("removed");
    queue.append(vec![body(count)]).await.expect("room again");
    drop(queue);
    let queue = reopen(&path, settings).await.expect("open again");
    let expect: Vec<_> = (0..=count).map(body).collect();
    assert_eq!(bodies(read_all(&queue).await.expect("read")), expect);
    queue.close().await.expect("close");
    drop(mounted);
}
