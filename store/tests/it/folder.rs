//! The lock of the data folder.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use store::{DataDir, ErrorKind};
use tempfile::tempdir;

#[test]
fn a_second_server_is_told_the_folder_and_the_pid() {
    let dir = tempdir().expect("a folder");
    let path = dir.path().join("data");
    let held = DataDir::open(&path).expect("the first");
    let clone = held.clone();
    let error = DataDir::open(&path).expect_err("the second");
    assert_eq!((error.kind, &error.path), (ErrorKind::Locked, &path));
    assert!(error.context.contains(&std::process::id().to_string()), "{error}");
    let reader = DataDir::open_read_only(&path).expect("a reader beside the server");
    assert_eq!(reader.path(), path);
    drop(held);
    assert_eq!(DataDir::open(&path).expect_err("a clone holds it").kind, ErrorKind::Locked);
    drop(clone);
    drop(DataDir::open(&path).expect("free again"));
}

#[test]
fn the_lock_of_a_killed_process_is_gone_and_its_pid_was_named() {
    let dir = tempdir().expect("a folder");
    drop(DataDir::open(dir.path()).expect("made"));
    let lock = dir.path().join("weir.lock");
    // flock(1) takes the same kind of lock from outside.
    let script = "echo $$ > \"$0\"; exec flock -n \"$0\" sh -c 'echo held; exec sleep 30'";
    let mut child =
        Command::new("sh").args(["-c", script]).arg(&lock).stdout(Stdio::piped()).spawn().expect("a holder");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line).expect("a line");
    assert_eq!(line, "held\n");
    let error = DataDir::open(dir.path()).expect_err("held");
    assert!(error.context.contains(&format!("process {}", child.id())), "{error}");
    // The sleeping grandchild has the lock too; it ends with the group only, so find it by its parent.
    let sleeper = Command::new("pgrep").args(["-P", &child.id().to_string()]).output().expect("pgrep");
    for pid in String::from_utf8_lossy(&sleeper.stdout).split_whitespace() {
        Command::new("kill").args(["-9", pid]).status().expect("kill");
    }
    child.kill().expect("kill");
    child.wait().expect("its end");
    for _ in 0..1000 {
        if DataDir::open(dir.path()).is_ok() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    panic!("still locked");
}

#[test]
fn reading_needs_an_existing_folder() {
    let dir = tempdir().expect("a folder");
    assert_eq!(DataDir::open_read_only(dir.path().join("none")).expect_err("none").kind, ErrorKind::NotFound);
    let file = dir.path().join("file");
    std::fs::write(&file, b"").expect("written");
    assert_eq!(DataDir::open_read_only(&file).expect_err("a file").kind, ErrorKind::Invalid);
}

#[test]
fn every_queue_name_gets_a_folder_of_its_own_inside() {
    let dir = tempdir().expect("a folder");
    let data = DataDir::open(dir.path()).expect("open");
    let names = ["a", "A", "a/b", "a%2Fb", "..", ".", "../x", "ü", "rule:1", "a b"];
    let mut folders: Vec<_> = names.iter().map(|name| data.queue_dir(name)).collect();
    for folder in &folders {
        assert_eq!(folder.parent(), Some(dir.path().join("queues").as_path()));
        assert!(folder.file_name().is_some_and(|name| name != ".."));
    }
    folders.sort();
    folders.dedup();
    assert_eq!(folders.len(), names.len());
}

/// Rules and resources hold secrets, so what the server makes is its own user's alone.
#[tokio::test]
async fn a_new_folder_and_its_store_are_readable_by_their_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let parent = tempdir().unwrap();
    let folder = DataDir::open(parent.path().join("data")).unwrap();
    let kv = store::Kv::open(folder.kv_path()).await.unwrap();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(folder.path()), 0o700);
    assert_eq!(mode(&folder.kv_path()), 0o600);
    kv.close().await.unwrap();
}
