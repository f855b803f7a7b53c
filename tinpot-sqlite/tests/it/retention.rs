//! Retention: the executions that are removed, and those that are kept.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use tinpot_core::store::{ListOptions, Session, Transition};
use tinpot_core::testing::store::{self, OpenStore};
use tinpot_core::{Json, Store, Timestamp};
use tinpot_sqlite::{Keep, Retention, SqliteStore};

use crate::support::{cancel, commit, execution, finish, grant, id, lines, log, place, wait_for};

const SECOND: u64 = 1_000_000;

async fn open(path: &Path, retention: Retention) -> OpenStore<SqliteStore> {
    store::open(SqliteStore::builder(path).retention(retention).build()).await
}

fn of(action: &str, number: u128) -> Transition {
    let mut new = execution(number);
    new.action = action.into();
    Transition::Accept(Arc::new(new))
}

/// Waits until just these are there.
async fn wait_for_rest(store: &SqliteStore, expected: impl IntoIterator<Item = u128>) {
    let expected: BTreeSet<u128> = expected.into_iter().collect();
    wait_for("what is to be forgotten", async || {
        let mut options = ListOptions::default();
        options.limit = ListOptions::LIMIT_MAX;
        let all = store.executions(&options).await.expect("a list");
        let all: BTreeSet<u128> = all.iter().map(|execution| execution.id.as_u128()).collect();
        assert!(all.is_superset(&expected), "too much is forgotten: {all:?}");
        if all == expected { Ok(()) } else { Err(all.len()) }
    })
    .await;
}

/// Returns the number of rows in each table that executions have rows in.
fn rows(path: &Path) -> [i64; 4] {
    let connection = Connection::open(path).expect("open");
    ["executions", "large_parameters", "log_chunks", "forgotten_logs"].map(|table| {
        let sql = format!("SELECT count(*) FROM {table}");
        connection.query_row(&sql, [], |row| row.get(0)).expect("a count")
    })
}

#[tokio::test]
async fn the_oldest_go_when_there_are_too_many_and_what_has_not_ended_stays() {
    let (_directory, path) = place();
    let store = open(&path, Retention::unbounded().executions(100)).await;
    // Two wait, one is held by a worker; all of them are older than the rest.
    commit(&store, &[of("a", 1), of("b", 2), of("a", 3), grant(3)]).await;
    for number in 10..400 {
        let action = if number % 3 == 0 { "a" } else { "b" };
        commit(&store, &[of(action, number), cancel(number)]).await;
    }
    wait_for_rest(&store, [1, 2, 3].into_iter().chain(300..400)).await;
    // It counts on from where it was.
    let store = store.reopened().await;
    commit(&store, &[finish(3)]).await;
    wait_for_rest(&store, [1, 2].into_iter().chain(300..400)).await;
}

#[tokio::test]
async fn far_too_many_are_forgotten_while_there_is_no_quiet() {
    let (_directory, path) = place();
    let store = open(&path, Retention::unbounded().executions(10)).await;
    let mut most = 0;
    for round in 0..10_u128 {
        let all = round * 700 + 1..=round * 700 + 700;
        let batch: Vec<_> = all.flat_map(|number| [of("a", number), cancel(number)]).collect();
        commit(&store, &batch).await;
        most = most.max(rows(&path)[0]);
    }
    assert!(most < 2_500, "{most} of 7,000 were there at a time");
    wait_for_rest(&store, 6_991..=7_000).await;
}

