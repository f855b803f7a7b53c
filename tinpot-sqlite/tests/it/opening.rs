//! Errors of opening a store.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use rusqlite::Connection;
use tinpot_core::store::Session;
use tinpot_core::testing::store::open;
use tinpot_core::{ErrorKind, Store};

use crate::child::Process;
use crate::support::{accept, chain, commit, execution, id, is_there, place, store};

async fn refused(path: &Path, kind: ErrorKind, says: &[&str]) {
    let error = store(path).open().await.expect_err("it cannot be opened");
    let text = chain(&error);
    assert_eq!(error.kind(), kind, "{text}");
    for part in says {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}

#[tokio::test]
async fn a_place_where_no_store_can_be_is_named() {
    let (directory, _) = place();
    let path = directory.path();
    let name = path.to_str().expect("UTF-8");
    refused(path, ErrorKind::InvalidInput, &[name, "it is a directory"]).await;
    let nowhere = path.join("no/where/tinpot.db");
    let says = [nowhere.to_str().expect("UTF-8"), "there is no directory"];
    refused(&nowhere, ErrorKind::InvalidInput, &says).await;
    fs::write(path.join("file"), "").expect("a file");
    refused(
        &path.join("file/tinpot.db"),
        ErrorKind::InvalidInput,
        &["file/tinpot.db", "is a file"],
    )
    .await;
    symlink(path.join("nothing"), path.join("link")).expect("a link");
    refused(&path.join("link"), ErrorKind::InvalidInput, &["link", "does not exist"]).await;
    refused(Path::new(""), ErrorKind::InvalidInput, &["names no file"]).await;
    refused(Path::new("/dev/null"), ErrorKind::InvalidInput, &["/dev/null", "regular file"]).await;
    let left: Vec<_> = fs::read_dir(path).expect("a directory").collect();
    assert_eq!(left.len(), 2, "nothing was made: {left:?}");
}

#[tokio::test]
async fn a_place_that_may_not_be_written_is_named() {
    let (directory, path) = place();
    store(&path).open().await.expect("open");
    // The tests may run as one who may do everything: this is done by one who may do nothing.
    let program = directory.path().join("program");
    fs::copy(std::env::current_exe().expect("a path"), &program).expect("a copy");
    let allow = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("permissions");
    };
    allow(&program, 0o755);
    let opens = |path: &Path| -> String {
        let is_root = fs::metadata("/proc/self").expect("metadata").uid() == 0;
        let mut process = match is_root {
            true => Process::start_without_rights("child::opens", path, &program),
            false => Process::start("child::opens", path, None),
        };
        process.says("open: ")
    };
    allow(directory.path(), 0o555);
    let new = directory.path().join("new.db");
    for path in [&path, &new] {
        let told = opens(path);
        let name = path.to_str().expect("UTF-8");
        assert!(told.contains(name) && told.contains("denied"), "{told}");
        assert!(told.starts_with("InvalidInput"), "{told}");
    }
    allow(directory.path(), 0o777);
    allow(&path, 0o444);
    allow(&directory.path().join("tinpot.db-lock"), 0o666);
    let told = opens(&path);
    assert!(told.starts_with("InvalidInput") && told.contains("tinpot.db"), "{told}");
}

#[tokio::test]
async fn a_file_that_is_not_a_store_is_not_changed() {
    let (directory, _) = place();
    let file = |name: &str, bytes: &[u8]| {
        let path = directory.path().join(name);
        fs::write(&path, bytes).expect("a file");
        path
    };
    let other = directory.path().join("other.db");
    let connection = Connection::open(&other).expect("open");
    connection.execute_batch("CREATE TABLE theirs (x)").expect("SQL");
    connection.close().expect("close");
    let text = file("notes.txt", b"Some notes, and more of them");
    let mut garbage = b"SQLite format 3\0".to_vec();
    garbage.resize(8_192, 0xa5);
    let garbage = file("garbage.db", &garbage);
    for (path, says) in [
        (&text, "it is no SQLite database"),
        (&other, "it is an SQLite database of another program"),
        (&garbage, "garbage.db"),
    ] {
        let before = fs::read(path).expect("bytes");
        refused(path, ErrorKind::Malformed, &[path.to_str().expect("UTF-8"), says]).await;
        assert_eq!(fs::read(path).expect("bytes"), before, "{}", path.display());
    }
    // An empty file is no database yet: that of `mktemp`, for one.
    store(&file("empty.db", b"")).open().await.expect("open");
}

/// A store with a thousand executions, closed.
async fn full(path: &Path) {
    let store = open(store(path)).await;
    commit(&store, &(1..=1_000).map(accept).collect::<Vec<_>>()).await;
    store.close().await.expect("close");
}

