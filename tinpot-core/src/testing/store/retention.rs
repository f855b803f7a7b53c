//! Retention: the bound of the history.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{AT, OpenStore, accept, commit, finish, grant, lines, open, status, with};
use crate::model::execution::{Execution, Parent};
use crate::model::id::ExecutionId;
use crate::model::page::ListOptions;
use crate::model::transition::Transition;
use crate::store::{Session, Store};
use crate::testing::case::eventually;

/// The number of ended executions that the stores of these cases keep.
pub const RETAINED: usize = 20;

async fn all(store: &dyn Store) -> BTreeSet<u128> {
    let options = ListOptions { limit: ListOptions::LIMIT_MAX, ..ListOptions::default() };
    let list = store.executions(&options).await.expect("a list");
    list.iter().map(|execution| execution.id.as_u128()).collect()
}

/// Waits until exactly these executions are left. None of them may be removed meanwhile.
async fn only_these_are_left(store: &dyn Store, expected: impl IntoIterator<Item = u128>) {
    let expected: BTreeSet<u128> = expected.into_iter().collect();
    eventually("the history to be within its bound", async || {
        let left = all(store).await;
        assert!(left.is_superset(&expected), "too much was removed: {left:?} of {expected:?}");
        left == expected
    })
    .await;
}

/// Accepts and ends executions, one batch for each.
async fn end_all(session: &dyn Session, numbers: impl IntoIterator<Item = u128>) {
    for number in numbers {
        let new = with(number, |_| {});
        commit(session, &[Transition::Accept(new.clone()), finish(&new, None)]).await;
    }
}

/// The oldest ended executions are removed; those that have not ended stay, however old.
pub async fn the_oldest_ended_executions_are_removed(store: impl Store) {
    let store = open(store).await;
    let (waiting, delayed, granted) =
        (with(1, |_| {}), with(2, |new| new.not_before = Some(AT)), with(3, |_| {}));
    accept(&store, &[&waiting, &delayed, &granted]).await;
    commit(&store, &[grant(&granted, 1)]).await;
    end_all(&store, 10..10 + 3 * RETAINED as u128).await;
    let kept = 10 + 2 * RETAINED as u128..10 + 3 * RETAINED as u128;
    only_these_are_left(&store, [1, 2, 3].into_iter().chain(kept)).await;
    commit(&store, &[finish(&granted, Some(super::fence(1)))]).await;
    end_all(&store, 1_000..1_000 + RETAINED as u128).await;
    only_these_are_left(&store, [1, 2].into_iter().chain(1_000..1_000 + RETAINED as u128)).await;
}

/// The log, the idempotency key and the place among the children go with a removed execution.
pub async fn everything_of_a_removed_execution_is_removed(store: impl Store) {
    let store = open(store).await;
    let parent = ExecutionId::from_u128(1);
    let change = |new: &mut Execution| {
        new.idempotency_key = Some("the key".into());
        new.requested_by = Some("someone".into());
        new.parameters = crate::Json::parse(format!("[\"{}\"]", "x".repeat(5_000))).expect("JSON");
        let fence = super::fence(1);
        new.parent = Some(Parent { execution: parent, fence, span: None, depth: 1, waits: false });
    };
    let old = with(2, change);
    accept(&store, &[&with(1, |_| {}), &old]).await;
    commit(&store, &[grant(&old, 1)]).await;
    for part in 0..400 {
        store.append_logs(&[lines(old.id, 1 + part * 10, 10)]).await.expect("lines");
    }
    commit(&store, &[finish(&old, Some(super::fence(1)))]).await;
    end_all(&store, 10..10 + RETAINED as u128).await;
    eventually("the execution to be removed", async || status(&store, old.id).await.is_none())
        .await;
    assert!(store.logs(old.id, 0, 1_000).await.expect("a read").is_empty());
    let children = ListOptions { parent: Some(parent), ..ListOptions::default() };
    assert!(store.executions(&children).await.expect("a list").is_empty());
    let key = Some("the key".to_owned());
    let by_key = ListOptions { idempotency_key: key, ..ListOptions::default() };
    assert!(store.executions(&by_key).await.expect("a list").is_empty());
    let by_word = ListOptions::new().search("someone");
    assert!(store.executions(&by_word).await.expect("a list").is_empty());
    // Lines that arrive late have nowhere to go, and the key and the id are free again.
    store.append_logs(&[lines(old.id, 4_001, 1)]).await.expect_err("it was removed");
    accept(&store, &[&with(100, change)]).await;
}

/// The history stays bounded while executions keep ending.
pub async fn the_bound_holds_during_commits(store: impl Store) {
    let store = open(store).await;
    let mut most = 0;
    for round in 0..60_u128 {
        let numbers = round * 100 + 1..=round * 100 + 100;
        let new: Vec<Arc<Execution>> = numbers.map(|number| with(number, |_| {})).collect();
        let batch = new.iter().flat_map(|new| [Transition::Accept(new.clone()), finish(new, None)]);
        commit(&store, &batch.collect::<Vec<_>>()).await;
        // The list ends after its largest page, so the oldest tells whether too many are there.
        let oldest = ExecutionId::from_u128((round * 100).saturating_sub(3_000) + 1);
        most = most.max(usize::from(round >= 35 && status(&store, oldest).await.is_some()));
    }
    assert_eq!(most, 0, "of 6,000 executions, the last 3,000 were still there");
    only_these_are_left(&store, 6_001 - RETAINED as u128..=6_000).await;
}

/// A store counts the history that it finds at an opening.
pub async fn retention_continues_after_a_reopening(store: impl Store) {
    let store: OpenStore<_> = open(store).await;
    end_all(&store, 1..=RETAINED as u128).await;
    let store = store.reopened().await;
    end_all(&store, 100..105).await;
    only_these_are_left(&store, (6..=RETAINED as u128).chain(100..105)).await;
}
