//! Secrets among parameters, which a copy of the files must not tell.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use tinpot_core::store::{ListOptions, SealingStore, Session, Transition, reseal_secrets};
use tinpot_core::testing::secret_sealer::ToySealer;
use tinpot_core::{Execution, Json, Outcome, Store};
use tinpot_sqlite::SqliteStore;

use crate::support::{commit, execution, place, store, wait_for};

const CANARY: &str = "canary-of-a-secret";

/// Executions with a secret: one with short parameters, and one with long ones.
fn executions() -> Vec<Execution> {
    let filling = "x".repeat(5_000);
    let parameters = [
        format!(r#"{{"open":"shown","token":"{CANARY}"}}"#),
        format!(r#"{{"token":["{CANARY}",{{"filling":"{filling}"}}],"open":"shown"}}"#),
    ];
    let with = |(number, parameters): (u128, String)| {
        let mut execution = execution(number);
        execution.parameters = Json::parse(parameters).expect("JSON");
        execution.secrets = vec!["/token".to_owned()];
        execution
    };
    let mut all: Vec<Execution> = (1..).zip(parameters).map(with).collect();
    let mut plain = execution(3);
    plain.parameters = Json::parse(r#"{"open":"not a secret"}"#).expect("JSON");
    all.push(plain);
    all
}

fn accepts() -> Vec<Transition> {
    executions().into_iter().map(|execution| Transition::Accept(Arc::new(execution))).collect()
}

/// Returns the files of a folder in which a text stands. Another process reads them: if this one did,
/// it would give up SQLite's locks.
fn files_with(folder: &Path, text: &str) -> Vec<String> {
    let found = Command::new("grep").args(["-rlaF", text]).arg(folder).output().expect("grep");
    let found = String::from_utf8(found.stdout).expect("paths");
    let name = |path: &str| Path::new(path).file_name().map(|name| name.to_string_lossy().into());
    let mut names: Vec<String> = found.lines().filter_map(name).collect();
    names.sort();
    names
}

fn sealing(path: &Path) -> SealingStore<SqliteStore> {
    SealingStore::new(store(path), ToySealer::new(1, &[]))
}

#[tokio::test]
async fn sealed_secrets_are_in_no_file_of_a_store() {
    let (folder, path) = place();
    let sealed = sealing(&path);
    let (_, session) = sealed.open().await.expect("a session");
    commit(&*session, &accepts()).await;
    // In the write-ahead log, and in the database.
    assert_eq!(files_with(folder.path(), "not a secret"), ["tinpot.db-wal"]);
    assert_eq!(files_with(folder.path(), CANARY), [""; 0]);
    session.close().await.expect("closed");
    assert_eq!(files_with(folder.path(), "not a secret"), ["tinpot.db"]);
    assert_eq!(files_with(folder.path(), CANARY), [""; 0]);
    let (_, session) = sealed.open().await.expect("a session");
    let mut read = sealed.executions(&ListOptions::new()).await.expect("a list");
    read.reverse();
    let parameters: Vec<_> = read.iter().map(|execution| execution.parameters.clone()).collect();
    let given: Vec<_> = executions().into_iter().map(|execution| execution.parameters).collect();
    assert_eq!(parameters, given);
    session.close().await.expect("closed");
}

#[tokio::test]
async fn secrets_of_an_old_store_are_sealed_and_leave_no_trace() {
    let (folder, path) = place();
    {
        let plain = store(&path);
        let (_, session) = plain.open().await.expect("a session");
        commit(&*session, &accepts()).await;
        session.close().await.expect("closed");
    }
    assert_eq!(files_with(folder.path(), CANARY), ["tinpot.db"]);
    // Each rewrite is done once for its mark, also if nothing is opened meanwhile.
    for (mark, key, former) in [("1", 1, &[][..]), ("1", 7, &[][..]), ("2", 2, &[1][..])] {
        let sealer = ToySealer::new(key, former);
        let rewritten = SqliteStore::builder(&path)
            .rewrite_secrets(mark, move |execution| reseal_secrets(&sealer, execution))
            .build();
        let (_, session) = rewritten.open().await.expect("a session");
        assert_eq!(files_with(folder.path(), CANARY), [""; 0], "{mark}");
        session.close().await.expect("closed");
        assert_eq!(files_with(folder.path(), CANARY), [""; 0], "{mark}");
        let found = rewritten.records().secrets_mark().await.expect("a read");
        assert_eq!(found.as_deref(), Some(mark));
    }
    let sealed = SealingStore::new(store(&path), ToySealer::new(2, &[]));
    let (_, session) = sealed.open().await.expect("a session");
    for given in executions() {
        let read = sealed.execution(given.id).await.expect("a read").expect("a record");
        assert_eq!(read.parameters, given.parameters);
        assert!(!read.has_lost_secrets);
    }
    session.close().await.expect("closed");
}

/// Also the sealed form leaves the database: with the key, it would open.
#[tokio::test]
async fn secrets_that_are_forgotten_leave_the_database() {
    let (folder, path) = place();
    let plain = store(&path);
    let (_, session) = plain.open().await.expect("a session");
    let mut all = executions();
    all.iter_mut().for_each(|execution| execution.forgets_secrets = true);
    let accepts: Vec<_> = all.iter().map(|one| Transition::Accept(Arc::new(one.clone()))).collect();
    commit(&*session, &accepts).await;
    let finishes: Vec<_> = all
        .iter()
        .map(|one| Transition::Finish {
            execution: one.id,
            fence: None,
            outcome: Outcome::Succeeded(Json::null()),
            ran: None,
            log_end: None,
        })
        .collect();
    commit(&*session, &finishes).await;
    session.close().await.expect("closed");
    assert_eq!(files_with(folder.path(), "not a secret"), ["tinpot.db"]);
    assert_eq!(files_with(folder.path(), CANARY), [""; 0]);
}

/// Opens a store. A process that another test starts may hold its lock for a moment.
async fn opened(store: &SqliteStore) -> Arc<dyn Session> {
    let mut session = None;
    let open = async || store.open().await.map(|(_, opened)| session = Some(opened));
    wait_for("a session", open).await;
    session.expect("a session")
}

#[tokio::test]
async fn a_store_that_cannot_be_cleaned_is_served_and_cleaned_by_a_later_start() {
    let (folder, path) = place();
    {
        let plain = store(&path);
        let (_, session) = plain.open().await.expect("a session");
        commit(&*session, &accepts()).await;
        session.close().await.expect("closed");
    }
    let rewritten = || {
        let sealer = ToySealer::new(1, &[]);
        let builder = SqliteStore::builder(&path);
        builder.rewrite_secrets("1", move |found| reseal_secrets(&sealer, found)).build()
    };
    // Another program reads the former state, which must stay in the file for it.
    let reader = rusqlite::Connection::open(&path).expect("open");
    reader.execute_batch("BEGIN").expect("SQL");
    let count = "SELECT count(*) FROM executions";
    assert_eq!(reader.query_row(count, [], |row| row.get::<_, i64>(0)).expect("SQL"), 3);
    let unclean = rewritten();
    let session = opened(&unclean).await;
    let problems = unclean.problems();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].message.contains("former secrets") && !problems[0].is_blocking);
    assert_eq!(unclean.records().secrets_mark().await.expect("a read").as_deref(), Some("1"));
    assert_eq!(files_with(folder.path(), CANARY), ["tinpot.db"]);
    drop(reader);
    session.close().await.expect("closed");
    let clean = rewritten();
    let session = opened(&clean).await;
    assert_eq!(clean.problems(), []);
    assert_eq!(files_with(folder.path(), CANARY), [""; 0]);
    session.close().await.expect("closed");
}
