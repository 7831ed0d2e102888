//! Small files are merged, unused ones removed; readers and writers do not notice.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use connector::{Client, Config};
use serde_json::{Value as Json, json};

use crate::{content, only_table, rows, sink};

async fn lake(folder: &Path, settings: &Json) -> Arc<dyn Client> {
    let mut all = json!({"path": folder, "upkeep_interval": "10ms"});
    all.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    lake::connector().open(&Config::parse(lake::SPEC.fields, &all).unwrap()).await.unwrap()
}

/// Polls until the table has this many files; fails after ten seconds.
async fn files_become(folder: &Path, count: usize) -> connector::Table {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let table = only_table(folder).await;
        if table.files.len() == count {
            return table;
        }
        assert!(Instant::now() < end, "still {} files", table.files.len());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Data files on disk.
fn on_disk(folder: &Path) -> usize {
    let mut count = 0;
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            match path.is_dir() {
                true if name != "_delta_log" => folders.push(path),
                true => {}
                false => count += usize::from(name.starts_with("part-")),
            }
        }
    }
    count
}

#[tokio::test]
async fn many_small_files_of_a_partition_become_one_with_the_same_rows() {
    let folder = tempfile::tempdir().unwrap();
    let open = lake(folder.path(), &json!({"compact_files_min": 0})).await;
    let params = json!({"table": "t", "partition_by": "site"});
    let writer = sink(&open, &params);
    // A partition that needs escaping, one that is null, and one with too few files; columns that come later.
    for n in 0..6 {
        writer.write(&rows(n, &[json!({"site": "a b/ü%", "n": n})])).await.unwrap();
    }
    for n in 6..12 {
        writer.write(&rows(n, &[json!({"site": null, "n": n, "more": format!("m{n}")})])).await.unwrap();
    }
    for n in 12..14 {
        writer.write(&rows(n, &[json!({"site": "few", "n": n, "more": "x"})])).await.unwrap();
    }
    let before = only_table(folder.path()).await;
    assert_eq!((before.files.len(), before.version), (14, 13));
    open.close().await;

    let open = lake(folder.path(), &json!({"compact_files_min": 4, "vacuum_after": "0"})).await;
    let writer = sink(&open, &params);
    writer.write(&rows(14, &[json!({"site": "few", "n": 14})])).await.unwrap();
    let after = files_become(folder.path(), 1 + 1 + 3).await;
    assert_eq!(after.version, 16, "one commit a partition");
    let mut expected = content(&before);
    expected.push("n=14 site=few".to_owned());
    expected.sort();
    assert_eq!(content(&after), expected);
    assert_eq!(content(&before).len(), 14, "a reader of the earlier version still finds its files");
    // The writer goes on behind the merge, and what it writes is recognised when it comes again.
    writer.write(&rows(15, &[json!({"site": "few", "n": 15})])).await.unwrap();
    writer.write(&rows(15, &[json!({"site": "few", "n": 15})])).await.unwrap();
    open.close().await;
    assert_eq!(content(&only_table(folder.path()).await).len(), 16);
}

#[tokio::test]
async fn unused_files_are_removed_after_their_time_and_used_ones_never() {
    let folder = tempfile::tempdir().unwrap();
    let params = json!({"table": "t", "partition_by": "site"});
    let settings = json!({"compact_files_min": 4, "vacuum_after": "1d"});
    let open = lake(folder.path(), &settings).await;
    let writer = sink(&open, &params);
    for n in 0..4 {
        writer.write(&rows(n, &[json!({"site": "a b", "n": n})])).await.unwrap();
    }
    files_become(folder.path(), 1).await;
    let orphan = folder.path().join("t/site=a%20b/part-orphan.parquet");
    std::fs::write(&orphan, "what a crash left").unwrap();
    let other = folder.path().join("t/notes.txt");
    std::fs::write(&other, "not ours").unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(on_disk(folder.path()), 4 + 1 + 1, "nothing is a day old");
    open.close().await;

    let open = lake(folder.path(), &json!({"compact_files_min": 4, "vacuum_after": "1ms"})).await;
    sink(&open, &params).write(&rows(4, &[json!({"site": "a b", "n": 4})])).await.unwrap();
    let end = Instant::now() + Duration::from_secs(10);
    while on_disk(folder.path()) != 2 {
        assert!(Instant::now() < end, "{} files", on_disk(folder.path()));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    open.close().await;
    assert!(!orphan.exists() && other.exists());
    assert_eq!(content(&only_table(folder.path()).await).len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn merging_beside_two_writers_loses_and_doubles_nothing() {
    let folder = tempfile::tempdir().unwrap();
    // Two clients on one folder, as two servers would be: they meet in the log only.
    let settings = json!({"compact_files_min": 3, "vacuum_after": "0"});
    let clients = [lake(folder.path(), &settings).await, lake(folder.path(), &settings).await];
    let writing = clients.iter().enumerate().map(|(who, client)| {
        let writer = sink(client, &json!({"table": "t"}));
        async move {
            for n in 0..40 {
                let id = who * 1_000 + n;
                while writer.write(&rows(id, &[json!({"id": id})])).await.is_err() {}
            }
        }
    });
    futures::future::join_all(writing).await;
    for client in &clients {
        client.close().await;
    }
    let table = only_table(folder.path()).await;
    let mut expected: Vec<String> = (0..40).flat_map(|n| [format!("id={n}"), format!("id={}", 1_000 + n)]).collect();
    expected.sort();
    assert_eq!(content(&table), expected);
    assert!(table.version > 80, "something was merged meanwhile: version {}", table.version);
}
