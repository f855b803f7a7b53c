//! Numbers of executions.

use std::sync::Arc;

use super::{
    OpenStore, RETAINED, Reopen, accept, commit, execution, finish, ids, open, refused, with,
};
use crate::model::execution::Execution;
use crate::model::id::ExecutionId;
use crate::model::page::ListOptions;
use crate::model::status::Status;
use crate::model::transition::Transition;
use crate::model::visible::{DEFAULT_TEAM, Visible, VisiblePart};
use crate::store::Store;
use crate::testing::case::eventually;

fn without_number(number: u128) -> Arc<Execution> {
    with(number, |new| new.number = 0)
}

async fn number_of(store: &dyn Store, execution: &Execution) -> u64 {
    super::read(store, execution.id).await.number
}

/// An execution is found by its number, if it passes the other filters.
pub async fn executions_are_found_by_their_numbers(store: impl Store) {
    let store = open(store).await;
    let far = with(2, |new| (new.number, new.requested_by) = (4_711, Some("ada".into())));
    let next = without_number(3);
    accept(&store, &[&execution(1), &far, &next]).await;
    let list = async |options: ListOptions| -> Vec<u128> {
        ids(&store.executions(&options).await.expect("a list"))
    };
    let of = |number| ListOptions::new().number(number);
    for (number, expected) in
        [(0, &[][..]), (1, &[1]), (2, &[]), (4_711, &[2]), (4_712, &[3]), (u64::MAX, &[])]
    {
        assert_eq!(list(of(number)).await, expected, "{number}");
    }
    let far = of(4_711);
    assert_eq!(list(far.clone().action("even").requested_by("ada").search("ad")).await, [2]);
    assert!(list(far.clone().action("odd")).await.is_empty());
    assert!(list(far.clone().statuses([Status::Failed])).await.is_empty());
    assert!(list(far.clone().search("bob")).await.is_empty());
    assert!(list(far.clone().before(ExecutionId::from_u128(2))).await.is_empty());
    let nothing = Visible::nothing(DEFAULT_TEAM, "bob");
    assert!(list(far.clone().visible(nothing.clone())).await.is_empty());
    assert_eq!(list(far.visible(nothing.part(VisiblePart::all()))).await, [2]);
}

/// No two executions have one number, and an execution without one gets the next.
pub async fn a_number_belongs_to_one_execution(store: impl Store) {
    let store = open(store).await;
    let (first, second) = (without_number(10), without_number(20));
    accept(&store, &[&first, &second]).await;
    assert_eq!((number_of(&store, &first).await, number_of(&store, &second).await), (1, 2));
    commit(&store, &[finish(&first, None)]).await;
    let again = with(30, |new| new.number = 1);
    refused(&store, &[Transition::Accept(again)]).await;
    let both = [31, 32].map(|id| Transition::Accept(with(id, |new| new.number = 7)));
    refused(&store, &both).await;
    let large = with(33, |new| new.number = u64::MAX);
    refused(&store, &[Transition::Accept(large)]).await;
    assert!(super::status(&store, ExecutionId::from_u128(31)).await.is_none());
    let third = with(34, |new| new.number = 7);
    accept(&store, &[&third]).await;
    assert_eq!(number_of(&store, &third).await, 7);
}

/// The largest number is known when the store is opened again.
pub async fn numbers_go_on<R: Reopen>(store: OpenStore<R>) {
    assert_eq!(store.opened.last_number, 0);
    accept(&store, &[&execution(1), &execution(5)]).await;
    let (store, opened) = store.next().await;
    assert_eq!(opened.last_number, 5);
    let next = without_number(6);
    accept(&store, &[&next]).await;
    assert_eq!(number_of(&store, &next).await, 6);
    let (_, opened) = store.next().await;
    assert_eq!(opened.last_number, 6);
}

/// The number of a removed execution is not used again.
pub async fn numbers_of_removed_executions_are_not_used_again(store: impl Store) {
    let store = open(store).await;
    let last = RETAINED as u64 + 2;
    for number in 1..=u128::from(last) {
        // The one with the largest number is the oldest.
        let new = with(number, |new| new.number = last + 1 - number as u64);
        commit(&store, &[Transition::Accept(new.clone()), finish(&new, None)]).await;
    }
    let gone = ExecutionId::from_u128(1);
    eventually("the execution to be removed", async || super::status(&store, gone).await.is_none())
        .await;
    let by_number = ListOptions::new().number(last);
    assert!(store.executions(&by_number).await.expect("a list").is_empty());
    let store = store.reopened().await;
    assert_eq!(store.opened.last_number, last);
    let next = without_number(1_000);
    accept(&store, &[&next]).await;
    assert_eq!(number_of(&store, &next).await, last + 1);
}
