//! Stores that are damaged, incomplete, opened twice or readable by others.

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

use rusqlite::Connection;
use tinpot_core::store::{ListOptions, Session};
use tinpot_core::testing::store::open;
use tinpot_core::{ErrorKind, Store};

use crate::support::{accept, chain, commit, id, is_there, place, store};

/// Opens a store that is refused, and returns the reason.
async fn refused(path: &Path, kind: ErrorKind) -> String {
    let error = store(path).open().await.expect_err("it cannot be opened");
    assert_eq!(error.kind(), kind, "{error}");
    chain(&error)
}

/// A closed store with many executions.
async fn filled(path: &Path) {
    let store = open(store(path)).await;
    commit(&store, &(1..=500).map(accept).collect::<Vec<_>>()).await;
    store.close().await.expect("close");
}

/// Leaves a store as a crash does, with some of its content in the write-ahead log.
async fn crashed(path: &Path) {
    let store = open(store(path)).await;
    commit(&store, &[accept(1_001)]).await;
}

#[tokio::test]
async fn a_database_with_a_page_of_zeros_is_refused_and_stays_as_it_was() {
    let (_directory, path) = place();
    filled(&path).await;
    let pages = fs::metadata(&path).expect("a file").len() / 4096;
    let file = fs::OpenOptions::new().write(true).open(&path).expect("a file");
    // Of any page some bytes are unused: not every one is missed.
    for page in (pages / 3..pages).step_by(3) {
        file.write_all_at(&[0; 4096], page * 4096).expect("written");
    }
    let before = fs::read(&path).expect("bytes");
    let reason = refused(&path, ErrorKind::Malformed).await;
    assert!(reason.contains("damaged") && reason.contains(".recover"), "{reason}");
    assert_eq!(fs::read(&path).expect("bytes"), before);
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_left_out_and_said() {
    let (_directory, path) = place();
    filled(&path).await;
    let database = Connection::open(&path).expect("a database");
    let changed = "UPDATE executions SET rest = '{' WHERE id = ?1";
    for number in [7_u128, 499] {
        let changed = database.execute(changed, [number.to_be_bytes()]).expect("a change");
        assert_eq!(changed, 1);
    }
    drop(database);
    let store = open(store(&path)).await;
    assert!(store.problems().is_empty(), "nothing was read yet");
    for options in [ListOptions::default(), ListOptions::new().action("act")] {
        let page = store.executions(&options.limit(100)).await.expect("a page");
        assert_eq!(page.len(), 100, "the page is full, so that lists go on");
        assert!(page.iter().all(|execution| execution.id != id(499)));
    }
    let problems = store.problems();
    assert!(problems[0].message.contains("records that cannot be read: 1"), "{problems:?}");
    assert!(!problems[0].is_blocking, "{problems:?}");
    let error = store.execution(id(7)).await.expect_err("it cannot be read");
    assert_eq!(error.kind(), ErrorKind::Malformed);
    assert!(is_there(&store, 8).await);
}

#[tokio::test]
async fn a_hard_link_is_the_same_store() {
    let (directory, path) = place();
    let first = open(store(&path)).await;
    let link = directory.path().join("link.db");
    fs::hard_link(&path, &link).expect("a link");
    let reason = refused(&link, ErrorKind::Conflict).await;
    assert!(reason.contains("open in another coordinator"), "{reason}");
    commit(&first, &[accept(1)]).await;
    first.close().await.expect("close");
    open(store(&link)).await.close().await.expect("it is free");
}

#[tokio::test]
async fn a_store_without_its_last_changes_is_refused_until_its_operator_gives_them_up() {
    let (directory, path) = place();
    // Nothing has reached the database itself.
    crashed(&path).await;
    fs::remove_file(directory.path().join("tinpot.db-wal")).expect("a log");
    for _ in 0..2 {
        let reason = refused(&path, ErrorKind::Malformed).await;
        assert!(reason.contains("-wal") && reason.contains("-lock"), "{reason}");
    }
    fs::write(directory.path().join("tinpot.db-lock"), "").expect("emptied");
    let store = open(store(&path)).await;
    assert!(!is_there(&store, 1_001).await);
}

#[tokio::test]
async fn a_store_that_goes_on_without_its_last_changes_is_another_instance() {
    let (directory, path) = place();
    filled(&path).await;
    crashed(&path).await;
    let before = open(store(&path)).await.opened.epoch;
    fs::remove_file(directory.path().join("tinpot.db-wal")).expect("a log");
    refused(&path, ErrorKind::Malformed).await;
    fs::write(directory.path().join("tinpot.db-lock"), "").expect("emptied");
    let after = open(store(&path)).await.opened.epoch;
    assert_ne!(after.instance, before.instance);
}

#[tokio::test]
async fn a_crash_and_a_visit_of_another_program_are_no_loss() {
    let (_directory, path) = place();
    crashed(&path).await;
    // Its close moves the write-ahead log to the database.
    Connection::open(&path)
        .and_then(|it| it.execute_batch("PRAGMA wal_checkpoint"))
        .expect("moved");
    let store = open(store(&path)).await;
    assert!(is_there(&store, 1_001).await);
}

#[tokio::test]
async fn files_are_of_their_user_alone() {
    let (directory, path) = place();
    let modes = || {
        let entries = fs::read_dir(directory.path()).expect("a directory").flatten();
        let mode = |path: &Path| fs::metadata(path).expect("metadata").permissions().mode() & 0o777;
        entries.map(|entry| (entry.file_name(), mode(&entry.path()))).collect::<Vec<_>>()
    };
    crashed(&path).await;
    let made = modes();
    assert!(made.len() >= 3 && made.iter().all(|(_, mode)| *mode == 0o600), "{made:?}");
    // Those of an earlier version.
    for (name, _) in &made {
        let wide = fs::Permissions::from_mode(0o644);
        fs::set_permissions(directory.path().join(name), wide).expect("a mode");
    }
    let store = open(store(&path)).await;
    store.backup(directory.path().join("copy.db")).await.expect("a backup");
    let found = modes();
    assert!(found.iter().all(|(_, mode)| *mode == 0o600), "{found:?}");
}

#[tokio::test]
async fn a_lock_file_that_is_a_pipe_or_a_link_is_refused_at_once() {
    let (directory, path) = place();
    let lock = directory.path().join("tinpot.db-lock");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &lock,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .expect("a pipe");
    refused(&path, ErrorKind::InvalidInput).await;
    fs::remove_file(&lock).expect("removed");
    let target = directory.path().join("precious");
    fs::write(&target, "text").expect("a file");
    std::os::unix::fs::symlink(&target, &lock).expect("a link");
    store(&path).open().await.expect_err("it is not followed");
    assert_eq!(fs::read_to_string(&target).expect("text"), "text");
}