#[tokio::test]
async fn damage_is_reported_and_no_data_is_discarded() {
    let (directory, path) = place();
    full(&path).await;
    let bytes = fs::read(&path).expect("bytes");
    let cut = directory.path().join("cut.db");
    fs::write(&cut, &bytes[..bytes.len() / 2]).expect("a file");
    let scribbled = directory.path().join("scribbled.db");
    let mut damaged = bytes.clone();
    // All but the first page, with the schema.
    damaged[4_096..].fill(0x5a);
    fs::write(&scribbled, &damaged).expect("a file");
    for path in [&cut, &scribbled] {
        let before = fs::read(path).expect("bytes");
        refused(path, ErrorKind::Malformed, &[path.to_str().expect("UTF-8"), "damaged"]).await;
        assert_eq!(fs::read(path).expect("bytes"), before, "{}", path.display());
    }
    // Damage that shows later is reported by the read that meets it.
    let connection = Connection::open(&path).expect("open");
    connection
        .execute_batch("UPDATE executions SET rest = '{' WHERE row = 7; UPDATE executions SET parameters = '{' WHERE row = 8")
        .expect("SQL");
    connection.close().expect("close");
    let store = open(store(&path)).await;
    for number in [7, 8] {
        let error = store.execution(id(number)).await.expect_err("damage");
        assert_eq!(error.kind(), ErrorKind::Malformed);
        let named = id(number).to_string();
        assert!(error.to_string().contains(&named), "{error}");
    }
    assert!(is_there(&store, 9).await);
}

#[tokio::test]
async fn a_newer_schema_is_refused_with_both_versions() {
    let (_directory, path) = place();
    full(&path).await;
    let connection = Connection::open(&path).expect("open");
    let known: i64 =
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).expect("a version");
    connection.pragma_update(None, "user_version", known + 5).expect("SQL");
    connection.close().expect("close");
    let before = fs::read(&path).expect("bytes");
    let found = format!("version {}", known + 5);
    let says = [path.to_str().expect("UTF-8"), &found, &format!("up to {known}")];
    refused(&path, ErrorKind::Malformed, &says).await;
    assert_eq!(fs::read(&path).expect("bytes"), before);
}

#[tokio::test]
async fn an_older_schema_is_migrated_without_loss() {
    let (_directory, path) = place();
    // As the first version made it.
    let connection = Connection::open(&path).expect("open");
    let mut id_bytes = [0; 16];
    id_bytes[15] = 7;
    connection.execute_batch(include_str!("../../src/schema/V1__initial.sql")).expect("SQL");
    connection
        .execute_batch(
            "PRAGMA user_version = 1;
             INSERT INTO store VALUES (1, 77, 41, 'elsewhere');
             INSERT INTO actions VALUES ('act', '{\"name\": \"act\"}');
             INSERT INTO routes VALUES (5, 'default', 'act');",
        )
        .expect("SQL");
    connection
        .execute(
            "INSERT INTO executions (row, id, route, state, rank, accepted_at, log_lines, parameters, rest) \
             VALUES (3, ?1, 5, 0, -2, 9, 0, '{}', '{}')",
            [id_bytes],
        )
        .expect("SQL");
    connection.close().expect("close");
    let store = open(store(&path)).await;
    let opened = &store.opened;
    assert_eq!(opened.epoch.number, 42);
    assert_eq!((opened.actions.len(), opened.waiting[0].ready), (1, 1));
    let mut expected = execution(7);
    expected.priority = 2;
    expected.number = 3;
    expected.accepted_at = tinpot_core::Timestamp(9);
    assert_eq!(*store.execution(id(7)).await.expect("a read").expect("it is there"), expected);
    commit(&store, &[accept(8)]).await;
    let store = store.reopened().await;
    assert!(is_there(&store, 8).await);
}

#[tokio::test]
async fn a_store_has_one_coordinator_under_any_of_its_paths() {
    let (directory, path) = place();
    let first = open(store(&path)).await;
    let link = directory.path().join("link.db");
    symlink(&path, &link).expect("a link");
    for path in [&path, &link] {
        refused(
            path,
            ErrorKind::Conflict,
            &["tinpot.db", "open in another coordinator", "this very process"],
        )
        .await;
    }
    // Having tried takes nothing from the one who has it.
    commit(&first, &[accept(1)]).await;
    drop(first);
    let second = open(store(&link)).await;
    assert!(is_there(&second, 1).await);
}

#[tokio::test]
async fn operations_on_a_closed_store_fail_as_closed() {
    let (_directory, path) = place();
    let store = store(&path);
    let kind =
        async |store: &dyn Store| store.execution(id(1)).await.expect_err("it is not open").kind();
    assert_eq!(kind(&store).await, ErrorKind::Closed);
    assert!(!path.exists(), "building a store touches nothing");
    let store = open(store).await;
    commit(&store, &[accept(1)]).await;
    store.close().await.expect("close");
    assert_eq!(kind(&store).await, ErrorKind::Closed);
    let error = store.commit(&[accept(2)], tinpot_core::Timestamp(1)).await.expect_err("closed");
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert!(!path.with_extension("db-wal").exists(), "everything is in the database");
}