#[tokio::test]
async fn an_action_can_have_a_number_and_an_age_of_its_own() {
    let (_directory, path) = place();
    let day = Duration::from_secs(86_400);
    let retention = Retention::unbounded()
        .age(10 * day)
        .action("few", Keep::default().executions(3))
        .action("short", Keep::default().age(day))
        .action("long", Keep::default().age(100 * day));
    let store = open(&path, retention).await;
    let at = |days: f64| Timestamp(((1_000.0 + days * 86_400.0) * SECOND as f64) as u64);
    let end = async |store: &dyn Session, action: &str, number, days| {
        let batch = [of(action, number), cancel(number)];
        store.commit(&batch, at(days)).await.expect("a commit");
    };
    for (first, days) in [(10, 0.0), (20, 5.0)] {
        for number in first..first + 5 {
            end(
                &store,
                ["few", "short", "long", "other", "few"][(number - first) as usize],
                number,
                days,
            )
            .await;
        }
    }
    // Accepted on the first day, and ended on the sixth.
    store.commit(&[of("short", 30), of("other", 31)], at(0.0)).await.expect("a commit");
    store.commit(&[cancel(30)], at(6.0)).await.expect("a commit");
    // Ages are looked at after each opening, and now and then.
    let reopen = async |store: OpenStore<SqliteStore>, days| {
        let store = store.reopened().await;
        store.commit(&[Transition::Ready { execution: id(31) }], at(days)).await.expect("a commit");
        store
    };
    let store = reopen(store, 6.5).await;
    wait_for_rest(&store, [12, 13, 14, 20, 22, 23, 24, 30, 31]).await;
    let store = reopen(store, 7.5).await;
    wait_for_rest(&store, [12, 13, 14, 20, 22, 23, 24, 31]).await;
    let store = reopen(store, 12.0).await;
    wait_for_rest(&store, [12, 20, 22, 23, 24, 31]).await;
    let store = reopen(store, 50.0).await;
    wait_for_rest(&store, [12, 22, 31]).await;
    let store = reopen(store, 1_000.0).await;
    wait_for_rest(&store, [31]).await;
}

#[tokio::test]
async fn everything_that_belongs_to_a_removed_execution_is_removed() {
    let (_directory, path) = place();
    let store = open(&path, Retention::unbounded().executions(0)).await;
    let mut new = execution(1);
    new.parameters = Json::serialize(&"x".repeat(100_000)).expect("JSON");
    new.idempotency_key = Some("the key".into());
    let again = |number| {
        let mut again = new.clone();
        again.id = id(number);
        Transition::Accept(Arc::new(again))
    };
    commit(&store, &[again(1), grant(1), of("a", 2), grant(2)]).await;
    // One log is so long that it goes in steps, the other is one row.
    let text = |line: u64| format!("{line}: {}", line.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    for first in (1..=200_000).step_by(1_000) {
        let texts = (first..first + 1_000).map(text).collect();
        store.append_logs(&[lines(1, first, texts)]).await.expect("lines");
    }
    store.append_logs(&[lines(2, 1, vec!["short".to_owned()])]).await.expect("lines");
    let [executions, large, chunks, _] = rows(&path);
    assert!((executions, large) == (2, 1) && chunks > 60, "{chunks} rows of logs");
    store.commit(&[again(3)], Timestamp(1)).await.expect_err("the key is taken");
    commit(&store, &[finish(1), finish(2)]).await;
    wait_for("nothing to be left", async || match rows(&path) {
        [0, 0, 0, 0] => Ok(()),
        rows => Err(rows),
    })
    .await;
    commit(&store, &[again(3)]).await;
    assert!(store.logs(id(1), 0, 1_000).await.expect("a read").is_empty());
}

#[tokio::test]
async fn a_log_that_has_ended_is_packed() {
    let (_directory, path) = place();
    let store = open(&path, Retention::unbounded()).await;
    commit(&store, &[of("a", 1), grant(1)]).await;
    let text = |line: u64| format!("line {line}: the same words again and again and again");
    for first in (1..=300).step_by(10) {
        let texts = (first..first + 10).map(text).collect();
        store.append_logs(&[lines(1, first, texts)]).await.expect("lines");
    }
    assert!(rows(&path)[2] > 3, "several rows while it grows");
    commit(&store, &[finish(1)]).await;
    wait_for("one row", async || match rows(&path)[2] {
        1 => Ok(()),
        rows => Err(rows),
    })
    .await;
    assert_eq!(log(&store, 1).await, (1..=300).map(text).collect::<Vec<_>>());
    // Late lines find their place.
    store.append_logs(&[lines(1, 301, vec!["late".to_owned()])]).await.expect("a line");
    assert_eq!(log(&store, 1).await.len(), 301);
}
