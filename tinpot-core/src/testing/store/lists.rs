//! Lists for people.

use super::{commit, execution, finish, ids, with};
use crate::execution::{Parent, Status};
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

/// The children of an execution, and of no other; they come before all others in their queue when their parent waits for them.
pub async fn children_are_found_by_their_parent(store: impl Store) {
    store.open().await.expect("open");
    let child = |number: u128, parent: u128, waits: bool| {
        with(number, |new| {
            let parent = ExecutionId::from_u128(parent);
            let fence = super::fence(1);
            let span = None;
            new.priority = -5;
            new.parent = Some(Parent { execution: parent, fence, span, depth: 1, waits });
        })
    };
    let all =
        [execution(1), execution(2), child(3, 1, true), child(4, 2, false), child(5, 1, true)];
    for new in &all {
        commit(&store, &[Transition::Accept(new.clone())]).await;
    }
    commit(&store, &[finish(&all[4], None)]).await;
    let list = async |parent: u128, options: ListOptions| -> Vec<u128> {
        let parent = Some(ExecutionId::from_u128(parent));
        ids(&store.executions(&ListOptions { parent, ..options }).await.expect("a list"))
    };
    assert_eq!(list(1, ListOptions::default()).await, [5, 3]);
    assert_eq!(list(2, ListOptions::default()).await, [4]);
    assert!(list(3, ListOptions::default()).await.is_empty());
    let before = Some(ExecutionId::from_u128(5));
    assert_eq!(list(1, ListOptions { before, ..ListOptions::default() }).await, [3]);
    assert_eq!(list(1, ListOptions { limit: 1, ..ListOptions::default() }).await, [5]);
    let status = Some(Status::Queued);
    assert_eq!(list(1, ListOptions { status, ..ListOptions::default() }).await, [3]);
    let known = store.execution(ExecutionId::from_u128(3)).await.expect("a read");
    let known = known.expect("it is there");
    assert_eq!((known.parent, known.priority), (all[2].parent, -5));
    let order = super::queues::ready("default", "odd", None);
    assert_eq!(super::queues::page(&store, order, 9).await, [3, 1]);
}
