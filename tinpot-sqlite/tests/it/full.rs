//! A store that may not grow any more, and requests that come together.

use std::num::NonZeroU64;
use std::sync::Arc;

use tinpot_core::store::{Session, Transition};
use tinpot_core::testing::store::open;
use tinpot_core::{ErrorKind, Json, Timestamp};
use tinpot_sqlite::{Retention, SqliteStore};

use crate::support::{
    accept, cancel, chain, commit, execution, finish, grant, is_there, lines, log, place, store,
    wait_for,
};

const AT: Timestamp = Timestamp(1);

/// Accepts an execution with parameters of about 50 kB.
fn large(number: u128) -> Transition {
    let mut new = execution(number);
    new.parameters = Json::serialize(&"x".repeat(50_000)).expect("JSON");
    Transition::Accept(Arc::new(new))
}

#[tokio::test]
async fn a_full_store_takes_what_fits_when_there_is_room_again() {
    let (_directory, path) = place();
    let megabyte = NonZeroU64::new(1_000_000).expect("a size");
    let retention = Retention::unbounded().executions(2);
    let store = SqliteStore::builder(&path).max_bytes(megabyte).retention(retention).build();
    let store = open(store).await;
    let mut number = 1;
    let error = loop {
        match store.commit(&[large(number), grant(number)], AT).await {
            Ok(()) => number += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::StorageFull, "{}", chain(&error));
    assert!(error.is_retryable() && error.to_string().contains("tinpot.db"), "{error}");
    assert!((10..20).contains(&number), "{number} of 50 kB in a megabyte");
    assert!(!is_there(&store, number).await, "the batch that failed is not there");
    // Incompressible, or it would fit in.
    let noise: Vec<String> = (0..3_000_u64)
        .map(|line| {
            format!(
                "{:x}",
                line.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(line as u32) as u128
                    * 0x1234_5678_9abc_def1
            )
        })
        .collect();
    let noise = lines(1, 1, noise);
    let error = store.append_logs(std::slice::from_ref(&noise)).await.expect_err("no room");
    assert_eq!(error.kind(), ErrorKind::StorageFull, "{}", chain(&error));
    assert!(log(&store, 1).await.is_empty());
    // What needs no room, or little, goes on: that is how there comes to be room.
    for number in 2..number {
        commit(&store, &[finish(number)]).await;
    }
    wait_for("room", async || store.commit(&[large(number), grant(number)], AT).await).await;
    // It comes bit by bit.
    wait_for("room", async || store.append_logs(std::slice::from_ref(&noise)).await).await;
    assert_eq!(log(&store, 1).await.len(), 3_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn requests_that_come_together_have_each_their_own_answer() {
    let (_directory, path) = place();
    let store = Arc::new(open(store(&path)).await);
    commit(
        &*store,
        &(1..=50).flat_map(|number| [accept(number), grant(number)]).collect::<Vec<_>>(),
    )
    .await;
    let ended: Vec<_> = (101..=150).flat_map(|number| [accept(number), cancel(number)]).collect();
    commit(&*store, &ended).await;
    let mut tasks = Vec::new();
    for number in 1..=50_u128 {
        let (one, two, three) = (store.clone(), store.clone(), store.clone());
        // Good; refused by a condition; refused by an index, when the rows are written.
        tasks.push(tokio::spawn(async move { one.commit(&[accept(1_000 + number)], AT).await }));
        tasks.push(tokio::spawn(async move {
            two.commit(&[accept(2_000 + number), cancel(number)], AT).await
        }));
        tasks.push(tokio::spawn(async move {
            three.commit(&[accept(3_000 + number), accept(100 + number)], AT).await
        }));
        let (four, five) = (store.clone(), store.clone());
        let text = |line: u32| format!("line {line} of {number}");
        let batch = [lines(number, 1, vec![text(1), text(2)])];
        tasks.push(tokio::spawn(async move { four.append_logs(&batch).await }));
        let gap = [lines(number, 9, vec!["a gap".to_owned()])];
        tasks.push(tokio::spawn(async move { five.append_logs(&gap).await }));
    }
    for (index, task) in tasks.into_iter().enumerate() {
        let result = task.await.expect("no panic");
        match index % 5 {
            0 | 3 => result.expect("it holds"),
            _ => assert_eq!(result.expect_err("it does not hold").kind(), ErrorKind::Conflict),
        }
    }
    for number in 1..=50 {
        assert!(is_there(&*store, 1_000 + number).await);
        assert!(
            !is_there(&*store, 2_000 + number).await && !is_there(&*store, 3_000 + number).await
        );
        let expected = [1, 2].map(|line| format!("line {line} of {number}"));
        assert_eq!(log(&*store, number).await, expected);
    }
}

#[tokio::test]
async fn another_program_in_the_database_is_waited_for() {
    let (_directory, path) = place();
    let store = open(store(&path)).await;
    let shell = rusqlite::Connection::open(&path).expect("open");
    shell.execute_batch("BEGIN IMMEDIATE").expect("SQL");
    let batch = [accept(1)];
    let (committed, ()) = tokio::join!(store.commit(&batch, AT), async {
        // Long enough for the writer to find it locked, most often.
        tokio::task::yield_now().await;
        assert!(!is_there(&store, 1).await, "reading goes on, and sees nothing of it");
        shell.execute_batch("ROLLBACK").expect("SQL");
    });
    committed.expect("a commit");
    assert!(is_there(&store, 1).await);
}
