//! Copies of a store are other stores.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use tinpot_core::Epoch;
use tinpot_core::ErrorKind;
use tinpot_core::access::records::Change;
use tinpot_core::access::{Records, Restoration};
use tinpot_core::store::Session;
use tinpot_core::testing::store::open;
use tinpot_sqlite::{SqliteRecords, SqliteStore};

use crate::support::{accept, commit, finish, grant, is_there, lines, log, place, store};

async fn epoch(path: &Path) -> Epoch {
    let store = open(store(path)).await;
    let epoch = store.opened.epoch;
    store.close().await.expect("close");
    epoch
}

#[tokio::test]
async fn a_file_keeps_its_instance_wherever_it_is_moved() {
    let (directory, path) = place();
    let first = epoch(&path).await;
    let moved = directory.path().join("moved.db");
    fs::rename(&path, &moved).expect("a rename");
    let second = epoch(&moved).await;
    assert_eq!((second.instance, second.number), (first.instance, first.number + 1));
}

#[tokio::test]
async fn a_copied_file_is_another_instance() {
    let (directory, path) = place();
    let first = epoch(&path).await;
    let copy = directory.path().join("copy.db");
    fs::copy(&path, &copy).expect("a copy");
    let of_copy = epoch(&copy).await;
    assert_ne!(of_copy.instance, first.instance);
    assert!(of_copy.number > first.number);
    // From then on it is a store like any other.
    assert_eq!(epoch(&copy).await.instance, of_copy.instance);
    assert_eq!(epoch(&path).await.instance, first.instance);
}

#[tokio::test]
async fn a_file_that_was_put_back_in_place_is_another_instance() {
    let (directory, path) = place();
    let first = epoch(&path).await;
    let kept = directory.path().join("kept.db");
    fs::copy(&path, &kept).expect("a copy");
    let second = epoch(&path).await;
    assert_eq!(second.instance, first.instance);
    // Into the same file, so that only what it says is older than what was.
    fs::write(&path, fs::read(&kept).expect("bytes")).expect("a restore");
    let third = epoch(&path).await;
    assert_ne!(third.instance, first.instance);
    assert_eq!(epoch(&path).await.instance, third.instance);
}

#[tokio::test]
async fn a_backup_has_what_was_committed_before_it() {
    let (directory, path) = place();
    let original = Arc::new(open(store(&path)).await);
    let opened = &original.opened;
    commit(&*original, &(1..=500).map(accept).collect::<Vec<_>>()).await;
    commit(&*original, &[grant(1), grant(2), finish(2)]).await;
    let text: Vec<String> = (1..=4_000).map(|line| format!("line {line}")).collect();
    original.append_logs(&[lines(1, 1, text.clone())]).await.expect("lines");
    let backup = directory.path().join("backup.db");
    // Work goes on meanwhile.
    let (writer, stop) = (original.clone(), Arc::new(std::sync::atomic::AtomicBool::new(false)));
    let stopped = stop.clone();
    let working = tokio::spawn(async move {
        let mut number = 1_000;
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            commit(&*writer, &[accept(number)]).await;
            number += 1;
        }
        number
    });
    original.backup(&backup).await.expect("a backup");
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let end = working.await.expect("it worked");
    let copy = open(store(&backup)).await;
    let of_copy = &copy.opened;
    assert_ne!(of_copy.epoch.instance, opened.epoch.instance);
    assert_eq!(of_copy.granted.len(), 1);
    assert!(is_there(&copy, 500).await);
    assert_eq!(log(&copy, 1).await, text);
    // Each commit is in it or not, in their order.
    let mut known = Vec::new();
    for number in 1_000..end {
        known.push(is_there(&copy, number).await);
    }
    assert!(known.is_sorted_by(|before, after| before >= after), "{known:?}");
    // They are two stores.
    commit(&copy, &[accept(9_999)]).await;
    assert!(!is_there(&*original, 9_999).await);
}

