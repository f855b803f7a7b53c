//! Lists for people.

use super::{commit, execution, finish, ids, with};
use crate::execution::Status;
use crate::id::ExecutionId;
use crate::store::{ListOptions, Store, Transition};

/// Newest first, page by page, only what was asked for.
pub async fn lists_are_filtered_and_paged(store: impl Store) {
    store.open().await.expect("open");
    for number in 1..=6 {
        commit(&store, &[Transition::Accept(execution(number))]).await;
    }
    commit(&store, &[finish(&execution(2), None)]).await;
    let list = async |options: ListOptions| -> Vec<u128> {
        ids(&store.executions(&options).await.expect("a list"))
    };
    assert_eq!(list(ListOptions::default()).await, [6, 5, 4, 3, 2, 1]);
    assert_eq!(list(ListOptions { limit: 2, ..ListOptions::default() }).await, [6, 5]);
    let before = Some(ExecutionId::from_u128(5));
    assert_eq!(list(ListOptions { limit: 2, before, ..ListOptions::default() }).await, [4, 3]);
    let action = Some("even".to_owned());
    assert_eq!(list(ListOptions { action, ..ListOptions::default() }).await, [6, 4, 2]);
    let status = Some(Status::Succeeded);
    assert_eq!(list(ListOptions { status, ..ListOptions::default() }).await, [2]);
    let queue = Some("elsewhere".to_owned());
    assert!(list(ListOptions { queue, ..ListOptions::default() }).await.is_empty());
    commit(&store, &[Transition::Accept(with(7, |new| new.queue = "elsewhere".into()))]).await;
    let (queue, action) = (Some("elsewhere".to_owned()), Some("even".to_owned()));
    assert_eq!(list(ListOptions { queue: queue.clone(), ..ListOptions::default() }).await, [7]);
    let both = ListOptions { queue, action, ..ListOptions::default() };
    assert!(list(both).await.is_empty());
    let odd = ListOptions {
        action: Some("odd".to_owned()),
        status: Some(Status::Queued),
        limit: 2,
        ..ListOptions::default()
    };
    assert_eq!(list(odd.clone()).await, [7, 5]);
    let before = Some(ExecutionId::from_u128(5));
    assert_eq!(list(ListOptions { before, ..odd }).await, [3, 1]);
}
