//! Lists of executions.

use super::{commit, execution, finish, ids, open, with};
use crate::model::execution::Parent;
use crate::model::id::ExecutionId;
use crate::model::page::ListOptions;
use crate::model::status::Status;
use crate::model::time::Timestamp;
use crate::model::transition::Transition;
use crate::store::{Session, Store};

/// Lists are filtered, and paged from the newest execution on.
pub async fn lists_are_filtered_and_paged(store: impl Store) {
    let store = open(store).await;
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
    let statuses = vec![Status::Succeeded];
    assert_eq!(list(ListOptions { statuses, ..ListOptions::default() }).await, [2]);
    let statuses = vec![Status::Running, Status::Succeeded, Status::Queued];
    assert_eq!(list(ListOptions { statuses, ..ListOptions::default() }).await, [6, 5, 4, 3, 2, 1]);
    let queue = Some("elsewhere".to_owned());
    assert!(list(ListOptions { queue, ..ListOptions::default() }).await.is_empty());
    commit(&store, &[Transition::Accept(with(7, |new| new.queue = "elsewhere".into()))]).await;
    let (queue, action) = (Some("elsewhere".to_owned()), Some("even".to_owned()));
    assert_eq!(list(ListOptions { queue: queue.clone(), ..ListOptions::default() }).await, [7]);
    let both = ListOptions { queue, action, ..ListOptions::default() };
    assert!(list(both).await.is_empty());
    let odd = ListOptions {
        action: Some("odd".to_owned()),
        statuses: vec![Status::Queued],
        limit: 2,
        ..ListOptions::default()
    };
    assert_eq!(list(odd.clone()).await, [7, 5]);
    let before = Some(ExecutionId::from_u128(5));
    assert_eq!(list(ListOptions { before, ..odd }).await, [3, 1]);
}

/// The filter by the time of acceptance includes both ends, and works with the other filters.
pub async fn lists_are_filtered_by_time(store: impl Store) {
    let store = open(store).await;
    // The smallest of one millisecond each, as ids are made.
    let at = |second: u64| Timestamp(1_700_000_000_000_000 + second * 1_000_000);
    let id = |second: u64| u128::from(at(second).0 / 1_000) << 80;
    for second in [0, 10, 20, 30, 7_200] {
        let child = Parent {
            execution: ExecutionId::from_u128(1),
            fence: super::fence(1),
            span: None,
            depth: 1,
            waits: false,
        };
        let new = with(id(second), |new| {
            new.action = if second == 10 { "other" } else { "act" }.into();
            new.requested_by = Some("me".into());
            new.parent = Some(child);
        });
        // It may be accepted some time after its id was made.
        let late = Timestamp(at(second).0 + 500_000);
        store.commit(&[Transition::Accept(new)], late).await.expect("a commit");
    }
    let list = async |options: ListOptions| -> Vec<u64> {
        let found = store.executions(&options).await.expect("a list");
        found.iter().map(|new| (new.accepted_at.0 - at(0).0) / 1_000_000).collect()
    };
    let just = |second: u64| Timestamp(at(second).0 + 500_000);
    let before = |time: Timestamp| Timestamp(time.0 - 1);
    let (requested_by, parent) = (Some("me".to_owned()), Some(ExecutionId::from_u128(1)));
    let filters = [
        ListOptions::default(),
        ListOptions { requested_by, ..ListOptions::default() },
        ListOptions { parent, ..ListOptions::default() },
        ListOptions { queue: Some("default".to_owned()), ..ListOptions::default() },
        ListOptions { statuses: vec![Status::Queued], ..ListOptions::default() },
    ];
    for filter in filters {
        let between =
            |since, until| ListOptions { since: Some(since), until: Some(until), ..filter.clone() };
        assert_eq!(list(between(just(10), just(20))).await, [20, 10], "{filter:?}");
        assert_eq!(list(between(just(10), before(just(20)))).await, [10], "{filter:?}");
        assert_eq!(
            list(between(Timestamp(just(10).0 + 1), just(30))).await,
            [30, 20],
            "{filter:?}"
        );
        assert!(list(between(just(31), just(7_199))).await.is_empty(), "{filter:?}");
        assert!(list(between(just(20), just(10))).await.is_empty(), "{filter:?}");
        let since = ListOptions { since: Some(just(20)), ..filter.clone() };
        assert_eq!(list(since.clone()).await, [7_200, 30, 20], "{filter:?}");
        assert_eq!(
            list(ListOptions { limit: 2, ..since.clone() }).await,
            [7_200, 30],
            "{filter:?}"
        );
        let last = Some(ExecutionId::from_u128(id(30)));
        assert_eq!(list(ListOptions { before: last, ..since }).await, [20], "{filter:?}");
        let until = ListOptions { until: Some(just(10)), ..filter.clone() };
        assert_eq!(list(until).await, [10, 0], "{filter:?}");
        let act = ListOptions { action: Some("act".to_owned()), ..between(just(0), just(20)) };
        assert_eq!(list(act).await, [20, 0], "{filter:?}");
    }
}

/// The filter by submitter works with the other filters and page by page.
pub async fn lists_are_filtered_by_submitter(store: impl Store) {
    let store = open(store).await;
    for number in 1..=8 {
        let who = ["Anna", "anna", "Ünal \"the\" one", ""][(number % 4) as usize];
        let new = with(number, |new| {
            new.requested_by = (!who.is_empty()).then(|| who.into());
            new.queue = if number < 5 { "early".into() } else { "late".into() };
        });
        commit(&store, &[Transition::Accept(new)]).await;
    }
    commit(&store, &[finish(&execution(4), None)]).await;
    let list = async |who: &str, options: ListOptions| -> Vec<u128> {
        let requested_by = Some(who.to_owned());
        ids(&store.executions(&ListOptions { requested_by, ..options }).await.expect("a list"))
    };
    assert_eq!(list("Anna", ListOptions::default()).await, [8, 4]);
    assert_eq!(list("anna", ListOptions::default()).await, [5, 1]);
    assert_eq!(list("Ünal \"the\" one", ListOptions::default()).await, [6, 2]);
    assert!(list("Otto", ListOptions::default()).await.is_empty());
    assert_eq!(list("Anna", ListOptions { limit: 1, ..ListOptions::default() }).await, [8]);
    let before = Some(ExecutionId::from_u128(8));
    assert_eq!(list("Anna", ListOptions { before, ..ListOptions::default() }).await, [4]);
    let queue = Some("early".to_owned());
    assert_eq!(list("Anna", ListOptions { queue, ..ListOptions::default() }).await, [4]);
    let statuses = vec![Status::Queued];
    assert_eq!(list("Anna", ListOptions { statuses, ..ListOptions::default() }).await, [8]);
    let action = Some("odd".to_owned());
    assert!(list("Anna", ListOptions { action, ..ListOptions::default() }).await.is_empty());
}

/// The children of an execution are listed. A child that its parent waits for comes first in its
/// queue.
pub async fn children_are_found_by_their_parent(store: impl Store) {
    let store = open(store).await;
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
    let statuses = vec![Status::Queued];
    assert_eq!(list(1, ListOptions { statuses, ..ListOptions::default() }).await, [3]);
    let known = store.execution(ExecutionId::from_u128(3)).await.expect("a read");
    let known = known.expect("it is there");
    assert_eq!((known.parent, known.priority), (all[2].parent, -5));
    let order = super::queues::ready("default", "odd", None);
    assert_eq!(super::queues::page(&store, order, 9).await, [3, 1]);
}
