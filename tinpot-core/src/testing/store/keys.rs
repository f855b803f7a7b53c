//! Idempotency keys.

use super::{accept, commit, finish, ids, open, refused, status, with};
use crate::model::execution::Execution;
use crate::model::page::ListOptions;
use crate::model::transition::Transition;
use crate::store::Store;

fn key(new: &mut Execution) {
    new.idempotency_key = Some("the key".into());
}

/// A key is taken as long as its execution is recorded, ended or not.
pub async fn a_key_belongs_to_one_execution(store: impl Store) {
    let store = open(store).await;
    let (first, second) = (with(1, key), with(2, key));
    accept(&store, &[&first]).await;
    let other = with(3, |new| new.idempotency_key = Some("another".into()));
    // The whole batch is refused.
    refused(&store, &[Transition::Accept(other.clone()), Transition::Accept(second.clone())]).await;
    assert_eq!(status(&store, other.id).await, None);
    commit(&store, &[finish(&first, None)]).await;
    refused(&store, &[Transition::Accept(second)]).await;
    accept(&store, &[&other, &with(4, |_| {}), &with(5, |_| {})]).await;
}

/// Two executions of one batch cannot have the same key.
pub async fn a_key_is_taken_once_within_a_batch(store: impl Store) {
    let store = open(store).await;
    let both = [with(1, key), with(2, key)];
    refused(&store, &both.clone().map(Transition::Accept)).await;
    for execution in &both {
        assert_eq!(status(&store, execution.id).await, None);
    }
    accept(&store, &[&both[1]]).await;
}

/// An execution is found by its exact key.
pub async fn an_execution_is_found_by_its_key(store: impl Store) {
    let store = open(store).await;
    accept(&store, &[&with(1, key), &with(2, |_| {})]).await;
    for (name, expected) in [("the key", &[1][..]), ("the", &[]), ("The key", &[]), ("", &[])] {
        let idempotency_key = Some(name.to_owned());
        let options = ListOptions { idempotency_key, ..ListOptions::default() };
        let found = store.executions(&options).await.expect("a list");
        assert_eq!(ids(&found), expected, "{name:?}");
    }
}