#[tokio::test]
async fn a_backup_replaces_nothing_and_leaves_nothing_half_made() {
    let (directory, path) = place();
    let store = store(&path);
    let to = |name: &str| directory.path().join(name);
    let refused = async |store: &SqliteStore, name: &str, kind, says: &str| {
        let error = store.backup(to(name)).await.expect_err("it cannot be");
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(says), "{says:?} is not in {error}");
    };
    refused(&store, "new.db", ErrorKind::Closed, "not open").await;
    let store = open(store).await;
    fs::write(to("there.txt"), "precious").expect("a file");
    refused(&store, "there.txt", ErrorKind::InvalidInput, "there.txt").await;
    assert_eq!(fs::read_to_string(to("there.txt")).expect("text"), "precious");
    refused(&store, "tinpot.db", ErrorKind::InvalidInput, "tinpot.db").await;
    refused(&store, "no/where.db", ErrorKind::InvalidInput, "there is no directory").await;
    refused(&store, "", ErrorKind::InvalidInput, "it is a directory").await;
    commit(&store, &[accept(1)]).await;
    store.close().await.expect("close");
    let mut left: Vec<_> = fs::read_dir(directory.path())
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    left.sort_unstable();
    assert_eq!(left, ["there.txt", "tinpot.db", "tinpot.db-lock"]);
}

/// Copies a database with what is in its write-ahead log.
async fn copy_of(path: &Path, to: &Path) {
    let opened = open(store(path)).await;
    opened.backup(to).await.expect("a backup");
    opened.close().await.expect("close");
}

#[tokio::test]
async fn records_that_were_put_back_say_so() {
    let (directory, path) = place();
    let records = SqliteRecords::open(&path);
    let version = records.change(&[Change::create("token", "a", "x")]).await.expect("a change");
    let kept = directory.path().join("kept.db");
    copy_of(&path, &kept).await;
    records.change(&[Change::remove("token", "a", version)]).await.expect("revoked");
    records.change(&[Change::create("token", "b", "x")]).await.expect("a change");
    let last = records.changed(0).await.expect("changes").revision;
    assert_eq!(Restoration::of(&SqliteRecords::open(&path)).await.expect("none"), None);
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{suffix}", path.display()));
    }
    fs::write(&path, fs::read(&kept).expect("bytes")).expect("a restore");
    let records = SqliteRecords::open(&path);
    let note = Restoration::of(&records).await.expect("a note").expect("it was put back");
    assert_eq!((note.revision, note.before), (1, Some(last)));
    assert!(records.get("token", "a").await.expect("a document").is_some(), "it is back");
    // No version is used twice, and readers of the former file read everything again.
    let next = records.change(&[Change::create("token", "c", "x")]).await.expect("a change");
    assert!(next > last + 1, "{next} after {last}");
    assert!(records.changed(last).await.expect("changes").is_reset);
    // It stays until it is settled, and is not noticed again.
    assert_eq!(Restoration::of(&SqliteRecords::open(&path)).await.expect("a note"), Some(note));
    Restoration::settle(&records).await.expect("settled");
    drop(open(store(&path)).await.close().await);
    assert_eq!(Restoration::of(&SqliteRecords::open(&path)).await.expect("none"), None);
}

#[tokio::test]
async fn records_of_a_copy_without_its_stamp_say_so_and_a_moved_store_does_not() {
    let (directory, path) = place();
    let records = SqliteRecords::open(&path);
    records.change(&[Change::create("token", "a", "x")]).await.expect("a change");
    let (backup, copied) = (directory.path().join("backup.db"), directory.path().join("copied.db"));
    copy_of(&path, &backup).await;
    let note = Restoration::of(&SqliteRecords::open(&backup)).await.expect("a note");
    assert_eq!(note.map(|note| (note.revision, note.before)), Some((1, None)));
    // The whole of a store, for another disk.
    for suffix in ["", "-access"] {
        let from = format!("{}{suffix}", path.display());
        fs::copy(from, format!("{}{suffix}", copied.display())).expect("a copy");
    }
    assert_eq!(Restoration::of(&SqliteRecords::open(&copied)).await.expect("none"), None);
    // The stamp of a store that nothing else has changed, and that was lost, is made again.
    fs::remove_file(format!("{}-access", path.display())).expect("a file");
    assert_eq!(Restoration::of(&SqliteRecords::open(&path)).await.expect("none"), None);
}

#[tokio::test]
async fn a_new_store_next_to_the_files_of_an_old_one_was_not_put_back() {
    let (_directory, path) = place();
    let records = SqliteRecords::open(&path);
    records.change(&[Change::create("token", "a", "x")]).await.expect("a change");
    drop(records);
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{suffix}", path.display()));
    }
    let records = SqliteRecords::open(&path);
    assert_eq!(Restoration::of(&records).await.expect("none"), None);
    records.change(&[Change::create("token", "b", "x")]).await.expect("a change");
    records.change(&[Change::create("token", "c", "x")]).await.expect("a change");
    assert_eq!(Restoration::of(&SqliteRecords::open(&path)).await.expect("none"), None);
}
