//! The key-value store.

use std::collections::BTreeMap;

use bytes::Bytes;
use store::{ErrorKind, KEY_BYTES_MAX, Kv, WriteBatch};
use tempfile::tempdir;

fn pairs(list: &[(&str, &str)]) -> Vec<(Bytes, Bytes)> {
    list.iter().map(|(k, v)| (Bytes::from((*k).to_owned()), Bytes::from((*v).to_owned()))).collect()
}

#[tokio::test]
async fn tables_are_separate_and_survive_reopening() {
    let dir = tempdir().expect("a folder");
    let path = dir.path().join("deeper/store.kv");
    let kv = Kv::open(&path).await.expect("open");
    kv.put("rules", "a", "1").await.expect("put");
    kv.put("users", "a", "2").await.expect("put");
    kv.put("rules", "b", "3").await.expect("put");
    kv.delete("rules", "b").await.expect("delete");
    kv.delete("never made", "b").await.expect("delete of nothing");
    kv.close().await.expect("close");
    assert_eq!(kv.get("rules", b"a").await.expect_err("closed").kind, ErrorKind::Closed);
    assert_eq!(kv.put("rules", "a", "1").await.expect_err("closed").kind, ErrorKind::Closed);
    let kv = Kv::open(&path).await.expect("open again");
    let table: [(&str, &str, Option<&str>); 5] = [
        ("rules", "a", Some("1")),
        ("users", "a", Some("2")),
        ("rules", "b", None),
        ("rules", "", None),
        ("none", "a", None),
    ];
    for (table, key, expect) in table {
        let got = kv.get(table, key.as_bytes()).await.expect("get");
        assert_eq!(got.as_deref(), expect.map(str::as_bytes), "{table} {key}");
    }
}

#[tokio::test]
async fn scan_is_ordered_by_key_and_keeps_to_prefix_page_and_place() {
    let dir = tempdir().expect("a folder");
    let kv = Kv::open(dir.path().join("store.kv")).await.expect("open");
    let mut batch = WriteBatch::new();
    for key in ["b/2", "a/1", "b/1", "b", "c/1", "b/3"] {
        batch.put("t", key, key.to_uppercase());
    }
    kv.write(batch).await.expect("write");
    let all = pairs(&[("b/1", "B/1"), ("b/2", "B/2"), ("b/3", "B/3")]);
    assert_eq!(kv.scan("t", b"b/").await.expect("scan"), all);
    assert_eq!(kv.scan("t", b"").await.expect("scan").len(), 6);
    assert_eq!(kv.scan("none", b"").await.expect("scan"), []);
    for (after, limit, expect) in
        [(None, 2, &all[..2]), (Some("b/1"), 1, &all[1..2]), (Some("b/3"), 9, &[]), (Some("a"), 9, &all[..])]
    {
        let page = kv.scan_page("t", b"b/", after.map(str::as_bytes), limit).await.expect("scan");
        assert_eq!(page, expect, "{after:?} {limit}");
    }
}

#[tokio::test]
async fn a_batch_is_refused_as_a_whole() {
    let dir = tempdir().expect("a folder");
    let kv = Kv::open(dir.path().join("store.kv")).await.expect("open");
    let mut batch = WriteBatch::new();
    batch.put("t", "good", "1").put("t", vec![b'x'; KEY_BYTES_MAX + 1], "2");
    assert_eq!(kv.write(batch).await.expect_err("too long").kind, ErrorKind::Invalid);
    assert_eq!(kv.get("t", b"good").await.expect("get"), None);
}

#[tokio::test]
async fn a_store_open_elsewhere_and_a_file_that_is_none_are_named() {
    let dir = tempdir().expect("a folder");
    let path = dir.path().join("store.kv");
    let kv = Kv::open(&path).await.expect("open");
    let error = Kv::open(&path).await.err().expect("twice");
    assert_eq!((error.kind, &error.path), (ErrorKind::Locked, &path));
    kv.close().await.expect("close");
    let other = dir.path().join("other");
    std::fs::write(&other, vec![b'x'; 100_000]).expect("written");
    let error = Kv::open(&other).await.err().expect("no store");
    assert_eq!((error.kind, &error.path), (ErrorKind::Corrupt, &other), "{error}");
    assert_eq!(std::fs::read(&other).expect("the file"), vec![b'x'; 100_000], "it is left alone");
}

#[tokio::test]
async fn concurrent_writes_are_all_there() {
    let dir = tempdir().expect("a folder");
    let kv = Kv::open(dir.path().join("store.kv")).await.expect("open");
    let writes = (0..64).map(|n| kv.put("t", format!("{n:02}"), format!("value {n}")));
    futures::future::try_join_all(writes).await.expect("put");
    let expect: BTreeMap<_, _> =
        (0..64).map(|n| (Bytes::from(format!("{n:02}")), Bytes::from(format!("value {n}")))).collect();
    assert_eq!(kv.scan("t", b"").await.expect("scan"), expect.into_iter().collect::<Vec<_>>());
}
