//! Records in the file of a store.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tempfile::TempDir;
use tinpot_core::ErrorKind;
use tinpot_core::access::Records;
use tinpot_core::access::records::Change;
use tinpot_core::testing::records::Subject;
use tinpot_core::testing::store::open;
use tinpot_sqlite::{SqliteRecords, SqliteStore};

use crate::support::{accept, chain, commit, is_there, place, store};

#[derive(Debug)]
struct InDirectory {
    path: PathBuf,
    _directory: TempDir,
}

#[async_trait]
impl Subject for InDirectory {
    async fn open(&self) -> Arc<dyn Records> {
        Arc::new(SqliteRecords::open(&self.path))
    }
}

mod alone {
    use std::future::{Ready, ready};

    use super::{InDirectory, place};

    fn subject() -> Ready<InDirectory> {
        let (_directory, path) = place();
        ready(InDirectory { path, _directory })
    }

    tinpot_core::records_conformance!(subject);
}

async fn create(records: &dyn Records, id: &str) {
    records.change(&[Change::create("user", id, "x")]).await.expect("a change");
}

async fn ids(records: &dyn Records) -> Vec<String> {
    let list = records.list("user", "", 100).await.expect("a list");
    list.iter().map(|record| record.id.to_string()).collect()
}

#[tokio::test]
async fn records_are_written_next_to_an_open_store_and_outlive_its_crash() {
    let (_directory, path) = place();
    let records = SqliteRecords::open(&path);
    create(&records, "before").await;
    let opened = open(store(&path)).await;
    commit(&opened, &[accept(1)]).await;
    create(&records, "with").await;
    create(&opened.records(), "by the store").await;
    commit(&opened, &[accept(2)]).await;
    drop(opened.crashed());
    create(&records, "after").await;
    // What the crashed session wrote is still there, and so are the records after a close.
    let opened = open(store(&path)).await;
    assert!(is_there(&*opened, 1).await && is_there(&*opened, 2).await);
    let closed = opened.closed().await;
    create(&records, "closed").await;
    let all = ["after", "before", "by the store", "closed", "with"];
    assert_eq!(ids(&closed.records()).await, all);
    let opened = open(closed).await;
    assert_eq!(opened.opened.epoch.number, 3, "no other instance");
}

#[tokio::test]
async fn records_are_in_a_backup() {
    let (directory, path) = place();
    let opened = open(store(&path)).await;
    create(&opened.records(), "ada").await;
    let copy = directory.path().join("copy.db");
    opened.backup(&copy).await.expect("a backup");
    assert_eq!(ids(&SqliteRecords::open(&copy)).await, ["ada"]);
}

#[tokio::test]
async fn many_processes_may_create_the_file_at_once() {
    let (_directory, path) = place();
    let tasks = (0..8).map(|number| {
        let path = path.clone();
        tokio::spawn(async move { create(&SqliteRecords::open(path), &number.to_string()).await })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("no panic");
    }
    assert_eq!(ids(&SqliteRecords::open(&path)).await.len(), 8);
    let mode = fs::metadata(&path).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "others may read it");
}

#[tokio::test]
async fn the_log_stays_short_without_a_coordinator() {
    let (_directory, path) = place();
    let records = SqliteRecords::open(&path);
    let entries = vec![Bytes::from(vec![b'x'; 64 * 1024]); 8];
    let mut longest = 0;
    for _ in 0..40 {
        records.append("audit", None, &entries).await.expect("an append");
        longest =
            longest.max(fs::metadata(path.with_file_name("tinpot.db-wal")).expect("a log").len());
    }
    assert!(longest < 5 * 1024 * 1024, "each call reads {longest} bytes");
    assert_eq!(records.entries("audit", 0, 1_000).await.expect("entries").len(), 320);
}

#[tokio::test]
async fn a_place_without_records_is_named_and_not_changed() {
    let (directory, path) = place();
    let nowhere = directory.path().join("no/tinpot.db");
    fs::write(&path, "no database, but a text of some length").expect("a file");
    for (path, kind) in [(&nowhere, ErrorKind::InvalidInput), (&path, ErrorKind::Malformed)] {
        let error = SqliteRecords::open(path).get("user", "ada").await.expect_err("no records");
        assert_eq!(error.kind(), kind, "{}", chain(&error));
        assert!(chain(&error).contains(path.to_str().expect("UTF-8")), "{}", chain(&error));
    }
    assert_eq!(fs::read(&path).expect("a file"), b"no database, but a text of some length");
}

#[tokio::test]
async fn the_size_of_the_store_bounds_its_records() {
    let (_directory, path) = place();
    let bytes = std::num::NonZeroU64::new(512 * 1024).expect("not zero");
    let records = SqliteStore::builder(&path).max_bytes(bytes).build().records();
    let entry = Bytes::from(vec![b'x'; 64 * 1024]);
    let mut taken = 0;
    let error = loop {
        match records.append("audit", None, std::slice::from_ref(&entry)).await {
            Ok(last) => taken = last,
            Err(error) => break error,
        }
        assert!(taken < 20, "there is no bound");
    };
    assert_eq!(error.kind(), ErrorKind::StorageFull, "{}", chain(&error));
    assert_eq!(records.append("audit", None, &[]).await.expect("the end"), taken);
    records.trim("audit", taken).await.expect("a trim");
    records.append("audit", None, &[entry]).await.expect("room again");
}
